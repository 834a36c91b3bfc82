"""The pass in tiles beyond the laws that it shares with the pass in blocks: its fixed offset, bfloat16 products, launches, refusals."""

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from limen import MarginHead
from limen.errors import LimenWarning
from limen.functional import margin_softmax, margin_softmax_naive
from limen.functional.margin_softmax import blocks, kernels
from limen.functional.margin_softmax.kernels import twins
from limen.heads import CenterSGD
from limen.margins import ArcFace

CUDA = torch.device("cuda")


@pytest.fixture
def tiles(monkeypatch):
    monkeypatch.setattr(kernels, "choose", lambda *_: twins)
    monkeypatch.setattr(blocks, "CPU_BLOCK", 256)


def problem(batch, classes, size, dtype):
    torch.manual_seed(0)
    features = torch.randn(batch, size, dtype=dtype).requires_grad_()
    return features, torch.randn(classes, size, dtype=dtype).requires_grad_(), torch.randint(-1, classes, (batch,))


def gradients(function, features, centers, labels, *arguments, **options):
    found = function(features, centers, labels, *arguments, **options)
    weights = torch.linspace(0.5, 2, len(labels), dtype=found.target_cosine.dtype)
    total = (weights * (found.negative_logsumexp - 3 * found.target_cosine)).sum()
    return [*found[:4], *torch.autograd.grad(total, (features, centers))]


