"""Who is in images: the nearest people of a gallery, and whether they are near enough.

  limen embed model.safetensors people/ --templates --out gallery.npz
  limen identify model.safetensors photo.jpg more/ --gallery gallery.npz --threshold 0.4
  limen identify model.safetensors more/ --gallery people/ --fpir 0.01 --best 5 --out answers.csv

A gallery is what `limen embed --templates` wrote, or a DIR with a folder of images for each person, which is enrolled on the spot in the
same way. Vectors of another model, or of other preprocessing, are refused. The answer for each probe is
  yes         its best entry reaches the threshold: that person
  not sure    it lies within the interval of the threshold
  nobody      it is below: no person of the gallery

Without another word the threshold is the model's operating point of the lowest FMR, which `limen calibrate` found; in a gallery of N people
a stranger is compared N times. --threshold T is a cosine. --fpir R finds it in the gallery itself: each template searches the gallery
without its own person, and the share R of them, or less, finds anybody. It holds for probes as good as the templates are, and for
strangers like the people enrolled.

Two people of the gallery who are as alike as "yes" asks for are named: one person under two names, or two whom the model cannot tell
apart. In a gallery of more than 10,000 people nobody is compared with the others; `limen audit` does that.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any

from limen.cli.inference import add_inference_arguments, alignment_of, inference_options, model_options, open_faces
from limen.cli.progress import progress_bar
from limen.data import list_images
from limen.data.readers.people import people_in
from limen.decision.enrolment import enrol
from limen.decision.gallery import (
    COMPARED,
    PeopleGallery,
    TooAlike,
    answer,
    check_alignment,
    gallery_of,
    read_gallery,
    threshold_at_fpir,
    too_alike,
)
from limen.errors import LimenError, LimenWarning
from limen.inference.table import embed_images
from limen.metrics import best_entries
from limen.models.model import Model, open_model
from limen.tables import write_csv

NAMED_IN_LINE = 5  # pairs of people too much alike; --json has a hundred
LISTED = 40  # lines of the text; --out and --json have them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("probes", nargs="+", metavar="IMAGE|DIR", help="aligned images, with --detector photos, or folders of them")
    parser.add_argument(
        "--gallery",
        required=True,
        metavar="FILE.npz|DIR",
        help="templates of people, or a folder with one folder of images for each person",
    )
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--threshold", type=float, metavar="T", help="cosine from which the best entry is the person")
    decision.add_argument(
        "--fpir", type=float, metavar="R", help="false positive identification rate: the threshold is found in the gallery"
    )
    parser.add_argument("--best", type=int, default=1, metavar="K", help="nearest entries to print for each probe (1)")
    parser.add_argument("--out", metavar="FILE.csv", help="write the answers; that of a probe that cannot be used is empty")
    parser.add_argument("--resize", action="store_true", help="resize images of another size than the model's, instead of refusing them")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.best < 1:
        raise LimenError(f"--best {options.best}: give 1 or more")
    if options.threshold is not None and not -1 <= options.threshold <= 1:
        raise LimenError(f"--threshold {options.threshold:g}: a cosine lies between -1 and 1")
    embedder = open_model(options.model, **model_options(options))
    gallery, enrolled = _gallery(embedder, options)
    low, high, threshold = _threshold(embedder, gallery, options)
    alike = too_alike(gallery, high)
    if alike is not None and alike.count:
        _warn_of(options.gallery, alike, high)
    files = list_images(options.probes)
    source = open_faces(files, embedder.preprocessing.size, options)
    check_alignment(options.gallery, gallery, alignment_of(source).get("alignment"))
    flip = False if gallery.made_by.get("flip") is False else None  # as the gallery's people were embedded
    with progress_bar("embedding") as progress:
        table = embed_images(embedder, source, flip=flip, progress=progress, **inference_options(options))
    number, score = best_entries(table.vectors, gallery.vectors.reshape(-1, table.vectors.shape[1]), options.best)
    probes = []
    for row, file in enumerate(files):
        if row in table.failures:
            continue
        best = [{"person": gallery.names[n], "score": float(s)} for n, s in zip(number[row], score[row], strict=True)]
        said = answer(best[0]["score"], low, high) if best else "nobody"
        probes.append({"probe": str(file), "answer": said, "person": best[0]["person"] if said != "nobody" else None, "best": best})
    result = {
        "model_sha256": embedder.description["model_sha256"],
        "gallery": {"path": options.gallery, "people": len(gallery), **_too_alike(alike), **enrolled},
        "threshold": threshold,
        "probes": probes,
        "failures": list(table.failures.values()),
        **alignment_of(source),
    }
    if options.out:
        _write(options.out, files, probes, options.best)
        result["out"] = options.out
    return result


def text(result: dict[str, Any]) -> str:
    gallery, threshold, probes = result["gallery"], result["threshold"], result["probes"]
    failures = [*gallery.get("failures", []), *result["failures"]]
    lines = [f"{len(failures)} images could not be used:", *failures[:10]] if failures else []
    if failed := gallery.get("failed_to_enrol"):
        lines += [f"{len(failed)} people failed to enrol:", *(f"  {row['template']}: {row['reason']}" for row in failed[:10])]
    lines += [f"{gallery['people']:,} people in {gallery['path']}; {_said(threshold)}"]
    if gallery["pairs_too_alike"] is None:
        lines += [f"more than {COMPARED:,} people: whether one is enrolled under two names was not looked for; `limen audit` does"]
    width = max((len(probe["probe"]) for probe in probes[:LISTED]), default=0)
    for probe in probes[:LISTED]:
        best = "   ".join(f"{entry['person']} {entry['score']:.4f}" for entry in probe["best"])
        lines.append(f"  {probe['probe']:{width}s}   {probe['answer']:8s}   {best}")
    if len(probes) > LISTED:
        lines.append(f"  and {len(probes) - LISTED} more (--out FILE.csv and --json have them all)")
    counts = ", ".join(f"{sum(p['answer'] == said for p in probes):,} {said}" for said in ("yes", "not sure", "nobody"))
    return "\n".join([*lines, counts])


def _gallery(embedder: Model, options: argparse.Namespace) -> tuple[PeopleGallery, dict[str, Any]]:
    """The gallery, and what is told of its enrolment."""
    if not Path(options.gallery).is_dir():
        return read_gallery(options.gallery, embedder), {}
    people = people_in(Path(options.gallery))
    source = open_faces([file for images in people.values() for file in images], embedder.preprocessing.size, options)
    with progress_bar("enrolling") as progress:
        enrolled = enrol(embedder, source, people, progress=progress, **inference_options(options))
    told = {"failures": enrolled.failures, "failed_to_enrol": enrolled.failed_to_enrol}
    return gallery_of(enrolled), told


def _threshold(embedder: Model, gallery: PeopleGallery, options: argparse.Namespace) -> tuple[float, float, dict[str, Any]]:
    """The scores below which a probe is nobody and from which it is somebody, and what is told of them."""
    if options.threshold is not None:
        return options.threshold, options.threshold, {"value": options.threshold}
    if options.fpir is None:
        if not embedder.operating_points:
            raise LimenError(f"{options.model}: it has no operating point; give --threshold or --fpir, or run `limen calibrate` first")
        point = embedder.operating_points[-1]  # of the lowest FMR: a probe meets everybody in the gallery
        told = {"value": point.threshold, "low": point.low, "high": point.high, "fmr": point.fmr}
        return point.low, point.high, told | {"strangers_accepted": 1 - (1 - point.fmr) ** len(gallery)}
    found = threshold_at_fpir(gallery, options.fpir)
    value, low, high = (float(ends[0]) for ends in (found.threshold, found.low, found.high))
    told = {"value": value, "low": low, "high": high, "fpir": options.fpir}
    return low, high, told | {"searched": found.impostors, "false_positives": int(found.false_matches[0])}


def _warn_of(path: str, alike: TooAlike, threshold: float) -> None:
    few = ", ".join(f"{one} and {other} {score:.3f}" for one, other, score in alike.pairs[:NAMED_IN_LINE])
    more = f" and {alike.count - NAMED_IN_LINE:,} more" if alike.count > NAMED_IN_LINE else ""
    what = "pair of people is" if alike.count == 1 else "pairs of people are"
    text = f"{alike.count:,} {what} as alike as {threshold:.4f}, from which the answer is yes: {few}{more}"
    warnings.warn(f"{path}: {text}; one person under two names, or two whom the model cannot tell apart", LimenWarning, stacklevel=2)


def _too_alike(alike: TooAlike | None) -> dict[str, Any]:
    """For --json; None where they were too many to be compared."""
    if alike is None:
        return {"pairs_too_alike": None}
    named = [{"person": one, "other": other, "score": round(score, 4)} for one, other, score in alike.pairs]
    return {"pairs_too_alike": alike.count, "too_alike": named}


def _said(threshold: dict[str, Any]) -> str:
    if "fmr" in threshold:
        ends = f"{threshold['value']:.4f} [{threshold['low']:.4f} to {threshold['high']:.4f}]"
        share = f"{threshold['strangers_accepted']:.2g} of strangers are taken for somebody if their scores are independent"
        return f"operating point {ends}, FMR {threshold['fmr']:g}: {share}"
    if "fpir" not in threshold:
        return f"threshold {threshold['value']:.4f}"
    return (
        f"threshold {threshold['value']:.4f} [{threshold['low']:.4f} to {threshold['high']:.4f}]: "
        f"{threshold['false_positives']:,} of {threshold['searched']:,} templates find another person there (FPIR {threshold['fpir']:g})"
    )


def _write(path: str, files: list[Path], probes: list[dict[str, Any]], count: int) -> None:
    """A row for each file: probe, answer, then person and score of each of the best; empty where it cannot be used."""
    header = ["probe", "answer", *(f"{what}_{place}" for place in range(1, count + 1) for what in ("person", "score"))]
    told = {
        probe["probe"]: [probe["answer"], *(cell for entry in probe["best"] for cell in (entry["person"], f"{entry['score']:.6f}"))]
        for probe in probes
    }
    rows = ([str(file), *told.get(str(file), [])] for file in files)
    write_csv(path, header, (row + [""] * (len(header) - len(row)) for row in rows))
