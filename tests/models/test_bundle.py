"""A bundle comes back as it was saved, and a damaged one is refused in one line that names the fault."""

import json
import os
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from limen.backbones.undrawn import undrawn
from limen.errors import LimenError
from limen.files import file_sha256, plain
from limen.models.bundle import Architecture, Bundle, Preprocessing, load_bundle, save_bundle, source_sha256
from limen.models.bundle_file import facts_of_file
from limen.models.name_hashes import class_names_sha256, trained_hashes
from limen.models.operating_point import OperatingPoint
from limen.quality import Calibration, QualityHead


@pytest.fixture
def bundle():
    architecture = Architecture("tiny", 16)
    backbone = architecture.build()
    for tensor in backbone.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape).abs()) if tensor.is_floating_point() else tensor.fill_(7)
    return Bundle(
        architecture,
        {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()} | {"centers.weight": torch.randn(5, 16)},
        Preprocessing(colour="BGR", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), flip=False),
        recipe={"margin": {"name": "AdaFace", "m": 0.4}, "epochs": 26},
        training={"images": 1000, "loss": 1.5},
        licence="Apache-2.0",
        class_names_sha256=class_names_sha256(["Ada", "Émile"]),
        people_sha256=trained_hashes(["Ada", "Émile"], class_names_sha256(["Ada", "Émile"])),
    )


@pytest.fixture
def path(bundle, tmp_path):
    save_bundle(tmp_path / "model.safetensors", bundle)
    return tmp_path / "model.safetensors"


def test_round_trip_is_exact(bundle, path):
    loaded = load_bundle(path)
    assert loaded.tensors.keys() == bundle.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in bundle.tensors.items())
    bundle.tensors = loaded.tensors
    bundle.sha256 = file_sha256(path)
    assert loaded == bundle


def test_same_bundle_same_bytes(bundle, path, tmp_path):
    again = tmp_path / "again.safetensors"
    assert save_bundle(again, load_bundle(path)) == file_sha256(path)
    assert again.read_bytes() == path.read_bytes()


def test_channels_last_weights_are_saved_as_others(bundle, path, tmp_path):
    for name, tensor in bundle.tensors.items():
        if tensor.ndim == 4:
            bundle.tensors[name] = tensor.to(memory_format=torch.channels_last)
    assert save_bundle(tmp_path / "other.safetensors", bundle) == file_sha256(path)


def test_groups_and_backbone(bundle, path):
    loaded = load_bundle(path)
    assert torch.equal(loaded.group("centers")["weight"], bundle.tensors["centers.weight"])
    assert loaded.group("quality") == {}
    backbone = loaded.backbone()
    assert not backbone.training
    assert all(torch.equal(tensor, bundle.tensors[f"backbone.{name}"]) for name, tensor in backbone.state_dict().items())
    held = {tensor.data_ptr() for tensor in loaded.tensors.values()}
    assert not any(tensor.data_ptr() in held for tensor in backbone.state_dict().values())  # who trains it further leaves the bundle alone


@pytest.mark.parametrize("name", ["tiny", "mobilefacenet", "iresnet18", "vit_s"])
def test_an_undrawn_network_has_the_names_and_shapes_of_a_drawn_one_and_loads_no_compiler(name, monkeypatch):
    for module in [module for module in sys.modules if module.startswith("torch._dynamo")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # whoever imports it fails
    random = torch.get_rng_state()
    network = undrawn(Architecture(name, 32).build)
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
    assert torch.equal(random, torch.get_rng_state())
    drawn = Architecture(name, 32).build().state_dict()
    assert [(key, tensor.shape, tensor.dtype) for key, tensor in network.state_dict().items()] == [
        (key, tensor.shape, tensor.dtype) for key, tensor in drawn.items()
    ]


def test_quality_head_comes_back(bundle, tmp_path):
    assert bundle.quality_head() is None
    head = QualityHead(16)
    bundle.tensors |= {f"quality.{name}": tensor for name, tensor in head.state_dict().items()}
    save_bundle(tmp_path / "judge.safetensors", bundle)
    loaded = load_bundle(tmp_path / "judge.safetensors").quality_head()
    features = torch.randn(3, 16)
    assert torch.equal(loaded(features), head(features))


def test_calibration_comes_back(bundle, tmp_path):
    bundle.calibration = Calibration(
        "quality", "a set", 9, (0.25,) * 1001, 0.01, 0.3, 5, 5, 1, 0, (1.0, 2.0), (0.5, 0.1), (0.4, 0.0), (0.7, 0.2)
    )
    save_bundle(tmp_path / "calibrated.safetensors", bundle)
    assert load_bundle(tmp_path / "calibrated.safetensors").calibration == bundle.calibration


def test_a_bundle_without_calibration_is_written_as_before_there_was_one(path):
    """Which is also how an older one comes: with no such field."""
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    described = json.loads(json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]["limen"])
    assert "calibration" not in described
    assert load_bundle(path).calibration is None


