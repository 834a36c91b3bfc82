"""Class samplers: which class centres take part in a training step. One file per paper."""

from typing import Any

from limen.heads.samplers.base import ClassSampler
from limen.heads.samplers.partial_fc import PartialFC
from limen.heads.samplers.prototype_mining import HardPrototypeMining
from limen.lookup import call, find

SAMPLERS = {sampler.__name__: f"{sampler.__module__}:{sampler.__name__}" for sampler in (PartialFC, HardPrototypeMining)}

__all__ = ["SAMPLERS", "ClassSampler", "HardPrototypeMining", "PartialFC", "create_sampler"]


def create_sampler(name: str, **options: Any) -> ClassSampler:
    """The class sampler `name` of SAMPLERS, or "package.module:Class" of one's own.

    Raises LimenError for a name or an option that is not known, naming the nearest, and for a value that cannot be meant.

    >>> from limen.heads import create_sampler
    >>> create_sampler("PartialFC", rate=0.2).share
    0.2
    """
    return call(f"sampler {name}", find("head.sampler.name", name, SAMPLERS, ClassSampler), options)
