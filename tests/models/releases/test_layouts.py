"""Every network of every family is found from the names and shapes in which it is published, written out here from the papers' layouts."""

import pytest
import torch

from limen.errors import LimenError
from limen.models.releases import RELEASES

WIDTHS = (64, 128, 256, 512)


class Names(dict):
    """Published names -> tensors without numbers: names and shapes alone decide."""

    def add(self, name, *shape):
        self[name] = torch.empty(shape, device="meta")

    def norm(self, name, width, affine=True):
        for kind in ("weight", "bias") if affine else ():
            self.add(f"{name}.{kind}", width)
        for kind in ("running_mean", "running_var"):
            self.add(f"{name}.{kind}", width)
        self[f"{name}.num_batches_tracked"] = torch.empty((), dtype=torch.int64, device="meta")


def insightface(depths, quality=False):
    """conv1, bn1, prelu, layer1..4.N.{bn1,conv1,bn2,prelu,conv2,bn3,downsample.0,downsample.1}, bn2, fc, features."""
    names, before = Names(), 64
    names.add("conv1.weight", 64, 3, 3, 3)
    names.norm("bn1", 64)
    names.add("prelu.weight", 64)
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), start=1):
        for place in range(depth):
            block = f"layer{stage}.{place}"
            names.norm(f"{block}.bn1", before)
            names.add(f"{block}.conv1.weight", width, before, 3, 3)
            names.norm(f"{block}.bn2", width)
            names.add(f"{block}.prelu.weight", width)
            names.add(f"{block}.conv2.weight", width, width, 3, 3)
            names.norm(f"{block}.bn3", width)
            if place == 0:
                names.add(f"{block}.downsample.0.weight", width, before, 1, 1)
                names.norm(f"{block}.downsample.1", width)
            before = width
    names.norm("bn2", 512)
    names.add("fc.weight", 512, 25088)
    names.add("fc.bias", 512)
    names.norm("features", 512)
    if quality:
        names.add("qs.weight", 1, 512)
        names.add("qs.bias", 1)
    return names


def ir(depths, inner_norm=True, gate=None):
    """input_layer, body.N.{shortcut_layer,res_layer}, output_layer; `gate` is the name of a block's squeeze-and-excitation."""
    names, before, number = Names(), 64, 0
    names.add("input_layer.0.weight", 64, 3, 3, 3)
    names.norm("input_layer.1", 64)
    names.add("input_layer.2.weight", 64)
    for width, depth in zip(WIDTHS, depths, strict=True):
        for _ in range(depth):
            block = f"body.{number}.res_layer"
            names.norm(f"{block}.0", before)
            names.add(f"{block}.1.weight", width, before, 3, 3)
            if inner_norm:
                names.norm(f"{block}.2", width)
            after = 3 if inner_norm else 2
            names.add(f"{block}.{after}.weight", width)
            names.add(f"{block}.{after + 1}.weight", width, width, 3, 3)
            names.norm(f"{block}.{after + 2}", width)
            if gate:
                names.add(f"{block}.{gate}.fc1.weight", width // 16, width, 1, 1)
                names.add(f"{block}.{gate}.fc2.weight", width, width // 16, 1, 1)
            if width != before:
                names.add(f"body.{number}.shortcut_layer.0.weight", width, before, 1, 1)
                names.norm(f"body.{number}.shortcut_layer.1", width)
            before, number = width, number + 1
    names.norm("output_layer.0", 512)
    names.add("output_layer.3.weight", 512, 25088)
    names.add("output_layer.3.bias", 512)
    names.norm("output_layer.4", 512, affine=False)
    return names


R = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 200: (6, 26, 60, 6)}
CASES = [
    *[("adaface", f"ir{depth}", "model.", ir(R[min(depth, 100)]), {}) for depth in (18, 34, 50, 101)],
    ("adaface", "ir_se50", "model.", ir(R[50], gate="6"), {}),
    ("adaface", "ir_se50", "model.", ir(R[50], gate="se_block"), {}),
    ("elasticface", "iresnet100", "", insightface(R[100]), {}),
    *[("crfiqa", f"iresnet{depth}", "", insightface(R[depth], quality=True), {}) for depth in (50, 100)],
    *[("insightface", f"iresnet{depth}", "", insightface(R[depth]), {}) for depth in R],
    *[("magface", f"iresnet{depth}", "features.module.", insightface(R[depth]), {"eps": 2e-5}) for depth in (18, 50, 100)],
    ("magface", "iresnet50", "features.", insightface(R[50]), {"eps": 2e-5}),
    *[
        ("curricularface", name, "", ir(R[depth], inner_norm=False), {"inner_norm": False})
        for depth, name in ((50, "ir50"), (100, "ir101"))
    ],
    ("curricularface", "ir_se50", "", ir(R[50], inner_norm=False, gate="5"), {"inner_norm": False}),
    ("curricularface", "ir_se101", "", ir(R[100], inner_norm=False, gate="5"), {"inner_norm": False}),
    *[("cvlface", name, "net.", ir(R[depth]), {}) for depth, name in ((18, "ir18"), (50, "ir50"), (100, "ir101"))],
]


@pytest.mark.parametrize(
    ("release", "network", "prefix", "names", "options"), CASES, ids=[f"{case[0]} {case[1]} {case[2]}" for case in CASES]
)
def test_a_published_layout_is_found_and_whole(release, network, prefix, names, options):
    head = Names()
    head.add("head.kernel" if release in ("adaface", "cvlface") else "fc.weight", 512, 8)
    beside = head if prefix else {}
    found, tensors, left_out = RELEASES[release].convert({f"{prefix}{name}": tensor for name, tensor in names.items()} | beside, None)
    assert (found.name, found.embedding_size, found.options) == (network, 512, options)
    assert len(tensors) == len(names)  # each has a place; `convert` has compared names and shapes with the network's
    assert left_out == (next(iter(head)).split(".")[0] if prefix else "")
    assert {"quality.weight", "quality.bias"} <= tensors.keys() if release == "crfiqa" else not any("quality" in name for name in tensors)


def test_names_of_one_family_of_networks_are_not_taken_for_those_of_the_other():
    ours = {"adaface", "cvlface", "curricularface"}
    for release, _, prefix, names, _ in CASES:
        state = {f"{prefix}{name}": tensor for name, tensor in names.items()}
        for other in RELEASES.keys() - {release}:
            assert not RELEASES[other].holds(state) or (other in ours) == (release in ours), (release, other)


def test_a_block_too_few_names_the_nearest():
    with pytest.raises(LimenError, match="the nearest is ir18 with"):
        RELEASES["adaface"].convert(ir((2, 2, 2, 1)), None)
