"""Embed aligned 112x112 images, or the faces of photos, into a .npz file: vectors (N, D) of unit length, norms (N,), files (N,), quality
(N,) where there is one.

  limen embed model.safetensors faces/ --out faces.npz
  limen embed model.onnx a.jpg b.jpg --out two.npz --no-flip
  limen embed model.safetensors photos/ --detector yunet --out faces.npz
  limen embed model.safetensors people/ --templates --out gallery.npz
  limen embed model.safetensors people/ --templates --pool quality --min-quality 0.3 --out gallery.npz
  limen embed model.onnx people/ --templates --quality sharpness --min-quality 40 --out gallery.npz
  limen embed model.safetensors people/ --templates --min-quality 5% --out gallery.npz
  limen embed model.safetensors shards/ --shard 0/64 --out vectors/

With --templates each folder in DIR is a person, and so is a DIR that holds images itself. The file has vectors (T, D), one a person:
the mean of the unit vectors of the person's images, itself made a unit vector; templates (T,), the names; images (T,), how many are
in it; and, image by image, files, template, quality and weight. --pool quality weighs an image by the percentile of its quality,
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
from typing import Any

from limen.cli.embed_shards import job_of, run_shards
from limen.cli.embed_shards import text as text_of_shards
from limen.cli.inference import add_inference_arguments, alignment_of, inference_options, model_options, open_faces
from limen.cli.progress import progress_bar
from limen.data import list_images
from limen.data.readers.people import people_of
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
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR", help="aligned images, with --detector photos, or folders of them")
    parser.add_argument("--out", required=True, metavar="FILE.npz|DIR")
    parser.add_argument("--shard", type=job_of, metavar="i/n", help="embed part i (from 0) of n, into Parquet files in the folder --out")
    parser.add_argument("--no-flip", action="store_true", help="embed the image alone, without its mirror image")
    parser.add_argument("--resize", action="store_true", help="resize images of another size than the model's, instead of refusing them")
    parser.add_argument("--templates", action="store_true", help="one vector for each person: each folder in DIR")
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
    people = people_of(options.images) if options.templates else None
    files = list_images(options.images) if people is None else [file for images in people.values() for file in images]
    if not files:
        raise LimenError(f"{', '.join(options.images)}: no images in these folders; check the path")
    embedder = open_model(options.model, **model_options(options))
    spec, weighted = options.quality or ("quality" if embedder.has_quality else None), options.pool == "quality"
    if not spec and (options.min_quality is not None or weighted):
        raise LimenError(f"{options.model}: it has no quality head; add --quality norm, sharpness or a MODEL with one")
    measure = create_measure(spec, embedder=embedder, **model_options(options)) if spec else None
    reference = reference_of(embedder, spec, measure) if spec and measure else None
    source = open_faces(files, embedder.preprocessing.size, options)
    reading = {"flip": False if options.no_flip else None, **inference_options(options)}
    with progress_bar("embedding") as progress:
        gate = options.min_quality or {}
        kept = enrol(embedder, source, people, measure, **gate, weighted=weighted, reference=reference, progress=progress, **reading)
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
    if weighted:
        result["weights"] = f"{PERCENTILE} {AMONG_GIVEN_IMAGES if reference is None else AMONG_REFERENCE_IMAGES}"
    made_by = {name: result.get(name) for name in ("model_sha256", "quality", "min_quality", "gate", "pool", "weights")} | alignment_of(
        source
    )
    kept.save(options.out, made_by | {"model": options.model, "network": embedder.identity, "flip": not options.no_flip})
    return result


def text(result: dict[str, Any]) -> str:
    if "shards" in result:
        return text_of_shards(result)
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
    lines += [f"gate: {result['quality']} {result['min_quality']:.4g}, {result['gate']}"] if "gate" in result else []
    lines += [f"weights: {result['weights']}"] if "weights" in result else []
    of = f"templates of {result['embedded']} images" if "templates" in result else "embeddings"
    return "\n".join([*lines, f"{result.get('templates', result['embedded'])} {of} in {result['out']}"])
