"""An embedder from an ONNX file equals the naive formula on its network, whatever batch it fixes; a wrong sidecar is never guessed."""

import json
import os
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from limen.cli import main
from limen.data import decode_image
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError
from limen.files import file_sha256
from limen.models.bundle import Architecture, Bundle, Preprocessing
from limen.models.embedder import Embedder
from limen.models.graphs.embedder import GraphEmbedder
from limen.models.model import Model, open_model

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'limen[export]')")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'limen[export]')")

SIDECAR = {
    "size": 112,
    "colour": "RGB",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.5, 0.25, 0.2],
    "alignment": "none",
    "fusion": "sum of raw features of image and mirror, then L2",
    "flip": True,
    "pixels": "0..1",
    "licence": "CC0-1.0",
}
WEIGHT = np.random.default_rng(1).normal(size=(3 * 7 * 7, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 112, 112, 3), dtype=np.uint8)


def save_network(path, shape=("batch", 3, 112, 112)):
    """Means over 16x16 pixels, times WEIGHT."""
    node = onnx.helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["cells"], kernel_shape=[16, 16], strides=[16, 16]),
        node("Flatten", ["cells"], ["flat"]),
        node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    return save_graph(path, nodes, shape, constants={"weight": WEIGHT})


def save_graph(path, nodes, shape, kind="FLOAT", outputs=("embedding",), constants=()):
    """An ONNX file of these nodes, from `image` to `outputs`."""
    image = onnx.helper.make_tensor_value_info("image", getattr(onnx.TensorProto, kind), shape)
    results = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    arrays = [onnx.numpy_helper.from_array(constants[name], name) for name in constants]
    graph = onnx.helper.make_graph(nodes, "network", [image], results, arrays)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def save_sidecar(path, **changes):
    stated = {name: value for name, value in (SIDECAR | changes).items() if value is not None}
    path.with_name(path.name + ".json").write_text(json.dumps(stated))


@pytest.fixture
def model(tmp_path):
    save_sidecar(tmp_path / "model.onnx")
    return save_network(tmp_path / "model.onnx")


def naive(images, colour):
    """(N, 8) float64, the raw features."""
    order = [2, 1, 0] if colour == "BGR" else [0, 1, 2]
    scaled = (images[..., order] / 255 - np.array(SIDECAR["mean"])) / np.array(SIDECAR["std"])
    cells = scaled.reshape(-1, 7, 16, 7, 16, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    return cells.reshape(len(images), -1) @ WEIGHT.astype(float)


@pytest.mark.parametrize("batch", ["batch", 1, 3], ids=lambda batch: f"batch {batch}" if isinstance(batch, int) else "any batch")
@pytest.mark.parametrize(("colour", "flip"), [("RGB", False), ("RGB", True), ("BGR", True)])
def test_equals_the_naive_formula(images, tmp_path, batch, colour, flip):
    save_sidecar(tmp_path / "model.onnx", colour=colour, flip=flip)
    embedder = Embedder.load(save_network(tmp_path / "model.onnx", (batch, 3, 112, 112)), threads=1)
    raw = naive(images, colour) + (naive(images[:, :, ::-1], colour) if flip else 0)
    length = np.linalg.norm(raw, axis=1)
    found = embedder.embed(images, batch_size=5)
    np.testing.assert_allclose(found.vectors, raw / length[:, None], atol=2e-6)
    np.testing.assert_allclose(found.norms, length / 2 if flip else length, rtol=2e-6)
    assert found.vectors.dtype == found.norms.dtype == np.float32
    assert found.quality is None
    np.testing.assert_array_equal(embedder.embed(images, flip=flip).vectors, found.vectors)
    assert not np.allclose(embedder.embed(images, flip=not flip).vectors, found.vectors, atol=1e-3)
    assert embedder.embed(images[:0]).vectors.shape == (0, 8)


def test_the_two_scales_of_pixels_are_one_preprocessing(images, model):
    before = Embedder.load(model).embed(images)
    save_sidecar(model, pixels="0..255", mean=[127.5, 102, 76.5], std=[127.5, 63.75, 51])
    np.testing.assert_allclose(Embedder.load(model).embed(images).vectors, before.vectors, atol=1e-6)


def test_a_bundle_and_its_onnx_file_give_the_same_embeddings(images, tmp_path):
    backbone = Architecture("tiny", 32).build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    preprocessing = Preprocessing(mean=tuple(SIDECAR["mean"]), std=tuple(SIDECAR["std"]), colour="BGR")
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        backbone.eval(), (torch.zeros(2, 3, 112, 112),), path, dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False
    )
    save_sidecar(path, colour="BGR")
    bundle = Embedder(Bundle(Architecture("tiny", 32), tensors, preprocessing)).embed(images)
    embedder = Embedder.load(path)
    np.testing.assert_allclose(embedder.embed(images).vectors, bundle.vectors, atol=2e-6)
    np.testing.assert_allclose(embedder.embed(images).norms, bundle.norms, rtol=5e-6)


