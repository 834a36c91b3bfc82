"""The demo, cut down to seconds: everything it promises is there, and it goes on where it was stopped."""

import json

import pytest

from limen import Embedder
from limen.cli import demo, main
from limen.protocols import load_results


@pytest.fixture
def _small(monkeypatch):
    for name, value in {"TRAIN_PEOPLE": 12, "TEST_PEOPLE": 6, "IMAGES_EACH": 8, "PAIRS": 120, "DIFFICULTY": 0.2}.items():
        monkeypatch.setattr(demo, name, value)


@pytest.mark.usefixtures("_small")
def test_demo(capsys, tmp_path):
    words = ["demo", "--out", str(tmp_path / "demo"), "--minutes", "0.1", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    stored = load_results(tmp_path / "demo" / "result.json")
    assert [result.model for result in stored] == ["AdaFace", "ArcFace"]
    assert stored[0].value("accuracy") > 0.5
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("<svg") >= 4
    assert "data:image/png" in page
    assert "rank correlation" in " ".join(page.split())
    embedder = Embedder.load(told["bundle"])
    assert embedder.bundle.training["classes"] == 12
    assert embedder.quality_head is not None
    log = tmp_path / "demo" / "adaface" / "log.jsonl"
    before = log.read_text()
    assert main(words) == 0  # trained already: judges and reports again
    assert log.read_text() == before
