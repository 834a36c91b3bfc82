"""MobileFaceNet. Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices", CCBR 2018.

`MobileFaceNet` has insightface's widths, twice the paper's, and a block of two channels per group after the stem. `MobileFaceNetReLU6` has
the paper's widths, with ReLU6 in place of PReLU.
"""

from collections.abc import Callable

import torch
from torch import nn

from limen.backbones.last_layers import LastLayers

Activation = Callable[[int], nn.Module]  # from the number of channels


def relu(width: int) -> nn.Module:
    return nn.ReLU(inplace=True)


def relu6(width: int) -> nn.Module:
    return nn.ReLU6(inplace=True)


class ConvUnit(nn.Sequential):
    """Convolution, batch norm and, where there is one, an activation."""

    def __init__(
        self,
        width_in: int,
        width: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        activation: Activation | None = nn.PReLU,
    ):
        super().__init__(
            nn.Conv2d(width_in, width, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(width),
        )
        if activation is not None:
            self.append(activation(width))


class Bottleneck(nn.Sequential):
    """Expand 1x1, depthwise 3x3, project 1x1 without activation (Table 1 of the paper)."""

    def __init__(self, width_in: int, expanded: int, width: int, stride: int, activation: Activation = nn.PReLU):
        super().__init__(
            ConvUnit(width_in, expanded, 1, activation=activation),
            ConvUnit(expanded, expanded, 3, stride, 1, groups=expanded, activation=activation),
            ConvUnit(expanded, width, 1, activation=None),
        )


class ResidualBottleneck(Bottleneck):
    """`x + Bottleneck(x)`, width and size kept."""

    def __init__(self, expanded: int, width: int, activation: Activation = nn.PReLU):
        super().__init__(width, expanded, width, 1, activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


class MobileFaceNet(nn.Module):
    """(B, 3, 112, 112) in [-1, 1] -> (B, embedding_size) raw features, through a global depthwise convolution over the 7x7 map."""

    def __init__(self, embedding_size: int = 512):
        super().__init__()
        self.layers = nn.Sequential(
            ConvUnit(3, 128, 3, 2, 1),
            ConvUnit(128, 128, 3, 1, 1, groups=64),
            Bottleneck(128, 128, 128, 2),
            nn.Sequential(*(ResidualBottleneck(128, 128) for _ in range(4))),
            Bottleneck(128, 256, 256, 2),
            nn.Sequential(*(ResidualBottleneck(256, 256) for _ in range(6))),
            Bottleneck(256, 512, 256, 2),
            nn.Sequential(*(ResidualBottleneck(256, 256) for _ in range(2))),
            ConvUnit(256, 512, 1),
        )
        self.head = LastLayers(
            ConvUnit(512, 512, 7, groups=512, activation=None),
            nn.Flatten(),
            nn.Linear(512, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size),
        )
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(images))


class MobileFaceNetReLU6(nn.Module):
    """(B, 3, 112, 112) -> (B, embedding_size) raw features, in the paper's widths: Table 1."""

    def __init__(self, embedding_size: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            ConvUnit(3, 64, 3, 2, 1, activation=relu6),
            ConvUnit(64, 64, 3, 1, 1, groups=64, activation=relu),
            ConvUnit(64, 64, 1, activation=relu),
            Bottleneck(64, 128, 64, 2, relu6),
            *(ResidualBottleneck(128, 64, relu6) for _ in range(4)),
            Bottleneck(64, 256, 128, 2, relu6),
            *(ResidualBottleneck(256, 128, relu6) for _ in range(6)),
            Bottleneck(128, 512, 128, 2, relu6),
            *(ResidualBottleneck(256, 128, relu6) for _ in range(2)),
            ConvUnit(128, 512, 1, activation=relu6),
        )
        self.head = LastLayers(
            ConvUnit(512, 512, 7, groups=512, activation=None),
            nn.Flatten(),
            nn.Linear(512, embedding_size),
            nn.BatchNorm1d(embedding_size),
        )
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(images))


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
