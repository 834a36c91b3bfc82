"""Measures by name: each spelling gives its measure, each mistake one line with the remedy; and scores of sources with bad images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from limen import create_measure, import_release
from limen.data import read_image
from limen.errors import LimenError, UnreadableImage
from limen.inference.measures import create_qualities, file_of, random_orders
from limen.models.bundle import Architecture, Bundle, Preprocessing, save_bundle
from limen.models.embedder import Embedder
from limen.protocols import score_images
from limen.quality import FaceSize, FeatureNorm, LearnedQuality, MagFaceNorm, QualityHead, Resolution, Sharpness


def make_bundle(quality=True, **fields):
    torch.manual_seed(1)
    architecture = Architecture("tiny", 16)
    backbone = architecture.build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    if quality:
        tensors |= {f"quality.{name}": tensor for name, tensor in QualityHead(16).state_dict().items()}
    return Bundle(architecture, tensors, Preprocessing(flip=False), **fields)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, bundle in {
        "judge": make_bundle(),
        "plain": make_bundle(quality=False),
        "magface": make_bundle(quality=False, recipe={"margin": {"name": "MagFace"}}),
        "imported": make_bundle(quality=False, training={"release": "magface"}),
        "arcface": make_bundle(quality=False, recipe={"margin": {"name": "ArcFace"}}),
    }.items():
        (folder / name).mkdir()
        save_bundle(folder / name / "model.safetensors", bundle)
    return {path.name: str(path / "model.safetensors") for path in folder.iterdir()}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)


class OwnMeasure:
    name, needs = "own", "It needs nothing."

    def score(self, images, files=None):
        return images.mean((1, 2, 3))


def test_measures_of_the_pixels(images, tmp_path):
    (tmp_path / "boxes.csv").write_text("file,width,height\na.jpg,3,4\n")
    for spec, kind in (("sharpness", Sharpness), ("resolution", Resolution), (f"face_size:{tmp_path / 'boxes.csv'}", FaceSize)):
        assert type(create_measure(spec)) is kind


def test_measures_of_a_model_are_what_embed_gives(models, images):
    found = Embedder.load(models["judge"]).embed(images)
    for spec in (models["judge"], f"quality:{models['judge']}"):
        measure = create_measure(spec)
        assert (type(measure), measure.name) == (LearnedQuality, "quality of judge")
        np.testing.assert_array_equal(measure.score(images), found.quality)
    measure = create_measure(f"norm:{models['judge']}")
    assert (type(measure), measure.name) == (FeatureNorm, "norm of judge")
    np.testing.assert_array_equal(measure.score(images), found.norms)


def test_a_bare_name_is_that_of_the_embedder_at_hand(models, images):
    embedder = Embedder.load(models["judge"])
    assert create_measure("norm", embedder=embedder).recogniser is embedder
    assert create_measure("quality", embedder=embedder).name == "quality"
    with pytest.raises(LimenError, match="Write norm:MODEL"):
        create_measure("norm")


def test_magface_norm_is_that_of_magface_models_alone(models, images):
    for name in ("magface", "imported"):
        measure = create_measure(f"magface_norm:{models[name]}")
        assert type(measure) is MagFaceNorm
        np.testing.assert_array_equal(measure.score(images), Embedder.load(models[name]).embed(images).norms)
    for name, said in (("arcface", "trained with ArcFace"), ("plain", "not said to be trained with MagFace")):
        with pytest.raises(LimenError, match=f"{said}.*norm:MODEL"):
            create_measure(f"magface_norm:{models[name]}")


@pytest.mark.realdata
def test_the_published_norms_of_ten_images_and_their_order(real_data, tmp_path):
    """MagFace's release lists the features of ten aligned faces by its network. The weights are asked for as models/magface*.pth."""
    lines = (real_data / "examples" / "magface" / "feat.list").read_text().split("\n")
    published = {Path(name).name: np.array(values, float) for name, *values in (line.split() for line in lines if line)}
    assert len(published) == 10
    weights = sorted((real_data / "models").glob("magface*.pth"))
    if not weights:
        pytest.skip("no weights of MagFace beside the faces: models/magface*.pth")
    embedder = import_release(weights[0], "magface")
    images = np.stack([read_image(real_data / "examples" / "magface" / name) for name in published])
    norms, found = np.linalg.norm(list(published.values()), axis=1), embedder.embed(images, flip=False).norms
    np.testing.assert_allclose(found, norms, rtol=1e-2)
    np.testing.assert_array_equal(np.argsort(found), np.argsort(norms))
    embedder.save(tmp_path / "magface.safetensors")
    score = create_measure(f"magface_norm:{tmp_path / 'magface.safetensors'}").score(images)  # of an image and its mirror image
    assert spearmanr(score, norms).statistic > 0.9