def test_the_description_names_every_file_the_numbers_depend_on(model):
    found = Embedder.load(model).description
    assert found["model_sha256"] == file_sha256(model)
    assert found["sidecar_sha256"] == file_sha256(model.with_name("model.onnx.json"))
    assert found["preprocessing"]["mean"] == tuple(SIDECAR["mean"])
    assert found["licence"] == "CC0-1.0"
    assert "external_data_sha256" not in found
    onnx.save(onnx.load(model), model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert Embedder.load(model).description["external_data_sha256"] == {"weights.bin": file_sha256(model.parent / "weights.bin")}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": None}, "it lacks 'colour'"),
        ({"color": "RGB"}, "'color' is not one of its fields; did you mean 'colour'"),
        ({"colour": "rgb"}, "'rgb' is not known; it is RGB or BGR"),
        ({"flip": 1}, "flip: 1 is not as in the template"),
        ({"size": "112"}, "size: '112' is not as in the template"),
        ({"size": 0}, "size: 0"),
        ({"size": 96}, r"size: 96, but the model's input is image tensor(float) [batch, 3, 112, 112]"),
        ({"std": [127.5, 127.5, 127.5]}, "not of pixels from 0..1"),
        ({"mean": [0.5]}, "three finite numbers each"),
        ({"mean": ["0.5", "0.5", "0.5"]}, "three numbers each"),
        ({"std": [0.5, 0.5, 0]}, "above 0"),
        ({"mean": [127.5, 127.5, 127.5]}, "not of pixels from 0..1"),
        ({"pixels": "0..255"}, "not of pixels from 0..255"),
        ({"pixels": "-1..1"}, "'-1..1' is not known; it is 0..1 or 0..255"),
        ({"fusion": "concatenate"}, "'concatenate' is not known"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_sidecar_is_refused_with_a_template_that_works(model, changes, reason):
    save_sidecar(model, **changes)
    refused_with_a_template(model, reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "needs this sidecar"),
        ("", "is not JSON"),
        ("{size: 112}", "is not JSON"),
        ("[]", "holds a list"),
        ('{"size": 112, "size": 128}', "'size' stands twice"),
    ],
)
def test_a_sidecar_that_is_missing_or_no_object_is_refused_with_a_template_that_works(model, text, reason):
    sidecar = model.with_name("model.onnx.json")
    sidecar.unlink() if text is None else sidecar.write_text(text)
    refused_with_a_template(model, reason)


def refused_with_a_template(model, reason):
    with pytest.raises(LimenError) as caught:
        Embedder.load(model)
    first, template = str(caught.value).split("\n", 1)
    assert reason in first
    assert "model.onnx.json" in first
    model.with_name("model.onnx.json").write_text(template)
    assert GraphEmbedder(model).preprocessing == Preprocessing()


