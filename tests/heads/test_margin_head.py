"""The head equals cross-entropy over the full row of margined logits, for every margin and implementation."""

import pytest
import torch
import torch.nn.functional as F

from limen import MarginHead, margins
from limen.functional.margin_softmax import blocks
from limen.heads import HardPrototypeMining, PartialFC

B, C, D, S = 16, 40, 8, 30.0
MARGINS = {
    "NormFace": lambda: margins.NormFace(),
    "SphereFace": lambda: margins.SphereFace(),
    "SphereFace norm": lambda: margins.SphereFace(scale="norm"),
    "CosFace": lambda: margins.CosFace(),
    "ArcFace": lambda: margins.ArcFace(),
    "ElasticArcFace": lambda: margins.ElasticArcFace(),
    "ElasticCosFace plus": lambda: margins.ElasticCosFace(plus=True),
    "AdaM": lambda: margins.AdaMSoftmax(C),
    "AdaM angular": lambda: margins.AdaMSoftmax(C, form="angular"),
    "AdaFace": lambda: margins.AdaFace(),
    "MagFace": lambda: margins.MagFace(),
    "CurricularFace": lambda: margins.CurricularFace(),
}


def naive_loss(head, features, labels):
    """Every logit of (B, C), the target replaced by its margined value, and F.cross_entropy."""
    cosine = F.normalize(features) @ F.normalize(head.centers.weight).T
    norm = features.norm(dim=1)
    target_cosine = cosine.gather(1, labels[:, None]).squeeze(1)
    row_scale = head.margin.row_scale(norm)
    scale = torch.full_like(norm, head.scale) if row_scale is None else row_scale
    rest = cosine
    if head.margin.gate is not None:
        threshold, shift = head.margin.gate(target_cosine.detach())
        rest = torch.where(cosine > threshold[:, None], cosine * (shift + cosine), cosine)
    psi = head.margin(target_cosine, norm, labels)
    logits = torch.where(F.one_hot(labels, C).bool(), psi[:, None], rest)
    loss = F.cross_entropy(scale[:, None] * logits, labels, reduction="none")
    extra = head.margin.regulariser(norm)
    return loss, loss.mean() + (0 if extra is None else extra)


@pytest.mark.parametrize("implementation", ["dense", "chunked"])
@pytest.mark.parametrize("name", MARGINS)
def test_equals_cross_entropy_over_the_row(monkeypatch, name, implementation):
    monkeypatch.setattr(blocks, "CPU_BLOCK", 7)
    head = MarginHead(C, D, MARGINS[name](), scale=S, implementation=implementation).double().eval()
    if hasattr(head.margin, "sample"):
        drawn = head.margin.sample(B, dtype=torch.float64)
        head.margin.sample = lambda *_: drawn
    features = (20 * torch.randn(B, D, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(C, (B,))
    inputs = [features, *head.parameters()]
    loss, total = naive_loss(head, features, labels)
    want = torch.autograd.grad(total, inputs)
    out = head(features, labels)
    torch.testing.assert_close(out.loss_per_sample, loss, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.loss, total, rtol=1e-10, atol=1e-10)
    for got, expected in zip(torch.autograd.grad(out.loss, inputs), want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MARGINS)
def test_a_feature_of_zeros_spoils_nothing(name):
    """It has a loss, no direction to turn in, and leaves the others' gradients alone."""
    head = MarginHead(C, D, MARGINS[name](), scale=S)
    features = torch.randn(B, D)
    features[3] = 0
    features.requires_grad_()
    out = head(features, torch.randint(C, (B,)))
    out.loss.backward()
    assert out.loss.isfinite()
    assert out.nearest_negative.isfinite().all()
    assert features.grad[3].abs().max() == 0
    assert features.grad.isfinite().all()
    assert head.centers.weight.grad.isfinite().all()


@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
@pytest.mark.parametrize("sampler", ["all", "PartialFC", "HardPrototypeMining"])
@pytest.mark.parametrize("name", MARGINS)
def test_nothing_that_lasts_learns_from_a_batch_that_is_not_finite(name, sampler, spoil):
    """Its loss is NaN. Averages and margins are as before it to the bit, and a head that passes over it ends where one ends that never
    saw it."""
    samplers = {"PartialFC": lambda: PartialFC(0.6), "HardPrototypeMining": lambda: HardPrototypeMining(4, subset=0.6)}
    torch.manual_seed(3)
    head = MarginHead(C, D, MARGINS[name](), scale=S, sampler=samplers.get(sampler, lambda: None)())
    features, labels = 20 * torch.randn(B, D), torch.randint(C, (B,))
    head(features, labels)
    before = {part: value.clone() for part, value in head.margin.state_dict().items()}
    spoilt = features.clone()
    spoilt[3, 2] = spoil
    assert head(spoilt, labels).loss.isnan()
    after = head.margin.state_dict()
    assert all(torch.equal(after[part], value) for part, value in before.items())
    assert all(value.isfinite().all() for value in head.state_dict().values())
    assert head(features, labels).loss.isfinite()


def test_adaface_takes_its_first_statistics_from_the_first_finite_batch():
    margin = margins.AdaFace(init_from_first_batch=True)
    cosine, norm, labels = torch.rand(B), 10 + 20 * torch.rand(B), torch.randint(C, (B,))
    for spoil in (torch.nan, torch.inf):
        margin(cosine, torch.cat([norm[1:], torch.tensor([spoil])]), labels)
        assert (margin.norm_mean, margin.norm_std, margin.seen) == (20, 100, False)
    margin(cosine, norm, labels)
    torch.testing.assert_close(margin.norm_mean, norm.mean())
    torch.testing.assert_close(margin.norm_std, norm.std())


def test_nearest_negative_is_the_best_other_class():
    head = MarginHead(C, D, margins.ArcFace()).double()
    features, labels = torch.randn(B, D, dtype=torch.float64), torch.randint(C, (B,))
    out = head(features, labels)
    cosine = F.normalize(features) @ F.normalize(head.centers.weight).T
    others = cosine.masked_fill(F.one_hot(labels, C).bool(), -2).max(1)
    torch.testing.assert_close(out.nearest_negative, others.values)
    assert torch.equal(out.nearest_negative_index, others.indices)
    torch.testing.assert_close(out.target_cosine, cosine.gather(1, labels[:, None]).squeeze(1))
    assert not out.target_cosine.requires_grad
    assert not out.nearest_negative.requires_grad


@pytest.mark.parametrize("bad", [-1, C])
def test_a_label_out_of_range_is_named(bad):
    head = MarginHead(C, D, margins.CosFace())
    with pytest.raises(ValueError, match=rf"label {bad} is outside \[0, {C}\)"):
        head(torch.randn(3, D), torch.tensor([0, bad, 1]))


def test_unknown_implementation_is_named():
    with pytest.raises(ValueError, match="'auto', 'dense', 'chunked'"):
        MarginHead(C, D, margins.CosFace(), implementation="sparse")


def test_the_loss_falls_when_it_is_minimised():
    head = MarginHead(C, D, margins.AdaFace(m=0.2), scale=S)
    features = torch.nn.Parameter(torch.randn(B, D))
    labels = torch.randint(C, (B,))
    optimiser = torch.optim.SGD([features, head.centers.weight], lr=0.3, momentum=0.9)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        out = head(features, labels)
        out.loss.backward()
        optimiser.step()
        losses.append(out.loss.item())
    assert losses[-1] < 0.2 * losses[0]