def test_one_of_your_own(images):
    measure = create_measure(f"{__name__}:OwnMeasure")
    np.testing.assert_array_equal(measure.score(images), images.mean((1, 2, 3)))


def test_mistakes_are_answered_with_the_remedy(models):
    for spec in (models["plain"], f"quality:{models['plain']}"):
        with pytest.raises(LimenError, match=r"no quality head\..*Or measure norm"):
            create_measure(spec)
    for spec, said in (
        ("sharpnes", "did you mean 'sharpness'"),
        ("nowhere.safetensors", "neither a measure nor a file"),
        ("norm:nowhere.safetensors", "nowhere.safetensors: no such file"),
        ("face_size:nowhere.csv", "nowhere.csv: no such file"),
        ("nowhere:Measure", "cannot be imported"),
        ("limen.quality:FeatureNorm", "it needs 'recogniser'"),
        ("os:system", "is not a class"),  # and is not called
        ("subprocess:Popen", "has no method score"),
    ):
        with pytest.raises(LimenError, match=said) as caught:
            create_measure(spec)
        assert "\n" not in str(caught.value)


class Source:
    """Five images, of which those in `bad` cannot be read."""

    def __init__(self, images, bad):
        self.images, self.bad = images, bad

    def __len__(self):
        return len(self.images)

    def image(self, index):
        if index in self.bad:
            raise UnreadableImage(f"{self.locate(index)}: is empty")
        return self.images[index]

    def locate(self, index):
        return f"{index}.jpg"


def test_images_that_cannot_be_read_are_reported_and_not_scored(images, tmp_path):
    (tmp_path / "boxes.csv").write_text("file,width,height\n" + "".join(f"{k}.jpg,{k + 1},{k + 1}\n" for k in range(5)))
    steps = []
    measures = [FaceSize(tmp_path / "boxes.csv"), OwnMeasure()]
    size, own = score_images(measures, Source(images, {1, 4}), progress=lambda *step: steps.append(step))
    np.testing.assert_array_equal(size.values, [[1, np.nan, 3, 4, np.nan]])
    np.testing.assert_array_equal(own.values, [np.where([1, 0, 1, 1, 0], images.mean((1, 2, 3)), np.nan)])
    assert size.failures == own.failures == {1: "1.jpg: is empty", 4: "4.jpg: is empty"}
    assert steps[-1] == (5, 5)
    with pytest.raises(LimenError, match=r"none of the 5 images can be used \(first: 0.jpg: is empty\)"):
        score_images([Sharpness()], Source(images, range(5)))


def test_an_image_to_which_a_measure_gives_no_quality_is_named(images):
    measure = OwnMeasure()
    measure.score = lambda images, files: np.array([1, 2, np.nan, 4, 5])
    assert score_images([measure], Source(images, []))[0].failures == {2: "2.jpg: has no own"}


class Files:
    def __init__(self, *names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def locate(self, index):
        return self.names[index]


def test_qualities_of_several_sources(models, tmp_path):
    """A measure is one for all, scores from a file and random orders are of each."""
    (tmp_path / "scores.csv").write_text("file,quality\na.png,1\nb.png,\nc.png,3\n")
    sources = [Files("a.png", "b.png"), Files("c.png")]
    name, (one, other) = create_qualities(str(tmp_path / "scores.csv"), sources)
    np.testing.assert_array_equal(one, [1, np.nan])
    np.testing.assert_array_equal(other, [3])
    assert name == "scores"
    name, (one, other) = create_qualities("random", sources, seed=4)
    assert (name, one.shape, other.shape) == ("random order", (10, 2), (10, 1))
    np.testing.assert_array_equal(one, random_orders(2, seed=4))
    name, (one, other) = create_qualities(models["judge"], sources)
    assert name == "quality of judge"
    assert one is other


def test_the_file_of_a_quality(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("scores.csv", "random", "sharpness"):
        (tmp_path / name).write_text("")
    judge = models["judge"]
    found = {
        spec: file_of(spec) for spec in ("scores.csv", "face_size:scores.csv", judge, f"norm:{judge}", "random", "sharpness", "own:Measure")
    }
    csv, model = Path("scores.csv"), Path(judge)
    assert list(found.values()) == [csv, csv, model, model, None, None, None]
