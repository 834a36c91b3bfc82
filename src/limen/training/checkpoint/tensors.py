"""The tensors of a checkpoint: one .safetensors file of each process that wrote it, with whole tensors and rows of others.

Where in the whole a part begins stands in the file's metadata, laid out as PyTorch's HuggingFaceStorageWriter(save_distributed=True) does
it, so that its HuggingFaceStorageReader can read it. That writer holds a second copy of all tensors while it saves, and that reader one of
the largest while it loads; at millions of classes these copies decide what fits, so here tensors pass BLOCK bytes at a time.
"""

import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from limen.files import open_plain_file, unique_keys

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
DAMAGE = (SafetensorError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, OSError)


class Shard(NamedTuple):
    """The rows `first`, `first` + 1, ... of a tensor that has `total` of them."""

    rows: Tensor
    first: int
    total: int


Tensors = Mapping[str, Tensor | Shard]


def shapes_of(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """The whole shape of each."""
    return {name: (one.total, *one.rows.shape[1:]) if isinstance(one, Shard) else tuple(one.shape) for name, one in tensors.items()}


def save_tensors(path: Path, tensors: Tensors, whole: bool) -> int:
    """Writes the shards among `tensors` into the file `path`, and the others where `whole`. Returns the file's `checksum`."""
    chosen = {
        name: one if isinstance(one, Shard) else Shard(one, 0, 0)
        for name, one in tensors.items()
        if (len(one.rows) if isinstance(one, Shard) else whole)
    }
    header: dict[str, Any] = {}
    ordered = sorted(chosen, key=lambda name: -chosen[name].rows.dtype.itemsize)  # which keeps every tensor aligned
    end = 0
    for name in ordered:
        rows = chosen[name].rows
        places = [end, end := end + rows.nbytes]
        header[name] = {"dtype": KINDS[rows.dtype], "shape": list(rows.shape), "data_offsets": places}
    offsets = {name: {"saved_offsets": [part.first, *[0] * (part.rows.ndim - 1)][: part.rows.ndim]} for name, part in chosen.items()}
    text = json.dumps({"__metadata__": {OFFSETS: json.dumps(offsets), "format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    found = 0
    with open(path, "wb") as file:
        for block in _file_blocks(text, [chosen[name].rows for name in ordered]):
            found = zlib.crc32(block, found)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return found


def load_tensors(folder: Path, tensors: Tensors) -> None:
    """Fills `tensors`, shards of any other split among them, in place. Raises one of DAMAGE where `folder` does not hold just these."""
    if tensor_shapes(folder) != shapes_of(tensors):
        raise ValueError("other tensors")
    for part, name, start in _stored(folder):
        wanted = tensors[name]
        target, first = (wanted.rows, wanted.first) if isinstance(wanted, Shard) else (wanted, 0)
        if not target.ndim:
            target.copy_(part[...])
            continue
        count, *shape = part.get_shape()
        overlap = range(max(start, first), min(start + count, first + len(target)))
        for low, high in _blocks(len(overlap), math.prod(shape) * 8):
            rows = overlap[low:high]
            target[rows.start - first : rows.stop - first].copy_(part[rows.start - start : rows.stop - start])


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The names and whole shapes of the tensors in `folder`. Raises one of DAMAGE where rows of one are missing."""
    parts: dict[str, list[tuple[int, list[int]]]] = {}
    for part, name, start in _stored(folder):
        parts.setdefault(name, []).append((start, part.get_shape()))
    shapes = {}
    for name, found in parts.items():
        end = 0
        for start, shape in sorted(found):
            if start != end or shape[1:] != found[0][1][1:]:
                raise ValueError(f"rows of {name} are missing")
            end += shape[0] if shape else 1
        shapes[name] = (end, *found[0][1][1:]) if found[0][1] else ()
    return shapes


def read_whole(folder: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, none of which was a part, by the rest of the name."""
    return {name[len(prefix) :]: part[...] for part, name, _ in _stored(folder) if name.startswith(prefix)}


def copy_rows(folder: Path, name: str, rows: Tensor, target: Tensor) -> None:
    """target[k] = tensor[rows[k]] for every k where rows[k] (n,) is not negative, of the tensor `name` in `folder`, a block at a time."""
    order = rows.argsort()
    ordered = rows[order]
    for part, found, start in _stored(folder):
        if found != name:
            continue
        count, *shape = part.get_shape()
        for low, high in _blocks(count, math.prod(shape) * 8):
            first, last = torch.searchsorted(ordered, torch.tensor([start + low, start + high])).tolist()
            if first < last:
                block = part[low:high][ordered[first:last] - start - low]
                target[order[first:last].to(target.device)] = block.to(target)


def checksum(path: Path) -> int:
    """CRC-32 of the bytes of a file: of one that was damaged it is another."""
    found = 0
    with open_plain_file(path) as file:
        while block := file.read(1 << 24):
            found = zlib.crc32(block, found)
    return found


def file_name(rank: int, world_size: int) -> str:
    return f"tensors-{rank:05d}-of-{world_size:05d}.safetensors"


def _stored(folder: Path) -> Iterator[tuple[Any, str, int]]:
    """Every tensor of every file in `folder`: what to slice it out of, its name, and its first row in the whole tensor."""
    for path in sorted(folder.glob("tensors-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name, entry in json.loads(file.metadata()[OFFSETS], object_pairs_hook=unique_keys).items():
                first, *others = entry["saved_offsets"] or [0]
                if any(others):
                    raise ValueError(f"{name} is split along more than its rows")
                yield file.get_slice(name), name, first


def _file_blocks(header: bytes, tensors: list[Tensor]) -> Iterator[Any]:
    yield len(header).to_bytes(8, "little") + header
    for tensor in tensors:
        flat = tensor.detach().contiguous().view(-1)
        for low, high in _blocks(len(flat), flat.element_size()):
            yield flat[low:high].cpu().view(torch.uint8).numpy().data


def _blocks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """The bounds of blocks of at most BLOCK bytes that make up `count` items of `size` bytes."""
    share = max(1, BLOCK // max(1, size))
    for low in range(0, count, share):
        yield low, min(low + share, count)
