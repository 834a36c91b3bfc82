"""What alignment is worth: accuracy on pairs of the same photos aligned in several ways, each less the first, with the interval of the
paired bootstrap, subjects drawn alike for both. Prints a table in Markdown and appends rows to benchmarks/results/alignment_lfw.csv.

    limen data align lfw-deepfunneled/ --out central/ --detector yunet.onnx --faces central
    limen data align lfw-deepfunneled/ --out largest/ --detector yunet.onnx --faces largest
    python benchmarks/alignment_lfw.py --model model.safetensors --pairs lfw_pairs.txt \
        --crops insightface=lfw112/ central=central/ largest=largest/

A photo without a face is a failure to acquire: its pairs are left out of both sides of a difference, and are errors in the last column.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from limen.protocols.comparison import accuracy_change
from machine import append_row

from limen.data.pairs import open_pairs
from limen.models.model import open_model
from limen.protocols import Verification
from limen.report.show import interval_text


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
    parser.add_argument("--crops", required=True, nargs="+", metavar="NAME=DIR")
    options = parser.parse_args()
    model = open_model(options.model)
    ways = {name: Path(crops) for name, _, crops in (way.partition("=") for way in options.crops)}
    first = None
    print("| alignment | accuracy % | interval | less the first, paired | failures to acquire | accuracy, failures as errors % |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        for name, crops in ways.items():
            base = open_pairs(options.pairs, next(iter(ways.values())))
            names = [(Path(file).parent.name, Path(file).stem) for file in base.source.paths]
            protocol = Verification(open_pairs(options.pairs, completed(crops, names, Path(made) / name)), flip=None)
            scores = protocol.score(model)
            result = protocol.judge(scores, model.description)
            first = first or scores
            change = accuracy_change(protocol, first, scores)
            numbers = {"accuracy": result.value("accuracy"), "with_failures_as_errors": result.value("accuracy, with failures as errors")}
            low, high = 100 * change.low, 100 * change.high
            less = f"{100 * (change.after - change.before):+.2f} ({low:+.2f} to {high:+.2f})"
            shown = [name, f"{100 * numbers['accuracy']:.2f}", interval_text(result.metric("accuracy")), less, str(len(scores.failures))]
            print(f"| {' | '.join([*shown, format(100 * numbers['with_failures_as_errors'], '.2f')])} |", flush=True)
            row = {"alignment": name, **numbers, "less_first": change.after - change.before, "low": change.low, "high": change.high}
            row = {key: value if isinstance(value, str) else round(float(value), 5) for key, value in row.items()}
            append_row("alignment_lfw", row | {"pairs": change.pairs, "failures": len(scores.failures)})


if __name__ == "__main__":
    main()
