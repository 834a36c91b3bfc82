"""Packed pairs: `<set>.bin`, the same as `.xz`, `<set>.npy` with issame.txt, or the memory file that AdaFace makes of a bcolz pack.

Aligned 112x112, in ten folds in their order.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limen.data.images import SIZE
from limen.data.pairs import PairSet
from limen.data.pairs.bins import open_bin
from limen.data.pairs.pair_set import joined_subjects
from limen.errors import LimenError, UnreadableImage
from limen.files import file_sha256, open_plain_file, read_json
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.text import rows_of, wrong_line
from limen.protocols.layouts.tree import entry, places

PACKED = ".bin, .bin.xz, .npy with issame.txt, or a folder with memfile/ and _list.npy beside it (aligned 112x112, of training sets)"
SUFFIXES = (".bin", ".xz", ".npy")


class ArraySource:
    """An ImageSource of the `rows` (N,) of an array (M, 3, 112, 112), uint8 RGB or float32 BGR from -1 to 1; `places` say where each image
    comes from."""

    def __init__(self, array: np.ndarray, rows: np.ndarray, places: Sequence[str]) -> None:
        self.array = array
        self.rows = rows
        self.places = places

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> np.ndarray:
        image = self.array[self.rows[index]]
        if image.dtype != np.uint8:
            image = _from_normalised(image, self.places[index])
        return np.ascontiguousarray(image.transpose(1, 2, 0))

    def locate(self, index: int) -> str:
        return self.places[index]


def _from_normalised(image: np.ndarray, place: str) -> np.ndarray:
    """(3, 112, 112) uint8 RGB of float BGR, (x / 255 - 0.5) / 0.5."""
    pixels = np.rint((image[::-1] + 1) * 127.5)
    if not ((pixels >= 0) & (pixels <= 255)).all():  # also NaN
        raise UnreadableImage(f"{place}: holds values that are not from -1 to 1; fetch the pack again")
    return pixels.astype(np.uint8)


def packed(path: Path, *names: str) -> PairSet | None:
    """The pairs of the pack `path`, or of the one in the folder `path` that has one of `names`, such as "cfp_fp"; None without one.

    Images with the same bytes count as one, and the people of mated pairs are joined, for a pack names none. The sha256 of the pack is in
    the switches: unequal packs of one name circulate.
    """
    if path.is_file():
        return _open(path) if path.suffix.lower() in SUFFIXES else None
    for place in [*places(path)][:-1]:  # not its parent, where a pack may lie beside the tree that is meant
        for name in names:
            if found := entry(place, "|".join([f"{name}.bin", f"{name}.xz", f"{name}.bin.xz", f"{name}.npy", f"{name}/{name}.npy"])):
                return _open(found)
            if (listed := entry(place, f"{name}_list.npy")) and (folder := entry(place, name)):
                return _open_memory(folder, listed)
        if place.name.lower() in names and (place / "issame.txt").exists() and (array := entry(place, "*.npy")):
            return _open(array)
    return None


def _open(path: Path) -> PairSet:
    pairs = _open_array(path) if path.suffix.lower() == ".npy" else open_bin(path, SIZE, "refuse")
    return replace(pairs, switches={"pairs_sha256": file_sha256(path), "pack": path.name})


def _open_array(path: Path) -> PairSet:
    listed = path.with_name("issame.txt")
    flags = {"0": False, "1": True, "false": False, "true": True}
    same = []
    for line, (flag,) in rows_of(listed, 1):
        if flag.lower() not in flags:
            raise wrong_line(listed, line, f"has {flag!r} where 0 or 1 is expected")
        same.append(flags[flag.lower()])
    array = _load(path)
    if array.dtype != np.uint8 or array.shape != (2 * len(same), 3, SIZE, SIZE):
        wanted = (2 * len(same), 3, SIZE, SIZE)
        raise LimenError(f"{path}: holds {array.dtype} {array.shape} where issame.txt makes it uint8 {wanted}; fetch both again")
    return _pairs_of(path, array, np.array(same))


def _load(path: Path) -> np.ndarray:
    open_plain_file(path).close()  # a pipe is refused, and never waited for
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise LimenError(f"{path}: is no array that can be read ({error}); fetch it again") from error


def _open_memory(folder: Path, listed: Path) -> PairSet:
    """The memory file in a bcolz folder: float32 images as networks take them, BGR. `listed` holds a flag a pair."""
    path, described = entry(folder, "memfile/mem_file.dat"), entry(folder, "memfile/mem_file.conf")
    if path is None or described is None:
        raise LimenError(
            f"{folder}: is packed by bcolz, which limen does not read; AdaFace's code makes memfile/mem_file.dat and .conf of it, which it "
            f"does, and the same pairs circulate as {folder.name}.bin"
        )
    same, said = _load(listed), read_json(described)
    wanted = (2 * len(same.ravel()), 3, SIZE, SIZE)
    if same.dtype.kind not in "biu" or not np.isin(same, (0, 1)).all():
        raise LimenError(f"{listed}: holds {same.dtype} {same.shape} where a flag for each pair is expected; fetch it again")
    found = (said.get("shape"), said.get("dtype")) if isinstance(said, dict) else (None, None)
    size = path.stat().st_size if path.is_file() else 0
    if found != ([*wanted], "float32") or size != 4 * int(np.prod(wanted)):
        raise LimenError(
            f"{path}: {described.name} says {found[0]} {found[1]} and it has {size:,} bytes, where {listed.name} makes it float32 "
            f"{wanted}; fetch them again"
        )
    open_plain_file(path).close()
    pairs = _pairs_of(path, np.memmap(path, np.float32, "r", shape=wanted), same.ravel().astype(bool))
    return replace(pairs, switches={"pairs_sha256": file_sha256(path), "pack": f"{folder.name}/memfile"})


def _pairs_of(path: Path, array: np.ndarray, mated: np.ndarray) -> PairSet:
    """Pairs of neighbours of the images (2P, 3, 112, 112)."""
    numbers: dict[bytes, int] = {}
    number = np.array([numbers.setdefault(hashlib.sha256(image.tobytes()).digest(), len(numbers)) for image in array], np.int64)
    first, second = number[0::2], number[1::2]
    entry_of = np.unique(number, return_index=True)[1]
    source = ArraySource(array, entry_of, [f"{path} image {place}" for place in entry_of])
    return PairSet(path.stem, source, first, second, mated, joined_subjects(first, second, mated, len(numbers)), people="joined")


def _read(layout: Layout, path: Path) -> PairSet:
    if pack := packed(path, layout.name.replace("-", "_")):
        return pack
    raise layout.missing(path, *layout.holds)


VGG2_FP = Layout(
    name="vgg2-fp",
    title="VGG2-FP: VGGFace2, frontal against profile",
    kind="one to one",
    holds={"vgg2_fp.bin|vgg2_fp.bin.xz|vgg2_fp.npy": "encoded pairs"},
    source="insightface's training sets (dataset zoo)",
    images="aligned",
    read=_read,
    also="vgg2_fp/vgg2_fp.npy with issame.txt",
    expected={"pairs": 5000},
)