@pytest.mark.parametrize("name", [b"image", b"batch", b"embedding"])
def test_names_that_are_not_utf8_are_damage(tmp_path, name):
    save_sidecar(tmp_path / "model.onnx")
    path = save_network(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes().replace(name, b"\xce" + name[1:]))
    with pytest.raises(LimenError, match=r"cannot load .*model\.onnx: it is not an ONNX model, or a damaged one") as caught:
        Embedder.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "found"),
    [
        ({"shape": ("batch", 112, 112, 3)}, r"image tensor\(float\) \[batch, 112, 112, 3\], not"),
        ({"shape": (1, 3, 96, 112)}, r"\[1, 3, 96, 112\], not tensor\(float\) \[batch, 3, 112, 112\]"),
        ({"kind": "UINT8"}, r"image tensor\(uint8\)"),
        ({"shape": ("batch", 112, 112, 3)}, r"its channels stand last: export it with image.permute\(0, 2, 3, 1\) in front"),
        ({"outputs": ("embedding", "norm")}, r"outputs embedding .*, norm"),
        ({"outputs": ("embedding", "norm")}, r"keep one of each: onnx.utils.extract_model\('model.onnx', 'one.onnx', \['image'\]"),
        ({"rows": 1}, "it fails on 2 images"),
        ({"rows": 4}, r"for 2 images it gives float32 \[4, 18816\], not float32 \[2, D\]"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ", ".join(map(str, value)),
)
def test_a_network_of_another_shape_is_refused_with_what_was_found(model, network, found):
    node, network = onnx.helper.make_node, {"shape": ("batch", 3, 112, 112), "kind": "FLOAT", "outputs": ("embedding",)} | network
    rows = network.pop("rows", 0)  # 0 leaves the batch as it is
    constants = {"rows": np.array([rows, 37632 if rows == 1 else -1])}
    nodes = [
        node("Cast", ["image"], ["float"], to=onnx.TensorProto.FLOAT),
        *(node("Reshape", ["float", "rows"], [name]) for name in network["outputs"]),
    ]
    save_graph(model, nodes, constants=constants, **network)
    with pytest.raises(LimenError, match=found) as caught:
        Embedder.load(model)
    assert "model.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- foreign models are not trusted


def save_batch_norm(path, shape, training):
    """Flattened pixels under a BatchNorm with the statistics of the batch, or with fixed ones."""
    node, ones, zeros = onnx.helper.make_node, np.ones(3, np.float32), np.zeros(3, np.float32)
    outputs = ["normal", "new_mean", "new_variance"] if training else ["normal"]
    nodes = [
        node("BatchNormalization", ["image", "scale", "bias", "mean", "variance"], outputs, training_mode=int(training)),
        node("AveragePool", ["normal"], ["cells"], kernel_shape=[16, 16], strides=[16, 16]),
        node("Flatten", ["cells"], ["embedding"]),
    ]
    return save_graph(path, nodes, shape, constants={"scale": ones, "bias": zeros, "mean": zeros, "variance": ones})


@pytest.mark.parametrize("batch", ["batch", 3])
def test_a_model_whose_vectors_depend_on_the_batch_is_refused(model, batch):
    save_batch_norm(model, (batch, 3, 112, 112), training=True)
    with pytest.raises(LimenError, match=r"changes with the images beside it .* export it in eval mode"):
        Embedder.load(model)
    save_batch_norm(model, (batch, 3, 112, 112), training=False)
    Embedder.load(model)


def test_a_model_that_differs_from_run_to_run_is_refused(model):
    node = onnx.helper.make_node
    nodes = [
        node("RandomNormalLike", ["image"], ["noise"]),
        node("Add", ["image", "noise"], ["noisy"]),
        node("Flatten", ["noisy"], ["embedding"]),
    ]
    with pytest.raises(LimenError, match="from run to run"):
        Embedder.load(save_graph(model, nodes, (1, 3, 112, 112)))


def test_a_model_that_is_not_finite_is_refused(model):
    node = onnx.helper.make_node
    with pytest.raises(LimenError, match="not finite"):
        Embedder.load(save_graph(model, [node("Sqrt", ["image"], ["root"]), node("Flatten", ["root"], ["embedding"])], (2, 3, 112, 112)))


def external(model, place, location):
    """Saves the network with its weights, in an initialiser, a constant or a subgraph, in a file that it calls `location`."""
    proto = onnx.load(save_network(model))
    tensor = proto.graph.initializer[0]
    if place != "initialiser":
        moved = onnx.TensorProto.FromString(tensor.SerializeToString())
        proto.graph.ClearField("initializer")
        constant = onnx.helper.make_node("Constant", [], ["weight"], value=moved)
        if place == "subgraph":
            inner = onnx.helper.make_graph([constant], "inner", [], [onnx.helper.make_tensor_value_info("weight", 1, WEIGHT.shape)])
            yes = onnx.helper.make_node("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True)))
            constants = [yes, onnx.helper.make_node("If", ["yes"], ["weight"], then_branch=inner, else_branch=inner)]
        else:
            constants = [constant]
        nodes = [*constants, *proto.graph.node]
        proto.graph.ClearField("node")
        proto.graph.node.extend(nodes)
    for tensor in tensors_of(proto):
        if list(tensor.dims) == list(WEIGHT.shape):
            onnx.external_data_helper.set_external_data(tensor, location)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
    model.write_bytes(proto.SerializeToString())


def tensors_of(proto):
    for graph in (proto.graph, *(a.g for node in proto.graph.node for a in node.attribute if a.HasField("g"))):
        yield from graph.initializer
        yield from (a.t for node in graph.node for a in node.attribute if a.HasField("t"))


@pytest.mark.parametrize("place", ["initialiser", "constant", "subgraph"])
def test_every_file_of_weights_is_in_the_description(images, model, place):
    before = Embedder.load(model).embed(images).vectors
    external(model, place, "weights.bin")
    (model.parent / "weights.bin").write_bytes(WEIGHT.tobytes())
    found = Embedder.load(model)
    assert found.description["external_data_sha256"] == {"weights.bin": file_sha256(model.parent / "weights.bin")}
    np.testing.assert_array_equal(found.embed(images).vectors, before)


@pytest.mark.parametrize("place", ["initialiser", "constant", "subgraph"])
@pytest.mark.parametrize("location", ["absolute", "../weights.bin", "below/../../weights.bin", "link.bin", "linked/weights.bin", "pipe"])
def test_weights_outside_the_models_folder_are_not_opened(tmp_path, place, location):
    home = tmp_path / "home"
    (home / "below").mkdir(parents=True)
    save_sidecar(home / "model.onnx")
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes())
    (home / "link.bin").symlink_to(tmp_path / "weights.bin")
    (home / "linked").symlink_to(tmp_path)
    os.mkfifo(home / "pipe")
    external(home / "model.onnx", place, str(tmp_path / "weights.bin") if location == "absolute" else location)
    with pytest.raises(LimenError, match=r"only plain files below its own folder|are not a plain file") as caught:
        Embedder.load(home / "model.onnx")
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_weights_is_called_missing(model):
    external(model, "initialiser", "weights.bin")
    with pytest.raises(LimenError, match=r"its file of weights .*weights\.bin is missing; put it there"):
        Embedder.load(model)


def test_a_pipe_or_device_is_no_model_and_no_sidecar(model):
    sidecar = model.with_name("model.onnx.json")
    sidecar.unlink()
    os.mkfifo(sidecar)
    with pytest.raises(LimenError, match="is a named pipe; give a plain file"):
        Embedder.load(model)
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(LimenError, match="is a named pipe; give a plain file"):
        Embedder.load(model)


@pytest.mark.parametrize("text", ["[" * 100000, '{"size": ' + "1" * 5000 + "}", " " * (1 << 20) + "{}"], ids=["nested", "digits", "long"])
def test_a_sidecar_that_asks_for_too_much_is_refused(model, text):
    model.with_name("model.onnx.json").write_text(text)
    with pytest.raises(LimenError, match=r"model\.onnx\.json"):
        Embedder.load(model)


def test_an_embedder_shows_itself_in_a_line(images, model):
    embedder = Embedder.load(model)
    assert repr(embedder) == f"GraphEmbedder({model}, 8, onnxruntime {onnxruntime.__version__}, cpu)"
    assert repr(embedder.embed(images)) == "Embeddings(7 vectors of 8)"


def test_what_is_no_onnx_file_is_refused(model):
    model.write_bytes(model.read_bytes()[:300])
    with pytest.raises(LimenError, match="not an ONNX model, or a damaged one") as caught:
        Embedder.load(model)
    assert "\n" not in str(caught.value)
    with pytest.raises(LimenError, match=r"nowhere\.onnx: no such file"):
        Embedder.load(model.parent / "nowhere.onnx")


def test_unusable_settings_are_refused(images, model):
    with pytest.raises(LimenError, match="device 'banana'"):
        Embedder.load(model, "banana")
    with pytest.raises(LimenError, match="threads: 0"):
        Embedder.load(model, threads=0)
    with pytest.raises(LimenError, match=r"expected a uint8 RGB array of shape \(N, 112, 112, 3\)"):
        Embedder.load(model).embed(images[:, :96])


def test_it_answers_what_a_bundle_answers(model, tmp_path):
    tensors = {f"backbone.{name}": tensor for name, tensor in Architecture("tiny", 8).build().state_dict().items()}
    Embedder(Bundle(Architecture("tiny", 8), tensors)).save(tmp_path / "model.safetensors")
    asked = [name for name in (*vars(Model), *Model.__annotations__) if not name.startswith("_")]
    assert {"path", "device", "calibration", "has_quality", "margin", "identity", "facts"} <= set(asked)
    for found in (open_model(model), open_model(tmp_path / "model.safetensors")):
        assert not [name for name in [*asked, "embed", "description"] if not hasattr(found, name)]
        assert found.path.parent == tmp_path
        assert found.facts["sha256"] == file_sha256(found.path)


def test_another_precision_is_refused_with_the_remedy(model):
    with pytest.raises(LimenError, match="computes as the file was exported; leave --precision"):
        Embedder.load(model, precision="bf16")


def test_without_onnxruntime_the_extra_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LimenError, match=r"pip install 'limen\[export\]'"):
        Embedder.load(model)


