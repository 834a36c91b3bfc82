"""The kernels against their twins, interpreted on CPU tensors. `test_kernels.py` runs this file in a process of its own: Triton decides
at its import whether it interprets. What an interpreter cannot show: races, rounding of TF32, speed."""

import tempfile

import pytest
import torch

from limen.functional.margin_softmax.kernels import CenterState, Operands, OwnRows, compiled, twins


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(compiled, "ROWS", 16)
    monkeypatch.setattr(compiled, "DEPTH", {2: 32, 4: 16})


def operands(batch, classes, size, dtype, precision, gate=False, active=None, scale=64.0):
    direction = torch.nn.functional.normalize(torch.randn(batch, size))
    centers = torch.randn(classes, size).to(dtype)
    taking = classes if active is None else len(active)
    used = centers if active is None else centers[active]
    position = torch.randint(taking, (batch,))
    position[: min(batch, 3)] = torch.tensor([0, taking - 1, -1])[:batch]
    if taking > 128 and batch > 4:
        position[3:5] = torch.tensor([127, 128])  # at the edges of a tile
    gated = (torch.full((batch,), 0.05), torch.tensor(0.4)) if gate else (None, None)
    norm = used.float().norm(dim=1).reciprocal()
    return Operands(direction.to(dtype), centers, active, norm, position, torch.full((batch,), scale), *gated, precision)


def both(given, first, last, offset, keeps):
    kept = [torch.full((len(given.position), last - first + 8), 7.0).to(given.direction.dtype)[:, : last - first] for _ in "ab"]
    found = [one.partials(given, first, last, offset, k if keeps else None) for one, k in zip((compiled, twins), kept, strict=True)]
    return found, kept


CASES = [  # batch, classes, size
    (16, 256, 32),  # nothing left over
    (19, 300, 40),  # tails of batch, classes and size
    (3, 77, 20),  # fewer classes than a tile
    (1, 129, 512),
]


@pytest.mark.parametrize(("batch", "classes", "size"), CASES)
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float16, "bf16"), (torch.float32, "tf32"), (torch.float32, "float32")])
@pytest.mark.parametrize("gate", [False, True])
def test_a_tile_equals_its_twin(batch, classes, size, dtype, precision, gate):
    given = operands(batch, classes, size, dtype, precision, gate)
    as_floats = given._replace(direction=given.direction.float(), centers=given.centers.float())
    for offset in (torch.full((batch,), 0.35 * 64), None):
        found, kept = both(given, 0, classes, offset, offset is not None)
        found[1] = twins.partials(as_floats, 0, classes, offset, kept[1] if offset is not None else None)
        torch.testing.assert_close(found[0].sums, found[1].sums, rtol=2e-4, atol=1e-6)
        if offset is None:
            continue
        torch.testing.assert_close(found[0].peaks, found[1].peaks, rtol=1e-4, atol=1e-4)
        assert torch.equal(found[0].places, found[1].places)
        tolerance = 2e-3 if dtype == torch.float16 else 2e-4
        torch.testing.assert_close(kept[0], kept[1], rtol=tolerance, atol=1e-7)
        own = given.position.clamp_min(0)[:, None]
        assert (kept[0].gather(1, own)[:, 0][given.position >= 0] == 0).all()


def test_a_span_in_the_middle_and_active_classes():
    active = torch.randperm(500)[:300].sort().values
    given = operands(9, 500, 24, torch.float32, "tf32", active=active)
    for first, last in ((0, 256), (128, 300), (256, 300)):
        found, kept = both(given, first, last, torch.full((9,), 20.0), True)
        torch.testing.assert_close(found[0].sums, found[1].sums, rtol=2e-4, atol=1e-6)
        torch.testing.assert_close(kept[0], kept[1], rtol=2e-4, atol=1e-7)
        assert torch.equal(found[0].places, found[1].places)


def sparse(rows, columns, dtype):
    """A tensor beyond 2**31 values in a file of holes: what is never touched takes no room."""
    with tempfile.NamedTemporaryFile(dir="/tmp") as file:
        return torch.from_file(file.name, shared=True, size=rows * columns, dtype=dtype).view(rows, columns)


def test_offsets_beyond_31_bits():
    """Centres, kept exponentials, momenta: rows whose first value lies past 2**31."""
    size, classes = 64, 2**31 // 64 + 256
    centers = sparse(classes, size, torch.float16)
    centers[-200:] = torch.randn(200, size)
    active = torch.arange(classes - 200, classes)
    given = operands(5, 200, size, torch.float16, "bf16")._replace(active=active)
    far, near = given._replace(centers=centers), given._replace(centers=centers[-200:], active=None)
    stride = 2**31 // 4 + 64
    kept = sparse(5, stride, torch.float16)[:, -200:]
    near_kept = torch.empty(5, 200, dtype=torch.float16)
    offset = torch.full((5,), 22.4)
    found = [compiled.partials(one, 0, 200, offset, k) for one, k in ((far, kept), (near, near_kept))]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert torch.equal(kept, near_kept)
    weight, velocity, inverse = sparse(classes, size, torch.float32), sparse(classes, size, torch.float32), torch.ones(classes)
    weight[-200:] = centers[-200:]
    moved = CenterState(weight[-200:].clone(), torch.zeros(200, size), None, torch.ones(200))
    gradient, own, finite = (
        torch.randn(200, size),
        OwnRows(torch.full((201,), -1, dtype=torch.int32), torch.zeros(5, size)),
        torch.tensor(True),
    )
    compiled.update(Step(CenterState(weight, velocity, None, inverse)), active, 0, 200, gradient.clone(), own, finite)
    compiled.update(Step(moved), None, 0, 200, gradient, own, finite)
    assert torch.equal(weight[-200:], moved.weight)
    assert torch.equal(velocity[-200:], moved.velocity)
    assert torch.equal(inverse[-200:], moved.inverse_norm)


