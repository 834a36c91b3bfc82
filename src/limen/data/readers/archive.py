"""Images in archives, read at their places without unpacking: tar files and zip files of a folder of people, and WebDataset shards."""

import os
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from limen.data.images import LARGEST_FILE, SIZE, check_on_other_size, decode_image
from limen.data.readers.people import is_image_name, other_suffixes, warn_of_passed
from limen.errors import LimenError, UnreadableImage
from limen.files import open_plain_file, read_at

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
SUFFIXES = (".tar", ".zip")
LABEL = ".cls"  # of a WebDataset shard: the member that holds an image's person, as a number
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip file: signature, lengths of the name and of the extra field


class Member(NamedTuple):
    """A file in an archive: where its bytes begin, how many stand there, how many they become, and how they are packed."""

    name: str
    offset: int
    packed: int
    size: int
    method: int


class ArchiveSource:
    """A FaceSource of archives: people in the order of their names, images in the order of the archives and of their members.

    In a tar or zip file of a folder of people the folder that an image lies in is its person. In WebDataset shards, told by their `.cls`
    members, the person of an image is the number in the `.cls` beside it: the two stand next to each other, for a name may come again.
    Workers share nothing: each opens the archives for itself, and reads with offsets.

    Args:
        path: a .tar or .zip file, or a folder of .tar shards.
        size, on_other_size: as of FolderSource.

    Raises:
        LimenError: no archive, a damaged or compressed one, a member whose name is absolute or leads out of the archive, a link or a
            sparse file among the members, an image without a person, two images of one name.
    """

    def __init__(self, path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        self.path = Path(path)
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        self.shards = sorted(self.path.glob("*.tar")) if self.path.is_dir() else [self.path]
        if not self.shards:
            raise LimenError(f"{self.path}: holds no .tar files; give an archive, or the folder of its shards")
        self._files: dict[int, BinaryIO] = {}
        rows: list[tuple[int, int, int, int, int]] = []  # shard, offset, packed, size, method
        names, people = list[str](), list[str]()
        for number, shard in enumerate(self.shards):
            members = list(_members(shard, self._file(number)))
            for member, person in self._labelled(number, members):
                rows.append((number, *member[1:]))
                names.append(member.name)
                people.append(person)
        if not rows:
            raise LimenError(f"{self.path}: holds no images in folders of people, and none with a {LABEL} beside it")
        self._rows = np.array(rows, np.int64)
        known = sorted(set(people), key=lambda name: (len(name), name) if name.isdigit() else (0, name))
        self.class_names = known if all(name.isdigit() for name in known) else sorted(known)
        label = {name: k for k, name in enumerate(self.class_names)}
        self.labels = np.array([label[person] for person in people], np.int64)
        encoded = [os.fsencode(name) for name in names]
        self._names = np.frombuffer(b"".join(encoded), np.uint8)  # one block, as of FolderSource: workers share it
        self._bounds = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        where = self.locate(index)
        try:
            encoded = self.encoded(index)
        except (LimenError, OSError, zlib.error) as error:
            raise UnreadableImage(f"{where}: cannot be unpacked ({error}); fetch the archive again") from error
        return decode_image(encoded, where, self.size, self.on_other_size)

    def encoded(self, index: int) -> bytes:
        """Image `index` as it was packed. Raises LimenError or zlib.error for one that is damaged."""
        shard, offset, packed, size, method = self._rows[index].tolist()
        return _unpacked(self._file(shard), Member("", offset, packed, size, method))

    def locate(self, index: int) -> str:
        start, end = self._bounds[index : index + 2]
        return os.path.join(self.shards[self._rows[index, 0]], os.fsdecode(self._names[start:end].tobytes()))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_files": {}}

    def _file(self, shard: int) -> BinaryIO:
        if shard not in self._files:
            self._files[shard] = open_plain_file(self.shards[shard])
        return self._files[shard]

    def _labelled(self, shard: int, members: list[Member]) -> Iterator[tuple[Member, str]]:
        """The images among the members, each with its person."""
        path, file = self.shards[shard], self._file(shard)
        if not any(member.name.endswith(LABEL) for member in members):
            warn_of_passed(path, Counter(other_suffixes(PurePosixPath(member.name).name for member in members)))
            seen = set[str]()
            for member in members:
                if is_image_name(PurePosixPath(member.name).name):
                    if member.name in seen:
                        raise LimenError(f"{path}: holds {member.name} twice; pack it anew")
                    seen.add(member.name)
                    person = PurePosixPath(member.name).parent.name
                    if not person:
                        raise LimenError(f"{path}: {member.name} lies in no folder of a person, and has no {LABEL} beside it")
                    yield member, person
            return
        waiting: dict[str, tuple[Member | None, str | None]] = {}
        ends: list[Member | None] = [*members, None]
        for one in ends:
            stem = "" if one is None else one.name.rpartition(".")[0]
            for other in [key for key in waiting if one is None or key != stem]:  # a sample ends where the next begins
                image, label = waiting.pop(other)
                if image is None or label is None:
                    raise LimenError(f"{path}: {other} lacks its {'image' if image is None else LABEL}; fetch the shard again")
                yield image, label
            if one is not None and one.name.endswith(LABEL):
                waiting[stem] = waiting.get(stem, (None, None))[0], _number(path, one, _unpacked(file, one) if one.size < 32 else b"")
            elif one is not None and is_image_name(PurePosixPath(one.name).name):
                waiting[stem] = one, waiting.get(stem, (None, None))[1]


def _number(path: Path, member: Member, text: bytes) -> str:
    if not text.strip().isdigit():
        raise LimenError(f"{path}: {member.name} holds no number of a person; fetch the shard again")
    return str(int(text))


def _unpacked(file: BinaryIO, member: Member) -> bytes:
    if max(member.size, member.packed) > LARGEST_FILE:
        raise LimenError(f"{member.size:,} bytes are no image")
    data = read_at(file.fileno(), member.packed, member.offset)
    if member.method == DEFLATED:
        data = zlib.decompressobj(-15).decompress(data, max(member.size, 1))  # never more than was promised
    if len(data) != member.size:
        raise LimenError(f"{len(data)} of {member.size} bytes")
    return data


def _members(path: Path, file: BinaryIO) -> Iterator[Member]:
    """The files in an archive."""
    size = os.fstat(file.fileno()).st_size
    try:
        found = list(_of_zip(path, file) if path.suffix.lower() == ".zip" else _of_tar(path, file))
    except (tarfile.TarError, zipfile.BadZipFile, ValueError, struct.error, EOFError, OverflowError, NotImplementedError, OSError) as error:
        remedy = "unpack it with gunzip first, for images are read at their places" if path.suffix.lower() == ".gz" else "fetch it again"
        raise LimenError(f"{path}: is no archive that can be read ({error}); {remedy}") from error
    for member in found:
        parts = PurePosixPath(member.name).parts
        if member.name.startswith(("/", "\\")) or ".." in parts or ":" in member.name[:2]:
            raise LimenError(f"{path}: holds {member.name}, a name that leads out of the archive; take no images from it")
        if member.offset < 0 or member.offset + member.packed > size:
            raise LimenError(f"{path}: is cut short: {member.name} ends after it; fetch it again")
        yield member


def _of_tar(path: Path, file: BinaryIO) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as archive:
        for item in archive:
            if item.issym() or item.islnk() or item.issparse():
                raise LimenError(f"{path}: holds {item.name}, a link or sparse file; pack the images themselves (tar --dereference)")
            if item.isfile():
                yield Member(item.name.removeprefix("./"), item.offset_data, item.size, item.size, STORED)


def _of_zip(path: Path, file: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for item in archive.infolist():
            if item.is_dir():
                continue
            if item.external_attr >> 28 == 0o12:
                raise LimenError(f"{path}: holds {item.filename}, a link; pack the images themselves")
            if item.flag_bits & 1 or item.compress_type not in (STORED, DEFLATED):
                raise LimenError(f"{path}: {item.filename} is encrypted or packed in a way that is not read; pack it anew (zip -0)")
            signature, name, extra = LOCAL_HEADER.unpack(read_at(file.fileno(), LOCAL_HEADER.size, item.header_offset))
            if signature != b"PK\x03\x04":
                raise zipfile.BadZipFile(f"no file stands where {item.filename} should")
            yield Member(item.filename, item.header_offset + 30 + name + extra, item.compress_size, item.file_size, item.compress_type)
