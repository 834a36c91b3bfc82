"""The record of a benchmark: what its folder must hold, where people get it, and how it is read."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from limen.errors import LimenError, LimenWarning
from limen.protocols.layouts.tree import FEW, entries, entry, places, within
from limen.protocols.task import Task, task_counts


@dataclass(frozen=True)
class Layout:
    """One benchmark.

    Attributes:
        name: on the command line: "cfp-fp".
        title: its full name.
        kind: whether pairs are compared or galleries searched.
        holds: what the folder must hold -> what that is. A key is a path below the folder; "a.txt|b.txt" is either of the two, the usual
            one first, and a star stands for any letters.
        source: where people get it.
        images: how people hold the images; "raw" ones are refused until they are aligned.
        read: (layout, path) -> its Task; it finds its files by `files`.
        also: other forms that are read.
        expected: what is counted in the published set: {"pairs": 6000}. Names as in `task_counts`; another count is a warning.
    """

    name: str
    title: str
    kind: Literal["one to one", "one to many"]
    holds: Mapping[str, str]
    source: str
    images: Literal["raw", "loose with landmarks", "aligned"]
    read: Callable[["Layout", Path], Task]
    also: str = ""
    expected: Mapping[str, int] = field(default_factory=dict)

    def open(self, path: str | PathLike[str]) -> Task:
        """What is on disk, as a task of this name. Warns of counts that are not those of the published set.

        Raises LimenError: files that are missing, what they hold and where people get them; a list that is damaged; raw images.
        """
        path = Path(path)
        if not path.exists():
            raise LimenError(f"{path}: no such file or folder; {self.title} is read from {self.contents}; {self._all_forms}")
        task = replace(self.read(self, path), name=self.name)
        found = task_counts(task)
        differing = [
            f"{found.get(what, 0):,} {what} (published: {count:,})" for what, count in self.expected.items() if found.get(what) != count
        ]
        if differing:
            warnings.warn(f"{path}: holds {', '.join(differing)}; numbers are not comparable with others'", LimenWarning, stacklevel=2)
        return replace(task, switches={"benchmark": self.title} | dict(task.switches))

    def files(self, path: Path, *names: str) -> dict[str, Path]:
        """Where each of `names`, all of `holds` if none is given, stands in `path`, in its only folder or in its parent.

        In the parent, `path` must be or hold one of them: all others are of a benchmark beside the folder that was named. Only a list may
        stand there alone: its images are then in `path`, which the reader sees to.
        Raises LimenError that names all that are missing, what they hold and where people get them.
        """
        wanted, best = names or tuple(self.holds), dict[str, Path]()
        alone = (len(wanted) > 1 and not names) or any(name.endswith("/") for name in wanted)
        for place in places(path):
            found = {name: file for name in wanted if (file := entry(place, name))}
            if alone and not within(path, *found.values()):
                continue
            if len(found) == len(wanted):
                return found
            if len(found) > len(best):
                best = found
        raise self.missing(path, *(name for name in wanted if name not in best))

    def missing(self, folder: Path, *names: str) -> LimenError:
        """The error of files that are not there: by the usual name of each, and what was found instead."""
        what = "; ".join(f"{_usual(name)} holds {self.holds[name]}" for name in names)
        return LimenError(
            f"{self.name}: {', '.join(map(_usual, names))} not found in {folder}, which {_inside(folder)}; {what}. "
            f"People get it from {self.source}. {self._all_forms[:1].upper() + self._all_forms[1:]}"
        )

    @property
    def contents(self) -> str:
        """What a folder must hold, by the usual names."""
        return ", ".join(map(_usual, self.holds))

    @property
    def _all_forms(self) -> str:
        return f"`limen protocols {self.name}` lists all forms that are read"

    def record(self) -> dict[str, Any]:
        """For `limen protocols`."""
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "holds": {_said(name): what for name, what in self.holds.items()},
            "also accepted": self.also,
            "expected counts": dict(self.expected),
            "images": self.images,
            "people get it from": self.source,
        }


def _inside(folder: Path) -> str:
    """What a folder holds, in words."""
    if not folder.is_dir():
        return "is a file"
    if not (found := entries(folder)):
        return "is empty"
    few = ", ".join(f"{child.name}/" if child.is_dir() else child.name for child in found[:FEW])
    return f"holds {few}" + (f" and {len(found) - FEW:,} more" if len(found) > FEW else "")


def _usual(name: str) -> str:
    return name.partition("|")[0]


def _said(name: str) -> str:
    return name.replace("|", " or ")
