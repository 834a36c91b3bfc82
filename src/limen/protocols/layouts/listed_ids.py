"""Lists of MATLAB cells, image name and id, as TinyFace and SurvFace have for each folder of theirs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.protocols.layouts.matlab import flat, names_in, read_matlab
from limen.protocols.layouts.searches import Listed, unnested
from limen.protocols.layouts.tree import Images, stem_of


def listed_ids(name: str, *lists: tuple[Path, Path, str, str]) -> Iterator[Listed]:
    """The images of each of `lists`: (folder, .mat file, variable of the names, variable of the ids), whose ids are those of one numbering.

    Image names begin with a number of the person, "18_3.jpg", which is another one than the id. One must tell the other in all lists.

    Raises:
        LimenError: names and ids that differ in length, a name that stands twice, an id that is no whole number, and an id that is not of
            the people whom the file names mean: then the lists are of different numberings, or damaged.
    """
    id_of: dict[str, tuple[int, Path]] = {}
    number_of: dict[int, str] = {}
    for folder, file, names_variable, ids_variable in lists:
        cells, numbers = read_matlab(file, names_variable, ids_variable)
        names, ids = names_in(file, names_variable, cells), flat(numbers)
        if len(names) != len(ids) or not names:
            raise LimenError(f"{file}: holds {len(names):,} names and {len(ids):,} ids; fetch it again")
        whole = [_whole(file, value) for value in ids]
        seen = set()
        for image, person in zip(names, whole, strict=True):
            if image in seen:
                raise LimenError(f"{file}: lists {image} twice; fetch it again")
            seen.add(image)
            number = person_number(image)
            known, where = id_of.setdefault(number, (person, file))
            if known != person:
                raise LimenError(
                    f"{name}: {file.name} gives {image} the id {person}, and {where.name} gives the images {number}_* the id {known}; "
                    "fetch both again"
                )
            if (other := number_of.setdefault(person, number)) != number:
                raise LimenError(
                    f"{name}: {file.name} gives {image} the id {person}, which the images {other}_* have; fetch the lists again"
                )
        files, order = Images(unnested(folder)).find_all(names, file)
        yield Listed([files[place] for place in order], [str(person) for person in whole])


def person_number(image: str) -> str:
    """The person as file names count: of "18_3.jpg" and "18_cam2_3.jpg" it is "18"."""
    return stem_of(image).partition("_")[0]


def _whole(file: Path, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise LimenError(f"{file}: has the id {value!r} where a whole number is expected; fetch it again")
    return int(value)
