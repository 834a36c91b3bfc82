"""Memory is used again only when nothing refers to it any more."""

import pytest
import torch

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
