"""Generate faces, align photos, draw pairs, look at a set of faces, correct its labels, merge, split or convert it.

limen data synthesize --identities 100 --images 20 --out faces/
limen data pairs faces/ --count 6000 --out pairs.txt        # then: --pairs pairs.txt --images faces/
limen data align photos/ --out faces/ --detector yunet     # detect, align to 112x112; resumes where it was killed
limen data inspect faces/
limen data inspect train.rec --check      # names every image that cannot be read, and ends with status 1 if there is one
limen data apply decisions.csv --data faces/ --out corrected.csv       # then: limen train --data.reader list --data.path corrected.csv
limen data apply decisions.csv --data faces/ --out corrected/          # the same as a folder of links, which every command reads
limen data pack train.rec --raw --out raw/                 # decoded once; then: limen train --data.reader raw --data.path raw/
limen data overlap training/ test/ --model model.safetensors --out both.csv --rest training-without.csv
limen data merge a/ b.csv --same-name join --out both.csv      # names images where they lie; nothing is copied
limen data split faces/ --shares 0.8 0.2 --out train.csv test.csv      # nobody is in both
limen data convert both.csv --out both.arrow      # or .parquet, .tar, a folder; --to recordio --out both/
"""

import argparse
from typing import Any

import numpy as np

from limen.align import MIN_SCORE, RULES, SIDE, FaceSearch, open_detector
from limen.cli.data_labels import add_apply, apply, apply_text
from limen.cli.data_overlap import add_overlap, overlap, overlap_text
from limen.cli.data_pack import add_pack, pack
from limen.cli.data_sets import add_sets, convert, merge, sets_text, split
from limen.cli.progress import progress_bar
from limen.data import FaceFinder, FolderSource, GivenLandmarks, align_folder, open_source, save_pairs
from limen.data.source import READERS, reader_of
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError, UnreadableImage

LISTED = 10  # failures in the text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = actions.add_parser("synthesize", help="write generated faces, one folder per person, and truth.csv")
    make.add_argument("--identities", type=int, default=100, help="people (100)")
    make.add_argument("--images", type=int, default=20, help="images of each (20)")
    make.add_argument("--seed", type=int, default=0, help="seed of the population (0)")
    make.add_argument("--first", type=int, default=0, help="number of the first person: other ranges are other people (0)")
    make.add_argument("--difficulty", type=float, default=1.0, help="0: frontal and clean; 1: pose, light, occlusion, poor quality (1)")
    make.add_argument("--out", required=True, metavar="DIR", help="a new folder")
    align = actions.add_parser("align", help="find the faces in photos and align them, with a table of faces and failures (alignment.csv)")
    align.add_argument("path", metavar="DIR", help="a folder of photos, or of folders of them")
    align.add_argument("--out", required=True, metavar="DIR", help="for the crops, named as the photos; a run goes on there")
    align.add_argument("--detector", metavar="DETECTOR", help="yunet, FILE.onnx, FILE.onnx:SHA256 or package.module:Class[:FILE] (yunet)")
    align.add_argument("--landmarks", metavar="PATH", help="instead: five points a face, in a list (IJB's, RFW's) or a folder of files")
    align.add_argument("--faces", choices=RULES, default="largest", help="which faces of a photo (largest)")
    align.add_argument("--side", type=int, default=SIDE, metavar="N", help=f"pixels of the longer side that the detector sees ({SIDE})")
    align.add_argument(
        "--min-score", type=float, default=MIN_SCORE, metavar="X", help=f"lowest score of a face, for YuNet, from 0 to 1 ({MIN_SCORE})"
    )
    align.add_argument("--workers", type=int, metavar="N", help="threads (one for each core)")
    align.add_argument("--jpeg", type=int, metavar="Q", help="write JPEG of that quality (lossless PNG)")
    draw = actions.add_parser("pairs", help="draw pairs of images, half of one person and half of two, for evaluate and calibrate")
    draw.add_argument("path", metavar="DIR", help="one folder of images per person")
    draw.add_argument("--count", type=int, default=6000, help="pairs (6000)")
    draw.add_argument("--seed", type=int, default=0, help="seed of the draw (0)")
    draw.add_argument("--out", required=True, metavar="FILE.txt", help="a list in the manner of LFW's pairs.txt, with file names")
    look = actions.add_parser("inspect", help="people, images per person, unreadable images")
    look.add_argument("path", metavar="PATH", help="a folder, a train.rec, ...")
    look.add_argument("--reader", help=f"{', '.join(READERS)}, or package.module:Class (told by PATH)")
    add_apply(actions)
    add_overlap(actions)
    add_sets(actions)
    add_pack(actions)
    look.add_argument("--check", action="store_true", help="read every image; ends with status 1 where one cannot be read")


