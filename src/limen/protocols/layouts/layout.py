"""The record of a benchmark: what its folder must hold, where people get it, and how it is read."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from limen.errors import LimenError, LimenWarning
from limen.protocols.layouts.tree import entry, places
from limen.protocols.task import Task, task_counts


@dataclass(frozen=True)
class Layout:
    """One benchmark.

    Attributes:
        name: on the command line: "cfp-fp".
        title: its full name.
        kind: whether pairs are compared or galleries searched.
        holds: what the folder must hold -> what that is. A key is a path below the folder; "a.txt|b.txt" is either of the two, and a star
            stands for any letters.
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
            raise LimenError(f"{path}: no such file or folder; {self.title} is read from {self.contents}")
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

        Raises LimenError that names all that are missing, what they hold and where people get them.
        """
        wanted, best = names or tuple(self.holds), dict[str, Path]()
        for place in places(path):
            found = {name: file for name in wanted if (file := entry(place, name))}
            if _of_a_neighbour(path, found):
                continue
            if len(found) == len(wanted):
                return found
            if len(found) > len(best):
                best = found
        raise self.missing(path, *(name for name in wanted if name not in best))

    def missing(self, folder: Path, *names: str) -> LimenError:
        """The error of files that are not there."""
        what = "; ".join(f"{_said(name)} holds {self.holds[name]}" for name in names if name in self.holds)
        return LimenError(
            f"{self.name}: {', '.join(map(_said, names))} not found in {folder}. {what[:1].upper() + what[1:]}. "
            f"People get it from {self.source}." + (f" Also accepted: {self.also}." if self.also else "")
        )

    @property
    def contents(self) -> str:
        """What a folder must hold, in words."""
        whole = ", ".join(map(_said, self.holds))
        return f"{whole}; or {self.also}" if self.also and whole else whole or self.also

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


def _of_a_neighbour(path: Path, found: Mapping[str, Path]) -> bool:
    """Whether a whole benchmark beside the folder would be read, and nothing of the folder that was named."""
    here = path.resolve()
    within = any(here in (file := entry.resolve()).parents or here == file for entry in found.values())
    return not within and any(name.endswith("/") for name in found)


def _said(name: str) -> str:
    return name.replace("|", " or ")