@pytest.mark.parametrize("scale", [30.0, 64.0, 65.0, 200.0])
@pytest.mark.parametrize(("classes", "implementation"), [(255, "dense"), (256, "chunked"), (700, "auto"), (700, "chunked")])
def test_fixed_and_found_offsets_equal_the_naive_formula(monkeypatch, tiles, scale, classes, implementation):
    monkeypatch.setitem(blocks.KEPT_BYTES, "cpu", 7 * 8 * 300)  # "auto" keeps one block of 256
    given = problem(7, classes, 6, torch.float64)
    given[0].data[0] = -given[1].data.mean(0)
    want = gradients(margin_softmax_naive, *given, scale)
    for mine, naive in zip(gradients(margin_softmax, *given, scale, None, implementation), want, strict=True):
        torch.testing.assert_close(mine, naive, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cosine", [-1.0, 1.0])
def test_the_fixed_offset_neither_overflows_nor_vanishes_in_float32(tiles, cosine):
    """All negatives at one end of the range of cosines, at the largest scale and the fewest classes that it is used for."""
    centers = torch.tensor([[1.0, 0.0]]).repeat(256, 1).requires_grad_()
    features = torch.tensor([[cosine, 1e-3]]).requires_grad_()
    given = features, centers, torch.tensor([-1])
    got = gradients(margin_softmax, *given, 64.0)
    doubled = [t.detach().double().requires_grad_() for t in given[:2]]
    for mine, naive in zip(got, gradients(margin_softmax_naive, *doubled, given[2], 64.0), strict=True):
        torch.testing.assert_close(mine.double(), naive.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:head.precision bf16")
def test_bfloat16_products_are_as_near_as_their_operands():
    """Within what a GPU is to reach (2e-2 of L, 1 % of either gradient) of float64."""
    features, centers, labels = problem(32, 2000, 512, torch.float32)
    got = gradients(margin_softmax, features, centers, labels, 64.0, precision="bf16")
    exact = [t.detach().double().requires_grad_() for t in (features, centers)]
    want = gradients(margin_softmax_naive, *exact, labels, 64.0)
    assert (got[1] - want[1]).abs().max() < 2e-2
    assert (got[2] - want[2]).abs().max() < 3e-3
    for mine, naive in zip(got[4:], want[4:], strict=True):
        assert (mine - naive).norm() < 1e-2 * naive.norm()


def head_and_batch(dtype=torch.float32, classes=300, **options):
    torch.manual_seed(1)
    head = MarginHead(classes, 16, ArcFace(), dtype=dtype, **options)
    return head, torch.randn(9, 16), torch.randint(classes, (9,))


@pytest.mark.filterwarnings("ignore:head.precision bf16")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_updates_keep_up_to_date_is_what_would_be_made_anew(monkeypatch, dtype):
    """So a resumed run, which makes it anew, reads the same centres to the bit; centres that are set from outside are noticed."""
    monkeypatch.setattr(blocks, "CPU_BLOCK", 128)
    head, features, labels = head_and_batch(dtype, precision="bf16")
    sgd, other = CenterSGD(head.centers), torch.randn_like(head.centers.weight)
    for step in range(4):
        if step == 2:
            head.load_state_dict(head.state_dict() | {"centers.weight": other})
        head(features.requires_grad_(), labels, update=sgd.at(0.1)).loss.backward()
    kept = sgd.at(0.1).products(twins, torch.bfloat16)
    anew = CenterSGD(head.centers).at(0.1).products(twins, torch.bfloat16)
    assert all(torch.equal(a, b) for a, b in zip(kept, anew, strict=True))
    assert torch.equal(kept[0], head.centers.weight.data.bfloat16())


class Launches(TorchDispatchMode):
    """Counts the operations that would be launches: all but views, and one for each call of a kernel."""

    VIEWS = (
        "view",
        "slice",
        "t.",
        "transpose",
        "expand",
        "alias",
        "detach",
        "select",
        "squeeze",
        "empty",
        "permute",
        "split",
        "unbind",
        "sym_",
    )

    def __init__(self):
        super().__init__()
        self.count, self.inside = 0, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        self.count += not self.inside and not name.lstrip("_").startswith(self.VIEWS)
        return func(*args, **(kwargs or {}))

    def kernel(self, function):
        def launch(*arguments):
            before, self.inside = self.inside, True
            self.count += not before
            try:
                return function(*arguments)
            finally:
                self.inside = before

        return launch


@pytest.mark.filterwarnings("ignore:head.precision bf16")
@pytest.mark.parametrize("implementation", ["dense", "chunked"])
@pytest.mark.parametrize("with_sampler", [False, True])
def test_a_block_takes_at_most_six_launches(monkeypatch, implementation, with_sampler):
    monkeypatch.setattr(blocks, "CPU_BLOCK", 128)
    monkeypatch.setattr(twins, "span", lambda operands: 1 << 19)

    def launches(classes):
        count = Launches()
        for name in ("partials", "product", "update"):
            monkeypatch.setattr(twins, name, count.kernel(getattr(twins, name)))
        head, features, labels = head_and_batch(classes=classes, precision="bf16", implementation=implementation)
        active = torch.arange(classes) if with_sampler else None
        update = CenterSGD(head.centers).at(0.1)
        update.products(twins, torch.bfloat16)  # before the first step
        with count:
            found = margin_softmax(
                features.requires_grad_(),
                head.centers.weight,
                labels,
                64.0,
                None,
                implementation,
                active=active,
                update=update,
                precision="bf16",
            )
            found.negative_logsumexp.sum().backward()
        return count.count

    few, many = launches(4 * 128), launches(12 * 128)
    assert 0 < (many - few) / 8 <= 6


@pytest.mark.parametrize(
    ("card", "triton", "precision", "says"),
    [
        (
            (7, 5),
            "3.7.1",
            "bf16",
            r"bf16 products .* need a CUDA device of compute capability 8.0 .*An old card has compute capability 7.5",
        ),
        ((7, 5), "3.7.1", "tf32", "tf32 products .* take float32"),
        ((9, 0), None, "tf32", r"tf32 products .*triton is not installed: pip install 'limen\[gpu\]'\); take float32"),
        ((9, 0), "2.1.0", "tf32", r"triton 2.1.0 is not from 3.5 to below 4"),
    ],
)
def test_products_that_a_card_lacks_are_refused(monkeypatch, card, triton, precision, says):
    pretend(monkeypatch, card, triton)
    with pytest.raises(ValueError, match=says):
        kernels.choose(CUDA, precision, 512)


@pytest.mark.parametrize(
    ("card", "triton", "precision", "way", "says"),
    [
        ((7, 5), "3.7.1", "float32", None, "compute capability 7.5"),
        ((9, 0), None, "float32", None, r"pip install 'limen\[gpu\]'"),
        ((9, 0), None, "bf16", "twins", r"pip install 'limen\[gpu\]'"),
        ((9, 0), "3.4.0", "bf16", "twins", "triton 3.4.0 is not from 3.5"),
    ],
)
def test_another_way_is_taken_and_said(monkeypatch, card, triton, precision, way, says):
    pretend(monkeypatch, card, triton)
    with pytest.warns(LimenWarning, match=f"runs without its GPU kernels, and slower: .*{says}"):
        chosen = kernels.choose(CUDA, precision, 512)
    assert chosen is (None if way is None else twins)


def pretend(monkeypatch, card, triton):
    kernels.choose.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "An old card")
    monkeypatch.setattr(kernels.util, "find_spec", lambda name: None if triton is None else sys)
    monkeypatch.setattr(kernels, "version", lambda name: triton)


def test_a_cpu_has_no_tf32_and_says_what_bf16_is_there():
    kernels.choose.cache_clear()
    with pytest.raises(ValueError, match=r"need the kernels of a CUDA device \(cpu has none\); take float32"):
        kernels.choose(torch.device("cpu"), "tf32", 512)
    with pytest.warns(LimenWarning, match="no faster than float32 on a CPU"):
        assert kernels.choose(torch.device("cpu"), "bf16", 512) is twins
    with pytest.raises(ValueError, match="needs float32 centres"):
        MarginHead(10, 4, ArcFace(), precision="tf32", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="'float32', 'tf32', 'bf16'"):
        MarginHead(10, 4, ArcFace(), precision="fp8")
