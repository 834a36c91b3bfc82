"""Exported equals trained: in ONNX Runtime, in OpenVINO, with the preprocessing inside and without; what differs is not written."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import limen
from limen.backbones import BACKBONES
from limen.backbones.vit import VisionTransformer
from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError
from limen.models import export
from limen.models.bundle import Architecture, Bundle, Preprocessing
from limen.models.embedder import Embedder
from limen.models.export import export_model, gate
from limen.models.model import open_model
from limen.quality import Calibration

pytest.importorskip("onnxscript", reason="onnxscript is not installed (pip install 'limen[export]')")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'limen[export]')")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'limen[export]')")

ALONE = Path(__file__).parents[3] / "docs" / "onnxruntime_alone.py"
CALIBRATION = Calibration("quality", "a set", 9, (0.25,) * 1001, 0.01, 0.3, 5, 5, 1, 0, (1.0, 2.0), (0.5, 0.1), (0.4, 0.0), (0.7, 0.2))
KINDS = [("model.onnx", "float32"), ("model.onnx", "uint8"), ("model.xml", "float32"), ("model.xml", "uint8")]


def need(name):
    if name in ("openvino", "model.xml"):
        pytest.importorskip("openvino", reason="openvino is not installed (pip install 'limen[openvino]')")


@pytest.fixture(scope="module")
def images():
    return np.stack([SyntheticFaces(5, 1).image(number) for number in range(5)])


@pytest.fixture(scope="module")
def embedder():
    """BGR, a scaling of its own, a quality head, a calibration, a margin."""
    torch.manual_seed(0)
    backbone = Architecture("tiny", 32).build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    tensors |= {"quality.weight": torch.randn(1, 32), "quality.bias": torch.randn(1)}
    preprocessing = Preprocessing(colour="BGR", mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
    recipe = {"margin": {"name": "MagFace"}}
    bundle = Bundle(Architecture("tiny", 32), tensors, preprocessing, recipe=recipe, licence="CC0-1.0", calibration=CALIBRATION)
    return Embedder(bundle)


@pytest.fixture(scope="module")
def bundle_file(embedder, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model.safetensors"
    Embedder(replace(embedder.bundle)).save(path)
    return path


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture
def traced_once(graphs, monkeypatch):
    """PyTorch's exporter takes seconds: it writes a bundle's graph once for all tests. All else of an export is done each time."""
    trace = export.write_onnx

    def write(bundle, path, takes_pixels):
        kept = graphs / f"{bundle.weights_sha256}-{takes_pixels}.onnx"
        if not kept.exists():
            trace(bundle, kept, takes_pixels)
        shutil.copy(kept, path)

    monkeypatch.setattr(export, "write_onnx", write)


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture
def exported(embedder, made, traced_once, tmp_path_factory):
    """A function that exports each kind once."""

    def one(kind):
        need(kind[0])
        if kind not in made:
            path = tmp_path_factory.mktemp("exported") / kind[0]
            export_model(embedder, path, input=kind[1])
            made[kind] = path
        return made[kind]

    return one


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_exported_equals_trained(kind, embedder, exported, images):
    found = open_model(exported(kind), threads=1)
    for flip in (None, False, True):
        expected, got = embedder.embed(images, flip=flip), found.embed(images, flip=flip, batch_size=3)
        np.testing.assert_allclose(got.vectors, expected.vectors, atol=1e-5)
        np.testing.assert_allclose(got.norms, expected.norms, rtol=1e-5)
        np.testing.assert_allclose(got.quality, expected.quality, atol=1e-5)
    assert found.embed(images[:0]).vectors.shape == (0, 32)
    assert (found.has_quality, found.margin, found.calibration, found.licence) == (True, "MagFace", CALIBRATION, "CC0-1.0")
    assert found.preprocessing == embedder.preprocessing
    assert found.description["exported"]["weights_sha256"] == embedder.bundle.weights_sha256


def test_a_vision_transformer_is_exported(images, tmp_path, monkeypatch):
    """vit_s with two narrow blocks: the same layers."""
    monkeypatch.setitem(BACKBONES, "vit_narrow", partial(VisionTransformer, 48, 2, 3))
    torch.manual_seed(0)
    backbone = Architecture("vit_narrow", 32).build()
    backbone(torch.randn(16, 3, 112, 112))
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    parity = export_model(Embedder(Bundle(Architecture("vit_narrow", 32), tensors)), tmp_path / "vit.onnx", images=images)
    assert parity.vectors < 1e-5


@pytest.mark.parametrize("count", [1, 4])
def test_the_graph_needs_only_onnx_runtime(embedder, exported, images, count):
    """uint8 RGB in; f(x) / |f(x)|, |f(x)| and the quality head of f(x) out."""
    session = onnxruntime.InferenceSession(exported(KINDS[1]))
    assert [port.name for port in session.get_outputs()] == ["embedding", "norm", "quality"]
    embedding, norm, quality = session.run(None, {"image": images[:count]})
    with torch.inference_mode():
        feature = embedder.backbone(embedder.inputs(images[:count]))
        naive = embedder.quality_head(feature).numpy()
    np.testing.assert_allclose(norm, feature.norm(dim=1), rtol=1e-5)
    np.testing.assert_allclose(embedding, feature / feature.norm(dim=1, keepdim=True), atol=1e-5)
    np.testing.assert_allclose(quality, naive, atol=1e-5)


def test_the_script_of_the_docs_runs_in_onnx_runtime_alone(bundle_file, exported, images, tmp_path, capsys):
    files = [str(tmp_path / f"{number}.png") for number in (0, 1)]
    for file, image in zip(files, images, strict=False):
        cv2.imwrite(file, image[..., ::-1])
    said = subprocess.run([sys.executable, ALONE, exported(KINDS[1]), *files], capture_output=True, text=True, check=True).stdout
    assert main(["compare", str(bundle_file), *files, "--json"]) == 0
    assert float(said) == pytest.approx(json.loads(capsys.readouterr().out)["similarity"], abs=2e-6)
    code = ALONE.read_text()
    assert "import limen" not in code
    assert len([line for line in code.split('"""')[2].splitlines() if line.strip()]) <= 15


