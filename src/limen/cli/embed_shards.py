"""`limen embed --shard i/n`: one of n jobs, each of which embeds its part of a set that is too large for one process."""

import argparse
import re
from pathlib import Path
from typing import Any

from limen.cli.inference import alignment_of, inference_options, model_options, open_faces
from limen.cli.progress import progress_bar
from limen.data import list_images
from limen.errors import LimenError
from limen.inference.measures import create_measure
from limen.inference.shards import Shard, embed_shards, settings_of, shards_of, shards_of_images
from limen.models.model import open_model


def job_of(word: str) -> tuple[int, int]:
    """(i, n) of "i/n". Raises ArgumentTypeError."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", word)
    job = (int(found[1]), int(found[2])) if found else (0, 0)
    if job[0] >= job[1]:
        raise argparse.ArgumentTypeError(f"{word!r} is no job; the first of four is 0/4 and the last 3/4")
    return job


def run_shards(options: argparse.Namespace) -> dict[str, Any]:
    for name in ("templates", "pool", "min_quality"):
        if getattr(options, name):
            raise LimenError(f"--{name.replace('_', '-')}: needs all images at once; leave it out with --shard")
    out = Path(options.out)
    if out.suffix == ".npz" or out.is_file():
        raise LimenError(f"{out}: --shard writes a Parquet file for each shard; give --out a folder")
    embedder = open_model(options.model, **model_options(options))
    spec = options.quality or ("quality" if embedder.has_quality else None)
    measure = create_measure(spec, embedder=embedder, **model_options(options)) if spec else None
    shards, root, switches = _shards(options, embedder.preprocessing.size)
    made_by = settings_of(embedder, spec, measure, not options.no_flip, options.resize) | switches
    reading = {"flip": False if options.no_flip else None, **inference_options(options)}
    with progress_bar("embedding") as bar:
        done = embed_shards(
            embedder,
            shards,
            out,
            options.shard,
            measure,
            root=root,
            made_by=made_by,
            progress=lambda name, images, total: bar(images, total),
            **reading,
        )
    return {"out": options.out, "job": "{}/{}".format(*options.shard), **done, "model_sha256": embedder.description["model_sha256"]}


def _shards(options: argparse.Namespace, size: int) -> tuple[list[Shard], str, dict[str, Any]]:
    """The shards, what their images' names begin with, and how the faces were aligned."""
    paths = [Path(path) for path in options.images]
    root = f"{paths[0]}/" if len(paths) == 1 else ""
    if len(paths) == 1 and not options.detector and not options.faces:
        return shards_of(paths[0], size, "resize" if options.resize else "refuse"), root, {}
    source = open_faces(list_images(paths), size, options)
    return shards_of_images(source), root, alignment_of(source)


def text(result: dict[str, Any]) -> str:
    listed = [f"  {row}" for row in result["failures"][:10]]
    lines = [f"{len(result['failures'])} images could not be used; the column error has them all:", *listed] if listed else []
    lines.append(
        f"job {result['job']}: {len(result['done'])} shards of {result['images']} images embedded, {len(result['earlier'])} were there"
    )
    left = result["shards"] - result["complete"]
    others = f"; {left} left to other jobs" if left else ""
    lines.append(f"{result['complete']} of {result['shards']} shards are in {result['out']}{others}")
    return "\n".join(lines)
