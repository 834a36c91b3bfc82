"""Which way a margin pulls features and centres that share a direction: no margin of a training run lets them gather or part by itself."""

import math

import pytest
import torch

from limen import MarginHead
from limen.functional import add_angle
from limen.margins import (
    MARGINS,
    AdaFace,
    AdaMSoftmax,
    ArcFace,
    CosFace,
    CurricularFace,
    ElasticArcFace,
    MagFace,
    SphereFace,
    create_margin,
    training_options,
)

SCALE = 64.0
THETA = torch.linspace(0.05, math.pi - 0.05, 40_001, dtype=torch.float64)
IN_TRAINING = {  # every margin with the options of a training run, and the angular form
    **{name: (name, training_options(name, {})) for name in MARGINS},
    "AdaMSoftmax angular": ("AdaMSoftmax", training_options("AdaMSoftmax", {"form": "angular"})),
    "ElasticArcFace+": ("ElasticArcFace", training_options("ElasticArcFace", {"std": 0.0175, "plus": True})),
}
ANGULAR = [name for name, (_, options) in IN_TRAINING.items() if "gradient" in options and name != "AdaMSoftmax"]
KEEP = {"past_peak": "keep", "gradient": "exact"}
NORMS = (5.0, 17.0, 20.0, 23.0, 60.0)  # AdaFace's k from -1 to 1 with the statistics below; MagFace's range


def made(name, classes=10, **changes):
    margin = create_margin(IN_TRAINING[name][0], classes, **IN_TRAINING[name][1] | changes).double().eval()
    if isinstance(margin, AdaFace):
        margin.norm_mean.fill_(20.0)
        margin.norm_std.fill_(2.0)
    return margin


def psi(margin, theta, norm):
    if isinstance(margin, ElasticArcFace):
        margin.std = 0.0
    label = torch.zeros(len(theta), dtype=torch.int64)
    cosine = theta.cos().requires_grad_()
    margined = margin(cosine, torch.full_like(theta, norm), label)
    (slope,) = torch.autograd.grad(margined.sum(), cosine)
    return margined.detach(), slope


def loss(margin, cosine, classes, norm):
    """Of features at `cosine` to all centres, which have gathered in one point; cosine 0 is an untrained network."""
    head = MarginHead(classes, 4, margin, SCALE).double().eval()
    with torch.no_grad():
        head.centers.weight.copy_(torch.eye(4)[0].expand(classes, 4))
        features = norm * (cosine * torch.eye(4)[0] + math.sqrt(1 - cosine**2) * torch.eye(4)[1]).double().expand(64, 4)
        return head(features, torch.arange(64) % classes).loss.item()


def pull(margin, cosine, classes=90, norm=20.0):
    """d loss / d cosine of the same features, as an optimiser sees it: below 0 features and centres gather, above 0 they part."""
    head = MarginHead(classes, 4, margin, SCALE).double().eval()
    head.centers.weight.data.copy_(torch.eye(4)[0].expand(classes, 4))
    cosine = torch.tensor(cosine, dtype=torch.float64, requires_grad=True)
    across = (1 - cosine**2).sqrt()
    axes = torch.eye(4, dtype=torch.float64)
    head((norm * (cosine * axes[0] + across * axes[1])).expand(64, 4), torch.arange(64) % classes).loss.backward()
    return cosine.grad.item()


@pytest.mark.parametrize("cosine", [-0.9, -0.3, 0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", sorted({*IN_TRAINING} - {"CurricularFace"}))
def test_in_training_nothing_pulls_all_features_and_all_centres_together_or_apart(name, cosine):
    """CurricularFace moves its negatives too, by its own gate: (2 cos_j + t) of their pull."""
    assert pull(made(name, 90), cosine) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("norm", "k"), [(5.0, -1.0), (20.0, 0.0), (60.0, 1.0)])
@pytest.mark.parametrize("cosine", [0.0, 0.6, 0.9])
def test_the_exact_adaface_pulls_poor_images_together_and_good_ones_apart_and_both_apart_at_a_right_angle(cosine, norm, k):
    theta = math.acos(cosine)
    want = 1 - math.sin(theta - 0.4 * k) / math.sin(theta)
    found = pull(made("AdaFace", 90, gradient="exact"), cosine, norm=norm)
    assert found == pytest.approx(SCALE * want, rel=1e-3, abs=1e-9)  # where p is 0, as here
    assert want > 0 if k and not cosine else want * k >= 0


@pytest.mark.parametrize("cosine", [-0.4, 0.0, 0.5, 0.7])
def test_curricularface_s_gate_pulls_together_below_half_and_apart_above(cosine):
    """By (2 cos + t) of the negatives' pull, t = 0 here, whatever the gradient of its target."""
    assert pull(made("CurricularFace", 90), cosine) == pytest.approx(SCALE * (2 * cosine - 1), rel=1e-3, abs=0.1)


@pytest.mark.parametrize(
    ("margin", "gathers", "parts"),
    [
        (ArcFace(), (0.3, 0.6, 0.9), (0.2, 0.0, -0.5)),  # parted from the peak on, at cosine sin(m / 2) = .247
        (ElasticArcFace(std=0.0, past_peak="released"), (0.3, 0.9), (0.2, -0.9)),
        (MagFace(), (0.3, 0.9), (0.2, -0.5)),
        (SphereFace(), (0.2, 0.9), (0.0, -0.3)),
        (ArcFace(**KEEP), (0.3, 0.9), ()),
    ],
)
def test_the_exact_gradient_lets_them_gather_before_the_peak_and_part_beyond(margin, gathers, parts):
    assert all(pull(margin, cosine) < -0.1 for cosine in gathers)
    assert all(pull(margin, cosine) > 0.1 for cosine in parts)


@pytest.mark.parametrize("cosine", [0.2, 0.0, -0.9])
def test_a_kept_peak_pulls_neither_way_beyond_it(cosine):
    assert pull(ArcFace(**KEEP), cosine) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("classes", [90, 392])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ANGULAR)