def test_a_lost_sidecar_is_in_the_file_itself(embedder, exported, images, tmp_path):
    for kind in KINDS[1:3]:
        path = exported(kind)
        copies = [tmp_path / file.name for file in path.parent.iterdir() if file.suffix != ".json"]
        for copy in copies:
            copy.write_bytes((path.parent / copy.name).read_bytes())
        found = open_model(tmp_path / kind[0])
        np.testing.assert_allclose(found.embed(images).vectors, embedder.embed(images).vectors, atol=1e-5)
        assert found.calibration == CALIBRATION
        found.save_calibration(replace(CALIBRATION, fmr=0.5))
        assert open_model(tmp_path / kind[0]).calibration.fmr == 0.5


# ---- the gate


@pytest.mark.usefixtures("traced_once")
def test_what_differs_is_refused_with_the_difference_and_nothing_is_written(embedder, images, tmp_path):
    (tmp_path / "model.onnx").write_text("an earlier file")
    with pytest.raises(LimenError, match=r"largest difference over 5 images: vectors .*, norms .*, quality .*, above the tolerance 0;"):
        export_model(embedder, tmp_path / "model.onnx", images=images, tolerance=0)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "an earlier file"


@pytest.mark.parametrize(
    "change", [{"colour": "RGB"}, {"mean": (0.5, 0.5, 0.5)}, {"std": (0.5, 0.25, 0.25)}], ids=lambda change: next(iter(change))
)
def test_the_gate_sees_a_wrong_preprocessing(embedder, exported, change):
    found = open_model(exported(KINDS[0]))
    wrong = Embedder(replace(embedder.bundle, preprocessing=replace(embedder.preprocessing, **change)))
    with pytest.raises(LimenError, match=r"above the tolerance 0\.0001"):
        gate.check_parity(wrong, found, gate.made_images(112), gate.TOLERANCE["float32"])


