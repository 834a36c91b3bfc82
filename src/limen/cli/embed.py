"""Embed aligned 112x112 images, or the faces of photos, into a .npz file: vectors (N, D) of unit length, norms (N,), files (N,), quality
(N,) where there is one.

  limen embed model.safetensors faces/ --out faces.npz
  limen embed model.onnx a.jpg b.jpg --out two.npz --no-flip
  limen embed model.safetensors photos/ --detector yunet --out faces.npz
  limen embed model.safetensors people/ --templates --out gallery.npz
  limen embed model.safetensors people/ --templates --pool quality --min-quality 0.3 --out gallery.npz
  limen embed model.onnx people/ --templates --quality sharpness --min-quality 40 --out gallery.npz
  limen embed model.safetensors people/ --templates --min-quality 5% --out gallery.npz
  limen embed model.safetensors people/ --templates --best 5 --out gallery.npz
  limen embed model.safetensors corrected.csv --templates --out gallery.npz
  limen embed model.safetensors shards/ --shard 0/64 --out vectors/

In place of folders, one path that training reads: a list (FILE.csv of file and person), a .tar or .zip file, a folder of .tar shards, a
train.rec.

With --templates each folder in DIR is a person, and so is a DIR that holds images itself. The file has vectors (T, D), one a person:
the mean of the unit vectors of the person's images, itself made a unit vector; templates (T,), the names; images (T,), how many are
in it; and, image by image, files, template, image_vectors, quality and weight. --best k takes a person's k images of the highest quality
or, where there is none, of the longest features: the best of a track. Images more like another person than the rest of their own are
named, and stay; `limen audit` says more. --pool quality weighs an image by the percentile of its quality,
among the reference images where the model, or the one whose quality head it is, is calibrated for it, else among the images given; no
image weighs nothing.

Images that cannot be read or measured are left out, counted and named; with --min-quality so are those below it, which the file lists too
(refused_files, refused_quality). --min-quality 5% refuses images below the 5th percentile of the reference images or, without such a
calibration, of the images given. `made_by` is a JSON text of model, quality and rules. A person of whom no image is left failed to enrol:
reported, and not in the file.

--shard i/n is for sets that are too large for one process: n jobs, i from 0, write one Parquet file (id, vector of float16, norm, quality,
error) for each .tar, .zip or .parquet file in a folder, or for every 10,000 images of anything else. Run a job again after a kill: what is
there is left alone.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from limen.cli.embed_shards import job_of, run_shards
from limen.cli.embed_shards import text as text_of_shards
from limen.cli.inference import add_inference_arguments, alignment_of, inference_options, model_options, open_faces
from limen.cli.progress import progress_bar
from limen.data import ImageSource, list_images, open_source
from limen.data.pairs.pair_set import SubsetSource
from limen.data.readers.people import people_of
from limen.data.source import BY_SUFFIX, reader_of
from limen.decision.audit import likeness, outlier_rows
from limen.decision.enrolment import enrol, reference_of
from limen.errors import LimenError
from limen.inference.measures import create_measure
from limen.models.model import open_model

LISTED = 10  # lines of a list in the text; --json has them all
AMONG_REFERENCE_IMAGES = "among the reference images of its calibration"
AMONG_GIVEN_IMAGES = "among the images given: depends on who else is enrolled, until `limen calibrate`"
PERCENTILE = "percentile of the quality"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE|DIR|LIST.csv", help="aligned images, with --detector photos, or folders of them"
    )
    parser.add_argument("--out", required=True, metavar="FILE.npz|DIR")
    parser.add_argument("--shard", type=job_of, metavar="i/n", help="embed part i (from 0) of n, into Parquet files in the folder --out")
    parser.add_argument("--no-flip", action="store_true", help="embed the image alone, without its mirror image")
    parser.add_argument("--resize", action="store_true", help="resize images of another size than the model's, instead of refusing them")
    parser.add_argument("--templates", action="store_true", help="one vector for each person: each folder in DIR")
    parser.add_argument("--best", type=int, metavar="K", help="make a template of the person's K best images, by quality, else by norm")
    parser.add_argument("--pool", choices=["mean", "quality"], help="how --templates weighs the images of a person (mean)")
    parser.add_argument("--min-quality", type=_gate, metavar="X", help="refuse images of lower quality, or with 5%% the worst 5 in 100")
    parser.add_argument(
        "--quality",
        metavar="MEASURE",
        help="norm, sharpness, another MODEL, ... instead of MODEL's quality head; see `limen quality`",
    )
    add_inference_arguments(parser)


def _gate(word: str) -> dict[str, float]:
    """The keyword argument of `enrol`: `min_quality`, or of "5%" `worst_share`. Raises ArgumentTypeError for neither."""
    share = word.rstrip().endswith("%")
    try:
        number = float(word.rstrip().removesuffix("%"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (share and not 0 < number < 100):
        raise argparse.ArgumentTypeError(f"{word!r} is neither a quality nor a share between 0 % and 100 %; give 0.3 or 5%")
    return {"worst_share": number / 100} if share else {"min_quality": number}


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.shard:
        return run_shards(options)
    if options.pool and not options.templates:
        raise LimenError("--pool: it says how to make one vector of several images; add --templates")
    if options.best is not None and (options.best < 1 or not options.templates):
        raise LimenError(f"--best {options.best}: give 1 or more, and --templates: it says of which images of a person")
    read = _reader(options)
    people = people_of(options.images) if options.templates and not read else None
    files = [] if read else list_images(options.images) if people is None else [file for images in people.values() for file in images]
    if not (read or files):
        raise LimenError(f"{', '.join(options.images)}: no images in these folders; check the path")
    embedder = open_model(options.model, **model_options(options))
    spec, weighted = options.quality or ("quality" if embedder.has_quality else None), options.pool == "quality"
    if not spec and (options.min_quality is not None or weighted):
        raise LimenError(f"{options.model}: it has no quality head; add --quality norm, sharpness or a MODEL with one")
    measure = create_measure(spec, embedder=embedder, **model_options(options)) if spec else None
    reference = reference_of(embedder, spec, measure) if spec and measure else None
    if read:
        source, people = _read_source(read, embedder.preprocessing.size, options)
    else:
        source = open_faces(files, embedder.preprocessing.size, options)
    reading = {"flip": False if options.no_flip else None, **inference_options(options)}
    with progress_bar("embedding") as progress:
        gate = options.min_quality or {}
        ways: dict[str, Any] = {"weighted": weighted, "reference": reference, "best": options.best}
        kept = enrol(embedder, source, people, measure, **gate, **ways, progress=progress, **reading)
    arrays = kept.arrays
    result = {
        "out": options.out,
        "embedded": len(arrays["files"]),
        "failures": kept.failures,
        "model_sha256": embedder.description["model_sha256"],
    }
    result |= alignment_of(source)
    if measure:
        result["quality"] = measure.name
    if "refused_files" in arrays:
        refused = zip(arrays["refused_files"].tolist(), arrays["refused_quality"].tolist(), strict=True)
        result |= {"min_quality": kept.min_quality, "refused": [{"file": file, "quality": value} for file, value in refused]}
    if "worst_share" in gate:
        of = AMONG_GIVEN_IMAGES if reference is None else AMONG_REFERENCE_IMAGES
        result["gate"] = f"the worst {100 * gate['worst_share']:g} % {of}"
    if people is not None:
        result |= {"failed_to_enrol": kept.failed_to_enrol, "templates": len(arrays["templates"]), "pool": options.pool or "mean"}
        result["more_like_another"] = more_like_another(arrays)
    if options.best is not None:
        result["best"] = f"{options.best} a person, by {measure.name if measure else 'norm'}"
    if weighted:
        result["weights"] = f"{PERCENTILE} {AMONG_GIVEN_IMAGES if reference is None else AMONG_REFERENCE_IMAGES}"
    made_by = {name: result.get(name) for name in ("model_sha256", "quality", "min_quality", "gate", "best", "pool", "weights")}
    made_by |= alignment_of(source)
    kept.save(options.out, made_by | {"model": options.model, "network": embedder.identity, "flip": not options.no_flip})
    return result


def _reader(options: argparse.Namespace) -> str | None:
    """The reader of the one path given, None where images or folders of them are."""
    path = options.images[0]
    if Path(path).is_dir() or Path(path).suffix.lower() in BY_SUFFIX:
        reader = reader_of(path)
        if reader != "folder" and len(options.images) > 1:
            raise LimenError(f"{path}: a list or an archive is embedded by itself; name it alone")
        return None if reader == "folder" else reader
    return None


def _read_source(reader: str, size: int, options: argparse.Namespace) -> tuple[ImageSource, dict[str, list[Path]] | None]:
    """The faces that a reader reads and, of --templates, person -> images in their order."""
    if options.detector or options.faces:
        raise LimenError(
            "--detector: a list or an archive has to hold aligned faces; run limen data align first, or name folders of photos"
        )
    source = open_source(reader, options.images[0], size=size, on_other_size="resize" if options.resize else "refuse")
    if not options.templates:
        return source, None
    order = np.argsort(source.labels, kind="stable")
    people: dict[str, list[Path]] = {name: [] for name in source.class_names}
    for index in order.tolist():
        people[source.class_names[source.labels[index]]].append(Path(source.locate(index)))
    return SubsetSource(source, order), people


def more_like_another(arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The images of a gallery's arrays that are more like another person than the rest of their own, the surest first."""
    names, person = np.unique(arrays["template"], return_inverse=True)
    return outlier_rows(arrays["files"].tolist(), names.tolist(), person, likeness(arrays["image_vectors"], person))


