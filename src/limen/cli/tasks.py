"""The words that say what a model is judged on: benchmarks, files of pairs."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from limen.cli.inference import pairs_of_faces
from limen.data.pairs import PairSet, open_pairs, with_subjects
from limen.errors import LimenError
from limen.files import file_sha256
from limen.protocols.layouts import open_benchmark
from limen.protocols.task import Task
from limen.report import distinct


def add_task_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--on", nargs="+", default=[], metavar="NAME:PATH", help="benchmarks, each with its folder or file")
    parser.add_argument("--pairs", nargs="+", default=[], metavar="FILE", help=".bin files, or text lists in LFW's format")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images that text lists of --pairs name")
    parser.add_argument("--subjects", metavar="FILE.csv", help="who is in the images of .bin files: the columns file and subject")


def tasks_of(options: argparse.Namespace) -> list[Task]:
    """Those of --on and --pairs, each with a name of its own."""
    opened = [pairs_of_faces(open_pairs(path, options.images), options) for path in options.pairs]
    hashes = [{"pairs_sha256": file_sha256(path)} for path in options.pairs]
    pairs = [replace(one, switches={**one.switches, **sha256}) for one, sha256 in zip(opened, hashes, strict=True)]
    if options.on and options.detector:
        raise LimenError("--detector: benchmarks of --on are read as they are; align their photos first (limen data align)")
    tasks = [*(open_benchmark(spec) for spec in options.on), *pairs]
    if not tasks:
        raise LimenError("nothing to judge on: name benchmarks (--on lfw:PATH) or files of pairs (--pairs lfw.bin)")
    paths = [Path(place) for place in [*(spec.partition(":")[2] for spec in options.on), *options.pairs]]
    if options.subjects:
        tasks = [with_subjects(task, options.subjects) if _names_nobody(task) else task for task in tasks]
    names = distinct([task.name for task in tasks], paths)
    return [replace(task, name=name) for task, name in zip(tasks, names, strict=True)]


def _names_nobody(task: Task) -> TypeGuard[PairSet]:
    return isinstance(task, PairSet) and task.people == "joined" and task.templates is None
