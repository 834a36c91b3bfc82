"""On a CUDA device: no step waits for it, kernels equal their twins, recorded equals launched. Skipped where there is none."""

import pytest
import torch

from limen import MarginHead
from limen.functional import margin_softmax, margin_softmax_naive
from limen.functional.margin_softmax import kernels
from limen.heads import CenterSGD, HardPrototypeMining, PartialFC
from limen.margins import MARGINS, AdaFace, ArcFace, create_margin
from limen.training.graphs import GraphedHead

pytestmark = pytest.mark.gpu
BATCH, CLASSES, SIZE = 64, 3000, 128


@pytest.fixture
def no_waiting():
    """Raises at every transfer that the host waits for; begins after the first steps, which compile and choose."""

    class Watch:
        def __enter__(self):
            torch.cuda.set_sync_debug_mode("error")

        def __exit__(self, *_):
            torch.cuda.set_sync_debug_mode("default")

    yield Watch()
    torch.cuda.set_sync_debug_mode("default")


def batch():
    return torch.randn(BATCH, SIZE, device="cuda").requires_grad_(), torch.randint(CLASSES, (BATCH,), device="cuda")


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("margin", MARGINS)
def test_a_step_of_the_head_waits_for_nothing(no_waiting, margin, precision):
    head = MarginHead(CLASSES, SIZE, create_margin(margin, CLASSES), precision=precision).cuda()
    sgd, lr, (features, labels) = CenterSGD(head.centers), torch.full((), 0.1, device="cuda"), batch()
    head(features, labels, update=sgd.at(lr)).loss.backward()
    with no_waiting:
        head(features, labels, update=sgd.at(lr)).loss.backward()
    assert head.centers.weight.isfinite().all()


@pytest.mark.parametrize("sampler", [lambda: PartialFC(0.3), lambda: HardPrototypeMining(8, subset=0.3)])
def test_a_class_sampler_waits_for_nothing_between_two_graphs(no_waiting, sampler):
    head = MarginHead(CLASSES, SIZE, ArcFace(), sampler=sampler(), precision="bf16").cuda()
    sgd, (features, labels) = CenterSGD(head.centers), batch()
    head(features, labels, update=sgd.at(0.1)).loss.backward()
    with no_waiting:
        head(features, labels, update=sgd.at(0.1)).loss.backward()


@pytest.mark.parametrize(("precision", "of_loss", "of_gradient"), [("float32", 1e-3, 1e-4), ("tf32", 2e-2, 1e-2), ("bf16", 2e-2, 1e-2)])
@pytest.mark.parametrize("implementation", ["dense", "chunked"])
@pytest.mark.parametrize("scale", [64.0, 90.0])
def test_the_kernels_are_as_near_to_float64_as_their_operands(precision, of_loss, of_gradient, implementation, scale):
    features, labels = batch()
    centers = torch.randn(CLASSES, SIZE, device="cuda").requires_grad_()
    found = margin_softmax(features, centers, labels, scale, None, implementation, precision=precision)
    exact = [tensor.detach().double().requires_grad_() for tensor in (features, centers)]
    wanted = margin_softmax_naive(*exact, labels, scale)
    assert (found.negative_logsumexp - wanted.negative_logsumexp).abs().max() < of_loss * scale / 64
    pairs = [(out.negative_logsumexp - 2 * out.target_cosine).sum() for out in (found, wanted)]
    mine = torch.autograd.grad(pairs[0], (features, centers))
    for got, want in zip(mine, torch.autograd.grad(pairs[1], exact), strict=True):
        assert (got - want).norm() < of_gradient * want.norm() * scale / 64


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_update_is_that_of_torch_s_sgd_and_keeps_what_the_products_read(dtype):
    head = MarginHead(CLASSES, SIZE, ArcFace(), precision="bf16", dtype=dtype).cuda()
    sgd, (features, labels) = CenterSGD(head.centers), batch()
    before = head.centers.weight.detach().float().clone()
    found = head(features, labels)
    (gradient,) = torch.autograd.grad(found.loss, head.centers.weight)
    head(features, labels, update=sgd.at(0.1)).loss.backward()
    wanted = before - 0.1 * (gradient.float() + 5e-4 * before)
    tolerance = dict(rtol=1e-5, atol=1e-6) if dtype == torch.float32 else dict(rtol=2.0**-7, atol=1e-5)
    torch.testing.assert_close(head.centers.weight.float(), wanted, **tolerance)
    anew = CenterSGD(head.centers).at(0.1)
    module = kernels.choose(features.device, "bf16", SIZE)
    kept = sgd.at(0.1).products(module, torch.bfloat16)
    assert all(torch.equal(a, b) for a, b in zip(kept, anew.products(module, torch.bfloat16), strict=True))


@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
def test_a_batch_that_is_not_finite_moves_no_centre(spoil):
    head = MarginHead(CLASSES, SIZE, ArcFace(), precision="bf16").cuda()
    sgd, (features, labels) = CenterSGD(head.centers), batch()
    head(features, labels, update=sgd.at(0.1)).loss.backward()
    before = head.centers.weight.detach().clone(), sgd.velocity.clone()
    spoilt = features.detach().clone()
    spoilt[3, 4] = spoil
    head(spoilt.requires_grad_(), labels, update=sgd.at(0.1)).loss.backward()
    assert torch.equal(head.centers.weight, before[0])
    assert torch.equal(sgd.velocity, before[1])


def test_a_recorded_head_is_the_head(no_waiting):
    """To the bit, and at addresses that stay."""
    heads, addresses = [], set()
    for recorded in (False, True):
        torch.manual_seed(1)
        head = MarginHead(CLASSES, SIZE, AdaFace(), precision="bf16").cuda()
        sgd, lr = CenterSGD(head.centers), torch.full((), 0.1, device="cuda")
        call = GraphedHead(head) if recorded else head
        for step in range(8):
            torch.manual_seed(step)
            features, labels = batch()
            call(features, labels, update=sgd.at(lr)).loss.backward()
            if recorded:
                addresses.add((head.centers.weight.data_ptr(), sgd.velocity.data_ptr()))
        heads.append((head.centers.weight.detach().clone(), features.grad))
    assert all(torch.equal(a, b) for a, b in zip(*heads, strict=True))
    assert len(addresses) == 1
    with no_waiting:
        call(*batch(), update=sgd.at(lr)).loss.backward()
