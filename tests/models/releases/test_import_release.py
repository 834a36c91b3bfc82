"""A release's weights, in the wrapping its authors publish them in, give the release's embeddings, norms and quality."""

import pickle
import zipfile
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import limen
from golden_weights import GOLDEN, golden_weights
from limen.errors import LimenError
from limen.models.releases import RELEASES

PUBLISHED = {  # golden case -> release, its network, and how the file wraps the tensors
    "adaface_ir_18": ("adaface", "ir18", lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()} | HEAD, "epoch": 25}),
    "insightface_r18": ("insightface", "iresnet18", lambda s: s),
    "insightface_mbf": ("insightface", "mobilefacenet", lambda s: s),
    "crfiqa_iresnet50": ("crfiqa", "iresnet50", lambda s: {f"module.{k}": v for k, v in s.items()}),
    "magface_iresnet18": ("magface", "iresnet18", lambda s: {"state_dict": {f"features.module.{k}": v for k, v in s.items()} | HEAD}),
    "curricularface_ir_50": ("curricularface", "ir50", lambda s: s),
    "cvlface_ir_18": ("cvlface", "ir18", lambda s: {f"net.{k}": v for k, v in s.items()}),
}
HEAD = {"head.kernel": torch.zeros(512, 8), "fc.weight": torch.zeros(512, 8)}


@pytest.fixture(scope="module")
def images():
    return np.load(GOLDEN / "images_rgb_uint8.npy")


@cache
def drawn(name):
    return golden_weights(name)


def saved(tmp_path, name, wrap=None):
    torch.save((wrap or PUBLISHED[name][2])(dict(drawn(name))), path := tmp_path / "checkpoint.pth")
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_imported_bundle_gives_what_the_release_gives(name, tmp_path, images):
    release, network, _ = PUBLISHED[name]
    imported = limen.import_release(saved(tmp_path, name), release)
    imported.save(tmp_path / "bundle.safetensors")
    embedder = limen.Embedder.load(tmp_path / "bundle.safetensors")
    found, out = embedder.embed(images, flip=False), np.load(GOLDEN / f"out_{name}.npz")
    raw = out["o0"].astype(float)
    length = np.linalg.norm(raw, axis=1)
    np.testing.assert_allclose(found.vectors, raw / length[:, None], atol=2e-5)
    np.testing.assert_allclose(found.norms, out["o1"].ravel() if release == "adaface" else length, rtol=1e-4)
    if release == "crfiqa":
        np.testing.assert_allclose(found.quality, out["o1"].ravel(), atol=1e-4 * np.abs(out["o1"]).max())
    assert embedder.bundle.architecture.name == network
    assert embedder.bundle.training["release"] == release
    assert len(embedder.bundle.training["checkpoint_sha256"]) == 64
    assert embedder.bundle.licence == RELEASES[release].licence


@pytest.mark.parametrize("form", ["module.features.", "features.module."])
def test_magface_in_either_wrapper_is_the_same_model(form, tmp_path, images):
    wrapped = saved(tmp_path, "magface_iresnet18", lambda s: {"state_dict": {form + k: v for k, v in s.items()}})
    plain = limen.import_release(wrapped, "magface", "iresnet18").embed(images, flip=False)
    np.testing.assert_allclose(plain.norms, np.linalg.norm(np.load(GOLDEN / "out_magface_iresnet18.npz")["o0"], axis=1), rtol=1e-4)


def test_other_wrappings_hold_the_same_weights(tmp_path):
    state = drawn("insightface_r18")
    plain = limen.import_release(saved(tmp_path, "insightface_r18"), "insightface").bundle
    for wrap in (
        lambda s: {"net_state_dict": s},
        lambda s: {"state_dict": {"backbone": s}, "head": {"weight": torch.zeros(2, 512)}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
    ):
        assert limen.import_release(saved(tmp_path, "insightface_r18", wrap), "insightface").bundle.weights_sha256 == plain.weights_sha256
    save_file(state, tmp_path / "model.safetensors")
    assert limen.import_release(tmp_path / "model.safetensors", "insightface").bundle.weights_sha256 == plain.weights_sha256


def test_half_precision_is_raised_and_said(tmp_path):
    path = saved(tmp_path, "insightface_r18", lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()})
    bundle = limen.import_release(path, "insightface").bundle
    assert bundle.training["stored_as"] == "float16"
    assert {str(tensor.dtype) for tensor in bundle.tensors.values()} == {"torch.float32", "torch.int64"}


def test_a_yaml_beside_it_says_bgr(tmp_path):
    path = saved(tmp_path, "cvlface_ir_18")
    assert limen.import_release(path, "cvlface").bundle.preprocessing.colour == "RGB"
    (tmp_path / "model.yaml").write_text("a: 1\ncolor_space: 'BGR'\n")
    assert limen.import_release(path, "cvlface").bundle.preprocessing.colour == "BGR"


class Hostile:
    def __reduce__(self):
        import os

        return os.system, ("touch hostile",)


def itself(_):
    loop = {}
    loop["state_dict"] = loop
    return loop


def without(key):
    return lambda state: {name: tensor for name, tensor in state.items() if name != key}