def test_hashes_tell_contents_apart():
    assert len(source_sha256()) == 64
    assert class_names_sha256(["ab", "c"]) != class_names_sha256(["a", "bc"])
    assert class_names_sha256(["a", "b"]) != class_names_sha256(["b", "a"])


def test_people_trained_on_are_known_by_name_and_by_no_list_of_another_model(bundle):
    asked = ["ada", "E\u0301mile", "Ada@lfw", "Bo", "7"]  # whatever the case, the accents' spelling and the source
    assert bundle.trained_on(asked) == sorted(asked[:3])
    joint = replace(bundle, people_sha256=trained_hashes(["Ada@a", "Bo@b", "7@a"], bundle.class_names_sha256))
    assert joint.trained_on(["Ada", "Ada@c", "Bo", "7"]) == ["Ada", "Ada@c", "Bo"]  # 7 of one set is not 7 of another
    assert len(joint.people_sha256) == 2
    assert replace(bundle, people_sha256=()).trained_on(asked) == []
    assert not set(bundle.people_sha256) & set(trained_hashes(["Ada", "Émile"], class_names_sha256(["Émile", "Ada"])))


def described(path, change):
    """Rewrites the description in the file by `change`, and leaves the tensors alone."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    description = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["limen"])
    change(description)
    rewritten(path, json.dumps(description))


def rewritten(path, text):
    """Puts `text` in place of the description."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["limen"] = text
    encoded = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])


