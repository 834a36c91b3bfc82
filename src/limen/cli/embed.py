"""Embed aligned 112x112 images into a .npz file: vectors (N, D) of unit length, norms (N,), files (N,), quality (N,) where there is one.

  limen embed model.safetensors faces/ --out faces.npz
  limen embed model.onnx a.jpg b.jpg --out two.npz --no-flip
  limen embed model.safetensors people/ --templates --out gallery.npz
  limen embed model.safetensors people/ --templates --pool quality --min-quality 0.3 --out gallery.npz
  limen embed model.onnx people/ --templates --quality sharpness --min-quality 40 --out gallery.npz

With --templates each folder in DIR is a person, and so is a DIR that holds images itself. The file has vectors (T, D), one a person:
the mean of the unit vectors of the person's images, itself made a unit vector; templates (T,), the names; images (T,), how many are
in it; and, image by image, files, template, quality and weight. --pool quality weighs an image by the percentile of its quality,
among the reference images where the model, or the one whose quality head it is, is calibrated for it, else among the images given; no
image weighs nothing.

Images that cannot be read or measured are left out, counted and named; with --min-quality so are those below it, which the file lists too
(refused_files, refused_quality). `made_by` is a JSON text of model, quality and rules. A person of whom no image is left failed to
enrol: reported, and not in the file.
"""

import argparse
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np

from limen.cli.progress import progress_bar
from limen.data import FileSource, list_images
from limen.data.images import IMAGE_SUFFIXES
from limen.errors import LimenError
from limen.files import atomic_write
from limen.inference.measures import create_measure, measure_identity, score_embedded
from limen.metrics import pool_templates, quality_weights
from limen.models.model import Model, open_model
from limen.protocols import readable_blocks
from limen.quality import LearnedQuality, QualityMeasure
from limen.recogniser import Embeddings

