"""A class sampler of one's own: the classes take turns, in blocks of consecutive rows, beside those of the batch.

    PYTHONPATH=docs/extend limen train --config small/synthetic --head.sampler.name own_sampler:TakingTurns --out runs/turns

A sampler names rows of its process's centres, so any margin, any number of ranks and the update of the centres come with it.
"""

from pathlib import Path

import torch
from torch import Tensor

from limen.heads import ClassCenters, ClassSampler
from limen.training import load_recipe, train


class TakingTurns(ClassSampler):
    """One of `turns` blocks of the classes in each step. `step` is a buffer, so a resumed run goes on with the block that is due."""

    def __init__(self, turns: int = 4):
        super().__init__()
        self.turns = turns

    def select(self, labels: Tensor, centers: ClassCenters) -> Tensor:
        rows = centers.rows_of(labels)  # -1 for a class that another process has
        block = torch.arange(len(centers.weight), device=rows.device).tensor_split(self.turns)[int(self.step) % self.turns]
        self.step += 1
        return torch.cat([rows[rows >= 0], block]).unique()


def main(out: Path) -> Path:
    """Trains with it for a few steps and returns the bundle."""
    recipe = load_recipe(None, ["--head.sampler.name", "own_sampler:TakingTurns", "--head.sampler.options.turns", "3"])
    recipe.out, recipe.epochs, recipe.batch_size = str(out), 2, 16
    recipe.data.reader, recipe.data.options, recipe.data.workers = "synthetic", {"identities": 8, "images_per_identity": 8}, 0
    recipe.backbone.name, recipe.backbone.embedding_size = "tiny", 32
    return train(recipe, quiet=True)
