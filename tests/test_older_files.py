"""Files written by limen 0.1.0 before its rooms were rebuilt stay readable: tests/fixtures/before.

Its weights are rounded to sixteenths, so that they compress well. `log.jsonl` is what that version logged on going on from the checkpoint.
"""

import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest

import limen
from limen.data.synthetic import SyntheticFaces
from limen.training import load_recipe, read_log

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


def test_a_checkpoint_goes_on_as_it_did(tmp_path):
    with tarfile.open(BEFORE / "checkpoint-00000004.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    recipe = load_recipe(BEFORE / "recipe.yaml", ["--out", str(tmp_path)])
    limen.train(recipe, resume="auto", quiet=True)
    expected, found = ([row for row in read_log(path / "log.jsonl") if "loss" in row] for path in (BEFORE, tmp_path))
    assert [row["step"] for row in found] == [row["step"] for row in expected] == [5, 6]
    for name in ("loss", "target_cosine", "nearest_negative", "feature_norm", "quality_loss", "gradient_norm", "mined_classes"):
        np.testing.assert_allclose([row[name] for row in found], [row[name] for row in expected], rtol=1e-3, err_msg=name)