@pytest.mark.parametrize("precision", gate.TOLERANCE)
def test_one_wrong_weight_is_refused_just_above_the_limit_and_passes_just_below(precision, exported, tmp_path):
    right, limit, change = open_model(exported(KINDS[0]), threads=1), gate.TOLERANCE[precision], 1.0

    def wrong(change):
        model = onnx.load(exported(KINDS[0]))
        weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2 and 32 in tensor.dims)
        values = onnx.numpy_helper.to_array(weights).copy()
        values.flat[len(values.flat) // 2] += change
        weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
        onnx.save(model, tmp_path / "wrong.onnx")  # its sidecar is inside
        return open_model(tmp_path / "wrong.onnx", threads=1)

    for _ in range(12):  # what one weight moves is nearly in proportion to its change
        parity = gate.check_parity(right, wrong(change), gate.made_images(112), 10)
        found = max(parity.vectors, parity.norms, parity.quality)
        if limit < found < 1.1 * limit:
            break
        change *= 1.05 * limit / found
    with pytest.raises(LimenError, match=rf"above the tolerance {limit:g}; nothing was written"):
        gate.check_parity(right, wrong(change), gate.made_images(112), limit)
    gate.check_parity(right, wrong(change * 0.85), gate.made_images(112), limit)


def test_the_gate_sees_one_wrong_quality(embedder, exported):
    weights = embedder.bundle.tensors | {"quality.bias": embedder.bundle.tensors["quality.bias"] + 0.01}
    wrong = Embedder(replace(embedder.bundle, tensors=weights))
    with pytest.raises(LimenError, match="above the tolerance"):
        gate.check_parity(wrong, open_model(exported(KINDS[0])), gate.made_images(112), gate.TOLERANCE["float32"])


# ---- eight bits


@pytest.mark.usefixtures("traced_once")
def test_int8_stays_near_and_is_a_quarter_of_the_size(embedder, exported, tmp_path):
    faces = np.stack([SyntheticFaces(25, 5).image(number) for number in range(125)])
    parity = export_model(embedder, tmp_path / "small.onnx", precision="int8", input="uint8", images=faces)
    assert parity.images == 25
    assert 1e-4 < parity.vectors < 0.2
    found = open_model(tmp_path / "small.onnx")
    fused, plain = (embedding(tmp_path / "small.onnx", faces[:5], level) for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL"))
    assert np.linalg.norm(fused - plain, axis=1).max() < 0.02  # eight bits multiplied as they are, and as floats: no sum is cut off
    assert found.calibration is None  # that of float32 rests on other scores
    assert (found.description["exported"]["precision"], found.description["precision"], found.precision) == ("int8", "int8", "int8")
    kernels = [tensor for tensor in onnx.load(tmp_path / "small.onnx").graph.initializer if np.prod(tensor.dims) > 100]
    assert {tensor.data_type for tensor in kernels if len(tensor.dims) == 4} == {onnx.TensorProto.INT8}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small.onnx", "small.onnx.json"]


def embedding(path, images, level):
    """By ONNX Runtime at an optimisation level: without any, each convolution is of floats between two roundings."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(["embedding"], {"image": images})[0]


@pytest.mark.parametrize("count", [0, 124])
def test_too_few_images_for_int8_are_refused(embedder, tmp_path, count):
    images = np.zeros((count, 112, 112, 3), np.uint8) if count else None
    with pytest.raises(LimenError, match=rf"int8: {count} images of faces are too few .* give 125 or more"):
        export_model(embedder, tmp_path / "model.onnx", precision="int8", images=images)
    assert not list(tmp_path.iterdir())


# ---- what cannot be


def test_unusable_targets_are_refused_before_any_work(embedder, exported, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    for arguments, reason in [
        (("model.pt",), r"ends in .onnx for onnx, .xml for openvino"),
        (("model.onnx", "openvino"), r"ends in .onnx for onnx, .xml for openvino"),
        (("folder.onnx",), "it is a folder"),
        (("nowhere/model.onnx",), "there is no folder"),
    ]:
        with pytest.raises(LimenError, match=reason):
            export_model(embedder, tmp_path / arguments[0], *arguments[1:])
    with pytest.raises(LimenError, match=r"precision bf16: onnx files have float32, int8"):
        export_model(embedder, tmp_path / "model.onnx", precision="bf16")
    with pytest.raises(LimenError, match="only a bundle can be exported"):
        export_model(open_model(exported(KINDS[0])), tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["folder.onnx"]


@pytest.mark.parametrize(
    ("package", "file", "extra"),
    [("openvino", "model.xml", "openvino"), ("onnxscript", "model.onnx", "export"), ("onnxruntime", "model.onnx", "export")],
)
def test_a_missing_package_is_named_with_its_extra(embedder, tmp_path, monkeypatch, package, file, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LimenError, match=rf"pip install 'limen\[{extra}\]'") as caught:
        export_model(embedder, tmp_path / file)
    assert "\n" not in str(caught.value)
    assert f"{tmp_path}/." not in str(caught.value)  # no file of its own making
    assert not list(tmp_path.iterdir())


def test_a_network_that_the_exporter_cannot_write_is_refused_in_one_line(embedder, tmp_path, monkeypatch):
    class Branches(torch.nn.Module):
        def forward(self, image):
            return image[:, 0, 0, :32] if image.sum() > 0 else image[:, 0, 1, :32]

    monkeypatch.setattr(Bundle, "backbone", lambda bundle: Branches())
    with pytest.raises(LimenError, match="tiny: PyTorch's ONNX exporter cannot write this network") as caught:
        limen.export_onnx(embedder, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_damaged_openvino_file_is_refused_in_one_line(exported, tmp_path):
    path = exported(KINDS[2])
    (tmp_path / "model.xml").write_bytes(path.read_bytes())
    with pytest.raises(LimenError, match=r"model\.bin: no such file .*lie beside it"):
        open_model(tmp_path / "model.xml")
    (tmp_path / "model.bin").write_bytes(path.with_suffix(".bin").read_bytes()[:100])
    for content in (path.read_bytes(), b"<net>", b""):
        (tmp_path / "model.xml").write_bytes(content)
        with pytest.raises(LimenError, match="not a model for OpenVINO, or a damaged one") as caught:
            open_model(tmp_path / "model.xml")
        assert "\n" not in str(caught.value)


# ---- who computes a bundle


@pytest.mark.usefixtures("traced_once")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_bundle_by_another_backend_equals_the_bundle(backend, embedder, bundle_file, images, tmp_path):
    need(backend)
    found = open_model(bundle_file, backend=backend, threads=1)
    expected, got = embedder.embed(images), found.embed(images)
    np.testing.assert_allclose(got.vectors, expected.vectors, atol=1e-5)
    np.testing.assert_allclose(got.quality, expected.quality, atol=1e-5)
    plain = open_model(bundle_file)
    assert found.description == plain.description | {"backend": found.description["backend"]}
    assert found.description["backend"].startswith(backend)
    assert (found.identity, found.facts, found.path) == (plain.identity, plain.facts, plain.path)
    kept = found.save_calibration(CALIBRATION, tmp_path / "calibrated.safetensors")
    assert open_model(kept).calibration == CALIBRATION


@pytest.mark.usefixtures("traced_once")
def test_a_backend_exports_once_into_a_cache(embedder, bundle_file, images, tmp_path, monkeypatch):
    open_model(bundle_file, backend="onnxruntime", cache=tmp_path)
    (kept,) = (tmp_path / "graphs").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("limen.models.export.backend.write_model", None)
        again = open_model(bundle_file, backend="onnxruntime", cache=tmp_path)
    np.testing.assert_allclose(again.embed(images).vectors, embedder.embed(images).vectors, atol=1e-5)
    kept.write_bytes(kept.read_bytes()[:1000])  # a damaged one is written again
    mended = open_model(bundle_file, backend="onnxruntime", cache=tmp_path)
    np.testing.assert_allclose(mended.embed(images).vectors, embedder.embed(images).vectors, atol=1e-5)
    assert list((tmp_path / "graphs").iterdir()) == [kept]


def test_an_exported_file_runs_by_the_backend_named(embedder, exported, images):
    need("openvino")
    found = open_model(exported(KINDS[1]), backend="openvino")
    assert found.description["backend"].startswith("openvino")
    np.testing.assert_allclose(found.embed(images).vectors, embedder.embed(images).vectors, atol=1e-5)
    for kind, backend in [(KINDS[0], "torch"), (KINDS[2], "onnxruntime")]:
        with pytest.raises(LimenError, match=rf"backend {backend}: .* is not for it; choose from .*openvino"):
            open_model(exported(kind), backend=backend)


@pytest.mark.usefixtures("traced_once")
def test_unusable_backends_are_refused(bundle_file, monkeypatch):
    with pytest.raises(LimenError, match="backend 'tensorrt' is not known; known: torch, onnxruntime, openvino"):
        open_model(bundle_file, backend="tensorrt")
    with pytest.raises(LimenError, match="leave --precision, or add --backend openvino"):
        open_model(bundle_file, backend="onnxruntime", precision="bf16")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(LimenError, match=r"pip install 'limen\[openvino\]'"):
        open_model(bundle_file, backend="openvino")


# ---- the commands


@pytest.mark.usefixtures("traced_once")
def test_every_command_takes_what_export_wrote(bundle_file, tmp_path, capsys):
    faces = save_folder(SyntheticFaces(6, 4), tmp_path / "faces")
    assert main(["data", "pairs", str(faces), "--count", "60", "--out", str(tmp_path / "pairs.txt")]) == 0
    pairs = ["--pairs", str(tmp_path / "pairs.txt")]
    out = str(tmp_path / "model.onnx")
    words = ["export", str(bundle_file), "--out", out, "--images", str(faces), *pairs, "--pair-images", str(faces)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "largest difference over 24 images" in said
    assert "+0.0000 (+0.0000 to +0.0000, paired)" in said
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parity"]["tolerance"] == 1e-4
    assert main(["info", out]) == 0
    similarity = []
    for model in (out, str(bundle_file)):
        assert main(["embed", model, str(faces), "--out", str(tmp_path / "faces.npz")]) == 0
        similarity.append(dict(np.load(tmp_path / "faces.npz")))
        assert main(["quality", model, str(faces)]) == 0
    for name in ("vectors", "norms", "quality"):
        np.testing.assert_allclose(similarity[0][name], similarity[1][name], atol=1e-4)
    evaluate = ["evaluate", out, str(bundle_file), *pairs, "--images", str(faces), "--replicates", "10", "--out", str(tmp_path / "report")]
    assert main(evaluate) == 0
    assert main(["export", out, "--out", str(tmp_path / "again.onnx")]) == 1
    assert "it is exported already; name the bundle" in capsys.readouterr().err


@pytest.mark.usefixtures("traced_once")
def test_a_command_by_another_backend_gives_the_same(bundle_file, images, tmp_path, capsys):
    files = [str(tmp_path / f"{number}.png") for number in (0, 1)]
    for file, image in zip(files, images, strict=False):
        cv2.imwrite(file, image)
    found = []
    for words in ([], ["--backend", "onnxruntime"]):
        assert main(["compare", str(bundle_file), *files, *words, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["similarity"])
    assert found[0] == pytest.approx(found[1], abs=1e-5)
