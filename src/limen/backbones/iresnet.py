"""Improved residual networks for faces: insightface's iresnet and AdaFace's IR as one network with switches.

Both follow the "IR" block of Deng et al., "ArcFace", CVPR 2019, section 3.1: BN-Conv-BN-PReLU-Conv-BN, stride in the second convolution,
and the head BN-Dropout-Linear-BN on the flattened 7x7 map.
"""

from collections.abc import Sequence

import torch
from torch import nn

from limen.backbones.last_layers import LastLayers

WIDTHS = (64, 128, 256, 512)
MAP_AREA = 7 * 7  # 112x112 after four halvings


class SqueezeExcite(nn.Module):
    """`x * sigmoid(W2 relu(W1 mean(x)))`, a gate per channel. Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, equations 2-4."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(pooled))))


class ResidualBlock(nn.Module):
    """`shortcut(x) + residual(x)`: (B, width_in, H, H) -> (B, width, H / stride, H / stride)."""

    def __init__(self, width_in: int, width: int, stride: int, shortcut: nn.Module, squeeze_excite: bool, inner_norm: bool):
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Conv2d(width_in, width, 3, 1, 1, bias=False),
            *([nn.BatchNorm2d(width)] if inner_norm else []),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        if squeeze_excite:
            self.residual.append(SqueezeExcite(width))
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.residual(x)


class IResNet(nn.Module):
    """(B, 3, 112, 112) in [-1, 1] -> (B, embedding_size) raw features.

    depths           blocks per stage; each stage's first block halves the map
    subsample        True (AdaFace): where the width stays, a shortcut with stride takes every second pixel, and the output's BatchNorm1d
                     has no affine part. False (insightface): every stage begins with a convolution shortcut, and the output's
                     BatchNorm1d learns a bias beside a weight fixed to 1, so that |z| stays near sqrt(embedding_size)
    squeeze_excite   a gate per channel at the end of each residual branch
    dropout          rate before the linear layer; insightface's releases train with 0, AdaFace's and CR-FIQA's with 0.4
    inner_norm       False (CurricularFace): no batch norm between a block's first convolution and its PReLU
    eps              of every batch norm; MagFace's releases have 2e-5
    """

    def __init__(
        self,
        depths: Sequence[int],
        embedding_size: int = 512,
        *,
        subsample: bool = False,
        squeeze_excite: bool = False,
        dropout: float = 0.0,
        inner_norm: bool = True,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.PReLU(WIDTHS[0]))
        self.blocks = nn.Sequential()
        width_in = WIDTHS[0]
        for width, depth in zip(WIDTHS, depths, strict=True):
            for index in range(depth):
                stride = 2 if index == 0 else 1
                shortcut = _shortcut(width_in, width, stride, subsample)
                self.blocks.append(ResidualBlock(width_in, width, stride, shortcut, squeeze_excite, inner_norm))
                width_in = width
        self.head = LastLayers(
            nn.BatchNorm2d(width_in),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(width_in * MAP_AREA, embedding_size),
            nn.BatchNorm1d(embedding_size, affine=not subsample),
        )
        if not subsample:
            self.head[-1].weight.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _initialise(module, subsample)
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eps = eps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(images)))


def _shortcut(width_in: int, width: int, stride: int, subsample: bool) -> nn.Module:
    if width_in == width and stride == 1:
        return nn.Identity()
    if width_in == width and subsample:
        return nn.MaxPool2d(1, stride)
    return nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))


def _initialise(convolution: nn.Conv2d, subsample: bool) -> None:
    # Batch norm follows, so this sets no scale of the output but how fast a convolution turns: it belongs to each family's recipe.
    if subsample:
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.normal_(convolution.weight, std=0.1)