def test_with_a_kept_peak_features_opposite_to_all_centres_cost_no_less_than_an_untrained_network(name, norm, classes):
    torch.manual_seed(0)
    opposite = loss(made(name, classes, **KEEP), -1.0, classes, norm)
    torch.manual_seed(0)
    assert opposite >= loss(made(name, classes, **KEEP), 0.0, classes, norm) - 1e-9


@pytest.mark.parametrize(
    ("margin", "classes", "opposite", "untrained"),
    [
        (ArcFace(), 90, 19.8, 35.2),
        (ArcFace(), 392, 21.3, 36.7),
        (ElasticArcFace(std=0, past_peak="released"), 90, 0.035, 35.2),
        (ElasticArcFace(std=0, past_peak="released"), 392, 0.14, 36.7),
        (ArcFace(past_peak="keep"), 90, 36.2, 35.2),
        (ArcFace(past_peak="keep"), 392, 37.6, 36.7),
    ],
)
def test_what_the_opposite_costs_in_each_form(margin, classes, opposite, untrained):
    found = [loss(margin.double(), cosine, classes, 1.0) for cosine in (-1.0, 0.0)]
    assert found == pytest.approx([opposite, untrained], abs=0.06, rel=0.03)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ANGULAR)
def test_a_kept_peak_is_monotonic_and_continuously_differentiable(name, norm):
    margined, slope = psi(made(name, **KEEP), THETA, norm)
    assert (margined.diff() < 1e-12).all()
    assert margined.diff().abs().max() < 2 * THETA.diff().max()
    # the steepest change of the exact slope sin(theta + g) / sin(theta) lies at the ends of the range
    assert slope.diff().abs().max() < THETA.diff().max() / math.sin(0.05) ** 2
    assert (slope >= 0).all()


@pytest.mark.parametrize("name", sorted(set(ANGULAR) - {"AdaFace"}))
def test_a_kept_peak_costs_ever_more_and_then_the_same(name):
    cost = THETA.cos() - psi(made(name, **KEEP), THETA, 20.0)[0]
    peak = cost.argmax()
    assert (cost[: peak + 1].diff() > -1e-12).all()
    torch.testing.assert_close(cost[peak:], cost[peak].expand_as(cost[peak:]))


@pytest.mark.parametrize("angle", [0.1, 0.5, 1.0])
def test_the_formula_of_a_kept_peak(angle):
    beyond = math.pi / 2 - angle / 2 < THETA
    want = torch.where(beyond, THETA.cos() - 2 * math.sin(angle / 2), (THETA + angle).cos())
    torch.testing.assert_close(add_angle(THETA.cos(), angle, "keep"), want, rtol=0, atol=1e-12)
    torch.testing.assert_close(add_angle(THETA.cos(), torch.full_like(THETA, angle), "keep"), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [1.35, 1.7, 2.0, 4.0])
def test_the_formula_of_a_multiplied_angle_s_kept_peak(factor):
    before = math.pi / factor > THETA
    cost = torch.where(before, THETA.cos() - (factor * THETA).cos(), 0.0)
    want = torch.where(torch.arange(len(THETA)) > cost.argmax(), THETA.cos() - cost.max(), (factor * THETA).cos())
    label, norm = torch.zeros(len(THETA), dtype=torch.int64), torch.ones_like(THETA)
    torch.testing.assert_close(SphereFace(factor, past_peak="keep")(THETA.cos(), norm, label), want, rtol=0, atol=1e-7)


def test_the_paper_s_sphereface_costs_less_past_its_peak_than_at_a_right_angle():
    cost = THETA.cos() - psi(SphereFace().double(), THETA, 1.0)[0]
    degrees = THETA.rad2deg()
    assert cost[(degrees > 115) & (degrees < 135)].max() < 0.7 < 0.88 < cost[(degrees > 80) & (degrees < 90)].min()


