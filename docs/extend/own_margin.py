"""A margin of one's own: Li-ArcFace's linear margin (Li et al., 2019), in a file outside the package.

    PYTHONPATH=docs/extend limen train --config small/synthetic --margin.name own_margin:LinearMargin --out runs/linear

A margin sees three (B,)-vectors, never the class centres, so this is all there is to write: the fused pass over the centres, its gradient,
recipes and checkpoints come with it. Its slope in the cosine is not 1, so that features may gather (docs/explanation/collapse.md):
`return margined(psi, target_cosine, "straight_through")`, of limen.margins, would pass the gradient with a slope of 1.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from limen.margins import Margin
from limen.training import load_recipe, train


class LinearMargin(Margin):
    """psi = (pi - 2 (theta + m)) / pi: falls evenly with the angle, from 1 - 2 m / pi at 0. m in radians."""

    def __init__(self, m: float = 0.45):
        super().__init__()
        self.m = m

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        theta = torch.acos(target_cosine.clamp(-1 + 1e-6, 1 - 1e-6))
        return (math.pi - 2 * (theta + self.m)) / math.pi


def main(out: Path) -> Path:
    """Trains with it for a few steps and returns the bundle."""
    recipe = load_recipe(None, ["--margin.name", "own_margin:LinearMargin", "--margin.options.m", "0.3"])
    recipe.out, recipe.epochs, recipe.batch_size = str(out), 2, 16
    recipe.data.reader, recipe.data.options, recipe.data.workers = "synthetic", {"identities": 8, "images_per_identity": 8}, 0
    recipe.backbone.name, recipe.backbone.embedding_size = "tiny", 32
    return train(recipe, quiet=True)