class Step:
    """SGD as the twin asks it to be made, in full precision."""

    def __init__(self, state, momentum=0.9, weight_decay=5e-2, lr=0.1, seed=3):
        self.state, self.momentum, self.weight_decay = state, momentum, weight_decay
        self.lr, self.seed = torch.tensor(lr), torch.tensor(seed)

    def __call__(self, rows, value, gradient, finite):
        if finite:
            gradient += self.weight_decay * value
            if self.state.velocity is not None:
                gradient += self.momentum * self.state.velocity[rows].float()
                self.state.velocity[rows] = gradient.to(self.state.velocity.dtype)
            self.state.weight[rows] = (value - self.lr * gradient).to(self.state.weight.dtype)


def state(classes, size, dtype=torch.float32, shadow=None, momentum=True):
    torch.manual_seed(1)
    weight = torch.randn(classes, size).to(dtype)
    weight[1] = 0  # a centre without a direction
    velocity = torch.randn(classes, size).to(dtype) if momentum else None
    return CenterState(weight, velocity, None if shadow is None else weight.to(shadow), torch.zeros(classes))


@pytest.mark.parametrize("size", [32, 45])
@pytest.mark.parametrize("momentum", [True, False])
@pytest.mark.parametrize("active", [None, torch.tensor([0, 1, 4, 7, 20, 21, 22, 30, 31])])
def test_an_update_equals_its_twin(size, momentum, active):
    first, last = (3, 29) if active is None else (2, 9)
    owner = torch.full((40,), -1, dtype=torch.int32)
    owner[[4, 5, 8]] = torch.tensor([0, 2, 1], dtype=torch.int32)
    own = OwnRows(owner, torch.randn(3, size))
    gradient = torch.randn(last - first, size)
    for finite in (True, False):
        states = [state(39, size, shadow=torch.float16, momentum=momentum) for _ in "ab"]
        for one, kernels in zip(states, (compiled, twins), strict=True):
            kernels.refresh(one)
            kernels.update(Step(one), active, first, last, gradient.clone(), own, torch.tensor(finite))
        for mine, twin in zip(*states, strict=True):
            if mine is not None:
                torch.testing.assert_close(mine.float(), twin.float(), rtol=1e-3 if mine.dtype == torch.float16 else 2e-6, atol=1e-6)
        if not finite:
            assert torch.equal(states[0].weight, state(39, size).weight)
        anew = states[0]._replace(shadow=torch.zeros_like(states[0].shadow), inverse_norm=torch.zeros(39))
        compiled.refresh(anew)
        assert torch.equal(anew.shadow, states[0].shadow)
        assert torch.equal(anew.inverse_norm, states[0].inverse_norm)


def test_bfloat16_is_rounded_to_a_neighbour_and_right_on_average(monkeypatch):
    monkeypatch.setattr(compiled, "UPDATED", 64 * 64)
    values = torch.tensor([1.0, -1.25, 3e-4, 700.0]).repeat(16)[:, None].expand(64, 64)
    own, finite = OwnRows(torch.full((65,), -1, dtype=torch.int32), torch.zeros(1, 64)), torch.tensor(True)

    def moved(seed):  # by a thousandth of a value, far below the last bit that bfloat16 keeps
        one = CenterState(values.bfloat16(), (values * 0.01).bfloat16(), None, torch.zeros(64))
        compiled.update(Step(one, weight_decay=0.0, momentum=1.0, seed=seed), None, 0, 64, torch.zeros(64, 64), own, finite)
        return one

    wanted = values.bfloat16().float() - 0.1 * (values * 0.01).bfloat16().float()
    draws = [moved(seed) for seed in range(6)]
    off = torch.stack([(one.weight.float() - wanted) / (wanted.abs() * 2.0**-7) for one in draws])  # in last places
    assert off.abs().max() <= 1
    assert off.view(-1, 4, 64).mean((0, 2)).abs().max() < 0.05  # of 6144 draws each: standard error below .01
    assert off.std() > 0.1
    assert torch.equal(moved(0).weight, draws[0].weight)  # a function of seed and place


@pytest.mark.parametrize(("m", "n", "k"), [(64, 64, 32), (70, 33, 45), (5, 130, 1)])
def test_the_product_in_tf32(m, n, k):
    a, b = torch.randn(m, k), torch.randn(n, k).T  # one of them transposed, as the backward pass has them
    torch.testing.assert_close(compiled.product(a, b, "tf32"), a @ b, rtol=1e-4, atol=1e-4)
