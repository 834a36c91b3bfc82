"""The tensors of a checkpoint through torch.distributed.checkpoint: saved by any number of processes, loaded by any other.

Each process writes one .safetensors file, laid out as PyTorch's own HuggingFaceStorageWriter(save_distributed=True) does it, so that its
HuggingFaceStorageReader can read it. That writer holds a second copy of all tensors while it saves, and that reader one of the largest
while it loads; at millions of classes these copies decide what fits, so here tensors pass BLOCK bytes at a time. No pickle is read.
"""

import json
import math
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, Metadata, MetadataIndex, TensorProperties, TensorStorageMetadata
from torch.futures import Future

from limen.training.distributed import Processes

BLOCK = 64 * 2**20  # bytes
OFFSETS = "DCP_SHARDING_INFO"  # PyTorch's name for where in the whole tensor a part begins
KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DTYPES = {kind: dtype for dtype, kind in KINDS.items()}
DAMAGE = (SafetensorError, ValueError, KeyError, TypeError, OSError)


def save_tensors(processes: Processes, folder: Path, tensors: dict[str, Tensor]) -> int:
    """Writes `tensors` into `folder`: those that `Processes.shard` made each process's part, all others as rank 0 has them. Returns the
    `checksum` of this process's file.

    Raises the error of whichever process fails, in all of them.
    """
    planner = dcp.DefaultSavePlanner(dedup_save_to_lowest_rank=True)
    writer = _Writer(folder / file_name(processes.rank, processes.world_size))
    _call(dcp.save, tensors, storage_writer=writer, planner=planner, process_group=processes.group, no_dist=processes.world_size == 1)
    return writer.sum


def load_tensors(processes: Processes, folder: Path, tensors: dict[str, Tensor]) -> None:
    """Fills `tensors` in place. Raises one of DAMAGE, in all processes, where the files of `folder` do not hold them."""
    reader = _Reader(folder)
    _call(dcp.load, tensors, storage_reader=reader, process_group=processes.group, no_dist=processes.world_size == 1)


def checksum(path: Path) -> int:
    """CRC-32 of the bytes of a file: of one that was damaged it is another."""
    found = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 24):
            found = zlib.crc32(block, found)
    return found


def file_name(rank: int, world_size: int) -> str:
    return f"tensors-{rank:05d}-of-{world_size:05d}.safetensors"


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The names and whole shapes of the tensors in `folder`."""
    tensors: dict[str, Any] = _Reader(folder).read_metadata().state_dict_metadata
    return {name: tuple(entry.size) for name, entry in tensors.items()}


def read_whole(folder: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, none of which was a part, by the rest of the name."""
    found: dict[str, Tensor] = {}
    for path in _files(folder):
        with safe_open(path, framework="pt") as file:
            found |= {name[len(prefix) :]: file.get_tensor(name) for name in _offsets(file) if name.startswith(prefix)}
    return found


def copy_rows(folder: Path, name: str, rows: Tensor, target: Tensor) -> None:
    """target[k] = tensor[rows[k]] for every k where rows[k] (n,) is not negative, of the tensor `name` in `folder`, a block at a time."""
    order = rows.argsort()
    ordered = rows[order]
    for path in _files(folder):
        with safe_open(path, framework="pt") as file:
            if name not in _offsets(file):
                continue
            part, start = file.get_slice(name), _offsets(file)[name][0]
            count, *shape = part.get_shape()
            for low, high in _blocks(count, math.prod(shape) * 8):
                first, last = torch.searchsorted(ordered, torch.tensor([start + low, start + high])).tolist()
                if first < last:
                    block = part[low:high][ordered[first:last] - start - low]
                    target[order[first:last].to(target.device)] = block.to(target)


