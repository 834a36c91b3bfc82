"""From a recipe to a bundle."""

from limen.training.log import read_log
from limen.training.loop import train
from limen.training.recipe import Recipe
from limen.training.settings import load_recipe

__all__ = ["Recipe", "load_recipe", "read_log", "train"]
