r"""Train a recogniser from a recipe.

  limen train --config small/faces --data.path faces/ --out runs/first
  limen train --config small/faces --data.path faces/ --out runs/first --resume auto
  torchrun --nproc-per-node 4 -m limen train --config small/faces --data.path faces/ --out runs/first
  limen train --config small/faces --data.path faces/ --out runs/quality --init runs/first/model.safetensors \
      --freeze backbone --quality.weight 10
  limen train --config my.yaml --device cuda --data.augment adaface --data.augment_on device --out runs/gpu

--config takes a file, or the name of a recipe that comes with limen: small/... for a laptop, papers/... as published.
Any setting of the recipe can be given as --section.key value; --print-config shows them all with their values.
The run's folder receives log.jsonl, checkpoints, evaluation-NAME.json, the bundle, model.safetensors, and at the end
  class_margins.csv   of AdaM-Softmax: name, images, margin of every person. Margins fall while the network is young, and rise again
  suspects.csv        of adaptive data sampling, the images it believes mislabelled, the surest first. score: mean cosine to the centre of
                      the person it is said to be, 1 that of the median image; weight: how often it is still drawn, 1 at first; looks;
                      nearest: the other person it came nearest to in any look, whom it may show, and nearest_cosine
Under torchrun the processes share each batch and the class centres; a run may go on with another number of them.
"""

import argparse
import dataclasses
import inspect
import json
from collections.abc import Iterator
from typing import Any

import yaml

from limen.backbones import BACKBONES
from limen.data import BatchOrder
from limen.data.feed import ORDERS
from limen.errors import LimenError
from limen.heads import SAMPLERS, ClassSampler
from limen.lookup import find
from limen.margins import MARGINS, Margin
from limen.training import load_recipe, read_log, train
from limen.training.distributed import is_first
from limen.training.settings import describe, known_keys, shipped_recipes

TAKES_SETTINGS = True
RECIPE = f"a YAML file, or one of {', '.join(shipped_recipes())}; settings it leaves out have their defaults"
ALLOW_CODE = "let --config name classes outside limen, as package.module:Class, and run their code: only of a recipe you trust"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "\n".join(
        [
            "settings, as --section.key value:",
            *(f"  {key:28s} {describe(kind)}" for key, kind in known_keys().items() if not dataclasses.is_dataclass(kind)),
            "names, and the options that go under .options as --margin.options.m .4 or --margin.options '{m: .4}':",
            *(f"  {section + '.name':18s} {name:20s} {options_of(kind)}" for section, name, kind in choices()),
            f"  {'backbone.name':18s} {', '.join(BACKBONES)}",
        ]
    )
    parser.add_argument("--config", metavar="RECIPE", help=RECIPE)
    parser.add_argument(
        "--resume", metavar="auto|CHECKPOINT", help="auto: go on from the newest checkpoint in the run's folder, if there is one"
    )
    parser.add_argument(
        "--init",
        metavar="MODEL",
        help="start from this model.safetensors, and from the centres of the people it knows in the checkpoint beside it",
    )
    parser.add_argument("--freeze", action="append", metavar="backbone", help="train class centres, margin and quality head only")
    parser.add_argument("--allow-code", action="store_true", help=ALLOW_CODE)
    parser.add_argument("--print-config", action="store_true", help="print the whole recipe and stop")


def choices() -> Iterator[tuple[str, str, Any]]:
    tables = (("margin", MARGINS, Margin), ("head.sampler", SAMPLERS, ClassSampler), ("data.sampling", ORDERS, BatchOrder))
    for section, table, base in tables:
        for name in table:
            yield section, name, find(section, name, table, base)


def options_of(kind: Any) -> str:
    """What a recipe may set of it: `m .4, h .333`."""
    given = {*inspect.signature(BatchOrder).parameters, "num_classes", "embedding_size", "total_steps"}
    parameters = inspect.signature(kind).parameters.values()
    return ", ".join(f"{p.name} {p.default}" for p in parameters if p.name not in given and p.default is not p.empty) or "has none"


def run(options: argparse.Namespace) -> dict[str, Any]:
    try:
        words = [] if options.init is None else ["--init", options.init]
        words += [] if options.freeze is None else ["--freeze", json.dumps(options.freeze)]
        recipe = load_recipe(options.config, [*words, *options.settings], options.allow_code)
    except LimenError:
        if not is_first():
            raise SystemExit(1) from None  # the first process says it
        raise
    if options.print_config:
        return {"recipe": dataclasses.asdict(recipe)}
    bundle = train(recipe, options.resume)
    if not is_first():
        raise SystemExit(0)
    rows = read_log(bundle.parent / "log.jsonl")
    evaluations = [row for row in rows if "evaluation" in row]
    steps = [row for row in rows if "loss" in row]
    weighings = [row for row in rows if "weight_counts" in row]
    found: dict[str, Any] = {"bundle": str(bundle), "last": steps[-1] if steps else {}, "evaluations": evaluations}
    found["tables"] = [str(table) for table in sorted(bundle.parent.glob("*.csv"))]  # whatever the run's parts left
    return found | ({"sampling_began": "noise_share" in weighings[-1]} if weighings else {})


def text(result: dict[str, Any]) -> str:
    if "recipe" in result:
        return yaml.safe_dump(result["recipe"], sort_keys=False).rstrip()
    accuracies = [f"{row['evaluation']} at step {row['step']}: accuracy {100 * row['accuracy']:.2f} %" for row in result["evaluations"]]
    unreadable = result["last"].get("unreadable", 0)
    left_out = [f"{unreadable} images could not be read; `limen data inspect PATH --check` names them"] if unreadable else []
    idle = "adaptive sampling never began, so no label was judged: train longer, or lower period, start_epoch or start_accuracy"
    unweighed = [] if result.get("sampling_began", True) else [f"{idle} (data.sampling.options)"]
    return "\n".join([*left_out, *accuracies, *unweighed, *result["tables"], result["bundle"]])