def run(options: argparse.Namespace) -> dict[str, Any]:
    actions = {"synthesize": _synthesize, "align": _align, "pairs": _pairs, "inspect": _inspect, "apply": apply, "overlap": overlap}
    actions |= {"merge": merge, "split": split, "convert": convert, "pack": pack}
    return actions[options.action](options)


def _synthesize(options: argparse.Namespace) -> dict[str, Any]:
    source = SyntheticFaces(options.identities, options.images, options.seed, options.first, options.difficulty)
    with progress_bar("drawing faces") as progress:
        path = save_folder(source, options.out, progress)
    return {"out": str(path), "identities": options.identities, "images": len(source)}


def _align(options: argparse.Namespace) -> dict[str, Any]:
    if options.landmarks and options.detector:
        raise LimenError("--landmarks and --detector: a face comes from one of them; leave the other out")
    finder: FaceFinder = (
        GivenLandmarks(options.landmarks, options.path)
        if options.landmarks
        else FaceSearch(open_detector(options.detector or "yunet", **_score(options)), options.side)
    )
    with progress_bar("aligning") as progress:
        found = align_folder(options.path, options.out, finder, options.faces, options.workers, options.jpeg, progress)
    return {
        "out": options.out,
        "photos": found.photos,
        "faces": found.faces,
        "photos_without_a_face": len(found.failures),
        "table": str(found.table),
        "failures": found.failures,
    }


def _score(options: argparse.Namespace) -> dict[str, float]:
    return {} if options.min_score == MIN_SCORE else {"min_score": options.min_score}


def _pairs(options: argparse.Namespace) -> dict[str, Any]:
    if not options.out.endswith(".txt"):
        raise LimenError(f"--out {options.out}: a list of pairs is told by its suffix; give a name that ends in .txt")
    source = FolderSource(options.path)
    save_pairs(options.out, source, options.count, options.seed)
    return {"pairs": options.count, "of_images": len(source), "of_people": len(source.class_names), "out": options.out}


def _inspect(options: argparse.Namespace) -> dict[str, Any]:
    source = open_source(options.reader or reader_of(options.path), options.path)
    sizes = np.bincount(source.labels, minlength=len(source.class_names))
    result = {"path": options.path, "identities": len(sizes), "images": len(source)}
    result |= {f"images_per_identity_{name}": int(value) for name, value in _spread(sizes).items()}
    if options.check:
        unreadable = []
        with progress_bar("reading") as progress:
            for index in range(len(source)):
                try:
                    source.image(index)
                except UnreadableImage as error:
                    unreadable.append(str(error))
                progress(index + 1, len(source))
        result |= {"unreadable": len(unreadable), "unreadable_images": unreadable}
    return result


def _spread(sizes: np.ndarray) -> dict[str, float]:
    return {"least": sizes.min(), "median": np.median(sizes), "most": sizes.max()}


def text(result: dict[str, Any]) -> str:
    if "changes" in result:
        return apply_text(result)
    if "overlap" in result:
        return overlap_text(result)
    if "parts" in result or "form" in result:
        return sets_text(result)
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items() if not isinstance(value, list)]
    failures = result.get("failures", [])
    more = [f"and {len(failures) - LISTED} more; the table has them all"] if len(failures) > LISTED else []
    return "\n".join([*lines, *result.get("unreadable_images", []), *failures[:LISTED], *more])


def failed(result: dict[str, Any]) -> bool:
    """Whether the command ends with status 1 though it ran."""
    return bool(result.get("unreadable"))
