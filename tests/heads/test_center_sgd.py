"""Updating the centres inside the backward pass: as torch's SGD for those that took part, untouched for the rest; bfloat16 without bias."""

import pytest
import torch

from limen import MarginHead, margins
from limen.functional.margin_softmax import blocks
from limen.heads import CenterSGD

B, C, D = 6, 30, 8
pytestmark = pytest.mark.usefixtures("way")


def head_of(dtype=torch.float64, **options):
    torch.manual_seed(1)
    return MarginHead(C, D, margins.ArcFace(), scale=16.0, **options).to(dtype)


def batches(count, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    for _ in range(count):
        yield torch.randn(B, D, generator=generator, dtype=dtype), torch.randint(C, (B,), generator=generator)


class Few:
    """A sampler of the classes of the batch and two more."""

    hardest, per_class = 0, ()

    def select(self, labels, centers):
        return torch.cat([labels, torch.tensor([3, 17])]).unique()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("implementation", ["dense", "chunked"])
def test_all_classes_equals_torch_sgd(monkeypatch, implementation, momentum):
    monkeypatch.setattr(blocks, "CPU_BLOCK", 7)
    plain, fused = head_of(implementation=implementation), head_of(implementation=implementation)
    sgd = torch.optim.SGD([plain.centers.weight], lr=0.1, momentum=momentum, weight_decay=5e-2)
    update = CenterSGD(fused.centers, momentum=momentum, weight_decay=5e-2)
    for step, (features, labels) in enumerate(batches(4)):
        sgd.param_groups[0]["lr"] = 0.1 / (1 + step)
        sgd.zero_grad()
        plain(features, labels).loss.backward()
        sgd.step()
        fused(features, labels, update=update.at(0.1 / (1 + step))).loss.backward()
        assert fused.centers.weight.grad is None
        torch.testing.assert_close(fused.centers.weight.data, plain.centers.weight.data, rtol=1e-12, atol=1e-14)


def test_rows_that_took_no_part_stay_to_the_bit():
    head = head_of()
    head.sampler = Few()
    update = CenterSGD(head.centers, momentum=0.9, weight_decay=5e-2)
    reference, velocity = head.centers.weight.data.clone(), torch.zeros(C, D, dtype=torch.float64)
    for features, labels in batches(5):
        plain = head_of()
        plain.sampler = Few()
        plain.centers.weight.data.copy_(reference)
        plain(features, labels).loss.backward()
        rows = Few().select(labels, None)
        velocity[rows] = 0.9 * velocity[rows] + plain.centers.weight.grad[rows] + 5e-2 * reference[rows]
        before = head.centers.weight.data.clone()
        reference[rows] -= 0.1 * velocity[rows]
        head(features, labels, update=update.at(0.1)).loss.backward()
        rest = torch.ones(C, dtype=torch.bool).index_fill_(0, rows, False)
        assert torch.equal(head.centers.weight.data[rest], before[rest])
        torch.testing.assert_close(head.centers.weight.data, reference, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(update.velocity, velocity, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sampler", [None, Few()])
@pytest.mark.parametrize("implementation", ["dense", "chunked"])
@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
def test_a_batch_that_is_not_finite_moves_nothing(spoil, implementation, sampler, dtype):
    """Neither centres nor momenta, to the bit, while the loss and the gradient of the features tell; the next batch moves them."""
    head = head_of(dtype, implementation=implementation)
    head.sampler = sampler
    update = CenterSGD(head.centers, momentum=0.9, weight_decay=5e-2)
    (features, labels), *_ = batches(1, torch.float32)
    head(features, labels, update=update.at(0.1)).loss.backward()  # momenta that would coast on
    before = head.centers.weight.data.clone(), update.velocity.clone()
    spoilt = features.clone()
    spoilt[2, 3] = spoil
    spoilt.requires_grad_()
    out = head(spoilt, labels, update=update.at(0.1))
    out.loss.backward()
    assert out.loss.isnan()
    assert spoilt.grad.isnan().all()
    assert torch.equal(head.centers.weight.data, before[0])
    assert torch.equal(update.velocity, before[1])
    out = head(features, labels, update=update.at(0.1))
    (out.loss * spoil).backward()  # a gradient that is not finite, of a loss that is
    assert torch.equal(head.centers.weight.data, before[0])
    assert torch.equal(update.velocity, before[1])
    head(features, labels, update=update.at(0.1)).loss.backward()
    assert not torch.equal(head.centers.weight.data, before[0])
    assert head.centers.weight.isfinite().all()


def test_a_head_that_is_converted_later_still_moves():
    early, late = head_of(torch.float32), head_of(torch.float32)
    updates = [CenterSGD(early.centers, momentum=0.0)]
    early.bfloat16()
    updates.append(CenterSGD(late.bfloat16().centers, momentum=0.0))
    before = early.centers.weight.detach().clone()
    features, labels = next(batches(1, torch.float32))
    for head, update in zip((early, late), updates, strict=True):
        torch.manual_seed(3)  # of the stochastic rounding
        head(features, labels, update=update.at(0.1)).loss.backward()
    assert (early.centers.weight != before).any(1).all()
    assert torch.equal(early.centers.weight, late.centers.weight)


def test_a_frozen_backbone_still_moves_the_centres():
    head = head_of()
    update = CenterSGD(head.centers)
    before = head.centers.weight.data.clone()
    features, labels = next(batches(1))
    head(features, labels, update=update.at(0.1)).loss.backward()
    assert (head.centers.weight.data != before).any(1).all()


def test_stochastic_rounding_is_right_on_average_and_to_a_neighbour():
    head = head_of(torch.bfloat16)
    update = CenterSGD(head.centers)
    value = torch.randn(500, D) * torch.logspace(-6, 3, 500)[:, None]
    draws = torch.stack([update._rounded(value.clone()).float() for _ in range(2000)])
    ulp = (value.abs() * 2.0**-7).clamp_min(1e-38)
    assert ((draws - value).abs() <= ulp).all()
    deviation = (draws.mean(0) - value) / ulp  # of 2000 draws: standard error below .5 / sqrt(2000) = .011
    assert deviation.abs().max() < 0.06
    exact = value.bfloat16().float()
    assert torch.equal(update._rounded(exact.clone()).float(), exact)


def test_bfloat16_centres_follow_the_float32_ones_where_nearest_rounding_stalls():
    """Steps of a 1/2000 of the value: rounding to nearest would never move them."""
    centers = head_of(torch.bfloat16).centers
    centers.weight.data.fill_(1.0)
    update = CenterSGD(centers, momentum=0.0, weight_decay=0.0).at(1.0)
    for _ in range(400):
        update(slice(0, C), centers.weight.float(), torch.full((C, D), 1 / 2000), torch.tensor(True))
    assert centers.weight.float().mean().item() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_state_goes_round(dtype):
    first, second = head_of(dtype), head_of(dtype)
    updates = [CenterSGD(head.centers) for head in (first, second)]
    for k, (features, labels) in enumerate(batches(4, torch.float32)):
        torch.manual_seed(k)  # of the stochastic rounding
        first(features, labels, update=updates[0].at(0.1)).loss.backward()
        if k == 1:
            second.load_state_dict(first.state_dict())
            updates[1].load_state_dict({name: tensor.clone() for name, tensor in updates[0].state_dict().items()})
        if k > 1:
            torch.manual_seed(k)
            second(features, labels, update=updates[1].at(0.1)).loss.backward()
    assert torch.equal(first.centers.weight, second.centers.weight)
    assert torch.equal(updates[0].velocity, updates[1].velocity)
