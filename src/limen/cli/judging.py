"""The words that say how tasks are judged: rates, thresholds, templates, qualities, the bootstrap."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.cli.inference import model_options
from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.files import file_sha256
from limen.inference.measures import create_qualities, file_of
from limen.protocols import ErrorVersusDiscard, QualityMeasure
from limen.protocols.runners import Runner, concerns, runner_of
from limen.protocols.task import Task

FMR = (1e-2, 1e-3, 1e-4)


def add_judging_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quality", nargs="+", metavar="QUALITY", help="judge these qualities by error versus discard (see above)")
    parser.add_argument(
        "--far",
        nargs="+",
        type=float,
        metavar="RATE",
        help="false accept rates at which TAR is printed (the benchmark's own, or 0.001 0.01)",
    )
    parser.add_argument(
        "--fmr", nargs="+", type=float, metavar="RATE", help="the same as --far; with --quality, the FMR of each curve (0.01 0.001 0.0001)"
    )
    parser.add_argument(
        "--at-threshold",
        nargs="?",
        const="own",
        type=_at_threshold,
        metavar="COSINE",
        help="FMR and FNMR there too; without a number, at the model's operating points and whether they keep the FMR promised",
    )
    parser.add_argument(
        "--fpir", nargs="+", type=float, metavar="RATE", help="false positive identification rates of searches (the benchmark's own)"
    )
    parser.add_argument(
        "--noise", choices=["dropped", "replaced"], help="noisy images of refined MegaFace; replaced: as in its tables (dropped)"
    )
    parser.add_argument(
        "--group-threshold",
        choices=["global", "per_group"],
        help="threshold of groups: one for all, or one for each as in RFW's tables (global)",
    )
    parser.add_argument("--no-norms", action="store_true", help="pool templates from unit vectors, not from raw features")
    parser.add_argument("--no-detector-scores", action="store_true", help="pool templates without the weights of the benchmark")
    parser.add_argument(
        "--lookup",
        choices=["conservative", "nearest", "insightface"],
        help="how a threshold is found; nearest: as in published IJB tables; insightface: also its 1:N figures (conservative)",
    )
    parser.add_argument(
        "--edc-threshold",
        choices=["fixed", "per_step"],
        help="threshold of --quality: from all pairs (fixed), or found again at every step as in CR-FIQA's tables (per_step)",
    )
    parser.add_argument("--no-flip", action="store_true", help="embed the image alone, without its mirror image")
    parser.add_argument("--replicates", type=int, default=1000, help="draws of the bootstrap over people (1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (0)")


def check_judging(options: argparse.Namespace) -> None:
    """Raises LimenError for words that contradict each other: before anything is opened."""
    if options.replicates < 2:
        raise LimenError(f"--replicates: {options.replicates} give no interval; at least 2, better 1000")
    if not options.quality and options.edc_threshold:
        raise LimenError("--edc-threshold applies to error versus discard; add --quality, or leave it out")
    if options.far and options.fmr and not options.quality:
        raise LimenError("--far and --fmr both set the rates at which TAR is printed; give one of them")
    if options.quality and (words := [WORDS[name] for name in _asked(options) if name != "far" or options.far]):
        raise LimenError(f"{', '.join(words)}: of rates that are not printed with --quality; leave that out, or give --fmr")


# An argument of the runners -> the word that asks for it.
WORDS = {
    "far": "--far",
    "fpir": "--fpir",
    "lookup": "--lookup",
    "threshold": "--group-threshold",
    "at_threshold": "--at-threshold",
    "refined": "--noise",
    "norms": "--no-norms",
    "weights": "--no-detector-scores",
}


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for of WORDS."""
    rates = {"far": tuple(options.far or options.fmr or ()), "fpir": tuple(options.fpir or ())}
    named = {"lookup": options.lookup, "threshold": options.group_threshold, "refined": options.noise}
    named["at_threshold"] = options.at_threshold
    left_out = {"norms": options.no_norms, "weights": options.no_detector_scores}
    return {name: value for name, value in (rates | named).items() if value not in (None, ())} | {
        name: False for name, told in left_out.items() if told
    }


def _at_threshold(word: str) -> float | str:
    """Of --at-threshold. Raises ArgumentTypeError for what is neither a cosine nor "own"."""
    try:
        number = float(word)
    except ValueError:
        number = 2.0
    if word == "own":
        return word
    if not -1 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no cosine from -1 to 1; leave it out for the model's own operating points")
    return number


def runners_of(options: argparse.Namespace, tasks: Sequence[Task]) -> list[Runner]:
    """One for each task. Raises LimenError for a word that concerns none of them."""
    common: dict[str, Any] = {"flip": not options.no_flip, "replicates": options.replicates, "seed": options.seed}
    if options.quality:
        return _of_qualities(options, tasks, common)
    asked = _asked(options)
    for name, value in asked.items():
        if not any(concerns(task, name, value) for task in tasks):
            said = f"{WORDS[name]} {value}" if isinstance(value, str) else WORDS[name]
            raise LimenError(f"{said}: changes nothing of {', '.join(task.name for task in tasks)}; leave it out")
    return [runner_of(task, common | asked) for task in tasks]


def _of_qualities(options: argparse.Namespace, tasks: Sequence[Task], common: dict[str, Any]) -> list[Runner]:
    pair_sets = [_of_images(task) for task in tasks]
    qualities = _qualities(options.quality, pair_sets, options.seed, **model_options(options))
    files = [file_of(spec) for spec in options.quality]
    hashes = [{"quality_sha256": file_sha256(file) if file else "no file"} for file in files]
    common |= {"fmr": tuple(options.fmr or FMR), "threshold": options.edc_threshold or "fixed"}
    common |= {"quality_switches": dict(zip(qualities[0], hashes, strict=True))}
    return [ErrorVersusDiscard(pairs, named, **common) for pairs, named in zip(pair_sets, qualities, strict=True)]


def _of_images(task: Task) -> PairSet:
    if isinstance(task, PairSet) and task.templates is None:
        return task
    raise LimenError(f"{task.name}: error versus discard needs pairs of single images; leave --quality or this benchmark out")


def _qualities(specs: list[str], pair_sets: list[PairSet], seed: int, **model: Any) -> list[dict[str, QualityMeasure | np.ndarray]]:
    """What `--quality` names, for each set of pairs; a measure is made once."""
    named: list[dict[str, QualityMeasure | np.ndarray]] = [{} for _ in pair_sets]
    for spec in specs:
        name, found = create_qualities(spec, [pairs.source for pairs in pair_sets], seed, **model)
        if name in named[0]:
            raise LimenError(f"--quality: {spec} is the second one called {name!r}; rename its file or leave it out")
        for qualities, quality in zip(named, found, strict=True):
            qualities[name] = quality
    return named
