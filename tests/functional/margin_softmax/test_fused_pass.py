"""The fused pass equals its definition: values, gradients, odd sizes, gates, row scales, missing labels, low precision."""

import pytest
import torch

from limen.functional import margin_softmax, margin_softmax_naive
from limen.functional.margin_softmax import blocks as module
from limen.functional.margin_softmax.blocks import KEPT_BYTES

IMPLEMENTATIONS = ["dense", "chunked"]
pytestmark = pytest.mark.usefixtures("way")


def problem(batch=7, classes=23, size=5, dtype=torch.float64):
    features = (3 * torch.randn(batch, size, dtype=dtype)).requires_grad_()
    centers = torch.randn(classes, size, dtype=dtype).requires_grad_()
    return features, centers, torch.randint(classes, (batch,))


def gate(target_cosine):
    return target_cosine - 0.3, target_cosine.new_tensor(0.4)


def everything(function, features, centers, labels, scale, weights, *arguments):
    """Outputs, then gradients of a random combination of the two differentiable ones, for every input that wants one."""
    out = function(features, centers, labels, scale, *arguments)
    inputs = [t for t in (features, centers, scale) if isinstance(t, torch.Tensor) and t.requires_grad]
    total = (out.target_cosine * weights[0]).sum() + (out.negative_logsumexp * weights[1]).sum()
    return [*out, *torch.autograd.grad(total, inputs)]


def assert_same(left, right, tolerance):
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("the_gate", [None, gate])
@pytest.mark.parametrize(("batch", "classes", "block"), [(1, 2, 1), (7, 23, 5), (8, 24, 8), (5, 31, 64), (3, 2, 2048), (4, 300, 128)])
def test_equals_the_naive_formula(monkeypatch, implementation, the_gate, batch, classes, block):
    monkeypatch.setattr(module, "CPU_BLOCK", block)
    features, centers, labels = problem(batch, classes)
    weights = torch.randn(2, batch, dtype=torch.float64)
    want = everything(margin_softmax_naive, features, centers, labels, 16.0, weights, the_gate)
    assert_same(everything(margin_softmax, features, centers, labels, 16.0, weights, the_gate, implementation), want, 1e-11)


@pytest.mark.parametrize("hardest", [0, 3])
@pytest.mark.parametrize("the_gate", [None, gate])
def test_kept_equals_computed_again(monkeypatch, way, the_gate, hardest):
    """Gradients to the bit, whatever share of the exponentials is kept, and where the hardest negatives keep logits in their place.
    In tiles the kept classes are one product: the gradient of the features (6) is added up in another order."""
    monkeypatch.setattr(module, "CPU_BLOCK", 5)
    monkeypatch.setitem(KEPT_BYTES, "cpu", 7 * 8 * 8)  # "auto" keeps 8 classes, that is one block of five
    features, centers, labels = problem()
    weights = torch.randn(2, len(labels), dtype=torch.float64)
    dense, *others = (
        everything(lambda *a, i=i: margin_softmax(*a, the_gate, i, hardest=hardest), features, centers, labels, 64.0, weights)
        for i in ("dense", "chunked", "auto")
    )
    for other in others:
        assert_same(other, dense, 1e-12)
        exact = [0, 1, 2, 3, 5, 7] + [6] * (way == "blocks")  # the cosines of the hardest (4) come from another product
        assert all(torch.equal(dense[k], other[k]) for k in exact)
    want = everything(lambda *a: margin_softmax_naive(*a, the_gate, hardest), features, centers, labels, 64.0, weights)
    assert_same(dense, want, 1e-11)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("scale", [1e-3, 64.0, 65.0, 200.0, 3000.0])
