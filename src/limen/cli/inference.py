"""The words of every command that embeds images: how a model is opened and how images are read, photos among them."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, TypeVar

from limen.align import FaceSearch, open_detector
from limen.data import AlignedSource, FileSource, ImageSource, PairSet
from limen.errors import LimenError
from limen.models.model import BACKENDS, Model
from limen.protocols.task import SearchSet


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the network (all; under torchrun this process's share)")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"], help="precision of the network (float32)")
    parser.add_argument("--backend", choices=BACKENDS, help="what runs the network (torch for a bundle); see limen export")
    parser.add_argument("--batch-size", type=int, metavar="N", help="images that the network takes at a time (16 on a CPU, 64 on a GPU)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that read images ahead (one for each core, four at most)")
    parser.add_argument("--cache", metavar="DIR", help="keep embeddings there, and what --backend needs, for next time")
    parser.add_argument("--detector", metavar="DETECTOR", help="the images are photos: find their faces with it (yunet, FILE.onnx)")
    parser.add_argument("--faces", choices=["largest", "central"], help="which of several faces of a photo is meant (largest)")


def model_options(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `open_model` and `create_measure`."""
    return {name: getattr(options, name) for name in ("device", "threads", "precision", "backend", "cache")}


def inference_options(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `embed_images`, `score_images` and whatever passes them on."""
    return {"batch_size": options.batch_size, "workers": options.workers, "cache": options.cache}


def open_faces(files: Sequence[str | PathLike[str]], size: int, options: argparse.Namespace) -> ImageSource:
    """The faces in `files`, `size` pixels a side: aligned crops, or with --detector one of each photo, found and aligned."""
    on_other_size = "resize" if getattr(options, "resize", False) else "refuse"
    if options.detector is None:
        if options.faces:
            raise LimenError("--faces: it chooses among the faces of a photo; add --detector")
        return FileSource(files, size, on_other_size)
    if on_other_size == "resize":
        raise LimenError("--resize: a photo's face is aligned to the model's size; leave it out, or --detector")
    return AlignedSource(FileSource(files, size=None), FaceSearch(open_detector(options.detector)), options.faces or "largest", size)


OfFiles = TypeVar("OfFiles", bound=PairSet | SearchSet)


def of_faces(task: OfFiles, options: argparse.Namespace) -> OfFiles:
    """The task as it is, or with --detector of the faces in its photos."""
    if options.detector is None and options.faces is None:
        return task
    if not isinstance(task.source, FileSource):
        raise LimenError(f"{task.name}: holds aligned faces and no photos; leave --detector and --faces out")
    source = open_faces(task.source.paths, task.source.size or 0, options)
    return replace(task, source=source, switches={**task.switches, **alignment_of(source)})


def alignment_of(source: ImageSource) -> dict[str, Any]:
    """What a result says of how its faces were aligned; nothing of crops that came aligned."""
    return {"alignment": source.description} if isinstance(source, AlignedSource) else {}


def chosen_threshold(model: Model | None, options: argparse.Namespace) -> float:
    """`--threshold`, else that of the model's operating point of the lowest false match rate. Raises LimenError where there is neither."""
    if options.threshold is not None:
        if not -1 <= options.threshold <= 1:
            raise LimenError(f"--threshold {options.threshold}: a cosine lies between -1 and 1")
        return float(options.threshold)
    if model is None or not model.operating_points:
        raise LimenError(
            f"{options.model}: has no operating point to tell who is one person; add --threshold, or run limen calibrate --fmr 1e-4"
        )
    return min(model.operating_points, key=lambda point: point.fmr).threshold
