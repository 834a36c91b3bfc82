"""Memory of each rank, bytes that travel, and the head's share of a training step, before anything is trained.

  limen plan --classes 2000000 --gpus 8 --batch_size 1024 --backbone.name iresnet100
  limen plan --classes 100000000 --gpus 64 --config recipe.yaml --head.dtype bf16 --head.sampler.name PartialFC
  limen plan --memory 24 --config recipe.yaml
  limen plan --classes 10000000 --gpus 8 --save-constants here.json      # and elsewhere: --constants here.json

Any setting of a recipe can be given as --section.key value, as to `limen train`. The memory is arithmetic over the arrays and holds for
any machine; what PyTorch, its libraries and the data workers take themselves comes on top. The seconds are scaled from a few steps
timed here, or from another machine's file; they leave out the time of sending.
"""

import argparse
import dataclasses
import math
import sys
from typing import Any

import torch

from limen.cli.train import ALLOW_CODE
from limen.devices import usable_device
from limen.errors import LimenError
from limen.planning.constants import Constants, measure_constants, measure_footprint
from limen.planning.plan import Setup, backbone_memory, most_classes, traffic
from limen.training import load_recipe
from limen.training.run import CENTER_DTYPES, sampler_of

TAKES_SETTINGS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--classes", type=_count, metavar="N", help="identities, 1000000 or 1e6")
    size.add_argument("--memory", type=float, metavar="GIB", help="instead: the most identities whose arrays fit into so much of each GPU")
    parser.add_argument("--gpus", type=int, default=1, metavar="K", help="ranks that share the batch and the class centres (1)")
    parser.add_argument("--config", metavar="RECIPE.yaml", help="the recipe; settings it leaves out have their defaults")
    parser.add_argument("--allow-code", action="store_true", help=ALLOW_CODE)
    constants = parser.add_mutually_exclusive_group()
    constants.add_argument("--constants", metavar="FILE.json", help="seconds that were measured on another machine")
    constants.add_argument("--save-constants", metavar="FILE.json", help="keep the seconds measured here")


def _count(text: str) -> int:
    if not float(text).is_integer():
        raise ValueError
    return int(float(text))


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.memory is not None and not 0 < options.memory < math.inf:
        raise LimenError(f"--memory: {options.memory:g} GiB is no size of a GPU's memory; give a number above 0")
    recipe = load_recipe(options.config, options.settings, options.allow_code)
    constants = None if options.constants is None else Constants.load(options.constants)
    here = usable_device("cuda" if recipe.device != "cpu" and torch.cuda.is_available() else "cpu")
    automatic = here.type if constants is None else constants.device_type
    kind = automatic if recipe.device == "auto" else recipe.device.split(":")[0]
    sampler = sampler_of(recipe, total_steps=1)
    setup = Setup.of(
        recipe, 2 if options.classes is None else options.classes, options.gpus, sampler, CENTER_DTYPES[recipe.head.dtype], kind
    )
    if constants is not None:
        constants.check(options.constants, setup, recipe)
    if sys.stderr.isatty():
        print(f"measuring {recipe.backbone.name} and the head here", file=sys.stderr)
    backbone = measure_footprint(recipe, here)
    if options.memory is not None:
        setup = dataclasses.replace(setup, classes=most_classes(setup, backbone, options.memory * 2**30))
    if constants is None:
        constants = measure_constants(setup, recipe, here)
    if options.save_constants is not None:
        constants.save(options.save_constants)
    memory = {"head": setup.memory(), "backbone": backbone_memory(setup, backbone)}
    sent, seconds = traffic(setup, backbone), constants.step(setup)
    return {
        "classes": setup.classes,
        "gpus": setup.ranks,
        "device": kind,
        "backbone": recipe.backbone.name,
        "classes_per_rank": setup.held,
        "active_classes_per_rank": setup.active,
        "batch_size": setup.batch,
        "images_per_rank": setup.images,
        "memory_bytes": memory,
        "memory_bytes_total": sum(sum(items.values()) for items in memory.values()),
        "sent_bytes": sent,
        "sent_bytes_total": sum(sent.values()),
        "seconds": seconds,
        "head_share": seconds["head"] / sum(seconds.values()),
        "untimed": "" if sampler is None else sampler.untimed,
        "constants_from": options.constants,
        "constants": dataclasses.asdict(constants),
    }


def text(result: dict[str, Any]) -> str:
    machine, taken_from = result["constants"]["machine"], result["constants_from"]
    lines = [
        f"{result['classes']:,} identities, {result['backbone']}, {result['gpus']} x {result['device']}; each rank holds "
        f"{result['classes_per_rank']:,} class centres, {result['active_classes_per_rank']:,} of them in a step, and "
        f"{result['images_per_rank']} of {result['batch_size']} images",
        "",
        _row("memory of a rank", "GiB"),
    ]
    for items in result["memory_bytes"].values():
        lines += [_row(f"  {name}", f"{size / 2**30:.2f}") for name, size in items.items()]
    lines += [_row("  in all, at most at one time", f"{result['memory_bytes_total'] / 2**30:.2f}"), ""]
    if result["sent_bytes"]:
        lines.append(_row("sent by a rank in a step", "MiB"))
        lines += [_row(f"  {name}", f"{size / 2**20:.1f}") for name, size in result["sent_bytes"].items()]
        lines += [_row("  in all", f"{result['sent_bytes_total'] / 2**20:.1f}"), ""]
    lines.append(_row("time of a step, without sending", "seconds"))
    lines += [_row(f"  {name}, forward and backward", f"{seconds:.3g}") for name, seconds in result["seconds"].items()]
    lines += [_row("  the head's share", f"{100 * result['head_share']:.0f} %"), ""]
    whence = "measured here" if taken_from is None else f"from {taken_from}"
    lines.append(f"The seconds are of {machine}, {whence}; the memory holds for any machine.")
    if taken_from is None:
        lines.append("For another machine, measure there with --save-constants FILE.json and plan here with --constants FILE.json.")
    if result["untimed"]:
        lines.append(result["untimed"])
    return "\n".join(lines)


def _row(name: str, value: str) -> str:
    return f"{name:42s}{value:>10s}"
