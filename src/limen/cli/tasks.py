"""The words that say what a model is judged on: benchmarks, files of pairs, folders of one's own people."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from limen.cli.inference import of_faces
from limen.data.pairs import PairSet, open_pairs, with_groups, with_related, with_subjects
from limen.errors import LimenError
from limen.files import file_sha256
from limen.protocols.layouts import open_benchmark
from limen.protocols.layouts.folders import open_pairs_of, open_sides, open_split
from limen.protocols.task import SearchSet, Task
from limen.report import distinct


def add_task_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--on", nargs="+", default=[], metavar="NAME:PATH", help="benchmarks, each with its folder or file")
    parser.add_argument("--pairs", nargs="+", default=[], metavar="FILE", help=".bin files, or text lists in LFW's format")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images that text lists of --pairs name")
    parser.add_argument("--gallery", metavar="DIR", help="who is enrolled, one folder of images for each person; with --probe")
    parser.add_argument("--probe", metavar="DIR", help="who is searched, one folder for each person, named as in --gallery, or a stranger")
    parser.add_argument("--distractors", metavar="DIR", help="others who are enrolled too: one folder for each person, or loose images")
    parser.add_argument("--folders", metavar="DIR", help="people, one folder of images each: all pairs, or with --split a search")
    parser.add_argument("--split", type=int, metavar="N", help="enrol N images of each person of --folders, drawn by --seed; others probe")
    parser.add_argument("--groups", metavar="FILE.csv", help="rates of groups of people: the column file or person, then any: sex, age")
    parser.add_argument("--related", metavar="FILE.csv", help="people who must not be confused: the columns person and other")
    parser.add_argument("--subjects", metavar="FILE.csv", help="who is in the images of .bin files: the columns file and subject")


def tasks_of(options: argparse.Namespace) -> list[Task]:
    """Those of --on, of --pairs and of one's own folders, each with a name of its own."""
    opened = [of_faces(open_pairs(path, options.images), options) for path in options.pairs]
    hashes = [file_sha256(path) for path in options.pairs]
    pairs = [replace(one, sha256=own, switches={**one.switches, "pairs_sha256": own}) for one, own in zip(opened, hashes, strict=True)]
    if options.on and options.detector:
        raise LimenError("--detector: benchmarks of --on are read as they are; align their photos first (limen data align)")
    own = {place: of_faces(task, options) for place, task in _own(options)}
    tasks = [*(open_benchmark(spec) for spec in options.on), *pairs, *own.values()]
    if not tasks:
        raise LimenError(
            "nothing to judge on: name benchmarks (--on lfw:PATH), files of pairs (--pairs lfw.bin) or folders of people (--folders DIR)"
        )
    paths = [Path(place) for place in [*(spec.partition(":")[2] for spec in options.on), *options.pairs, *own]]
    if options.subjects:
        tasks = [with_subjects(task, options.subjects) if _names_nobody(task) else task for task in tasks]
    tasks = [_grouped(task, options) for task in tasks]
    names = distinct([task.name for task in tasks], paths)
    return [replace(task, name=name) for task, name in zip(tasks, names, strict=True)]


def names_of(task: Task) -> list[str]:
    """The names of the people in a task, each once; none where it names nobody."""
    named = task.names if isinstance(task, PairSet) else task.people if isinstance(task, SearchSet) else None
    return sorted(set(named or ()))


def _grouped(task: Task, options: argparse.Namespace) -> Task:
    """With --groups and --related, which are of pairs."""
    for word, path, add in (("--groups", options.groups, with_groups), ("--related", options.related, with_related)):
        if path and not isinstance(task, PairSet):
            raise LimenError(f"{word}: {task.name} compares no pairs one to one; give --folders without --split, or --pairs")
        if path and isinstance(task, PairSet):
            task = add(task, path)
            task = replace(task, switches={**task.switches, f"{word[2:]}_sha256": file_sha256(path)})
    return task


def _own(options: argparse.Namespace) -> Iterator[tuple[str, SearchSet | PairSet]]:
    """The folders of people, each with where it lies."""
    photos = options.detector is not None
    if bool(options.gallery) != bool(options.probe) or (options.distractors and not options.gallery):
        raise LimenError("--gallery, --probe and --distractors: the first two are needed, a folder of people each")
    if options.gallery:
        gallery, probe = Path(options.gallery), Path(options.probe)
        distractors = Path(options.distractors) if options.distractors else None
        yield options.gallery, open_sides(gallery.resolve().name, gallery, probe, distractors, photos)
    if options.split is not None and not options.folders:
        raise LimenError("--split: it says how many images of each person of --folders are enrolled; add --folders DIR")
    if options.folders:
        folder = Path(options.folders)
        name = folder.resolve().name
        if options.split is None:
            yield options.folders, open_pairs_of(name, folder, options.seed, photos)
        else:
            yield options.folders, open_split(name, folder, options.split, options.seed, photos)


def _names_nobody(task: Task) -> TypeGuard[PairSet]:
    return isinstance(task, PairSet) and task.people == "joined" and task.templates is None