class _Writer(dcp.StorageWriter):
    """One file, in order of falling element size, which keeps every tensor aligned."""

    def __init__(self, path: Path):
        self.path, self.sum = path, 0

    def write_data(self, plan: dcp.SavePlan, planner: dcp.SavePlanner) -> Future[list[Any]]:
        items: list[Any] = sorted(plan.items, key=lambda item: -_dtype(item).itemsize)
        header: dict[str, Any] = {}
        sizes, end = [], 0
        for item in items:
            sizes.append(math.prod(item.tensor_data.chunk.sizes) * _dtype(item).itemsize)
            places = [end, end := end + sizes[-1]]
            header[item.index.fqn] = {"dtype": KINDS[_dtype(item)], "shape": list(item.tensor_data.chunk.sizes), "data_offsets": places}
        offsets = {item.index.fqn: {"saved_offsets": list(item.tensor_data.chunk.offsets)} for item in items}
        text = json.dumps({"__metadata__": {OFFSETS: json.dumps(offsets), "format": "pt"}, **header}).encode()
        text += b" " * (-len(text) % 8)
        with open(self.path, "wb") as file:
            parts = (_bytes(cast(Tensor, planner.resolve_data(item))) for item in items)
            for block in chain([len(text).to_bytes(8, "little") + text], chain.from_iterable(parts)):
                self.sum = zlib.crc32(block, self.sum)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        results: Future[list[Any]] = Future()
        results.set_result([dcp.storage.WriteResult(item.index, size, None) for item, size in zip(items, sizes, strict=True)])
        return results

    def reset(self, checkpoint_id: Any = None) -> None:
        pass

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        pass

    def prepare_local_plan(self, plan: dcp.SavePlan) -> dcp.SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[dcp.SavePlan]) -> list[dcp.SavePlan]:
        return plans

    def finish(self, metadata: Metadata, results: list[list[Any]]) -> None:
        pass

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


class _Reader(dcp.StorageReader):
    """All files of a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.places: dict[MetadataIndex, Path] = {}

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        tensors: dict[str, TensorStorageMetadata] = {}
        for path in _files(self.folder):
            with safe_open(path, framework="pt") as file:
                for name, place in _offsets(file).items():
                    part, offset = file.get_slice(name), torch.Size(place)
                    shape = torch.Size(part.get_shape())
                    known = tensors.setdefault(name, TensorStorageMetadata(TensorProperties(DTYPES[part.get_dtype()]), shape, []))
                    known.size = torch.Size(max(a, b + c) for a, b, c in zip(known.size, offset, shape, strict=True))
                    known.chunks.append(ChunkStorageMetadata(offset, shape))
                    self.places[MetadataIndex(name, offset)] = path
        return Metadata(tensors)  # type: ignore[arg-type]

    def read_data(self, plan: dcp.LoadPlan, planner: dcp.LoadPlanner) -> Future[None]:
        for item in plan.items:
            with safe_open(self.places[item.storage_index], framework="pt") as file:
                target = planner.resolve_tensor(item)
                if not item.lengths:
                    target.copy_(file.get_tensor(item.storage_index.fqn))
                else:
                    part = file.get_slice(item.storage_index.fqn)
                    first, *rest = (slice(a, a + b) for a, b in zip(item.storage_offsets, item.lengths, strict=True))
                    for low, high in _blocks(item.lengths[0], math.prod(item.lengths[1:]) * 8):
                        target[low:high].copy_(part[(slice(first.start + low, first.start + high), *rest)])
                planner.commit_tensor(item, target)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def reset(self, checkpoint_id: Any = None) -> None:
        pass

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        pass

    def prepare_local_plan(self, plan: dcp.LoadPlan) -> dcp.LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[dcp.LoadPlan]) -> list[dcp.LoadPlan]:
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


def _call(function: Callable[..., Any], tensors: dict[str, Tensor], **arguments: Any) -> None:
    """`function`, raising the first error of any process as it was."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            function(tensors, **arguments)
    except dcp.CheckpointException as error:
        raise next(iter(error.failures.values()))[0] from error


def _bytes(tensor: Tensor) -> Iterator[Any]:
    flat = tensor.detach().contiguous().view(-1)
    for low, high in _blocks(len(flat), flat.element_size()):
        yield flat[low:high].cpu().view(torch.uint8).numpy().data


def _blocks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """The bounds of blocks of at most BLOCK bytes that make up `count` items of `size` bytes."""
    share = max(1, BLOCK // max(1, size))
    for low in range(0, count, share):
        yield low, min(low + share, count)


def _dtype(item: Any) -> torch.dtype:
    return item.tensor_data.properties.dtype


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("tensors-*.safetensors"))


def _offsets(file: Any) -> dict[str, list[int]]:
    return {name: entry["saved_offsets"] for name, entry in json.loads(file.metadata()[OFFSETS]).items()}