def text(result: dict[str, Any]) -> str:
    if "shards" in result:
        return text_of_shards(result)
    lists = {
        "images could not be used": result["failures"],
        "images were refused": [f"{row['file']}: {result['quality']} {row['quality']:.4g}" for row in result.get("refused", [])],
        "images are more like another person than the rest of their own": [
            f"{row['file']}: {row['person']} {row['score']:.4f}, {row['nearest']} {row['nearest_cosine']:.4f}"
            for row in result.get("more_like_another", [])
        ],
        "people failed to enrol": [f"{row['template']}: {row['reason']}" for row in result.get("failed_to_enrol", [])],
    }
    lines = []
    for what, rows in lists.items():
        if rows:
            more = [f"  and {len(rows) - LISTED} more; --json has them all"] if len(rows) > LISTED else []
            lines += [f"{len(rows)} {what}:", *(f"  {row}" for row in rows[:LISTED]), *more]
    lines += [f"gate: {result['quality']} {result['min_quality']:.4g}, {result['gate']}"] if "gate" in result else []
    lines += [f"weights: {result['weights']}"] if "weights" in result else []
    of = f"templates of {result['embedded']} images" if "templates" in result else "embeddings"
    return "\n".join([*lines, f"{result.get('templates', result['embedded'])} {of} in {result['out']}"])
