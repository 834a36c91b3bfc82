"""The kernels without a GPU: interpreted against their twins, and compiled for three generations of cards, as the launchers launch them."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from limen.functional.margin_softmax.kernels import CenterState, Operands, OwnRows

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed: pip install 'limen[gpu]'")
PRODUCT = {80: "mma.sync", 90: "wgmma.mma", 100: "tcgen05.mma"}  # of tensor cores, by compute capability
SHARED = {80: 163, 90: 227, 100: 227}  # KiB that a program may have
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32", torch.bool: "i1"}


def test_interpreted_they_equal_their_twins(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        Path(__file__).with_name("kernels_interpreted.py"),
    ]
    environment = os.environ | {"TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


class Recorder:
    """Stands for a kernel: keeps what it is launched with, as Triton's compiler takes it."""

    def __init__(self, kernel):
        self.kernel, self.launches = kernel, []

    def __getitem__(self, grid):
        return self.launch

    def launch(self, *arguments, num_warps, num_stages=3, **constants):
        names = self.kernel.arg_names
        values = dict(zip(names, arguments, strict=False)) | constants
        types, divisible = {}, {}
        for place, name in enumerate(names):
            value = values[name]
            if isinstance(value, torch.Tensor):
                types[name], divides = "*" + TYPES[value.dtype], True  # whole allocations of a GPU begin at multiples of 256
            elif name in constants or value is None or (isinstance(value, int) and value == 1):
                types[name], divides = "constexpr", False
            else:
                types[name], divides = ("fp32", False) if isinstance(value, float) else ("i32", value % 16 == 0)
            divisible |= {(place,): [["tt.divisibility", 16]]} if divides else {}
        constant = {(place,): values[name] for place, name in enumerate(names) if types[name] == "constexpr"}
        options = {"num_warps": num_warps, "num_stages": num_stages}
        self.launches.append((types, constant, divisible, options))


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from limen.functional.margin_softmax.kernels import compiled

    for name in ("tile_kernel", "update_kernel", "product_kernel"):
        monkeypatch.setattr(compiled, name, Recorder(getattr(compiled, name)))
    return compiled


def built(recorder, card):
    """Machine code of the one launch for a card, and what the assembler says of it: (PTX, shared KiB, registers, bytes spilt)."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    ((types, constants, divisible, options),) = recorder.launches
    source = ASTSource(recorder.kernel, types, constants, divisible)
    code = triton.compile(source, target=GPUTarget("cuda", card, 32), options=options)
    assert code.asm["cubin"]
    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / ("ptxas-blackwell" if card >= 100 else "ptxas")
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(code.asm["ptx"])
        file.flush()
        command = [assembler, "-v", f"--gpu-name=sm_{card}{'a' if card >= 90 else ''}", file.name, "-o", os.devnull]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spilt = (int(re.search(pattern, said)[1]) for pattern in (r"Used (\d+) registers", r"(\d+) bytes spill stores"))
    return code.asm["ptx"], code.metadata.shared / 1024, registers, spilt


def operands(precision, gate):
    batch, classes, size = 256, 512, 512
    low = torch.bfloat16 if precision == "bf16" else torch.float32
    gated = (torch.zeros(batch), torch.tensor(0.0)) if gate else (None, None)
    vectors = torch.zeros(batch, size, dtype=low), torch.zeros(classes, size, dtype=low)
    return Operands(*vectors, None, torch.zeros(classes), torch.zeros(batch, dtype=torch.int64), torch.zeros(batch), *gated, precision)


@pytest.mark.parametrize(
    ("card", "precision", "gate"),
    [(card, "bf16", False) for card in PRODUCT] + [(90, "bf16", True), (80, "tf32", False), (90, "tf32", False), (90, "float32", True)],
)
def test_a_tile_compiles_without_spills(compiled, card, precision, gate):
    given = operands(precision, gate)
    compiled.partials(given, 0, 512, torch.zeros(256), torch.zeros(256, 512, dtype=given.direction.dtype))
    ptx, shared, registers, spilt = built(compiled.tile_kernel, card)
    assert spilt == 0
    assert shared <= SHARED[card]
    assert registers <= 255
    assert (PRODUCT[card] in ptx) == (precision != "float32")


@pytest.mark.parametrize("card", PRODUCT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_update_compiles_without_spills(compiled, card, dtype):
    weight = torch.zeros(64, 512, dtype=dtype)
    shadow = None if dtype == torch.bfloat16 else torch.zeros(64, 512, dtype=torch.bfloat16)
    step = type("Step", (), dict(lr=torch.tensor(0.1), seed=torch.tensor(1), momentum=0.9, weight_decay=5e-4))
    step.state = CenterState(weight, torch.zeros_like(weight), shadow, torch.zeros(64))
    own = OwnRows(torch.zeros(65, dtype=torch.int32), torch.zeros(8, 512))
    compiled.update(step, torch.arange(64), 0, 64, torch.zeros(64, 512), own, torch.tensor(True))
    _, shared, registers, spilt = built(compiled.update_kernel, card)
    assert spilt == 0
    assert shared <= SHARED[card]
    assert registers <= 255


def test_the_product_in_tf32_compiles(compiled):
    compiled.product(torch.zeros(64, 512), torch.zeros(512, 64), "tf32")
    ptx, _, _, spilt = built(compiled.product_kernel, 90)
    assert spilt == 0
    assert PRODUCT[90] in ptx or PRODUCT[80] in ptx
