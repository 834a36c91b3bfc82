"""What alignment is worth: accuracy on pairs of the same photos aligned in several ways, each less the first, with the interval of the
paired bootstrap, subjects drawn alike for both. Prints a table in Markdown and appends rows to benchmarks/results/alignment_lfw.csv.

    limen data align lfw-deepfunneled/ --out faces/ --detector yunet.onnx --faces all
    python benchmarks/alignment_lfw.py --model model.safetensors --pairs lfw_pairs.txt --crops insightface=lfw112/ --aligned faces/

CROPS are aligned by others; of the faces of ALIGNED each way takes its own points, see WAYS. A photo without a face is a failure to
acquire: its pairs are left out of both sides of a difference, and are errors in the last column.
"""

import argparse
import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from machine import append_row

from limen.align import TEMPLATE, Face, choose, similarity, warp
from limen.data.images import read_photo
from limen.data.pairs import open_pairs
from limen.data.photos.record import COLUMNS
from limen.models.model import open_model
from limen.protocols import Verification
from limen.protocols.comparison import accuracy_change
from limen.report.show import interval_text
from limen.tables import read_csv

OFF = 3.0  # pixels of the crop: the standard deviation of points that are off
rng = np.random.default_rng(0)


def chosen(photo: np.ndarray, faces: list[Face], rule: str) -> Face:
    (face,) = choose(faces, rule, photo.shape[1], photo.shape[0])
    return face


def of_rule(rule):
    return lambda photo, faces: warp(photo, chosen(photo, faces, rule).points)


def eyes_alone(photo, faces):
    """Two points decide; the template's others follow from them."""
    points = chosen(photo, faces, "central").points
    return warp(photo, Face(np.zeros(4), 0, TEMPLATE).moved(similarity(TEMPLATE[:2], points[:2])).points)


def points_off(photo, faces):
    points = chosen(photo, faces, "central").points
    scale = np.hypot(*similarity(points)[:, 0])  # pixels of the crop for one of the photo
    return warp(photo, points + rng.normal(0, OFF / scale, points.shape))


def cut_close(repeated):
    """The photo ends where the face's box does: black beyond, or its last pixels repeated."""

    def crop(photo, faces):
        face = chosen(photo, faces, "central")
        left, top = np.maximum(0, face.box[:2]).astype(int)
        right, bottom = np.ceil(face.box[:2] + face.box[2:]).astype(int)
        cut, points = photo[top:bottom, left:right], face.points - (left, top)
        if repeated:
            around = max(photo.shape[:2])
            cut, points = cv2.copyMakeBorder(cut, *[around] * 4, cv2.BORDER_REPLICATE), points + around
        return warp(cut, points)

    return crop


WAYS = {
    "central face": of_rule("central"),
    "largest face": of_rule("largest"),
    "central face, two points (the eyes)": eyes_alone,
    f"central face, points off by {OFF:g} pixels": points_off,
    "central face, photo cut at its box, black beyond": cut_close(False),
    "central face, photo cut at its box, last pixels repeated": cut_close(True),
}


def found_faces(aligned: Path) -> dict[str, list[Face]]:
    """Those that `limen data align --faces all` found, by photo."""
    found = defaultdict(list)
    for _, row in read_csv(aligned / "alignment.csv", COLUMNS):
        if row["file"]:
            box = np.array([float(row[side]) for side in ("left", "top", "width", "height")])
            points = np.array([[float(row[f"{axis}{point}"]) for axis in "xy"] for point in range(1, 6)])
            found[row["photo"]].append(Face(box, float(row["score"]), points))
    return found


def made(way: str, photos: Path, found: dict[str, list[Face]], names: list[tuple[str, str]], folder: Path) -> Path:
    """The folder of the crops that a way makes; a photo without a face gets an empty file, a failure."""
    for person, stem in names:
        (folder / person).mkdir(exist_ok=True, parents=True)
        photo = f"{person}/{stem}.jpg"
        out = folder / person / f"{stem}.png"
        out.touch()
        if found.get(photo):
            cv2.imwrite(str(out), WAYS[way](read_photo(photos / photo), found[photo])[..., ::-1])
    return folder


def completed(crops: Path, names: list[tuple[str, str]], folder: Path) -> Path:
    """The folder of others' crops in which every image of the list has a file: an empty one, a failure, where there is none."""
    for person, stem in names:
        (folder / person).mkdir(exist_ok=True, parents=True)
        file = next(iter((crops / person).glob(f"{stem}.*")), None)
        if file is None:
            (folder / person / f"{stem}.png").touch()
        else:
            shutil.copy(file, folder / person / file.name)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--crops", required=True, metavar="NAME=DIR")
    parser.add_argument("--aligned", required=True, metavar="DIR")
    parser.add_argument("--backend")
    parser.add_argument("--cache", metavar="DIR", help="of embeddings: crops that two ways share are embedded once")
    parser.add_argument("--no-flip", action="store_true", help="without the mirror image: half the time")
    options = parser.parse_args()
    model = open_model(options.model, threads=1, backend=options.backend, cache=options.cache)
    baseline, _, crops = options.crops.partition("=")
    photos, found = Path(json.loads((Path(options.aligned) / "alignment.json").read_text())["photos"]), found_faces(Path(options.aligned))
    first = None
    print("| alignment | accuracy % | interval | less the first, paired | failures to acquire | accuracy, failures as errors % |")
    print("|---|---|---|---|---|---|")
    for name in (baseline, *WAYS):
        with tempfile.TemporaryDirectory() as folder:
            names = [(Path(file).parent.name, Path(file).stem) for file in open_pairs(options.pairs, crops).source.paths]
            images = completed(Path(crops), names, Path(folder)) if name == baseline else made(name, photos, found, names, Path(folder))
            protocol = Verification(open_pairs(options.pairs, images), flip=False if options.no_flip else None)
            scores = protocol.score(model, cache=options.cache)
        result = protocol.judge(scores, model.description)
        first = first or scores
        change = accuracy_change(protocol, first, scores)
        less, low, high = (100 * number for number in (change.after - change.before, change.low, change.high))
        numbers = {key: result.value(key) for key in ("accuracy", "accuracy_with_failures_as_errors")}
        shown = [name, f"{100 * numbers['accuracy']:.2f}", interval_text(result.metric("accuracy"))]
        shown += [f"{less:+.2f} ({low:+.2f} to {high:+.2f})", str(len(scores.failures))]
        print(f"| {' | '.join([*shown, format(100 * numbers['accuracy_with_failures_as_errors'], '.2f')])} |", flush=True)
        row = {"alignment": name, **numbers, "less_first_percent": less, "low": low, "high": high}
        row = {key: value if isinstance(value, str) else round(float(value), 5) for key, value in row.items()}
        append_row("alignment_lfw", row | {"pairs": change.pairs, "failures": len(scores.failures), "flip": not options.no_flip})


if __name__ == "__main__":
    main()
