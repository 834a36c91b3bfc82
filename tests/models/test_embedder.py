"""An embedder equals the naive formula on its own backbone: normalisation, colour order, flip and fusion."""

import numpy as np
import pytest
import torch

from limen.errors import LimenError
from limen.files import file_sha256
from limen.models.bundle import Architecture, Bundle, Preprocessing
from limen.models.embedder import Embedder
from limen.quality import Calibration, QualityHead

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)


def make_bundle(**preprocessing):
    torch.manual_seed(1)
    architecture = Architecture("tiny", 32)
    backbone = architecture.build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    return Bundle(
        architecture, {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}, Preprocessing(**preprocessing)
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 112, 112, 3), dtype=np.uint8)


def raw(bundle, images):
    """(N, D) float64, one image at a time."""
    backbone = bundle.backbone().double()
    order = [2, 1, 0] if bundle.preprocessing.colour == "BGR" else [0, 1, 2]
    rows = []
    for image in images:
        scaled = (image[:, :, order] / 255.0 - np.array(bundle.preprocessing.mean)) / np.array(bundle.preprocessing.std)
        rows.append(backbone(torch.from_numpy(scaled.transpose(2, 0, 1)[None])).detach().numpy()[0])
    return np.array(rows)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("flip", [False, True])
def test_equals_the_naive_formula(images, colour, flip):
    bundle = make_bundle(colour=colour, mean=MEAN, std=STD)
    fused = raw(bundle, images)
    if flip:
        fused = fused + raw(bundle, images[:, :, ::-1])
    length = np.linalg.norm(fused, axis=1)
    found = Embedder(bundle).embed(images, flip=flip)
    np.testing.assert_allclose(found.vectors, fused / length[:, None], atol=2e-6)
    np.testing.assert_allclose(found.norms, length / 2 if flip else length, rtol=2e-6)
    assert found.vectors.dtype == found.norms.dtype == np.float32
    assert found.quality is None


@pytest.mark.parametrize("flip", [False, True])
def test_flip_is_the_bundles_rule_unless_said(images, flip):
    embedder = Embedder(make_bundle(flip=flip))
    np.testing.assert_array_equal(embedder.embed(images).vectors, embedder.embed(images, flip=flip).vectors)
    assert not np.allclose(embedder.embed(images).vectors, embedder.embed(images, flip=not flip).vectors, atol=1e-3)


def test_a_mirrored_image_has_the_same_fused_vector(images):
    embedder = Embedder(make_bundle())
    np.testing.assert_allclose(embedder.embed(images).vectors, embedder.embed(images[:, :, ::-1]).vectors, atol=1e-6)


def test_an_embedding_does_not_depend_on_its_batch(images):
    embedder = Embedder(make_bundle())
    together = embedder.embed(images)
    for other in (embedder.embed(images, batch_size=2), embedder.embed(images, batch_size=7)):
        np.testing.assert_allclose(other.vectors, together.vectors, atol=1e-6)
        np.testing.assert_allclose(other.norms, together.norms, rtol=1e-6)
    alone = [embedder.embed(images[index : index + 1]).vectors[0] for index in range(len(images))]
    np.testing.assert_allclose(alone, together.vectors, atol=1e-6)


@pytest.fixture(scope="module")
def judge():
    """A bundle with a quality head."""
    bundle = make_bundle()
    bundle.tensors |= {f"quality.{name}": tensor for name, tensor in QualityHead(32).state_dict().items()}
    return bundle