@pytest.mark.parametrize(
    ("wrap", "release", "architecture", "message"),
    [
        (lambda s: {"state_dict": s, "callback": Hostile()}, "insightface", None, "it asks to run code, and limen runs none"),
        (without("layer2.0.conv1.weight"), "insightface", None, "as a iresnet18 it lacks backbone.blocks.2.residual.1.weight"),
        (lambda s: s | {"layer2.0.extra.weight": s["prelu.weight"]}, "insightface", None, "it has the unknown layer2.0.extra.weight"),
        (lambda s: s | {"fc.weight": torch.zeros(512, 7)}, "insightface", None, "it has misshaped backbone.head.3.weight"),
        (lambda s: s, "adaface", None, "its names are those of elasticface and crfiqa and insightface and magface; choose that release"),
        (lambda s: s, "insightface", "iresnet50", "it is of a iresnet18, not of a iresnet50; leave the architecture out"),
        (without("layer1.1.bn1.weight"), "insightface", None, "it lacks"),
        (lambda s: {k: v for k, v in s.items() if "layer4" not in k}, "insightface", None, "the nearest is iresnet18 with"),
        (lambda s: {"fc.weight": s["fc.weight"]}, "insightface", None, "it holds no convolution, so it may be the training head alone"),
        (lambda s: {"conv": torch.zeros(1, 1, 1, 1)}, "insightface", None, "it holds no network of this release"),
        (lambda s: s | {"fc.bias": s["fc.bias"] * np.nan}, "insightface", None, "numbers that are not finite in backbone.head.3.bias"),
        (itself, "insightface", None, "it holds no state dict"),
        (lambda s: {"epoch": 3, "name": "r18"}, "insightface", None, "it holds no state dict (its entries are epoch, name)"),
        (lambda s: [1, 2], "insightface", None, "it holds no state dict (it is a list)"),
    ],
)
def test_what_cannot_be_imported_says_why(wrap, release, architecture, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LimenError, match="cannot import") as raised:
        limen.import_release(saved(tmp_path, "insightface_r18", wrap), release, architecture)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "hostile").exists()


def test_damaged_and_foreign_files_are_refused(tmp_path):
    whole = saved(tmp_path, "insightface_r18").read_bytes()
    for name, content in {
        "half.pth": whole[: len(whole) // 2],
        "empty.pth": b"",
        "text.pth": b"not a checkpoint",
        "pointer.pth": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "protocol2.pth": pickle.dumps({"a": 1}),
        "number cut short.pth": b"\x80\x02}r\x00",
        "x.safetensors": b"12345678",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LimenError, match=f"cannot import .*{name} as insightface: "):
            limen.import_release(tmp_path / name, "insightface")
    with pytest.raises(LimenError, match="no such file"):
        limen.import_release(tmp_path / "absent.pth", "insightface")
    with pytest.raises(LimenError, match="did you mean 'adaface'"):
        limen.import_release(tmp_path / "absent.pth", "adface")


def test_every_flipped_bit_of_published_weights_is_told(tmp_path):
    """By the checksums that torch.save writes, and torch.load does not look at."""
    path = saved(tmp_path, "insightface_mbf")
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for place in random.integers(len(whole) // 4, len(whole) * 3 // 4, 20):  # among the weights, which are most of it
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(LimenError, match=r"it is damaged: .*data/\d+ is not what its checksum says; download it again"):
            limen.import_release(path, "insightface")


def test_compressed_parts_are_not_unpacked(tmp_path):
    """A small file could fill the memory."""
    path = saved(tmp_path, "insightface_mbf")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    with pytest.raises(LimenError, match="its parts are compressed"):
        limen.import_release(tmp_path / "packed.pth", "insightface")


def test_objects_of_a_trainer_beside_the_tensors_are_passed_over(tmp_path, monkeypatch):
    """A Lightning checkpoint names classes that need not be installed; nothing of them is run."""
    import sys
    import types

    module = types.ModuleType("pytorch_lightning.callbacks")
    module.Checkpoint = type("Checkpoint", (), {"__module__": "pytorch_lightning.callbacks"})
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, "pytorch_lightning.callbacks", module)

    def wrap(state):
        return {"state_dict": {f"model.{k}": v for k, v in state.items()}, "callbacks": {module.Checkpoint: 1, "one": module.Checkpoint()}}

    path = saved(tmp_path, "adaface_ir_18", wrap)
    monkeypatch.delitem(sys.modules, "pytorch_lightning.callbacks")
    monkeypatch.delitem(sys.modules, "pytorch_lightning")
    assert limen.import_release(path, "adaface").bundle.architecture.name == "ir18"


@pytest.mark.realdata
def test_the_mobilefacenet_equals_its_onnx_file(real_data):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(real_data / "models" / "mobilefacenet.onnx"))
    embedder = limen.import_release(real_data / "models" / "mobilefacenet.pt", "mobilefacenet")
    image = np.load(GOLDEN / "images_rgb_uint8.npy")[:1]
    mean, std = (np.array(getattr(embedder.preprocessing, name), np.float32) for name in ("mean", "std"))
    inputs = ((image / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    raw = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    found = embedder.embed(image, flip=False)
    np.testing.assert_allclose(found.vectors, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(found.norms, np.linalg.norm(raw, axis=1), rtol=1e-5)