@pytest.mark.parametrize("classes", [2, 23])
def test_no_scale_overflows_float32(monkeypatch, implementation, scale, classes):
    """Centres in falling and rising order of their cosine: the maximum that exponentials are relative to moves far, or not at all."""
    monkeypatch.setattr(module, "CPU_BLOCK", 5)
    features, centers, labels = problem(7, classes, dtype=torch.float32)
    for descending in (False, True):
        centers.data = centers.data[(centers.data @ features.data[0]).argsort(descending=descending)]
        weights = torch.randn(2, len(labels))
        got = everything(margin_softmax, features, centers, labels, scale, weights, None, implementation)
        doubled = [t.detach().double().requires_grad_() for t in (features, centers)]
        want = everything(margin_softmax_naive, *doubled, labels, scale, weights.double())
        for mine, naive in zip(got, want, strict=True):
            torch.testing.assert_close(mine.double(), naive.double(), rtol=1e-5 * max(scale, 1), atol=1e-6 * max(scale, 1))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_scale_per_row_has_its_gradient(implementation):
    features, centers, labels = problem()
    weights = torch.randn(2, len(labels), dtype=torch.float64)
    scale = (5 + torch.rand(len(labels), dtype=torch.float64)).requires_grad_()
    for the_gate in (None, gate):
        want = everything(margin_softmax_naive, features, centers, labels, scale, weights, the_gate)
        assert_same(everything(margin_softmax, features, centers, labels, scale, weights, the_gate, implementation), want, 1e-11)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradcheck(monkeypatch, implementation):
    monkeypatch.setattr(module, "CPU_BLOCK", 4)
    features, centers, labels = problem(3, 9, 4)
    torch.autograd.gradcheck(lambda f, w: margin_softmax(f, w, labels, 8.0, None, implementation)[:2], (features, centers))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_sample_whose_class_is_elsewhere_sees_negatives_only(implementation):
    features, centers, labels = problem()
    labels[::2] = -1
    weights = torch.randn(2, len(labels), dtype=torch.float64)
    want = everything(margin_softmax_naive, features, centers, labels, 16.0, weights)
    assert_same(everything(margin_softmax, features, centers, labels, 16.0, weights, None, implementation), want, 1e-11)


def test_one_class_has_no_negative():
    features, centers, _ = problem(3, 1)
    out = margin_softmax(features, centers, torch.zeros(3, dtype=torch.int64), 16.0)
    assert out.negative_logsumexp.tolist() == [-torch.inf] * 3
    assert out.nearest_negative.tolist() == [-torch.inf] * 3
    loss = torch.logaddexp(out.negative_logsumexp, 16 * out.target_cosine) - 16 * out.target_cosine
    assert loss.abs().max() == 0
    loss.sum().backward()
    assert features.grad.abs().max() == 0
    assert centers.grad.abs().max() == 0


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("length", [0, 1e-30, 1e-13])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_has_no_direction_gets_no_gradient(implementation, length, dtype):
    """A feature, a sample's own centre and a negative shorter than 1e-12, all at once; the others get the naive gradients."""
    features, centers, labels = problem(dtype=dtype)
    labels[0], labels[1:] = 3, labels[1:].clamp_min(8)
    features.data[2] *= length
    centers.data[[3, 7]] *= length
    out = margin_softmax(features, centers, labels, 16.0, None, implementation)
    (out.target_cosine.sum() + out.negative_logsumexp.sum()).backward()
    assert features.grad[2].abs().max() == 0
    assert centers.grad[[3, 7]].abs().max() == 0
    assert out.target_cosine[[0, 2]].abs().max() < 1e-12
    features.data[2], centers.data[[3, 7]] = 0, 0
    wanted = margin_softmax_naive(features, centers, labels, 16.0)
    gradients = torch.autograd.grad(wanted.target_cosine.sum() + wanted.negative_logsumexp.sum(), (features, centers))
    torch.testing.assert_close(out.negative_logsumexp, wanted.negative_logsumexp)
    for mine, naive, short in zip((features.grad, centers.grad), gradients, ([2], [3, 7]), strict=True):
        naive[short] = 0
        torch.testing.assert_close(mine, naive)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_second_backward_pass_gives_the_same_gradient(implementation):
    features, centers, labels = problem()
    total = margin_softmax(features, centers, labels, 16.0, None, implementation).negative_logsumexp.sum()
    first = torch.autograd.grad(total, [features, centers], retain_graph=True)
    assert_same(torch.autograd.grad(total, [features, centers]), first, 1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bfloat16_features_under_autocast_are_accumulated_in_float32(implementation):
    """Whatever autocast says, the pass may lose no more than float32 does on the same bfloat16 inputs."""
    features, centers, labels = problem(16, 300, 64, torch.float32)
    low = features.detach().bfloat16().requires_grad_()
    weights = torch.randn(2, 16)
    with torch.autocast("cpu", torch.bfloat16):
        got = everything(margin_softmax, low, centers, labels, 64.0, weights, None, implementation)
    exact = low.detach().double().requires_grad_()
    want = everything(margin_softmax_naive, exact, centers.double(), labels, 64.0, weights)
    assert got[0].dtype == got[1].dtype == torch.float32
    assert_same(got[:3], [w.float() for w in want[:3]], 1e-5)
    torch.testing.assert_close(got[6].double(), want[6], rtol=1e-2, atol=1e-2)  # returned as bfloat16, the input's own type
    torch.testing.assert_close(got[7].double(), want[7], rtol=1e-4, atol=1e-5)


def test_mismatched_shapes_and_names_are_refused():
    features, centers, labels = problem()
    with pytest.raises(ValueError, match="needs features"):
        margin_softmax(features, centers[:, 1:], labels, 16.0)
    with pytest.raises(ValueError, match="'dense', 'chunked', 'auto'"):
        margin_softmax(features, centers, labels, 16.0, implementation="sparse")


@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS, "auto"])
@pytest.mark.parametrize("the_gate", [None, gate])
def test_active_classes_are_a_smaller_problem(monkeypatch, implementation, the_gate):
    """Values, gradients and rows are those of the pass over the active centres alone; all others get no gradient."""
    monkeypatch.setattr(module, "CPU_BLOCK", 5)
    monkeypatch.setitem(KEPT_BYTES, "cpu", 7 * 8 * 8)  # "auto" keeps 8 classes, that is one block of five
    features, centers, labels = problem()
    active = torch.cat([labels, torch.tensor([0, 3, 9, 22])]).unique()
    weights = torch.randn(2, len(labels), dtype=torch.float64)
    few = centers.detach()[active].requires_grad_()
    want = everything(margin_softmax_naive, features, few, torch.searchsorted(active, labels), 16.0, weights, the_gate)
    want[3] = active[want[3]]
    want[-1] = torch.zeros_like(centers).index_copy_(0, active, want[-1])
    options = dict(gate=the_gate, implementation=implementation, active=active)
    assert_same(everything(lambda *a: margin_softmax(*a, **options), features, centers, labels, 16.0, weights), want, 1e-11)


