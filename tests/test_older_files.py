"""Files written by limen 0.1.0 before its rooms were rebuilt stay readable: tests/fixtures/before.

Its weights are rounded to sixteenths, so that they compress well. `log.jsonl` is what that version logged on going on from the checkpoint.
"""

import dataclasses
import json
import lzma
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import limen
from limen.data.synthetic import SyntheticFaces
from limen.errors import LimenError
from limen.models.bundle import load_bundle, save_bundle
from limen.protocols import Discarding, Result, load_results
from limen.report import result_lines, write_evaluation
from limen.training import load_recipe, read_log

WITHIN = {  # other processors draw some pixels a level apart; a run that lost its momentum is far beyond
    "loss": 0.06,
    "target_cosine": 2e-3,
    "nearest_negative": 4e-3,
    "feature_norm": 1e-3,
    "quality_loss": 3e-3,
    "gradient_norm": 6e-3,
    "mined_classes": 0,
}
BEFORE = Path(__file__).parent / "fixtures" / "before"


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(lzma.decompress((BEFORE / "model.safetensors.xz").read_bytes()))
    return path


def test_a_bundle_gives_the_embeddings_it_gave(bundle):
    faces, expected = SyntheticFaces(4, 2), np.load(BEFORE / "embeddings.npz")
    found = limen.Embedder.load(bundle).embed(np.stack([faces.image(k) for k in range(len(faces))]))
    np.testing.assert_allclose(found.vectors, expected["vectors"], atol=1e-5)
    np.testing.assert_allclose(found.norms, expected["norms"], rtol=1e-5)
    np.testing.assert_allclose(found.quality, expected["quality"], atol=1e-5)


def test_a_bundle_keeps_its_calibration(bundle):
    calibration = limen.Embedder.load(bundle).calibration
    assert (calibration.measure, calibration.reference, calibration.images, calibration.fmr) == ("quality", "pairs", 54, 0.1)


@pytest.fixture
def checkpoint(tmp_path):
    with tarfile.open(BEFORE / "checkpoint-00000004.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "checkpoint-00000004"


@pytest.mark.usefixtures("checkpoint")
def test_a_checkpoint_goes_on_as_it_did(tmp_path):
    recipe = load_recipe(BEFORE / "recipe.yaml", ["--out", str(tmp_path)])
    limen.train(recipe, resume="auto", quiet=True)
    expected, found = ([row for row in read_log(path / "log.jsonl") if "loss" in row] for path in (BEFORE, tmp_path))
    assert [row["step"] for row in found] == [row["step"] for row in expected] == [5, 6]
    for name, tolerance in WITHIN.items():
        np.testing.assert_allclose([row[name] for row in found], [row[name] for row in expected], rtol=tolerance, err_msg=name)


def without(recipe, *keys):
    """The recipe as a version would have written it that did not know these settings."""
    for key in keys:
        section, _, name = key.rpartition(".")
        del (recipe[section] if section else recipe)[name]
    return recipe


ADDED_LATER = ("seed", "head.dtype", "optimiser.momentum", "head.scale")


def test_a_setting_that_a_checkpoint_lacks_has_its_default(checkpoint, tmp_path):
    state = json.loads((checkpoint / "state.json").read_text())
    del state["own_crc32"]
    without(state["recipe"], *ADDED_LATER)
    state["own_crc32"] = zlib.crc32(json.dumps(state, sort_keys=True).encode())
    (checkpoint / "state.json").write_text(json.dumps(state))
    words = ["--out", str(tmp_path)]
    with pytest.raises(LimenError, match=r"the run had head.dtype \"float32\", not \"bf16\""):
        limen.train(load_recipe(BEFORE / "recipe.yaml", [*words, "--head.dtype", "bf16"]), resume="auto", quiet=True)
    limen.train(load_recipe(BEFORE / "recipe.yaml", words), resume="auto", quiet=True)
    assert read_log(tmp_path / "log.jsonl")[-1]["step"] == 6


def test_a_bundle_of_other_settings_loads(bundle, tmp_path):
    """Settings that it lacks, and one of a version to come."""
    loaded = load_bundle(bundle)
    recipe = without(dict(loaded.recipe), *ADDED_LATER) | {"made_up": {"later": 3}}
    save_bundle(tmp_path / "other.safetensors", dataclasses.replace(loaded, recipe=recipe))
    assert limen.Embedder.load(tmp_path / "other.safetensors").bundle.recipe == recipe


@pytest.fixture
def discarding(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(lzma.decompress((BEFORE / "result_edc.json.xz").read_bytes()))
    return path


def test_results_keep_their_numbers_intervals_events_and_curves(discarding):
    for path in (BEFORE / "result.json", BEFORE / "evaluation.json", discarding):
        stored = json.loads(path.read_text())
        results = load_results(path)
        for result, before in zip(results, stored.get("results", [stored]), strict=True):
            assert (result.name, result.headline, result.failures) == (before["name"], before["headline"], before["failures"])
            numbers = [metric for metric in result.metrics if metric.unit != "count"]
            assert {metric.key: metric.value for metric in numbers} == before["metrics"]
            assert {m.key: [m.interval.low, m.interval.high] for m in numbers if m.interval} == before["intervals"]
            assert {metric.key: metric.events for metric in numbers if metric.events is not None} == before["events"]
            assert [curve.points for curve in result.curves] == list(before["curves"].values())
            assert len(result.counts) + len(result.where(unit="count")) == len(before["counts"])
            # each key says again what its fields say
            assert [dataclasses.replace(metric, key="").key for metric in numbers] == [metric.key for metric in numbers]


def test_results_say_what_was_judged(discarding):
    assert Result.load(BEFORE / "result.json").model == "calibrated"
    assert Result.load(BEFORE / "evaluation.json").model == ""
    sharpness, random = load_results(discarding)
    assert (sharpness.discarding, random.discarding) == (Discarding("sharpness"), Discarding("random order", "fixed", 10))
    assert sharpness.curve("edc", {"fmr": 0.1}).points["mated_left"][0] == sharpness.counts["mated"]
    assert random.metric(random.headline).unit == "area"
    assert random.value("false_non_matches@fmr=0.1") == 23
    assert [metric.value for metric in random.where(quantity="mated_left")] == [24, 21, 2]
    assert Result.load(BEFORE / "result.json").metric("threshold_cosine").unit == "similarity"


def test_results_are_reported_and_saved_in_the_present_format(discarding, tmp_path):
    for path in (BEFORE / "result.json", discarding):
        results = load_results(path)
        write_evaluation(tmp_path / "out", "Before", results)
        assert load_results(tmp_path / "out" / "result.json") == results
        assert result_lines(results)
