"""Each margin against its formula in angles, its gradient, and the laws its paper states."""

import math
from functools import partial

import pytest
import torch

from limen import margins
from limen.margins import (
    AdaFace,
    AdaMSoftmax,
    ArcFace,
    CosFace,
    CurricularFace,
    ElasticArcFace,
    ElasticCosFace,
    MagFace,
    NormFace,
    SphereFace,
)

B, C = 64, 10
THETA = torch.linspace(0.2, 2.4, B, dtype=torch.float64)
NORM = torch.linspace(5, 120, B, dtype=torch.float64)
LABEL = torch.arange(B) % C


def psi(margin, theta=THETA):
    return margin.double()(theta.cos(), NORM[: len(theta)], LABEL[: len(theta)])


def sphere(theta, m):
    k = (m * theta / math.pi).floor()
    return (-1.0) ** k * (m * theta).cos() - 2 * k


FORMULAS = {
    "NormFace": (NormFace(), lambda: THETA.cos()),
    "CosFace": (CosFace(0.35), lambda: THETA.cos() - 0.35),
    "ArcFace": (ArcFace(0.5), lambda: (THETA + 0.5).cos()),
    "SphereFace": (SphereFace(1.7), lambda: sphere(THETA, 1.7)),
    "SphereFace 4": (SphereFace(4), lambda: sphere(THETA, 4)),
    "CurricularFace": (CurricularFace(0.5), lambda: (THETA + 0.5).cos()),
    "MagFace": (MagFace(), lambda: (THETA + 0.45 + 0.35 * (NORM.clamp(10, 110) - 10) / 100).cos()),
    "ElasticArcFace, std 0": (ElasticArcFace(0.5, std=0), lambda: (THETA + 0.5).cos()),
    "ElasticCosFace, std 0": (ElasticCosFace(0.35, std=0), lambda: THETA.cos() - 0.35),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_equals_the_formula_in_angles(name):
    margin, want = FORMULAS[name]
    keep = (THETA + 0.8).lt(math.pi)  # ArcFace's other branch has a test of its own
    torch.testing.assert_close(psi(margin)[keep], want()[keep], rtol=0, atol=1e-12)


def every_margin():
    plain = [NormFace(), SphereFace(), CosFace(), ArcFace(), AdaFace(), MagFace(), CurricularFace()]
    elastic = [ElasticArcFace(), ElasticCosFace(), ElasticArcFace(std=0.0175, plus=True), ElasticCosFace(std=0.025, plus=True)]
    return plain + elastic + [AdaMSoftmax(C), AdaMSoftmax(C, form="angular")]


@pytest.mark.parametrize("margin", every_margin(), ids=lambda m: type(m).__name__)
def test_gradient_in_the_cosine_is_exact(margin):
    margin = margin.double().eval()
    if hasattr(margin, "sample"):
        drawn = margin.sample(B // 8, dtype=torch.float64)
        margin.sample = lambda *_: drawn
    cosine = THETA[::8].cos().requires_grad_()
    torch.autograd.gradcheck(lambda c: margin(c, NORM[::8], LABEL[::8]), cosine)


@pytest.mark.parametrize("margin", every_margin(), ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_at_the_ends_of_the_cosine(margin, dtype):
    cosine = torch.tensor([1.0, -1.0, 1.0 - 1e-7, 0.0], dtype=dtype, requires_grad=True)
    out = margin.to(dtype)(cosine, torch.full((4,), 20.0, dtype=dtype), LABEL[:4])
    (gradient,) = torch.autograd.grad(out.sum(), cosine)
    assert out.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("margin", [ArcFace(), MagFace(), CurricularFace(), SphereFace(), SphereFace(4)], ids=lambda m: type(m).__name__)
def test_angular_margins_fall_all_the_way_to_pi(margin):
    theta = torch.linspace(0.01, math.pi - 0.01, 2000, dtype=torch.float64)
    margined = margin.double()(theta.cos(), torch.full_like(theta, 50), torch.zeros(2000, dtype=torch.int64))
    assert (margined.diff() < 1e-9).all()


def test_elastic_draws_have_the_stated_distribution():
    drawn = ElasticArcFace(0.5, std=0.05).sample(100_000, dtype=torch.float64)
    assert abs(drawn.mean() - 0.5) < 5 * 0.05 / math.sqrt(100_000)
    assert abs(drawn.std() - 0.05) < 1e-3


def test_elastic_plus_gives_the_largest_margin_to_the_smallest_cosine():
    margin = ElasticCosFace(0.35, std=0.025, plus=True)
    cosine = torch.rand(B, dtype=torch.float64)
    drawn = cosine - margin(cosine, NORM, LABEL)
    assert (drawn[cosine.argsort()].diff() < 0).all()


def test_elastic_plus_as_released_assigns_nearly_at_random():
    margin = ElasticCosFace(0.35, std=0.025, plus=True, assignment="released")
    correlations = []
    for _ in range(50):
        cosine = torch.rand(128, dtype=torch.float64)
        drawn = cosine - margin(cosine, NORM, LABEL)
        ranks = torch.stack([cosine.argsort().argsort(), drawn.argsort().argsort()]).double()
        correlations.append(torch.corrcoef(ranks)[0, 1])
    assert abs(torch.stack(correlations).mean()) < 0.1  # -1 if the ranks were respected


@pytest.mark.parametrize(("norm", "want"), [(10.0, lambda: (THETA + 0.4).cos()), (60.0, lambda: THETA.cos() - 0.4)])
def test_adaface_is_arcface_for_poor_and_cosface_for_average_images(norm, want):
    margin = AdaFace(m=0.4).double().eval()
    margin.norm_mean.fill_(60.0)
    margin.norm_std.fill_(5.0)  # 10 is far below the mean: k = -1; 60 is the mean: k = 0
    torch.testing.assert_close(margin(THETA.cos(), torch.full_like(THETA, norm), LABEL), want(), rtol=0, atol=1e-12)


def test_adaface_statistics_are_moving_averages_in_training_only():
    margin = AdaFace(t_alpha=0.25).double()
    mean, std = 20.0, 100.0
    for _ in range(3):
        norm = 10 + 5 * torch.rand(B, dtype=torch.float64)
        margin(THETA.cos(), norm, LABEL)
        mean, std = 0.25 * norm.mean().item() + 0.75 * mean, 0.25 * norm.std().item() + 0.75 * std
    assert [margin.norm_mean.item(), margin.norm_std.item()] == pytest.approx([mean, std], rel=1e-12)
    margin.eval()(THETA.cos(), NORM, LABEL)
    assert margin.norm_mean.item() == pytest.approx(mean, rel=1e-12)


def test_adaface_survives_a_batch_of_one():
    margin = AdaFace().double()
    margin(THETA[:1].cos(), NORM[:1], LABEL[:1])
    assert margin.norm_std.item() == 100
    assert margin(THETA.cos(), NORM, LABEL).isfinite().all()


def test_adaface_can_start_from_the_first_batch():
    margin = AdaFace(init_from_first_batch=True).double()
    margin(THETA.cos(), NORM.clamp(max=90), LABEL)
    assert margin.norm_mean.item() == pytest.approx(NORM.clamp(max=90).mean().item())
    assert margin.norm_std.item() == pytest.approx(NORM.clamp(max=90).std().item())


def test_magface_regulariser_keeps_the_gradient_of_the_norm():
    norm = NORM.clone().requires_grad_()
    value = MagFace().double().regulariser(norm)
    a = NORM.clamp(10, 110)
    assert value.item() == pytest.approx((35 * (a / 110**2 + 1 / a)).mean().item())
    (gradient,) = torch.autograd.grad(value, norm)
    inside = (norm > 10) & (norm < 110)
    torch.testing.assert_close(gradient[inside], (35 * (1 / 110**2 - 1 / a**2) / B)[inside])


def test_adam_margins_are_learnt_and_held_in_range():
    margin = AdaMSoftmax(C, strength=6.4).double()
    start = margin.class_margin.detach().clone()
    assert ((start >= 0.3) & (start <= 0.4)).all()
    (-margin(THETA.cos(), NORM, LABEL).sum() + margin.regulariser(NORM)).backward()
    counts = torch.bincount(LABEL, minlength=C).double()
    torch.testing.assert_close(margin.class_margin.grad, counts - 6.4 / C)  # d(-psi)/dm_c counts the class, the regulariser pulls evenly
    margin.class_margin.data.fill_(3.0)
    torch.testing.assert_close(psi(margin), THETA.cos() - 1)


def test_straight_through_changes_the_gradient_and_not_the_value():
    angular = partial(AdaMSoftmax, C, form="angular")
    for make in (ArcFace, AdaFace, CurricularFace, MagFace, SphereFace, partial(ElasticArcFace, std=0.0), angular):
        cosine = THETA.cos().requires_grad_()
        torch.manual_seed(0)
        exact = make().double().eval()
        torch.manual_seed(0)
        through = make(gradient="straight_through").double().eval()
        torch.testing.assert_close(through(cosine, NORM, LABEL), exact(cosine, NORM, LABEL), rtol=0, atol=0)
        (gradient,) = torch.autograd.grad(through(cosine, NORM, LABEL).sum(), cosine)
        assert (gradient == 1).all()


def test_straight_through_leaves_the_gradients_of_norm_and_learnt_margin():
    for make, other in ((MagFace, "norm"), (partial(AdaMSoftmax, C, form="angular"), "margin")):
        found = []
        for gradient in ("exact", "straight_through"):
            torch.manual_seed(0)
            margin, norm = make(gradient=gradient).double(), NORM.clone().requires_grad_()
            by = norm if other == "norm" else margin.class_margin
            (slope,) = torch.autograd.grad(margin(THETA.cos().requires_grad_(), norm, LABEL).sum(), by)
            found.append(slope)
        assert found[0].abs().max() > 1e-3
        torch.testing.assert_close(*found, rtol=0, atol=0)


def test_curricular_threshold_and_average():
    margin = CurricularFace(0.5).double()
    threshold, shift = margin.gate(THETA.cos())
    torch.testing.assert_close(threshold, (THETA + 0.5).cos())
    assert shift.item() == pytest.approx(0.01 * THETA.cos().mean().item())
    margin.eval().gate(THETA.cos())
    assert margin.t.item() == shift.item()


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: ArcFace(gradient="none"), "gradient"),
        (lambda: SphereFace(scale="row"), "scale"),
        (lambda: ElasticArcFace(assignment="x"), "assignment"),
        (lambda: AdaMSoftmax(3, form="linear"), "form"),
    ],
)
def test_unknown_choices_are_named(make, option):
    with pytest.raises(ValueError, match=f"{option}=.* is not one of"):
        make()


def test_every_margin_of_the_package_is_tested_here():
    assert {type(m).__name__ for m in every_margin()} == set(margins.MARGINS)
