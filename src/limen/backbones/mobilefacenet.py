"""MobileFaceNet. Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices", CCBR 2018.

In insightface's widths, twice the paper's, with a depthwise block of two channels per group after the stem.
"""

import torch
from torch import nn


class ConvUnit(nn.Sequential):
    """Convolution, batch norm and, where `activated`, PReLU."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1, activated: bool = True):
        super().__init__(
            nn.Conv2d(width_in, width, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(width),
        )
        if activated:
            self.append(nn.PReLU(width))


class Bottleneck(nn.Sequential):
    """Expand 1x1, depthwise 3x3, project 1x1 without activation (Table 1 of the paper)."""

    def __init__(self, width_in: int, expanded: int, width: int, stride: int):
        super().__init__(
            ConvUnit(width_in, expanded, 1),
            ConvUnit(expanded, expanded, 3, stride, 1, groups=expanded),
            ConvUnit(expanded, width, 1, activated=False),
        )


class ResidualBottleneck(Bottleneck):
    """`x + Bottleneck(x)`, width and size kept."""

    def __init__(self, width: int):
        super().__init__(width, width, width, stride=1)

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
            nn.Sequential(*(ResidualBottleneck(128) for _ in range(4))),
            Bottleneck(128, 256, 256, 2),
            nn.Sequential(*(ResidualBottleneck(256) for _ in range(6))),
            Bottleneck(256, 512, 256, 2),
            nn.Sequential(*(ResidualBottleneck(256) for _ in range(2))),
            ConvUnit(256, 512, 1),
        )
        self.head = nn.Sequential(
            ConvUnit(512, 512, 7, groups=512, activated=False),
            nn.Flatten(),
            nn.Linear(512, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(images))
