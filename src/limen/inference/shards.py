"""Embedding in shards: any number of processes, on any number of machines, embed one set and share nothing but the folder they write to.

One file of the input, or so many images of an input in one piece, becomes one Parquet file, whole or not at all. What is there already is
left alone, so a job that was killed is run again as it was.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from limen.data import FileSource, list_images
from limen.data.pairs.pair_set import SubsetSource
from limen.data.readers.arrow_table import pyarrow
from limen.data.source import BY_SUFFIX, ImageSource, open_source, reader_of
from limen.errors import LimenError
from limen.files import atomic_write, open_plain_file, parse_json, plain
from limen.inference.measures import measure_identity
from limen.inference.table import Progress, Table, embed_images, without_quality
from limen.locks import sole_use
from limen.models.model import Model
from limen.quality import QualityMeasure

IMAGES = 10_000  # of a shard, where the input is in one piece
OF_FILES = ("archive", "arrow", "parquet")  # readers: in a folder of their files each is a shard
KEY = b"limen"  # of a file's metadata: what made it, as JSON


@dataclass(frozen=True)
class Shard:
    """A part of the input: `name` of its output, `size` (bytes of a file, or images) by which another input is told, and how to open it."""

    name: str
    size: int
    open: Callable[[], ImageSource]


def shards_of(path: Path, size: int, on_other_size: str = "refuse") -> list[Shard]:
    """The shards of aligned faces: each file of one of OF_FILES in a folder, or every IMAGES images of anything else that a reader reads.

    Args:
        size, on_other_size: as of FolderSource.

    Raises LimenError for two files of one name but for the suffix, or a path that cannot be read.
    """

    def opened(file: Path) -> ImageSource:
        return open_source(reader_of(file), file, size=size, on_other_size=on_other_size)

    inside = path.iterdir() if path.is_dir() else ()
    files = sorted(file for file in inside if BY_SUFFIX.get(file.suffix.lower()) in OF_FILES)
    if len({file.stem for file in files}) < len(files):
        raise LimenError(f"{path}: holds two files of one name but for the suffix; rename one, for each gives NAME.parquet")
    if files:
        return [Shard(file.stem, file.stat().st_size, lambda file=file: opened(file)) for file in files]  # type: ignore[misc]
    return shards_of_images(FileSource(list_images([path]), size, on_other_size) if reader_of(path) == "folder" else opened(path))


def shards_of_images(source: ImageSource) -> list[Shard]:
    """A shard for every IMAGES images of the source, in its order."""
    bounds = [(start, min(start + IMAGES, len(source))) for start in range(0, len(source), IMAGES)]
    return [
        Shard(f"part-{number:05d}", end - start, lambda start=start, end=end: SubsetSource(source, np.arange(start, end)))  # type: ignore[misc]
        for number, (start, end) in enumerate(bounds)
    ]


def settings_of(embedder: Model, spec: str | None, measure: QualityMeasure | None, flip: bool, resize: bool) -> dict[str, Any]:
    """What vectors and qualities depend on besides the model: the `made_by` of `embed_shards`, whoever runs it."""
    of_quality = {"quality": measure_identity(spec, measure, embedder)} if spec and measure else {}
    return {"flip": flip, "resize": resize, **of_quality}


def embed_shards(
    embedder: Model,
    shards: Sequence[Shard],
    out: Path,
    job: tuple[int, int],
    measure: QualityMeasure | None = None,
    *,
    root: str = "",
    made_by: Mapping[str, Any],
    progress: Callable[[str, int, int], None] | None = None,
    **inference: Any,
) -> dict[str, Any]:
    """Embeds the shards i, i + n, i + 2n, ... into OUT/NAME.parquet, those that are there already left out; `job` is (i, n), i from 0.

    The rows of a file are the images of its shard, in their order:
        id       text, where the image comes from, below `root`
        vector   D x float16, the unit vector; null for a failure to acquire
        norm     float32, as of Embeddings
        quality  float32, by `measure`; the column is there where that is
        error    text, why the image could not be used; null where it could

    Args:
        made_by: what the vectors depend on besides the model (`settings_of`); kept in every file, as the list of all shards is by its hash.
        progress: called with (shard, images done, images of the shard).
        inference: of `embed_images`.

    Returns what was done: the names of the shards embedded and of those that were there, images, failures, and how many of all there are.

    Raises:
        LimenError: pyarrow is missing; a file in `out` is damaged, or was made by another model or of another list of shards; another
            process embeds the same shard; no image of a shard can be used, which is told when the others are done.
    """
    about = {"model": embedder.identity, **made_by, "shards": len(shards), "list": _hash_of(shards), "limen": version("limen")}
    about = json.loads(json.dumps(plain(about)))  # as it is read again
    out.mkdir(parents=True, exist_ok=True)
    there = {file.stem for file in sorted(out.glob("*.parquet")) if _check(file, about)}
    (first, step), done, images, failures, useless = job, list[str](), 0, list[str](), list[str]()
    mine = shards[first::step]
    for shard in mine:
        if shard.name in there:
            continue
        with sole_use(out / f".{shard.name}", f"embedding {shard.name}"):
            target = out / f"{shard.name}.parquet"
            if target.exists():  # by a process that has just ended
                continue
            _remove_remains(target)
            tell: Progress | None = (lambda done, total, name=shard.name: progress(name, done, total)) if progress else None
            try:
                source = shard.open()
                table = embed_images(embedder, source, measures=[measure] if measure else [], progress=tell, **inference)
                wrong = (without_quality(table.qualities, measure.name, source, np.arange(len(source))) if measure else {}) | table.failures
                atomic_write(target, lambda path: _write(path, source, table, wrong, root, about))  # noqa: B023 called at once
            except LimenError as error:
                useless.append(f"{shard.name}: {error}")
                continue
            done.append(shard.name)
            images += len(source) - len(wrong)
            failures += [wrong[number] for number in sorted(wrong)]
    if useless:
        raise LimenError(f"{len(useless)} of {len(mine)} shards were not embedded, the others were ({'; '.join(useless[:3])})")
    complete = sum((out / f"{shard.name}.parquet").exists() for shard in shards)
    earlier = [shard.name for shard in mine if shard.name not in done]
    return {"done": done, "earlier": earlier, "images": images, "failures": failures, "complete": complete, "shards": len(shards)}


def _hash_of(shards: Sequence[Shard]) -> str:
    return hashlib.sha256(json.dumps([[shard.name, shard.size] for shard in shards]).encode()).hexdigest()


def _write(path: Path, source: ImageSource, table: Table, wrong: Mapping[int, str], root: str, about: Mapping[str, Any]) -> None:
    arrow = pyarrow()
    count = len(source)
    missing = np.isin(np.arange(count), list(wrong))
    ids = [source.locate(number).removeprefix(root) for number in range(count)]
    ends = np.concatenate([[0], np.cumsum(~missing) * table.vectors.shape[1]]).astype(np.int32)  # pyarrow reads no null of fixed size back
    vectors = arrow.array(table.vectors[~missing].astype(np.float16).reshape(-1))
    columns = {
        "id": arrow.array([name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in ids]),
        "vector": arrow.ListArray.from_arrays(arrow.array(ends), vectors, mask=arrow.array(missing)),
        "norm": arrow.array(table.norms, mask=missing),
    }
    if len(table.qualities):
        columns["quality"] = arrow.array(table.qualities[0].astype(np.float32), mask=missing)
    columns["error"] = arrow.array([wrong.get(number) for number in range(count)], arrow.string())
    whole = arrow.table(columns)
    arrow.parquet.write_table(whole.replace_schema_metadata({KEY: json.dumps(about).encode()}), path)


def _check(file: Path, about: Mapping[str, Any]) -> bool:
    """True for a whole file that `about` describes. Raises LimenError for any other."""
    arrow = pyarrow()
    try:
        with open_plain_file(file) as handle:
            found = parse_json((arrow.parquet.ParquetFile(handle).schema_arrow.metadata or {}).get(KEY, b"{}"), file)
    except (arrow.ArrowException, OSError) as error:
        raise LimenError(f"{file}: is no whole Parquet file ({str(error).splitlines()[0]}); remove it and run again") from error
    differ = [name for name, value in about.items() if name != "limen" and found.get(name) != value]
    if "model" in differ:
        raise LimenError(f"{file}: was made by another model, or by none of limen's; give another --out")
    if {"list", "shards"} & set(differ):
        had, has = found.get("shards"), about["shards"]
        but = " with other names, sizes or images" if had == has else ""
        raise LimenError(f"{file}: was made of another list of shards, {had} then and {has} now{but}; give that list, or another --out")
    if differ:
        raise LimenError(f"{file}: was made with another {' and '.join(differ)}; give another --out, or the settings of then")
    return True


def _remove_remains(target: Path) -> None:
    """What a process that was killed while it wrote `target` left; nobody else writes it now."""
    for file in target.parent.glob(".*.tmp"):
        if file.name.startswith(f".{target.name}."):
            file.unlink(missing_ok=True)
