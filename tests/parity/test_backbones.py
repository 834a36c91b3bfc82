"""Our networks with a release's weights give the release's features: direction to 2e-4, norm to 1e-3 relative."""

import re

import numpy as np
import pytest
import torch

from golden_weights import GOLDEN, golden_weights
from limen.backbones import create_backbone

INSIGHTFACE_TOP = {"conv1": "stem.0", "bn1": "stem.1", "prelu": "stem.2", "bn2": "head.0", "fc": "head.3", "features": "head.4"}
INSIGHTFACE_BLOCK = {
    "bn1": "residual.0",
    "conv1": "residual.1",
    "bn2": "residual.2",
    "prelu": "residual.3",
    "conv2": "residual.4",
    "bn3": "residual.5",
    "downsample": "shortcut",
}


def from_adaface(state):
    renames = {"input_layer": "stem", "output_layer": "head", "body": "blocks", "res_layer": "residual", "shortcut_layer": "shortcut"}
    return {".".join(renames.get(part, part) for part in key.split(".")): tensor for key, tensor in state.items()}


def from_mobilefacenet(state):
    def rename(key):
        return key.replace("conv_sep.layers", "layers.8").replace("features.", "head.").replace(".layers.", ".")

    return {rename(key): tensor for key, tensor in state.items()}


def from_iresnet(state):
    """insightface counts blocks within a stage, we throughout."""
    block = re.compile(r"(layer\d\.\d+)\.(\w+)\.(.+)")
    blocks = list(dict.fromkeys(match[1] for match in map(block.match, state) if match))
    renamed = {}
    for key, tensor in state.items():
        if match := block.match(key):
            renamed[f"blocks.{blocks.index(match[1])}.{INSIGHTFACE_BLOCK[match[2]]}.{match[3]}"] = tensor
        else:
            layer, _, rest = key.partition(".")
            renamed[f"{INSIGHTFACE_TOP[layer]}.{rest}"] = tensor
    return renamed


def features(name, backbone, rename, state, colour="RGB"):
    network = create_backbone(backbone)
    network.load_state_dict(rename(state))
    images = torch.from_numpy(np.load(GOLDEN / "images_rgb_uint8.npy")).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        found = network.eval()(((images if colour == "RGB" else images.flip(1)) - 0.5) / 0.5).numpy()
    return found, np.load(GOLDEN / f"out_{name}.npz")


def assert_same_features(found, wanted, norms):
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), norms, rtol=1e-3)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (found, wanted)]
    np.testing.assert_allclose(*unit, atol=2e-4, rtol=0)


def test_adaface_ir18():
    found, out = features("adaface_ir_18", "ir18", from_adaface, golden_weights("adaface_ir_18"), colour="BGR")
    assert_same_features(found, out["o0"], out["o1"].ravel())


@pytest.mark.parametrize(
    ("name", "backbone", "rename"),
    [("insightface_r18", "iresnet18", from_iresnet), ("insightface_mbf", "mobilefacenet", from_mobilefacenet)],
)
def test_insightface(name, backbone, rename):
    found, out = features(name, backbone, rename, golden_weights(name))
    assert_same_features(found, out["o0"], np.linalg.norm(out["o0"], axis=1))


def test_crfiqa_iresnet50_and_its_quality():
    state = golden_weights("crfiqa_iresnet50")
    weight, bias = state.pop("qs.weight").numpy(), state.pop("qs.bias").numpy()
    found, out = features("crfiqa_iresnet50", "iresnet50", from_iresnet, state)
    assert_same_features(found, out["o0"], np.linalg.norm(out["o0"], axis=1))
    quality = found @ weight.T + bias
    np.testing.assert_allclose(quality, out["o1"], atol=1e-3 * np.abs(out["o1"]).max(), rtol=0)
