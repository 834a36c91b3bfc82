"""A small plain network for tests, the demo and experiments on a CPU."""

from itertools import pairwise

import torch
from torch import nn

from limen.backbones.last_layers import LastLayers

WIDTHS = (32, 64, 128)
MAP_AREA = 7 * 7  # 112x112 after the stem's quartering and two halvings


class TinyBlock(nn.Module):
    """`relu(x + Conv-BN-ReLU-Conv-BN(x))`, width and size kept."""

    def __init__(self, width: int):
        super().__init__()
        self.residual = nn.Sequential(*_convolution(width, width, 3, 1), nn.ReLU(inplace=True), *_convolution(width, width, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.residual(x))


class TinyNet(nn.Module):
    """(B, 3, 112, 112) in [-1, 1] -> (B, embedding_size) raw features with |z| near sqrt(embedding_size).

    Made for a minute of training on two CPU cores: plain convolutions and ReLU run there close to the peak, unlike depthwise ones and
    PReLU; a stem of 4x4 patches, and residual blocks on the maps of 14 and 7 alone, buy more steps than the richer forms are worth.
    """

    def __init__(self, embedding_size: int = 512):
        super().__init__()
        self.layers = nn.Sequential(*_convolution(3, WIDTHS[0], 4, 4), nn.ReLU(inplace=True))
        for width_in, width in pairwise(WIDTHS):
            self.layers.extend([*_convolution(width_in, width, 3, 2), nn.ReLU(inplace=True), TinyBlock(width)])
        self.head = LastLayers(
            nn.Flatten(),
            nn.Linear(WIDTHS[-1] * MAP_AREA, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size, affine=False),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(images))


def _convolution(width_in: int, width: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    padding = 0 if kernel == stride else kernel // 2
    convolution = nn.Conv2d(width_in, width, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution, nn.BatchNorm2d(width)
