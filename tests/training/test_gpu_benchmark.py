"""benchmarks/gpu.py on a CPU: every row is made, in JSON, with the machine that made it."""

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.filterwarnings("ignore:head.precision bf16", "ignore:The number of unique classes")
def test_the_smoke_run_gives_every_row(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    gpu = __import__("gpu")
    gpu.main(["--smoke"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ways = {row["way"]: row for row in rows if row["rows"] == "head"}
    assert {"products", "kept", "recomputed", "logits", "float32", "tf32", "linear_cross_entropy", "plain"} <= set(ways)
    failed = {row.get("way", row["rows"]): row["failed"] for row in rows if "failed" in row}
    assert set(failed) == {"tf32"}, failed
    assert "take float32" in failed["tf32"]
    assert all(row["ratio"] > 0 for row in ways.values() if row["way"] != "tf32")
    speeds = [row["images_per_second"] for row in rows if row["rows"] in ("step", "feed")]
    assert len(speeds) == 3
    assert min(speeds) > 0
    assert [row["levels_off"] for row in rows if row["rows"] == "augment"] == [0]
    assert [row["bit_equal"] for row in rows if row["rows"] == "resume"] == [True]
    assert all({"card", "limen", "torch", "triton", "cuda"} <= row.keys() for row in rows)


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        __import__("gpu").main([])
    assert "no CUDA device; --smoke runs the rows on a CPU" in capsys.readouterr().err