def test_commands_take_an_onnx_file(capsys, images, model, tmp_path):
    for number in (0, 1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), images[number, :, :, ::-1])
    vectors = Embedder.load(model).embed(images[:2]).vectors
    assert main(["compare", str(model), str(tmp_path / "0.png"), str(tmp_path / "1.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["similarity"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    assert main(["embed", str(model), str(tmp_path), "--out", str(tmp_path / "out.npz")]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["vectors"], vectors, atol=1e-6)
    capsys.readouterr()
    assert main(["info", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sha256"] == file_sha256(model)
    assert found["licence"] == "CC0-1.0"
    assert main(["info", str(model)]) == 0
    assert "embedding_size: 8" in capsys.readouterr().out


def test_commands_take_images_of_the_size_the_model_has(capsys, tmp_path):
    """And name an image by its file whose feature has no direction."""
    node = onnx.helper.make_node
    nodes = [node("GlobalAveragePool", ["image"], ["mean"]), node("Flatten", ["mean"], ["embedding"])]
    model = save_graph(tmp_path / "model.onnx", nodes, ("batch", 3, 64, 64))
    save_sidecar(model, size=64, mean=[0, 0, 0], std=[1, 1, 1])
    faces, folder = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8), tmp_path / "faces"
    folder.mkdir()
    faces[1] = 0
    for number, face in enumerate(faces):
        cv2.imwrite(str(folder / f"{number}.png"), face[..., ::-1])
    assert main(["embed", str(model), str(folder), "--out", str(tmp_path / "out.npz"), "--json"]) == 0
    (failure,) = json.loads(capsys.readouterr().out)["failures"]
    assert failure.startswith(f"{folder / '1.png'}: its feature has length 0.0 and so no direction")
    mean = faces[[0, 2]].mean((1, 2))
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["vectors"], expected, atol=1e-6)
    assert main(["quality", str(model), str(folder), "--measure", "norm", "--json"]) == 0
    assert [Path(row["file"]).name for row in json.loads(capsys.readouterr().out)["images"]] == ["0.png", "2.png"]
    assert main(["compare", str(model), str(folder / "0.png"), str(folder / "2.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["similarity"] == pytest.approx(expected[0] @ expected[1], abs=1e-6)
    assert main(["compare", str(model), str(folder / "0.png"), str(folder / "1.png")]) == 1
    assert f"{folder / '1.png'}: its feature has length 0.0" in capsys.readouterr().err


@pytest.mark.realdata
def test_mobilefacenet_tells_people_apart(real_data, tmp_path):
    path = tmp_path / "mobilefacenet.onnx"
    path.write_bytes((real_data / "models" / "mobilefacenet.onnx").read_bytes())
    save_sidecar(path, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    with zipfile.ZipFile(real_data / "lfwpairs112.zip") as archive:
        people = ["Aaron_Peirsol", "Abdullah_Gul", "Adrien_Brody", "Ai_Sugiyama"]
        names = [[name for name in archive.namelist() if name.startswith(f"{person}/")][:2] for person in people]
        images = np.stack([decode_image(archive.read(name), name) for pair in names for name in pair])
    vectors = Embedder.load(path).embed(images).vectors
    same = np.arange(8) // 2
    similarity, mated = vectors @ vectors.T, same[:, None] == same
    assert similarity[mated].min() > 0.4 > 0.3 > similarity[~mated].max()


def test_a_calibration_is_kept_in_the_sidecar(model, tmp_path, capsys):
    """`limen calibrate` of a foreign recogniser with a quality of the pixels, then what `limen quality` and `limen info` say of it."""
    save_folder(SyntheticFaces(10, 4, difficulty=0.5), tmp_path / "faces")
    assert main(["data", "pairs", str(tmp_path / "faces"), "--count", "120", "--out", str(tmp_path / "pairs.txt")]) == 0
    before = GraphEmbedder(model).description
    words = ["calibrate", str(model), "--pairs", str(tmp_path / "pairs.txt"), "--images", str(tmp_path / "faces"), "--fmr", "0.1"]
    assert main([*words, "--measure", "sharpness"]) == 0
    assert f"kept in {model}.json" in capsys.readouterr().out
    embedder = GraphEmbedder(model)
    assert embedder.calibration.measure == "sharpness"
    assert embedder.description | {"sidecar_sha256": before["sidecar_sha256"]} == before  # nothing else has changed
    assert main(["quality", str(model), str(tmp_path / "faces"), "--measure", "sharpness", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["calibration"] == embedder.calibration.summary
    quality = np.array([row["quality"] for row in found["images"]])
    np.testing.assert_array_equal([row["percentile"] for row in found["images"]], embedder.calibration.percentile(quality))
    assert main(["info", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"] == found["calibration"]
    assert main([*words, "--measure", "norm"]) == 0  # another takes its place
    assert GraphEmbedder(model).calibration.measure == "norm"
    assert main([*words, "--measure", "norm", "--out", str(tmp_path / "other.onnx")]) == 1
    assert f"is kept in its sidecar, {model}.json; leave --out" in capsys.readouterr().err


def test_a_damaged_calibration_is_named(model):
    save_sidecar(model, calibration={"measure": "norm"})
    with pytest.raises(LimenError, match=r"its calibration is damaged .*; take it out and run `limen calibrate` again$"):
        GraphEmbedder(model)
