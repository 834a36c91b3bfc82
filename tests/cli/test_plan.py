"""`limen plan`: its JSON adds up, another machine's seconds are taken, errors are one line."""

import json

import pytest

from limen.cli import main

TINY = ["--backbone.name", "tiny", "--backbone.embedding_size", "16", "--batch_size", "8", "--device", "cpu"]


def answer(capsys, *words):
    assert main(["plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def constants(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "here.json"
    assert main(["plan", "--classes", "1000", *TINY, "--save-constants", str(path)]) == 0
    return str(path)


def test_items_add_up_and_ranks_share(capsys, constants):
    alone = answer(capsys, "--classes", "100000000", *TINY, "--constants", constants)
    shared = answer(capsys, "--classes", "100000000", "--gpus", "4", *TINY, "--constants", constants)
    for plan in (alone, shared):
        assert sum(sum(items.values()) for items in plan["memory_bytes"].values()) == plan["memory_bytes_total"]
        assert plan["head_share"] == pytest.approx(plan["seconds"]["head"] / sum(plan["seconds"].values()))
    assert shared["memory_bytes"]["head"]["class centres"] * 4 == alone["memory_bytes"]["head"]["class centres"] == 100_000_000 * 16 * 4
    assert alone["sent_bytes"] == {}
    assert sum(shared["sent_bytes"].values()) == shared["sent_bytes_total"] > 0


def test_the_text_says_whose_seconds_they_are(capsys, constants):
    assert main(["plan", "--classes", "1000", *TINY, "--constants", constants]) == 0
    assert f"from {constants}; the memory holds for any machine" in capsys.readouterr().out
    assert main(["plan", "--classes", "1000", *TINY]) == 0
    assert "measured here; the memory holds for any machine" in capsys.readouterr().out


def test_memory_gives_the_most_that_fits(capsys, constants):
    found = answer(capsys, "--memory", "1", "--gpus", "2", *TINY, "--constants", constants)
    assert found["memory_bytes_total"] <= 2**30
    more = answer(capsys, "--classes", str(found["classes"] + 2), "--gpus", "2", *TINY, "--constants", constants)
    assert more["memory_bytes_total"] > 2**30


def test_a_sampler_makes_fewer_classes_take_part(capsys):
    words = ["--classes", "100000", *TINY, "--head.sampler.name"]
    assert answer(capsys, *words, "PartialFC", "--head.sampler.options", '{"rate": 0.1}')["active_classes_per_rank"] == 10_000
    mined = answer(capsys, *words, "HardPrototypeMining", "--head.sampler.options", '{"subset": 0.2, "queue": 8}')
    assert mined["active_classes_per_rank"] == 20_000
    assert mined["memory_bytes"]["head"]["dominant queues"] == 100_000 * 8 * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "1"], "--classes: 1"),
        (["--classes", "10", "--gpus", "3"], "do not divide among 3 GPUs"),
        (["--classes", "10", "--gpus", "0"], "--gpus: 0"),
        (["--classes", "10", "--gpus", "8"], "BatchNorm needs two"),
        (["--classes", "10", "--head.sampler.options", '{"rate": 0.1}'], "set head.sampler.name"),
        (["--classes", "10", "--head.sampler.name", "PartialFC", "--head.sampler.options", '{"subset": 1}'], "'subset' is not one of"),
        (["--classes", "10", "--head.sampler.name", "PartialFc"], "did you mean 'PartialFC'"),
        (["--classes", "10", "--optimiser.momentun", "0"], "did you mean 'optimiser.momentum'"),
        (["--memory", "0.001"], "lower batch_size"),
    ],
)
def test_errors_are_one_line(capsys, words, message):
    assert main(["plan", *TINY, *words]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
