"""Vision transformers for faces.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, section 3.1, with the blocks' shapes of Touvron et al., "Training
data-efficient image transformers", ICML 2021, table 1 (S and B). Patches of 8x8 give a face of 112x112 the 196 tokens that patches of 16x16
give an image of 224x224. As in the iresnets, the embedding is a linear layer on the whole flattened map, not a class token: aligned faces
have their eyes in the same patch.
"""

import torch
import torch.nn.functional as F
from torch import nn

from limen.backbones.last_layers import LastLayers
from limen.errors import LimenError

SIDE, PATCH = 112, 8
TOKENS = (SIDE // PATCH) ** 2


class Attention(nn.Module):
    """Multi-head self-attention, (B, N, width) -> (B, N, width). Vaswani et al., "Attention Is All You Need", 2017, section 3.2."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, N, width / heads)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class StochasticDepth(nn.Module):
    """In training, 0 for a share `rate` of the images and x / (1 - rate) for the others. Huang et al., ECCV 2016, section 3."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class Block(nn.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`, with a hidden layer of four widths."""

    def __init__(self, width: int, heads: int, drop_path: float):
        super().__init__()
        hidden = 4 * width
        mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads), StochasticDepth(drop_path))
        self.mlp = nn.Sequential(nn.LayerNorm(width), mlp, StochasticDepth(drop_path))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class VisionTransformer(nn.Module):
    """(B, 3, 112, 112) in [-1, 1] -> (B, embedding_size) raw features; no other size of image.

    width, depth, heads   numbers in a token, blocks, heads of attention in each
    drop_path             rate of stochastic depth of the last block; it rises linearly from 0 in the first
    dropout               rate before the linear layer
    """

    def __init__(self, width: int, depth: int, heads: int, embedding_size: int = 512, *, drop_path: float = 0.0, dropout: float = 0.0):
        super().__init__()
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path: {drop_path} is not a rate from 0 to below 1")
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.positions = nn.Parameter(torch.empty(TOKENS, width))
        self.blocks = nn.Sequential(*(Block(width, heads, drop_path * k / (depth - 1)) for k in range(depth)))
        self.head = LastLayers(
            nn.LayerNorm(width),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(TOKENS * width, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size, affine=False),
        )
        nn.init.trunc_normal_(self.positions, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[-2:] != (SIDE, SIDE):
            raise LimenError(
                f"images of {images.shape[-1]}x{images.shape[-2]}: a vision transformer has a position for each patch of {SIDE}x{SIDE} "
                f"and takes no other size; align the faces to it (limen data align), or set data.options.size to {SIDE}"
            )
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions  # (B, 196, width)
        return self.head(self.blocks(tokens))
