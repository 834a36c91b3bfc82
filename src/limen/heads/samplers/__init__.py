"""Class samplers: which class centres take part in a training step."""

from limen.heads.samplers.base import SAMPLERS, ClassSampler, PartialFC, create_sampler
from limen.heads.samplers.prototype_mining import HardPrototypeMining

__all__ = ["SAMPLERS", "ClassSampler", "HardPrototypeMining", "PartialFC", "create_sampler"]