@pytest.mark.parametrize("flip", [False, True])
def test_quality_is_the_heads_of_the_raw_feature(judge, images, flip):
    """With flip, the mean of the scores of image and mirror."""
    weight, bias = (judge.tensors[f"quality.{name}"].double().numpy() for name in ("weight", "bias"))
    expected = raw(judge, images) @ weight[0] + bias
    if flip:
        expected = (expected + raw(judge, images[:, :, ::-1]) @ weight[0] + bias) / 2
    found = Embedder(judge).embed(images, flip=flip).quality
    assert (found.shape, found.dtype) == ((7,), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_mirrored_image_has_the_same_fused_quality(judge, images):
    embedder = Embedder(judge)
    np.testing.assert_allclose(embedder.embed(images).quality, embedder.embed(images[:, :, ::-1]).quality, atol=1e-6)


def test_a_cpu_takes_sixteen_images_at_a_time_unless_told(judge, images):
    embedder, seen = Embedder(judge), []
    embedder.backbone.register_forward_hook(lambda module, inputs, features: seen.append(len(features)))
    many = images[np.arange(33) % len(images)]
    embedder.embed(many, flip=False)
    embedder.embed(many, flip=False, batch_size=20)
    assert seen == [16, 16, 1, 20, 13]


def test_a_quality_does_not_depend_on_its_batch(judge, images):
    """To 1e-6 |z| |w|, a few roundings of float32: a convolution of another batch size may add up in another order."""
    embedder = Embedder(judge)
    together = embedder.embed(images)
    tolerance = 1e-6 * together.norms.max() * judge.tensors["quality.weight"].norm().item()
    for size in (1, 2, 3):
        np.testing.assert_allclose(embedder.embed(images, batch_size=size).quality, together.quality, atol=tolerance)
    order = [3, 1, 6, 0, 2, 5, 4]
    np.testing.assert_allclose(embedder.embed(images[order]).quality, together.quality[order], atol=tolerance)


def test_quality_of_no_images(judge):
    assert Embedder(judge).embed(np.zeros((0, 112, 112, 3), np.uint8)).quality.shape == (0,)


def test_save_and_load_is_exact(images, tmp_path):
    embedder = Embedder(make_bundle(colour="BGR", mean=MEAN, std=STD, flip=False))
    assert embedder.description["model_sha256"] is None
    embedder.save(tmp_path / "model.safetensors")
    loaded = Embedder.load(tmp_path / "model.safetensors", threads=torch.get_num_threads())
    np.testing.assert_array_equal(loaded.embed(images).vectors, embedder.embed(images).vectors)
    assert loaded.description == embedder.description
    assert loaded.description["model_sha256"] == file_sha256(tmp_path / "model.safetensors")
    assert loaded.description["preprocessing"]["colour"] == "BGR"


def test_input_is_left_alone(images):
    before = images.copy()
    images.flags.writeable = False
    Embedder(make_bundle()).embed(images)
    np.testing.assert_array_equal(images, before)


def test_no_images_no_embeddings():
    found = Embedder(make_bundle()).embed(np.zeros((0, 112, 112, 3), np.uint8))
    assert found.vectors.shape == (0, 32)
    assert found.norms.shape == (0,)


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((2, 112, 112, 3), np.float32),
        np.zeros((112, 112, 3), np.uint8),
        np.zeros((2, 112, 112), np.uint8),
        np.zeros((2, 3, 112, 112), np.uint8),
        np.zeros((2, 112, 96, 3), np.uint8),
        np.zeros((2, 112, 112, 4), np.uint8),
        torch.zeros(2, 112, 112, 3, dtype=torch.uint8),
    ],
    ids=lambda given: f"{type(given).__name__} {given.dtype} {tuple(given.shape)}",
)
def test_other_images_are_refused_with_what_is_expected(given):
    with pytest.raises(LimenError, match=r"expected a uint8 RGB array of shape \(N, 112, 112, 3\)"):
        Embedder(make_bundle()).embed(given)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_feature_without_direction_is_refused(images, value):
    embedder = Embedder(make_bundle())
    embedder.backbone.register_forward_hook(lambda module, inputs, output: output * torch.tensor([1.0, value, 1.0])[:, None])
    with pytest.raises(LimenError, match=r"image 1 of 3: .* no direction"):
        embedder.embed(images[:3])


@pytest.mark.parametrize("device", ["cuda", "banana"])
def test_a_device_that_is_not_there_is_named(device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(LimenError, match=f"device '{device}' cannot be used here") as caught:
        Embedder(make_bundle(), device=device)
    assert "\n" not in str(caught.value)


def test_threads_are_those_of_embed_alone(images):
    before = torch.get_num_threads()
    asked = before + 1
    embedder, seen = Embedder(make_bundle(), threads=asked), []
    embedder.backbone.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    assert torch.get_num_threads() == before
    embedder.embed(images)
    assert set(seen) == {asked}
    assert torch.get_num_threads() == before
    with pytest.raises(LimenError, match="threads: 0"):
        Embedder(make_bundle(), threads=0)


def test_bf16_is_near_float32_and_said(judge, images):
    """bfloat16 keeps 8 bits: a cosine moves by about 0.01."""
    exact, rough = Embedder(judge).embed(images), Embedder(judge, precision="bf16").embed(images)
    cosine = (exact.vectors * rough.vectors).sum(1)
    assert rough.vectors.dtype == np.float32
    assert 0.99 < cosine.min() < 1 - 1e-7
    np.testing.assert_allclose(rough.norms, exact.norms, rtol=0.02)
    assert Embedder(judge, precision="bf16").description["precision"] == "bf16"
    assert "precision" not in Embedder(judge).description
    with pytest.raises(LimenError, match="'half' is not known; choose from float32, bf16"):
        Embedder(judge, precision="half")


def test_a_calibration_is_kept_in_a_file_and_answered_with(judge, tmp_path):
    curve = (1.0, 2.0), (0.5, 0.1), (0.4, 0.0), (0.7, 0.2)
    calibration = Calibration("quality", "a set", 9, (0.25,) * 1001, 0.01, 0.3, 5, 5, 1, 0, *curve)
    embedder = Embedder(judge)
    with pytest.raises(LimenError, match="has no file of its own"):
        embedder.save_calibration(calibration)
    with pytest.raises(LimenError, match="would be taken for an ONNX or OpenVINO file"):
        embedder.save_calibration(calibration, tmp_path / "judge.onnx")
    assert embedder.calibration is None
    identity, path = embedder.identity, embedder.save_calibration(calibration, tmp_path / "judge.safetensors")
    assert Embedder.load(path).calibration == embedder.calibration == calibration
    assert Embedder.load(path).description == embedder.description
    assert Embedder.load(path).identity == embedder.identity == identity  # a calibration changes no vector
    assert judge.calibration is None


def test_an_embedder_and_its_embeddings_show_themselves_in_a_line(judge, images, tmp_path):
    embedder = Embedder(judge)
    assert repr(embedder) == "Embedder(tiny, 32, None, cpu)"
    assert repr(embedder.embed(images)) == "Embeddings(7 vectors of 32, with quality)"


@pytest.mark.gpu
def test_cuda_equals_cpu(judge, images):
    here, there = Embedder(judge).embed(images), Embedder(judge, device="cuda").embed(images)
    np.testing.assert_allclose(there.vectors, here.vectors, atol=5e-6)
    np.testing.assert_allclose(there.quality, here.quality, atol=1e-4)