@pytest.mark.parametrize("with_active", [False, True])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_update_receives_each_block_of_the_gradient_once(monkeypatch, implementation, with_active):
    monkeypatch.setattr(module, "CPU_BLOCK", 5)
    features, centers, labels = problem()
    active = torch.cat([labels, torch.tensor([1, 4, 5])]).unique() if with_active else None
    before = centers.detach().clone()
    out = margin_softmax(features, centers, labels, 16.0, implementation=implementation, active=active)
    want = torch.autograd.grad(out.target_cosine.sum() + out.negative_logsumexp.sum(), [features, centers])
    received, times = torch.zeros_like(before), torch.zeros(len(before))

    def update(rows, value, gradient, finite):
        assert finite
        torch.testing.assert_close(value, before[rows])
        received[rows], times[rows] = gradient, times[rows] + 1
        value.zero_()  # may be the centres' own memory: nothing may be read from it afterwards

    out = margin_softmax(features, centers, labels, 16.0, implementation=implementation, active=active, update=update)
    total = out.target_cosine.sum() + out.negative_logsumexp.sum()
    total.backward(retain_graph=True)
    assert centers.grad is None
    assert_same([features.grad, received], want, 1e-11)
    taking_part = torch.ones(len(before)) if active is None else torch.zeros(len(before)).index_fill_(0, active, 1)
    torch.testing.assert_close(times, taking_part)
    with pytest.raises(RuntimeError):
        total.backward()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("classes", "block"), [(23, 5), (300, 128), (40, 64)])
def test_the_hardest_negatives(monkeypatch, implementation, classes, block):
    monkeypatch.setattr(module, "CPU_BLOCK", block)
    features, centers, labels = problem(9, classes)
    with torch.no_grad():
        features[0] = centers[labels[0]]  # nothing is above a cosine of one
    want = margin_softmax_naive(features, centers, labels, 16.0, hardest=6)
    got = margin_softmax(features, centers, labels, 16.0, implementation=implementation, hardest=6)
    assert_same(got, want, 1e-11)
    assert got.hardest_negative_index[0].tolist() == [-1] * 6
    with torch.no_grad():  # without gradients nothing need be kept
        assert_same(margin_softmax(features, centers, labels, 16.0, implementation=implementation, hardest=6), want, 1e-11)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bfloat16_centers_are_computed_in_float32(implementation):
    features, centers, labels = problem(16, 300, 64, torch.float32)
    low = centers.detach().bfloat16().requires_grad_()
    weights = torch.randn(2, 16)
    got = everything(margin_softmax, features, low, labels, 64.0, weights, None, implementation)
    want = everything(margin_softmax_naive, features.double(), low.detach().double().requires_grad_(), labels, 64.0, weights.double())
    assert got[0].dtype == got[6].dtype == torch.float32
    assert_same([g.double() for g in got[:3]], want[:3], 1e-5)
    torch.testing.assert_close(got[-1].double(), want[-1], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_classes_at_all(implementation):
    """The last of several shards may be empty."""
    features, centers, labels = problem(4, 3)
    centers = centers.detach()[:0].requires_grad_()
    out = margin_softmax(features, centers, torch.full_like(labels, -1), 16.0, implementation=implementation, hardest=2)
    (out.target_cosine.sum() + out.negative_logsumexp.exp().sum()).backward()
    assert out.negative_logsumexp.tolist() == [-torch.inf] * 4
    assert features.grad.abs().max() == 0
