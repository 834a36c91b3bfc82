"""Photos that gave no face when a folder was aligned. Lists of pairs go on naming them: they are failures to acquire, not missing files."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from limen.data.images import stem_of
from limen.data.photos.record import COLUMNS, SETTINGS, TABLE
from limen.errors import LimenWarning
from limen.tables import read_csv

UP = 3  # folders above the one of the images in which the table is looked for
Name = TypeVar("Name")


def unacquired(root: Path, names: Mapping[Name, Iterable[str]]) -> dict[Name, Path]:
    """Where the crop of each of `names` would be that gave no face, by the table that `limen data align` left in `root` or above it.

    Args:
        root: the folder of the images.
        names: what is looked for -> the paths below `root` under which it may be known, whatever their ending.

    Warns of how many there are. Files at those paths do not exist, so that reading them fails.
    """
    real = root.resolve()
    for folder in (real, *list(real.parents)[:UP]):
        if (folder / TABLE).is_file() and (folder / SETTINGS).is_file():
            failed = {stem_of(row["photo"]): row["photo"] for _, row in read_csv(folder / TABLE, COLUMNS) if row["failure"]}
            break
    else:
        return {}
    below = real.relative_to(folder)
    found = {}
    for name, paths in names.items():
        stems = ((below / stem_of(path)).as_posix() for path in paths)
        if (stem := next((stem for stem in stems if stem in failed), None)) is not None:
            found[name] = root / Path(failed[stem]).relative_to(below)
    if found:
        text = f"{folder / TABLE}: {len(found)} of the images gave no face when they were aligned; they are failures to acquire"
        warnings.warn(text, LimenWarning, stacklevel=4)
    return found
