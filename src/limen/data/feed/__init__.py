"""What feeds a training run: orders of images, one file a kind, and the loader that reads them ahead."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from limen.data.feed.adaptive_sampling import AdaptiveDataSampler
from limen.data.feed.order import BatchOrder
from limen.data.feed.source_weights import WeightedSources
from limen.lookup import call, find

__all__ = ["ORDERS", "AdaptiveDataSampler", "BatchOrder", "WeightedSources", "create_order"]
ORDERS = {name: f"{order.__module__}:{order.__name__}" for name, order in (("shuffled", BatchOrder), ("adaptive", AdaptiveDataSampler))}


def create_order(name: str, options: Mapping[str, Any], *given: Any) -> BatchOrder:
    """The order of images `name` of ORDERS, or "package.module:Class" of one's own; `given` is what `BatchOrder` takes, from `count` on.

    Raises LimenError for a name or an option that is not known, naming the nearest, and for a value that cannot be meant.
    """
    order = find("data.sampling.name", name, ORDERS, BatchOrder)
    return call(f"data.sampling {name}", partial(order, *given), options)