@pytest.mark.parametrize("past_peak", ["paper", "keep", "released"])
def test_all_forms_are_one_before_the_peak_and_the_released_one_turns_on(past_peak):
    before = math.pi / 2 - 0.25 > THETA
    torch.testing.assert_close(add_angle(THETA.cos(), 0.5, past_peak)[before], (THETA + 0.5).cos()[before], rtol=0, atol=1e-12)
    torch.testing.assert_close(add_angle(THETA.cos(), 0.5, "released"), (THETA + 0.5).cos(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("norm", "k"), [(5.0, -1.0), (18.0, -0.333 * 2 / 2.001), (20.0, 0.0), (22.0, 0.333 * 2 / 2.001), (60.0, 1.0)])
def test_adaface_with_a_kept_peak_is_its_formula(norm, k):
    g, add = -0.4 * k, 0.4 + 0.4 * k
    turned = (THETA + g).clamp(1e-3, math.pi - 1e-3).cos()
    beyond = torch.tensor(g > 0) & (math.pi / 2 - g / 2 < THETA)
    want = torch.where(beyond, THETA.cos() - 2 * math.sin(g / 2), turned) - add
    torch.testing.assert_close(psi(made("AdaFace", **KEEP), THETA, norm)[0], want, rtol=0, atol=1e-6)


def test_poor_images_have_arcface_s_margin_in_the_kept_form_too():
    torch.testing.assert_close(
        psi(made("AdaFace", **KEEP), THETA, 5.0)[0], psi(ArcFace(0.4, past_peak="keep"), THETA, 5.0)[0], rtol=0, atol=1e-6
    )


def test_magface_with_the_release_s_easy_margin_is_its_formula():
    norm = torch.linspace(5, 120, len(THETA), dtype=torch.float64)
    angle = 0.45 + 0.35 * (norm.clamp(10, 110) - 10) / 100
    want = torch.where(THETA.cos() > 0, (THETA + angle).cos(), THETA.cos())
    label = torch.zeros(len(THETA), dtype=torch.int64)
    torch.testing.assert_close(MagFace(easy_margin=True)(THETA.cos(), norm, label), want, rtol=0, atol=1e-12)


def test_magface_without_easy_margin_is_the_release_s_other_branch():
    norm = torch.linspace(5, 120, len(THETA), dtype=torch.float64)
    angle = 0.45 + 0.35 * (norm.clamp(10, 110) - 10) / 100
    want = torch.where(THETA.cos() > (math.pi - angle).cos(), (THETA + angle).cos(), THETA.cos() - (math.pi - angle).sin() * angle)
    label = torch.zeros(len(THETA), dtype=torch.int64)
    torch.testing.assert_close(MagFace()(THETA.cos(), norm, label), want, rtol=0, atol=1e-12)


def test_the_classes_default_to_their_papers_and_training_does_not():
    assert all(kind().past_peak == "paper" for kind in (ArcFace, ElasticArcFace, AdaFace, MagFace, CurricularFace, SphereFace))
    assert all(kind().gradient == "exact" for kind in (ArcFace, ElasticArcFace, AdaFace, MagFace, CurricularFace, SphereFace))
    assert (AdaMSoftmax(3).past_peak, AdaMSoftmax(3, form="angular").gradient) == ("paper", "exact")
    assert training_options("ArcFace", {"m": 0.3}) == {"m": 0.3, "gradient": "straight_through"}
    assert training_options("ArcFace", {"gradient": "exact"}) == {"gradient": "exact"}
    assert training_options("CosFace", {}) == {}
    with pytest.raises(TypeError):
        CosFace(past_peak="keep")


@pytest.mark.parametrize(
    ("name", "options", "begun"),
    [
        ("ArcFace", {"m": 0.3}, {"m": 0.3}),  # before training chose anything
        ("ArcFace", {"m": 0.3}, {"m": 0.3, "past_peak": "keep"}),
        ("ArcFace", {"m": 0.3}, {"m": 0.3, "gradient": "straight_through"}),
        ("ArcFace", {"gradient": "exact"}, {"past_peak": "paper"}),  # recipes of the papers as they were
        ("MagFace", {"m_range": (0.4, 0.8)}, {"past_peak": "keep", "m_range": [0.4, 0.8]}),
        ("AdaFace", {}, {"past_peak": "keep"}),
    ],
)
def test_a_run_that_goes_on_keeps_what_was_chosen_when_it_began(name, options, begun):
    assert training_options(name, options, begun) == begun


def test_other_options_than_a_run_began_with_are_not_taken_for_its_own():
    assert training_options("ArcFace", {"m": 0.4}, {"m": 0.3, "past_peak": "keep"}) == {"m": 0.4, "gradient": "straight_through"}


class Mine(ArcFace):
    def __init__(self, m: float = 0.3):
        super().__init__(m)


def test_a_margin_of_one_s_own_is_given_no_option_that_it_does_not_take():
    assert training_options(f"{__name__}:Mine", {}) == {}
    assert create_margin(f"{__name__}:Mine", 3, **training_options(f"{__name__}:Mine", {})).m == 0.3


@pytest.mark.parametrize("name", sorted({*ANGULAR} & {*MARGINS}))
def test_an_unknown_form_is_named(name):
    with pytest.raises(Exception, match=r"past_peak='kept' is not one of 'paper', 'keep'"):
        made(name, past_peak="kept")
