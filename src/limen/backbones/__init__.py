"""Networks from aligned faces, (B, 3, 112, 112) in [-1, 1], to raw features (B, D)."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from limen.backbones.iresnet import IResNet
from limen.backbones.mobilefacenet import MobileFaceNet, MobileFaceNetReLU6
from limen.backbones.tiny import TinyNet
from limen.backbones.vit import VisionTransformer
from limen.errors import LimenError
from limen.lookup import call, did_you_mean

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "iresnet18": partial(IResNet, (2, 2, 2, 2)),
    "iresnet34": partial(IResNet, (3, 4, 6, 3)),
    "iresnet50": partial(IResNet, (3, 4, 14, 3)),
    "iresnet100": partial(IResNet, (3, 13, 30, 3)),
    "iresnet200": partial(IResNet, (6, 26, 60, 6)),
    "ir18": partial(IResNet, (2, 2, 2, 2), subsample=True, dropout=0.4),
    "ir34": partial(IResNet, (3, 4, 6, 3), subsample=True, dropout=0.4),
    "ir50": partial(IResNet, (3, 4, 14, 3), subsample=True, dropout=0.4),
    "ir101": partial(IResNet, (3, 13, 30, 3), subsample=True, dropout=0.4),
    "ir_se50": partial(IResNet, (3, 4, 14, 3), subsample=True, squeeze_excite=True, dropout=0.4),
    "ir_se101": partial(IResNet, (3, 13, 30, 3), subsample=True, squeeze_excite=True, dropout=0.4),
    "mobilefacenet": MobileFaceNet,
    "mobilefacenet_relu6": MobileFaceNetReLU6,
    "vit_s": partial(VisionTransformer, 384, 12, 6),
    "vit_b": partial(VisionTransformer, 768, 12, 12),
    "tiny": TinyNet,
}

OPTIONS = ("dropout", "drop_path", "inner_norm", "eps")  # what a user may choose; a network's other arguments are what its name means

__all__ = ["BACKBONES", "create_backbone"]


def create_backbone(name: str, embedding_size: int = 512, **options: Any) -> nn.Module:
    """The network `name` of BACKBONES with fresh weights: (B, 3, 112, 112) float in [-1, 1] -> (B, embedding_size) raw features.

    options   of the iresnet and ir families: `dropout`, the rate before their linear layer; `inner_norm` False, CurricularFace's blocks;
              `eps` of the batch norms, 2e-5 in MagFace's releases. Of vit_s and vit_b: `dropout`, and `drop_path`, stochastic depth
    Raises LimenError for a name or an option that is not known, and for a value the network refuses.

    >>> import torch
    >>> from limen import create_backbone
    >>> create_backbone("tiny", embedding_size=128)(torch.zeros(2, 3, 112, 112)).shape
    torch.Size([2, 128])
    """
    if name not in BACKBONES:
        raise LimenError(f"backbone {name!r} is not known; {did_you_mean(name, BACKBONES)}")
    known = [option for option in OPTIONS if option in inspect.signature(BACKBONES[name]).parameters]
    for option in options.keys() - set(known):
        raise LimenError(f"backbone {name}: {option!r} is not one of its options; {did_you_mean(option, known)}")
    return call(f"backbone {name}", BACKBONES[name], {"embedding_size": embedding_size, **options})
