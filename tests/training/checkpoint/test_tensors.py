"""Tensors written by any number of processes are read by any other; what is damaged or missing is refused."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint import HuggingFaceStorageReader, load

from limen.training.checkpoint.tensors import DAMAGE, OFFSETS, Shard, copy_rows, file_name, load_tensors, save_tensors, tensor_shapes
from limen.training.distributed import Processes

TOTAL = 5  # of four processes the last has no rows
SPLIT = {
    "centers": torch.arange(TOTAL * 3.0).view(TOTAL, 3),
    "queues": torch.arange(TOTAL * 2, dtype=torch.int32).view(TOTAL, 2),
    "margins": torch.arange(float(TOTAL)).bfloat16(),
}
WHOLE = {
    "backbone": torch.arange(6.0 * 27).view(6, 3, 3, 3).to(memory_format=torch.channels_last),
    "step": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "none": torch.zeros(0, 4, dtype=torch.float64),
}


def held(rank, ranks, empty=False):
    """What process `rank` of `ranks` holds."""
    share = -(-TOTAL // ranks)
    mine = {name: tensor[rank * share : (rank + 1) * share].clone() for name, tensor in SPLIT.items()}
    whole = {name: tensor.clone() for name, tensor in WHOLE.items()}
    for tensor in (*mine.values(), *whole.values()) if empty else ():
        tensor.zero_()
    return {name: Processes(rank, ranks).shard(tensor, TOTAL) for name, tensor in mine.items()} | whole


def save(folder, ranks):
    for rank in range(ranks):
        save_tensors(folder / file_name(rank, ranks), held(rank, ranks), whole=rank == 0)


@pytest.mark.parametrize("readers", [1, 2, 3, 4])
@pytest.mark.parametrize("writers", [1, 2, 3, 4])
def test_any_number_of_processes_reads_what_any_other_wrote(tmp_path, writers, readers):
    save(tmp_path, writers)
    assert tensor_shapes(tmp_path) == {name: tuple(tensor.shape) for name, tensor in (SPLIT | WHOLE).items()}
    for rank in range(readers):
        found, expected = held(rank, readers, empty=True), held(rank, readers)
        load_tensors(tmp_path, found)
        for name, tensor in expected.items():
            mine, wanted = (one.rows if isinstance(one, Shard) else one for one in (found[name], tensor))
            assert torch.equal(mine, wanted), name


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("writers", [1, 3, 4])
def test_pytorchs_own_reader_reads_them(tmp_path, writers):
    save(tmp_path, writers)
    found = {name: torch.zeros_like(tensor) for name, tensor in (SPLIT | WHOLE).items() if tensor.numel()}
    load(found, storage_reader=HuggingFaceStorageReader(str(tmp_path)), no_dist=True)
    assert all(torch.equal(tensor, (SPLIT | WHOLE)[name]) for name, tensor in found.items())


def test_rows_in_any_order_are_copied(tmp_path):
    save(tmp_path, 3)
    target = torch.full((4, 3), -1.0)
    copy_rows(tmp_path, "centers", torch.tensor([4, -1, 0, 4]), target)
    expected = SPLIT["centers"][[4, 0, 0, 4]]
    expected[1] = -1
    assert torch.equal(target, expected)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_rows_are_noticed(tmp_path, missing):
    save(tmp_path, 3)
    (tmp_path / file_name(missing, 3)).unlink()
    with pytest.raises(ValueError, match=r"rows of centers are missing|other tensors"):
        load_tensors(tmp_path, held(0, 1))


@pytest.mark.parametrize(
    "offsets",
    [
        '{"a": {"saved_offsets": [0, 1]}}',
        '{"a": {"saved_offsets": [-1, 0]}}',
        '{"a": {"saved_offsets": "xy"}}',
        '{"a": 3}',
        '{"b": {"saved_offsets": [0, 0]}}',
        "[" * 100_000,
        "9" * 5000,
        "{",
    ],
)
def test_offsets_that_make_no_sense_are_refused(tmp_path, offsets):
    save_file({"a": torch.zeros(2, 2)}, tmp_path / file_name(0, 1), {OFFSETS: offsets})
    with pytest.raises(DAMAGE):
        load_tensors(tmp_path, {"a": torch.zeros(2, 2)})


MEASURE = """
import json, sys, threading, time
from pathlib import Path
import torch
from limen.training.checkpoint.tensors import Shard, load_tensors, save_tensors

def memory():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")) / 1024

centers = torch.ones(1 << 18, 256)  # 256 MiB
tensors = {"centers": Shard(centers[: 1 << 17], 0, 1 << 18)}, {"centers": Shard(centers[1 << 17 :], 1 << 17, 1 << 18)}
peak, done = memory(), threading.Event()
start = peak

def watch():
    global peak
    while not done.wait(0.001):
        peak = max(peak, memory())

thread = threading.Thread(target=watch)
thread.start()
for rank, part in enumerate(tensors):
    save_tensors(Path(sys.argv[1]) / f"tensors-{rank}.safetensors", part, False)
load_tensors(Path(sys.argv[1]), {"centers": centers.zero_()})
done.set()
thread.join()
print(json.dumps([peak - start, bool((centers == 1).all())]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident size from /proc")
def test_no_second_copy_of_the_centres(tmp_path):
    taken, equal = json.loads(subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, check=True).stdout)
    assert equal
    assert taken < 100, "more than a block of 64 MiB beside 256 MiB of centres"
