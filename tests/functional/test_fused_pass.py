"""The fused pass equals its definition: values, gradients, odd sizes, gates, row scales, missing labels, low precision."""

import pytest
import torch

import limen.functional.fused_pass as module
from limen.functional import margin_softmax, margin_softmax_naive

IMPLEMENTATIONS = ["dense", "chunked"]


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
def test_a_zero_feature_gets_no_gradient(implementation):
    features, centers, labels = problem()
    features.data[2] = 0
    out = margin_softmax(features, centers, labels, 16.0, None, implementation)
    (out.target_cosine.sum() + out.negative_logsumexp.sum()).backward()
    assert features.grad.isfinite().all()
    assert features.grad[2].abs().max() == 0
    assert centers.grad.isfinite().all()


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
    torch.testing.assert_close(got[4].double(), want[4], rtol=1e-2, atol=1e-2)  # returned as bfloat16, the input's own type
    torch.testing.assert_close(got[5].double(), want[5], rtol=1e-4, atol=1e-5)


def test_mismatched_shapes_and_names_are_refused():
    features, centers, labels = problem()
    with pytest.raises(ValueError, match="needs features"):
        margin_softmax(features, centers[:, 1:], labels, 16.0)
    with pytest.raises(ValueError, match="'dense', 'chunked', 'auto'"):
        margin_softmax(features, centers, labels, 16.0, implementation="sparse")