DAMAGES = {
    "absent": (lambda path: path.unlink(), "no such file"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "it is a folder; name the model file in it"),
    "empty": (lambda path: path.write_bytes(b""), "not a limen bundle"),
    "text": (lambda path: path.write_text("a text that is no model at all"), "not a limen bundle"),
    "pickle": (lambda path: torch.save({"a": torch.zeros(3)}, path), "not a limen bundle"),
    "another safetensors file": (lambda path: save_file({"a": torch.zeros(3)}, path), "a safetensors file but not a limen bundle"),
    "truncated weights": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "truncated or damaged"),
    "truncated header": (lambda path: path.write_bytes(path.read_bytes()[:1000]), "truncated or damaged"),
    "later format": (lambda path: described(path, lambda d: d.update(format=3)), "format 3 .* reads format 1 and 2; upgrade limen"),
    "earlier format": (lambda path: described(path, lambda d: d.update(format=0)), "format 0 .* reads format 1 and 2; save it again"),
    "no format": (lambda path: described(path, lambda d: d.pop("format")), "description is damaged"),
    "field missing": (lambda path: described(path, lambda d: d.pop("licence")), "damaged .*licence"),
    "field unknown": (lambda path: described(path, lambda d: d.update(colour="RGB")), "damaged .*colour"),
    "no object": (lambda path: described(path, lambda d: d.update(architecture=3)), "description is damaged"),
    "colour": (lambda path: described(path, lambda d: d["preprocessing"].update(colour="bgr")), "RGB or BGR"),
    "std": (lambda path: described(path, lambda d: d["preprocessing"].update(std=[0, 1, 1])), "above 0"),
    "backbone": (lambda path: described(path, lambda d: d["architecture"].update(name="tiney")), "did you mean 'tiny'"),
    "mean": (lambda path: described(path, lambda d: d["preprocessing"].update(mean=["a", "b", "c"])), "description is damaged"),
    "options": (lambda path: described(path, lambda d: d["architecture"].update(options=3)), "not a mapping"),
    "option": (lambda path: described(path, lambda d: d["architecture"].update(options={"dropout": 0.4})), "not one of its options"),
    "embedding size": (lambda path: described(path, lambda d: d["architecture"].update(embedding_size=8)),
                       r"misshaped backbone.head.1.weight \(float32 \[16, 6272\], not float32 \[8, 6272\]\)"),
    "calibration": (lambda path: described(path, lambda d: d.update(calibration={"fmr": 0.1})), "description is damaged"),
    "calibration of another kind": (lambda path: described(path, lambda d: d.update(calibration=[0.1])), "description is damaged"),
    "no hash": (lambda path: described(path, lambda d: d.pop("weights_sha256")), "damaged .*weights_sha256"),
    "licence changed": (lambda path: described(path, lambda d: d.update(licence="MIT")), "not what was saved; copy or download it again"),
    "mean changed": (lambda path: described(path, lambda d: d["preprocessing"].update(mean=[0.4, 0.456, 0.406])), "not what was saved"),
    "number as text": (lambda path: described(path, lambda d: d["preprocessing"].update(size="112")), "size: '112' is not a int"),
    "no pixels": (lambda path: described(path, lambda d: d["preprocessing"].update(size=0)), "size: 0"),
    "too many pixels": (lambda path: described(path, lambda d: d["preprocessing"].update(size=10**6)), "pixels from 1 to 4096"),
    "truth as number": (lambda path: described(path, lambda d: d["preprocessing"].update(flip=1)), "preprocessing.flip: 1 is not a bool"),
    "fusion": (lambda path: described(path, lambda d: d["preprocessing"].update(fusion="none")), "'none' is not known"),
    "huge number": (lambda path: described(path, lambda d: d["preprocessing"].update(mean=[10**400, 0, 0])), "description is damaged"),
    "truth as mean": (lambda path: described(path, lambda d: d["preprocessing"].update(mean=[True, 0, 0])), "description is damaged"),
    "name": (lambda path: described(path, lambda d: d["architecture"].update(name=["tiny"])), "is not a name"),
    "recipe": (lambda path: described(path, lambda d: d.update(recipe=[])), "damaged .*recipe"),
    "training": (lambda path: described(path, lambda d: d.update(training=None)), "damaged .*training"),
    "licence": (lambda path: described(path, lambda d: d.update(licence=3)), "damaged .*licence"),
    "people": (lambda path: described(path, lambda d: d.update(people_sha256=["ffffffffff", "0000000000"])), "damaged .*must rise"),
    "class names": (lambda path: described(path, lambda d: d.update(class_names_sha256=3)), "damaged .*class_names_sha256"),
    "created": (lambda path: described(path, lambda d: d.update(created=None)), "damaged .*created"),
    "nested": (lambda path: rewritten(path, "[" * 100000 + "]" * 100000), "description is damaged"),
    "digits": (lambda path: rewritten(path, "1" * 5000), "description is damaged"),
    "field twice": (lambda path: rewritten(path, '{"licence": "MIT", "licence": "CC0"}'), "damaged .*'licence' stands twice"),
    "no text": (lambda path: rewritten(path, "no JSON"), "description is damaged"),
    "no embedding size": (lambda path: described(path, lambda d: d["architecture"].update(embedding_size="8")), "whole number"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_refused_in_one_line(path, damage):
    inflict, said = DAMAGES[damage]
    inflict(path)
    with pytest.raises(LimenError, match=said) as caught:
        load_bundle(path)
    assert str(caught.value).startswith(f"cannot load {path}: ")
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_the_weights_is_told(path):
    """300 of them at random; before the hashes, 228 of 581 damaged files loaded."""
    content, random = path.read_bytes(), np.random.default_rng(0)
    start = 8 + struct.unpack("<Q", content[:8])[0]
    for place in random.integers(start, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(LimenError, match=r"not what was saved|not finite"):
            load_bundle(path)


def test_no_changed_byte_of_the_header_loads(path):
    content, random = path.read_bytes(), np.random.default_rng(1)
    for place in random.integers(0, 8 + struct.unpack("<Q", content[:8])[0], 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            loaded = load_bundle(path)
        except LimenError:
            continue
        path.write_bytes(content)  # what is left says the same: a space for a space, an escape for the letter
        assert replace(loaded, sha256="", tensors={}) == replace(load_bundle(path), sha256="", tensors={})


def test_a_bundle_of_format_1_has_no_hashes_and_loads(path):
    before = load_bundle(path).weights_sha256
    described(path, lambda d: (d.update(format=1), d.pop("weights_sha256"), d.pop("description_sha256")))
    assert load_bundle(path).weights_sha256 == before


def test_the_facts_of_a_file_are_those_of_its_bundle(bundle, path):
    assert facts_of_file(path) == plain(load_bundle(path).facts)
    bundle.tensors |= {f"quality.{name}": tensor for name, tensor in QualityHead(16).state_dict().items()}
    bundle.calibration = Calibration("quality", "a set", 9, (0.25,) * 1001, 0.01, 0.3, 5, 5, 1, 0, (1.0,), (0.5,), (0.4,), (0.7,))
    bundle.operating_points = (OperatingPoint(0.01, 0.3, 0.2, 0.4, 0.95, 100, 1, 10, 1, 0.0, 0.4, True, "a set", "0" * 64, 3, ()),)
    save_bundle(path, bundle)
    assert facts_of_file(path) == plain(load_bundle(path).facts)


def test_no_facts_of_a_file_that_is_damaged_or_older(path, tmp_path):
    content, random = path.read_bytes(), np.random.default_rng(2)
    damaged = tmp_path / "damaged.safetensors"
    for place in random.integers(8 + struct.unpack("<Q", content[:8])[0], len(content), 20):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert facts_of_file(damaged) is None
    for other in (content[:-1], content + b"0", content[:100], b"", b"no bundle"):
        damaged.write_bytes(other)
        assert facts_of_file(damaged) is None
    described(path, lambda d: (d.update(format=1), d.pop("weights_sha256"), d.pop("description_sha256")))
    assert facts_of_file(path) is None


def test_a_pipe_or_device_is_no_bundle(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    for path in (tmp_path / "model.safetensors", "/dev/zero"):
        with pytest.raises(LimenError, match="not a plain file"):
            load_bundle(path)


def test_a_bundle_shows_itself_in_a_line(bundle):
    assert repr(bundle).startswith("Bundle(tiny, 16, ")
    assert len(repr(bundle)) < 100


FAULTS = {
    "missing": (lambda tensors: tensors.pop("backbone.layers.0.weight"), "lacks backbone.layers.0.weight"),
    "unexpected": (lambda tensors: tensors.update({"backbone.more": torch.zeros(1)}), "has the unexpected backbone.more"),
    "no group": (lambda tensors: tensors.update(more=torch.zeros(1)), "has the unexpected more"),
    "shape": (lambda tensors: tensors.update({"backbone.head.2.running_var": torch.ones(3)}), r"misshaped .*running_var \(float32 \[3\]"),
    "type": (lambda tensors: tensors.update({"backbone.head.2.running_var": torch.ones(16).half()}), "float16"),
    "quality shape": (lambda tensors: tensors.update({"quality.weight": torch.zeros(16), "quality.bias": torch.zeros(1)}),
                      r"misshaped quality.weight \(float32 \[16\], not float32 \[1, 16\]"),
    "half a quality head": (lambda tensors: tensors.update({"quality.weight": torch.zeros(1, 16)}), "lacks quality.bias"),
    "more than a quality head": (lambda tensors: tensors.update({"quality.weight": torch.zeros(1, 16), "quality.bias": torch.zeros(1),
                                                                 "quality.more": torch.zeros(1)}), "unexpected quality.more"),
    "nan": (lambda tensors: tensors["backbone.layers.0.weight"].view(-1)[5].fill_(torch.nan), "not finite in backbone.layers.0.weight"),
    "infinite": (lambda tensors: tensors["centers.weight"][2, 1].fill_(torch.inf), "not finite in centers.weight"),
    "many": (lambda tensors: [tensors.pop(name) for name in list(tensors)[:9]], "and 6 more"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_unfit_tensors_are_named_in_loading_and_in_saving(bundle, path, tmp_path, fault):
    inflict, said = FAULTS[fault]
    inflict(bundle.tensors)
    earlier = path.read_bytes()
    with pytest.raises(LimenError, match=said) as caught:
        save_bundle(path, bundle)
    assert str(caught.value).startswith(f"cannot save {path}: ")
    assert path.read_bytes() == earlier

    header = earlier[8 : 8 + struct.unpack("<Q", earlier[:8])[0]]
    save_file(bundle.tensors, path, metadata=json.loads(header)["__metadata__"])
    with pytest.raises(LimenError, match=said) as caught:
        load_bundle(path)
    assert str(caught.value).startswith(f"cannot load {path}: ")


def test_full_disk_keeps_the_earlier_bundle(bundle, path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    earlier = path.read_bytes()
    monkeypatch.setattr("limen.models.bundle.save_file", refuse)
    with pytest.raises(LimenError, match="the disk is full; the earlier file there is unchanged"):
        save_bundle(path, bundle)
    assert path.read_bytes() == earlier
