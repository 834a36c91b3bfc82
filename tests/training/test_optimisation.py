"""Which parameters decay, and the learning rate over the steps."""

import copy
import math

import pytest
import torch

from limen import MarginHead, create_backbone, margins
from limen.quality import QualityHead, quality_loss
from limen.training.optimisation import create_optimiser, hold, learning_rate_share, set_learning_rate
from limen.training.recipe import Optimiser, Quality


def test_decay_spares_norms_biases_and_margins():
    backbone, head = create_backbone("tiny", 32), MarginHead(5, 32, margins.AdaMSoftmax(5))
    optimiser = create_optimiser(backbone, head, Optimiser(lr=0.1, margin_lr=0.5))
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    rates = {id(p): group["peak_lr"] for group in optimiser.param_groups for p in group["params"]}
    everything = [*backbone.parameters(), head.margin.class_margin]  # the centres have an optimiser of their own
    assert len(decays) == len(everything)
    for parameter in everything:
        learnt_margin = parameter is head.margin.class_margin
        assert decays[id(parameter)] == (5e-4 if parameter.ndim >= 2 else 0.0)
        assert rates[id(parameter)] == (0.5 if learnt_margin else 0.1)


def test_a_quality_head_has_a_rate_of_its_own():
    backbone, head, quality = create_backbone("tiny", 32), MarginHead(5, 32, margins.CosFace()), QualityHead(32)
    for own, expected in ((None, 0.1), (0.002, 0.002)):
        optimiser = create_optimiser(backbone, head, Optimiser(lr=0.1), quality, own)
        found = {id(p): (group["peak_lr"], group["weight_decay"]) for group in optimiser.param_groups for p in group["params"]}
        assert (found[id(quality.weight)], found[id(quality.bias)]) == ((expected, 5e-4), (expected, 0.0))
        assert found[id(next(backbone.parameters()))][0] == 0.1


@pytest.mark.parametrize(("rate", "settles"), [(Quality().lr, True), (2 * 1.9 / (10 * 40), False)])
def test_a_quality_head_settles_below_the_rate_of_the_steepest_direction(rate, settles):
    """With momentum .9 a quadratic of curvature k is stable below 2 * 1.9 / k, and here k = weight / beta * 40 = 10 / .5 * 40."""
    features = torch.randn(256, 16, dtype=torch.float64)
    features = torch.linalg.qr(features).Q * 16 * torch.tensor([40.0] + [1.0] * 15, dtype=torch.float64).sqrt()  # E[z z^T]: 40, 1, ..., 1
    target, quality = 0.3 * torch.tanh(features[:, 1]), QualityHead(16).double()
    optimiser = create_optimiser(torch.nn.Identity(), MarginHead(5, 16, margins.CosFace()), Optimiser(weight_decay=0.0), quality, rate)
    set_learning_rate(optimiser, 1.0)
    losses = []
    for _ in range(300):
        optimiser.zero_grad()
        loss = quality_loss(quality(features), target)
        (10 * loss).backward()
        optimiser.step()
        losses.append(loss.item())
    assert (max(losses[-50:]) < 0.05 * losses[0]) == settles


def test_one_step_is_sgd_with_decay_on_weights_alone():
    backbone, head = create_backbone("tiny", 32), MarginHead(5, 32, margins.CosFace())
    optimiser = create_optimiser(backbone, head, Optimiser(lr=0.1, momentum=0.9, weight_decay=0.01))
    set_learning_rate(optimiser, 0.5)
    before = [p.detach().clone() for p in backbone.parameters()]
    for parameter in backbone.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    for old, new in zip(before, backbone.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old - 0.05 * (1 + (0.01 * old if old.ndim >= 2 else 0)))


def test_adamw_is_torchs_with_decay_on_weights_alone():
    """Two steps of optimiser.name AdamW against torch's plain loop over each tensor."""
    backbone, head = create_backbone("tiny", 32), MarginHead(5, 32, margins.CosFace())
    config = Optimiser("AdamW", lr=0.01, weight_decay=0.1, betas=[0.8, 0.95], eps=1e-6)
    optimiser = create_optimiser(backbone, head, config)
    twins = [torch.nn.Parameter(p.detach().clone()) for p in backbone.parameters()]
    plain = torch.optim.AdamW(
        [{"params": [p], "weight_decay": 0.1 if p.ndim >= 2 else 0.0} for p in twins], lr=0.005, betas=(0.8, 0.95), eps=1e-6, foreach=False
    )
    set_learning_rate(optimiser, 0.5)
    for _ in range(2):
        for parameter, twin in zip(backbone.parameters(), twins, strict=True):
            parameter.grad = torch.randn_like(parameter)
            twin.grad = parameter.grad.clone()
        hold(optimiser, torch.tensor(True))
        optimiser.step()
        plain.step()
    for parameter, twin in zip(backbone.parameters(), twins, strict=True):
        torch.testing.assert_close(parameter, twin)
    before = copy.deepcopy([[p.detach() for p in backbone.parameters()], list(optimiser.state.values())])
    hold(optimiser, torch.tensor(False))
    optimiser.step()
    after = [[p.detach() for p in backbone.parameters()], list(optimiser.state.values())]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
@pytest.mark.parametrize("rate", [0.125, 0.1])
def test_a_rate_in_a_tensor_is_a_rate(name, rate):
    """To the bit. As on CUDA, where a graph of a step keeps the tensor."""
    moved = []
    for in_tensor in (False, True):
        torch.manual_seed(0)
        backbone, head = create_backbone("tiny", 32), MarginHead(5, 32, margins.CosFace())
        optimiser = create_optimiser(backbone, head, Optimiser(name, lr=rate))
        for group in optimiser.param_groups if in_tensor else ():
            group["lr"] = torch.tensor(rate)
        kept = [group["lr"] for group in optimiser.param_groups]
        set_learning_rate(optimiser, 0.5)
        if in_tensor:
            assert all(group["lr"] is lr for group, lr in zip(optimiser.param_groups, kept, strict=True))
        for parameter in backbone.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
        moved.append([p.detach() for p in backbone.parameters()])
    for one, other in zip(*moved, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_milestones_after_a_linear_warm_up():
    config = Optimiser(schedule="milestones", milestones=[2, 1], warmup_epochs=0.5)
    shares = [learning_rate_share(config, step, 4, 12) for step in range(12)]
    assert shares == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


@pytest.mark.parametrize("schedule", ["milestones", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0.01, 0.3, 0.5, 1.1])
def test_a_warm_up_never_exceeds_the_peak(schedule, warmup):
    config = Optimiser(schedule=schedule, warmup_epochs=warmup)
    shares = [learning_rate_share(config, step, 5, 10) for step in range(10)]
    assert max(shares) == pytest.approx(1, abs=0.1)
    assert max(shares) <= 1


def test_cosine_falls_from_the_peak_to_nothing():
    config = Optimiser(schedule="cosine", warmup_epochs=1)
    shares = [learning_rate_share(config, step, 4, 24) for step in range(24)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4] == 1
    assert shares[14] == pytest.approx(0.5)
    assert shares[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 19 / 20)))


def test_constant_stays():
    assert {learning_rate_share(Optimiser(schedule="constant"), step, 4, 12) for step in range(12)} == {1.0}
