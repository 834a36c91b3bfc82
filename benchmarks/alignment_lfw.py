"""What alignment is worth: accuracy on pairs of the same photos aligned in several ways, each less the first, with the interval of the
paired bootstrap, subjects drawn alike for both. Prints a table in Markdown and appends rows to benchmarks/results/alignment_lfw.csv.

    limen data align lfw-deepfunneled/ --out faces/ --detector yunet.onnx --faces all
    python benchmarks/alignment_lfw.py --model model.safetensors --pairs lfw_pairs.txt --crops insightface=lfw112/ --aligned faces/

CROPS are aligned by others; of the faces of ALIGNED each rule takes its own, as `limen evaluate --detector` would. A photo without a face
is a failure to acquire: its pairs are left out of both sides of a difference, and are errors in the last column.
"""

import argparse
import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from machine import append_row

from limen.align import Face, choose
from limen.data.images import image_size
from limen.data.pairs import open_pairs
from limen.data.photos.record import COLUMNS
from limen.models.model import open_model
from limen.protocols import Verification
from limen.protocols.comparison import accuracy_change
from limen.report.show import interval_text
from limen.tables import read_csv


def by_rule(aligned: Path, rule: str, folder: Path) -> Path:
    """The crops of the faces that `rule` means among all that `limen data align --faces all` found, under the photos' names."""
    photos, found = Path(json.loads((aligned / "alignment.json").read_text())["photos"]), defaultdict(list)
    for _, row in read_csv(aligned / "alignment.csv", COLUMNS):
        if row["file"]:
            box = np.array([float(row[side]) for side in ("left", "top", "width", "height")])
            found[row["photo"]].append((Face(box, float(row["score"]), np.empty((5, 2))), row["file"]))
    for photo, faces in found.items():
        (chosen,) = choose([face for face, _ in faces], rule, *image_size(photos / photo))
        file = next(file for face, file in faces if face is chosen)
        (folder / photo).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(aligned / file, (folder / photo).with_suffix(Path(file).suffix))
    return folder


def completed(crops: Path, names: list[tuple[str, str]], folder: Path) -> Path:
    """The folder of crops in which every image of the list has a file: an empty one, a failure, where alignment gave none."""
    for person, stem in names:
        (folder / person).mkdir(exist_ok=True, parents=True)
        found = next(iter((crops / person).glob(f"{stem}.*")), None)
        if found is None:
            (folder / person / f"{stem}.png").touch()
        else:
            shutil.copy(found, folder / person / found.name)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--crops", required=True, metavar="NAME=DIR")
    parser.add_argument("--aligned", required=True, metavar="DIR")
    parser.add_argument("--backend")
    parser.add_argument("--cache", metavar="DIR", help="of embeddings: faces that both rules mean are embedded once")
    options = parser.parse_args()
    model = open_model(options.model, threads=1, backend=options.backend)
    baseline, _, crops = options.crops.partition("=")
    first = None
    print("| alignment | accuracy % | interval | less the first, paired | failures to acquire | accuracy, failures as errors % |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        names = [(Path(file).parent.name, Path(file).stem) for file in open_pairs(options.pairs, crops).source.paths]
        ways = {baseline: Path(crops)}
        ways |= {f"{rule} face": by_rule(Path(options.aligned), rule, Path(made) / f"{rule} alone") for rule in ("central", "largest")}
        for name, folder in ways.items():
            protocol = Verification(open_pairs(options.pairs, completed(folder, names, Path(made) / name)), flip=None)
            scores = protocol.score(model, cache=options.cache)
            result = protocol.judge(scores, model.description)
            first = first or scores
            change = accuracy_change(protocol, first, scores)
            less, low, high = (100 * number for number in (change.after - change.before, change.low, change.high))
            numbers = {"accuracy": result.value("accuracy"), "with_failures_as_errors": result.value("accuracy, with failures as errors")}
            shown = [name, f"{100 * numbers['accuracy']:.2f}", interval_text(result.metric("accuracy"))]
            shown += [f"{less:+.2f} ({low:+.2f} to {high:+.2f})", str(len(scores.failures))]
            print(f"| {' | '.join([*shown, format(100 * numbers['with_failures_as_errors'], '.2f')])} |", flush=True)
            row = {"alignment": name, **numbers, "less_first_percent": less, "low": low, "high": high}
            row = {key: value if isinstance(value, str) else round(float(value), 5) for key, value in row.items()}
            append_row("alignment_lfw", row | {"pairs": change.pairs, "failures": len(scores.failures)})


if __name__ == "__main__":
    main()