LISTED = 10  # lines of a list in the text; --json has them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR", help="aligned images, or folders that are searched for them")
    parser.add_argument("--out", required=True, metavar="FILE.npz")
    parser.add_argument("--no-flip", action="store_true", help="embed the image alone, without its mirror image")
    parser.add_argument("--resize", action="store_true", help="resize images that are not 112x112 instead of refusing them")
    parser.add_argument("--templates", action="store_true", help="one vector for each person: each folder in DIR")
    parser.add_argument("--pool", choices=["mean", "quality"], help="how --templates weighs the images of a person (mean)")
    parser.add_argument("--min-quality", type=float, metavar="X", help="refuse images of lower quality")
    parser.add_argument(
        "--quality",
        metavar="MEASURE",
        help="norm, sharpness, another MODEL, ... instead of MODEL's quality head; see `limen quality`",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")


@dataclass(frozen=True)
class Outcome:
    """What became of the images of a source, in its order. Arrays are NaN where an image could not be read."""

    files: np.ndarray  # (N,)
    vectors: np.ndarray  # (N, D)
    norms: np.ndarray  # (N,)
    quality: np.ndarray | None  # (N,), None where nothing measures it
    failures: list[str]  # file and reason of every image that could not be read or measured
    kept: np.ndarray  # (N,) bool
    refused: np.ndarray  # (N,) bool: measured, but of too low a quality


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.pool and not options.templates:
        raise LimenError("--pool: it says how to make one vector of several images; add --templates")
    people = people_of(options.images) if options.templates else {}
    files = [file for images in people.values() for file in images] if options.templates else list_images(options.images)
    if not files:
        raise LimenError(f"{', '.join(options.images)}: no images in these folders; check the path")
    embedder = open_model(options.model, options.device)
    spec = options.quality or ("quality" if embedder.has_quality else None)
    if not spec and (options.min_quality is not None or options.pool == "quality"):
        raise LimenError(f"{options.model}: it has no quality head; add --quality norm, sharpness or a MODEL with one")
    measure = create_measure(spec, options.device, embedder) if spec else None
    outcome = _embed(FileSource(files, on_other_size="resize" if options.resize else "refuse"), embedder, measure, options)
    kept = outcome.kept
    arrays = {"vectors": outcome.vectors[kept], "norms": outcome.norms[kept], "files": outcome.files[kept]}
    result = {"out": options.out, "embedded": int(kept.sum()), "failures": outcome.failures}
    result["model_sha256"] = embedder.description["model_sha256"]
    if measure and outcome.quality is not None:
        arrays["quality"] = outcome.quality[kept]
        result["quality"] = measure.name
        if options.min_quality is not None:
            arrays |= {"refused_files": outcome.files[outcome.refused], "refused_quality": outcome.quality[outcome.refused]}
            rows = zip(arrays["refused_files"].tolist(), arrays["refused_quality"].tolist(), strict=True)
            result |= {"min_quality": options.min_quality, "refused": [{"file": file, "quality": value} for file, value in rows]}
    if options.templates:
        reference = _reference_of(embedder, spec, measure) if spec and measure else None
        templates, result["failed_to_enrol"] = _pool(outcome, people, options.pool, reference)
        arrays = arrays | templates
        del arrays["norms"]
        result |= {"templates": len(arrays["templates"]), "pool": options.pool or "mean"}
        if options.pool == "quality":
            result["weights"] = (
                "percentile of the quality among the reference images of its calibration"
                if reference is not None
                else "percentile of the quality among the images given: they depend on who else is enrolled, until `limen calibrate`"
            )

    made_by = {name: result.get(name) for name in ("model_sha256", "quality", "min_quality", "pool", "weights")} | {
        "model": options.model,
        "flip": not options.no_flip,
        "limen": version("limen"),
    }
    arrays["made_by"] = np.array(json.dumps(made_by))

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    atomic_write(Path(options.out), write)
    return result


def people_of(folders: list[str]) -> dict[str, list[Path]]:
    """Person -> images, none for an empty folder: each folder in one of `folders` is a person, else that folder itself.

    Raises LimenError for a path that is no folder, for images beside the folders of people, and for two people of one name.
    """
    homes: dict[str, Path] = {}
    for given in map(Path, folders):
        if not given.is_dir():
            raise LimenError(f"{given}: no such folder; --templates takes folders of people")
        inside = sorted(folder for folder in given.iterdir() if folder.is_dir() and not folder.name.startswith("."))
        if inside and any(map(_is_image, given.iterdir())):
            raise LimenError(f"{given}: holds images beside folders; move them into the folder of their person")
        for folder in inside or [given]:
            name = folder.resolve().name
            if name in homes:
                raise LimenError(f"{homes[name]} and {folder}: two people of one name; rename one, or embed them apart")
            homes[name] = folder
    return {name: sorted(filter(_is_image, folder.rglob("*"))) for name, folder in homes.items()}


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _embed(source: FileSource, embedder: Model, measure: QualityMeasure | None, options: argparse.Namespace) -> Outcome:
    blocks: list[Embeddings] = []
    qualities: list[np.ndarray] = []
    failures: dict[int, str] = {}
    with progress_bar("embedding") as progress:
        for numbers, images in readable_blocks(source, np.arange(len(source)), failures, progress):
            found = embedder.embed(images, flip=False if options.no_flip else None)
            blocks.append(found)
            if measure:
                qualities.append(score_embedded(measure, embedder, found, images, [source.locate(number) for number in numbers]))
    read = np.ones(len(source), bool)
    read[list(failures)] = False

    def of_all(parts: list[np.ndarray]) -> np.ndarray:
        whole = np.full((len(source), *parts[0].shape[1:]), np.nan, parts[0].dtype)
        whole[read] = np.concatenate(parts)
        return whole

    vectors, norms = of_all([found.vectors for found in blocks]), of_all([found.norms for found in blocks])
    quality = of_all(qualities) if qualities else None
    if quality is not None and measure:
        failures |= {k: f"{source.locate(k)}: has no {measure.name}" for k in np.flatnonzero(read & np.isnan(quality)).tolist()}
        read &= ~np.isnan(quality)
        if not read.any():
            raise LimenError(f"no image has a {measure.name}; use another --quality")
    kept = read.copy()
    if quality is not None and options.min_quality is not None:
        kept &= quality >= options.min_quality
        if not kept.any():
            low, high = np.nanmin(quality), np.nanmax(quality)
            raise LimenError(f"--min-quality {options.min_quality:g} refuses every image; their qualities are {low:.4g} to {high:.4g}")
    files_of_all = np.array([source.locate(index) for index in range(len(source))])
    return Outcome(files_of_all, vectors, norms, quality, [failures[k] for k in sorted(failures)], kept, read & ~kept)


def _reference_of(embedder: Model, spec: str, measure: QualityMeasure) -> np.ndarray | None:
    """The scores by that measure of the reference images of the model, or of the model whose quality head it is: a template then does not
    depend on who else is enrolled."""
    known: dict[str, Model] = {measure_identity(spec, measure, embedder): embedder}
    if isinstance(measure, LearnedQuality):
        known.setdefault("quality", cast(Model, measure.recogniser))
    for name, model in known.items():
        if model.calibration is not None and model.calibration.measure == name:
            return np.array(model.calibration.quantiles, np.float32)  # as the scores are, so that equal ones are equal
    return None


def _pool(
    outcome: Outcome, people: dict[str, list[Path]], pool: str | None, reference: np.ndarray | None
) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    """The arrays of the templates, and who failed to enrol and why."""
    kept = outcome.kept
    template = np.repeat(list(people), [len(images) for images in people.values()])
    weight = quality_weights(outcome.quality[kept], reference) if pool == "quality" and outcome.quality is not None else np.ones(kept.sum())
    vectors, names = pool_templates(outcome.vectors[kept], template[kept], outcome.files[kept], weight)
    acquired = np.isfinite(vectors).all(1)
    images = np.unique(template[kept], return_counts=True)[1]
    failed = []
    for name in sorted(set(people) - set(names[acquired].tolist())):
        own = template == name
        unusable = int((own & ~kept & ~outcome.refused).sum())
        cancels = "; the rest cancel out" if (own & kept).any() else ""
        reason = f"{own.sum()} images, {unusable} unusable, {(own & outcome.refused).sum()} refused{cancels}"
        failed.append({"template": name, "reason": reason})
    of_templates = {"vectors": vectors[acquired], "templates": names[acquired], "images": images[acquired]}
    return of_templates | {"template": template[kept], "weight": weight}, failed


def text(result: dict[str, Any]) -> str:
    lists = {
        "images could not be used": result["failures"],
        "images were refused": [f"{row['file']}: {result['quality']} {row['quality']:.4g}" for row in result.get("refused", [])],
        "people failed to enrol": [f"{row['template']}: {row['reason']}" for row in result.get("failed_to_enrol", [])],
    }
    lines = []
    for what, rows in lists.items():
        if rows:
            more = [f"  and {len(rows) - LISTED} more; --json has them all"] if len(rows) > LISTED else []
            lines += [f"{len(rows)} {what}:", *(f"  {row}" for row in rows[:LISTED]), *more]
    lines += [f"weights: {result['weights']}"] if "weights" in result else []
    of = f"templates of {result['embedded']} images" if "templates" in result else "embeddings"
    return "\n".join([*lines, f"{result.get('templates', result['embedded'])} {of} in {result['out']}"])
