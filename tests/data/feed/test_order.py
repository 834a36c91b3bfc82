import sys
import types

import numpy as np
import pytest

from limen.data import AdaptiveDataSampler, BatchOrder
from limen.data.feed import ORDERS, create_order
from limen.errors import LimenError


def indices(order):
    return [plan.indices.tolist() for plan in order]


def test_an_epoch_holds_each_image_at_most_once_and_leaves_out_the_rest():
    plans = list(BatchOrder(count=23, batch_size=4, seed=1, total_steps=12))
    assert [plan.step for plan in plans] == list(range(12))
    assert [plan.epoch for plan in plans] == [0] * 5 + [1] * 5 + [2] * 2
    epochs = [np.concatenate([plan.indices for plan in plans if plan.epoch == epoch]) for epoch in (0, 1)]
    assert all(len(set(epoch.tolist())) == 20 and set(epoch.tolist()) <= set(range(23)) for epoch in epochs)
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize("start", [1, 5, 7, 12])
def test_resumed_equals_uninterrupted(start):
    whole = indices(BatchOrder(23, 4, seed=1, total_steps=12))
    resumed = BatchOrder(23, 4, seed=1, total_steps=12, start_step=start)
    assert indices(resumed) == whole[start:]
    assert len(resumed) == 12 - start
    loaded = BatchOrder(23, 4, seed=1, total_steps=12)
    loaded.load_state_dict(resumed.state_dict())
    assert indices(loaded) == whole[start:]


def test_the_ranks_hold_the_global_batch_between_them():
    whole = indices(BatchOrder(23, 6, seed=1, total_steps=8))
    ranks = [indices(BatchOrder(23, 6, seed=1, total_steps=8, rank=rank, world_size=3)) for rank in range(3)]
    assert [[*a, *b, *c] for a, b, c in zip(*ranks, strict=True)] == whole


def test_the_seed_decides():
    assert indices(BatchOrder(23, 4, 1, 12)) == indices(BatchOrder(23, 4, 1, 12))
    assert indices(BatchOrder(23, 4, 1, 12)) != indices(BatchOrder(23, 4, 2, 12))


@pytest.mark.parametrize("arguments", [{"batch_size": 24}, {"batch_size": 0}, {"batch_size": 4, "world_size": 3}])
def test_a_batch_that_cannot_be_drawn_is_refused(arguments):
    with pytest.raises(LimenError, match=r"^batch_size: .*choose"):
        BatchOrder(23, seed=1, total_steps=12, **arguments)


class Backwards(BatchOrder):
    """One of the user's own."""

    def __init__(self, *given, first: int = 0):
        super().__init__(*given)
        self.first = first


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [("shuffled", BatchOrder, {}), ("adaptive", AdaptiveDataSampler, {"period": 7}), ("own:Backwards", Backwards, {"first": 3})],
)
def test_an_order_is_made_by_its_name(name, kind, options, monkeypatch):
    monkeypatch.setitem(sys.modules, "own", types.SimpleNamespace(Backwards=Backwards))
    order = create_order(name, options, 40, 8, 3, 10, 0, 1, 2, lambda tensor: tensor)
    assert type(order) is kind
    assert {option: getattr(order, option) for option in options} == options
    assert indices(order) == indices(BatchOrder(40, 8, 3, 10, 0, 1, 2))


def test_a_name_or_option_of_an_order_that_is_not_known_is_refused():
    with pytest.raises(LimenError, match=r"data\.sampling\.name: 'adaptiv' is not known; did you mean 'adaptive'"):
        create_order("adaptiv", {}, 40, 8, 3, 10)
    for name in ORDERS:  # what the run itself says is none of them
        with pytest.raises(LimenError, match=f"data.sampling {name}: 'count' is not one of its options"):
            create_order(name, {"count": 3}, 40, 8, 3, 10, 0, 0, 1, None)
