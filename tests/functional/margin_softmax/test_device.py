"""The pass never waits for the device: no value of a tensor decides what is run next."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from limen import MarginHead
from limen.functional import margin_softmax
from limen.functional.margin_softmax import blocks
from limen.heads import CenterSGD, ClassCenters, ClassSampler, HardPrototypeMining, PartialFC
from limen.margins import MARGINS, create_margin

pytestmark = pytest.mark.usefixtures("way")


def gate(target_cosine):
    return target_cosine - 0.3, target_cosine.new_tensor(0.4)


def step(implementation, the_gate, options):
    features, centers = torch.randn(7, 5).requires_grad_(), torch.randn(23, 5).requires_grad_()
    labels = torch.randint(-1, 23, (7,))
    active = torch.arange(0, 23, 2) if options.get("active") else None
    scale = (5 + torch.rand(7)).requires_grad_() if options.get("row_scale") else 16.0
    update = (lambda rows, value, gradient, finite: value.add_(gradient * finite)) if options.get("update") else None
    hardest = options.get("hardest", 0)
    found = margin_softmax(
        features, centers.bfloat16(), labels, scale, the_gate, implementation, active=active, update=update, hardest=hardest
    )
    (found.target_cosine.sum() + found.negative_logsumexp.sum()).backward()
    return features.grad


@pytest.mark.parametrize("implementation", ["dense", "chunked", "auto"])
@pytest.mark.parametrize("the_gate", [None, gate])
@pytest.mark.parametrize("options", [{}, {"active": True, "hardest": 3}, {"row_scale": True}, {"update": True}])
def test_no_value_is_asked_for(monkeypatch, implementation, the_gate, options):
    """Fake tensors have shapes and no values: each transfer to the host raises, as .item() does here."""
    monkeypatch.setattr(blocks, "CPU_BLOCK", 5)
    with FakeTensorMode():
        assert step(implementation, the_gate, options).shape == (7, 5)
        with pytest.raises(DataDependentOutputException):
            torch.ones(()).item()


SAMPLERS = {"all": lambda: None, "PartialFC": lambda: PartialFC(0.5), "HardPrototypeMining": lambda: HardPrototypeMining(3, subset=0.6)}


CASES = [(margin, "all", torch.float32) for margin in MARGINS]  # a margin never sees the centres, whose type this is
CASES += [("ArcFace", sampler, dtype) for sampler in SAMPLERS for dtype in (torch.float32, torch.bfloat16)]


@pytest.mark.parametrize(("margin", "sampler", "dtype"), sorted(set(CASES), key=str))
def test_a_step_of_the_head_asks_for_no_value(monkeypatch, margin, sampler, dtype):
    """The whole head with its margin, backward pass and update; class samplers in their steady state, between two graphs."""
    monkeypatch.setattr(ClassSampler, "steps_begun", 5)  # a number on the host
    monkeypatch.setattr(blocks, "CPU_BLOCK", 5)
    monkeypatch.setattr(ClassCenters, "draw", lambda self: None)  # before the first step, not in it
    monkeypatch.setattr(ClassCenters, "check", lambda self, labels: None)  # looks at labels on a CPU alone
    with FakeTensorMode():
        head = MarginHead(23, 5, create_margin(margin, 23), sampler=SAMPLERS[sampler](), dtype=dtype)
        features = torch.randn(7, 5).requires_grad_()
        out = head(features, torch.randint(23, (7,)), update=CenterSGD(head.centers).at(0.1))
        out.loss.backward()
        assert features.grad.shape == (7, 5)
