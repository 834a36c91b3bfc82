"""Memory is used again only when nothing refers to it any more."""

import pytest
import torch

from limen import MarginHead, margins
from limen.functional import workspace
from limen.functional.workspace import reusable_empty


@pytest.fixture(autouse=True)
def _empty_pool(monkeypatch):
    monkeypatch.setattr(workspace, "LARGE", 8)
    monkeypatch.setattr(workspace, "_pool", [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory_comes_back_when_the_last_reference_goes(dtype):
    like = torch.zeros((), dtype=dtype)
    first = reusable_empty((4, 5), like)
    address = first.data_ptr()
    assert (first.shape, first.dtype) == ((4, 5), dtype)
    assert reusable_empty((4, 5), like).data_ptr() != address
    view = first[1:]
    del first
    assert reusable_empty((4, 5), like).data_ptr() != address, "a view keeps it"
    del view
    assert reusable_empty((2, 5), like).data_ptr() == address


def test_a_gradient_that_is_kept_is_never_written_again():
    weight = torch.nn.Parameter(torch.zeros(4, 5))

    class Fill(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, value):
            ctx.value = value
            return x.sum()

        @staticmethod
        def backward(ctx, grad):
            return reusable_empty((4, 5), weight).fill_(ctx.value), None

    Fill.apply(weight, 1.0).backward()
    kept = weight.grad
    weight.grad = None
    Fill.apply(weight, 2.0).backward()
    assert kept.eq(1).all()
    Fill.apply(weight, 4.0).backward()  # accumulates
    assert weight.grad.eq(6).all()


def test_the_pool_stays_small():
    held = [reusable_empty((k + 2, 8), torch.zeros(())) for k in range(10)]
    assert len(workspace._pool) == workspace.KEPT
    assert len({tensor.data_ptr() for tensor in held}) == 10


def test_a_small_result_leaves_large_memory_to_a_large_one():
    like = torch.empty(0)
    large, small = reusable_empty((3_000_001,), like), reusable_empty((1_000_001,), like)
    places = large.data_ptr(), small.data_ptr()
    del large, small
    small = reusable_empty((1_000_000,), like)
    large = reusable_empty((3_000_000,), like)
    assert (large.data_ptr(), small.data_ptr()) == places


def test_a_dense_step_takes_no_fresh_memory_for_its_large_results():
    """The logits, the gradient of the centres and two blocks of logits all find the memory of the step before."""
    head = MarginHead(20_000, 64, margins.ArcFace(), implementation="dense")
    features, labels = torch.randn(64, 64, requires_grad=True), torch.randint(20_000, (64,))

    def step():
        head.centers.weight.grad = features.grad = None
        head(features, labels).loss.backward()
        return head.centers.weight.grad.data_ptr()

    step()
    kept = {id(base) for base in workspace._pool}
    step()
    assert {id(base) for base in workspace._pool} == kept
