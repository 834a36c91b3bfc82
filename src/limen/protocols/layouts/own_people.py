"""One's own people as a search: one template for each enrolled person, as enrolment makes it, and galleries of rising size."""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from limen.data.readers import FileSource
from limen.data.templates import Templates
from limen.errors import LimenError, LimenWarning
from limen.files import file_sha256
from limen.names import Names, name_bytes
from limen.protocols.layouts.tree import FEW
from limen.protocols.task import Gallery, SearchSet

FPIR = (0.1, 0.01, 0.001)
SMALLEST = 10  # people in the first of the nested galleries; each further one holds ten times as many
People = Mapping[str, Sequence[Path]]
"""Person -> images."""


@dataclass(frozen=True)
class Sides:
    """Who is enrolled, who probes, and the others who are enrolled too and never looked for: a loose image goes by its path.

    `few_images` are the people of `probe` who had too few to be enrolled.
    """

    gallery: People
    probe: People
    others: People = field(default_factory=dict)
    few_images: Sequence[str] = ()


def split(name: str, people: People, enrolled: int, seed: int) -> Sides:
    """`enrolled` images of each person, drawn at random, make the gallery; the other images probe it.

    The draw of a person depends on the seed, the name and the number of images alone. People without an image left to probe are not
    enrolled; all their images are probes, those of strangers. Warns of them, and raises LimenError where there is nobody else.
    """
    if enrolled < 1:
        raise LimenError(f"--split {enrolled}: at least 1 image of each person has to be enrolled")
    gallery, probe = {}, {}
    for person, images in people.items():
        order = np.random.default_rng([seed, *name_bytes(person)]).permutation(len(images))
        drawn = {images[place] for place in order[:enrolled]} if len(images) > enrolled else set()
        if drawn:
            gallery[person] = [image for image in images if image in drawn]
        probe[person] = [image for image in images if image not in drawn]
    few = [person for person in people if person not in gallery]
    if not gallery:
        raise LimenError(f"{name}: nobody has more than {enrolled} images; enrol fewer (--split), or add images")
    if few:
        text = f"{len(few):,} people have {enrolled} images or fewer ({', '.join(few[:FEW])}): strangers to the gallery"
        warnings.warn(f"{name}: {text}", LimenWarning, stacklevel=3)
    return Sides(gallery, probe, few_images=few)


def own_search(name: str, sides: Sides, root: Path | None = None, seed: int = 0) -> SearchSet:
    """The search of `sides.gallery` and `sides.others` by each image of `sides.probe`; templates are named by paths below `root`.

    Probes of people who are not enrolled are the strangers of the open set. Where there are none, or after a `split` too few for the
    lowest of `FPIR`, everyone is, without their own person in the gallery. Raises LimenError where nobody who probes is enrolled, or
    an image is on both sides.
    """
    files = [*_images(sides.gallery), *_images(sides.others), *_images(sides.probe)]
    if len(set(files)) < len(files):
        file = next(file for file in _images(sides.probe) if file in {*_images(sides.gallery), *_images(sides.others)})
        raise LimenError(f"{name}: {file} is enrolled and a probe; leave one of them")
    number = {person: place for place, person in enumerate(sorted({*sides.gallery, *sides.probe}))}
    enrolled = [*sides.gallery.values(), *sides.others.values()]
    probes = [(person, file) for person, images in sides.probe.items() for file in images]
    person = [*(number[who] for who in sides.gallery), *(-1 for _ in sides.others), *(number[who] for who, _ in probes)]
    sizes = [*map(len, enrolled), *(1 for _ in probes)]
    places = [
        *(images[0].parent for images in sides.gallery.values()),
        *(images[0] if who == str(images[0]) else images[0].parent for who, images in sides.others.items()),
        *(file for _, file in probes),
    ]
    rows = np.arange(len(files))
    names = [place.relative_to(root).as_posix() if root else str(place) for place in places]
    templates = Templates(rows, np.repeat(np.arange(len(sizes)), sizes), rows, np.array(person, np.int64), names)
    whole = Gallery("", np.arange(len(enrolled)), np.arange(len(enrolled), len(sizes)))
    others = sum(person not in sides.gallery for person, _ in probes)
    enough = others * min(FPIR) >= 1 if sides.few_images else others > 0
    strangers: Literal["others", "everyone"] = "others" if enough else "everyone"
    return SearchSet(
        name,
        FileSource(files),
        templates,
        [whole],
        fpir=FPIR,
        strangers=strangers,
        nested=list(nested(templates.person, whole, strangers == "everyone", seed)),
        people=list(number),
        unit=True,
        counts={"distractors": len(sides.others), "people_enrolled": len(enrolled)}
        | ({"people_of_too_few_images": len(sides.few_images)} if sides.few_images else {}),
    )


def nested(person: np.ndarray, whole: Gallery, everyone: bool, seed: int) -> Iterator[Gallery]:
    """Galleries of 10, 100, 1,000, ... people within `whole`, each within the next; those whom probes look for come first in the draw.

    Their probes are those of the people enrolled and the strangers to the whole gallery, or `everyone`'s.
    """
    own = np.where(person < 0, person.max(initial=0) + 1 + np.arange(len(person)), person)
    random, sought = np.random.default_rng(seed), np.isin(own[whole.gallery], own[whole.probe])
    people = np.unique(own[whole.gallery[sought]]), np.unique(own[whole.gallery[~sought]])
    order = np.concatenate([random.permutation(some) for some in people])
    stranger = ~np.isin(own[whole.probe], own[whole.gallery])
    size = SMALLEST
    while size < len(order):
        enrolled = order[:size]
        probes = everyone | stranger | np.isin(own[whole.probe], enrolled)
        yield Gallery(f"{size}", whole.gallery[np.isin(own[whole.gallery], enrolled)], whole.probe[probes])
        size *= 10


def named_as_in(gallery: People, probe: People) -> People:
    """The probes, their people named as the gallery does: systems differ in letter case and in how they compose accents."""
    known = Names(gallery)
    names = {person: known.find(person) or person for person in probe}
    if respelt := [f"{person} is {name}" for person, name in names.items() if person != name]:
        few = ", ".join(respelt[:FEW])
        text = f"{len(respelt)} people are spelt otherwise in the gallery ({few}); they are taken for the same"
        warnings.warn(text, LimenWarning, stacklevel=4)
    joined: dict[str, list[Path]] = {}
    for person, images in probe.items():
        joined.setdefault(names[person], []).extend(images)
    return joined


def check_people(name: str, sides: Sides) -> None:
    """Raises LimenError for people of one name but for letter case and accents, and for others who are enrolled: a person enrolled twice
    is taken for somebody else. Warns of images that are copies of each other."""
    for alike in Names([*sides.gallery, *sides.probe]).alike.values():
        if len(alike) > 1:
            raise LimenError(f"{name}: {' and '.join(sorted(alike))} are spelt alike; put the images of one person in one folder")
    enrolled = Names(sides.gallery)
    if both := [person for person in sides.others if enrolled.find(person)]:
        count = f"{len(both)} of the distractors are enrolled ({', '.join(both[:FEW])})"
        raise LimenError(f"{name}: {count}; a distractor is nobody whom a probe looks for, so take them out")
    _say_copies(name, sides)


def _say_copies(name: str, sides: Sides) -> None:
    """Warns of probes that are copies of enrolled images, and of copies under two people. Only files of one size are read."""
    sizes = defaultdict(list)
    for side, people in (("gallery", sides.gallery), ("gallery", sides.others), ("probe", sides.probe)):
        for person, images in people.items():
            for file in images:
                sizes[_size(file)].append((side, person, file))
    sizes.pop(0, None)
    same = defaultdict(list)
    for found in sizes.values():
        for one in found if len(found) > 1 else ():
            same[file_sha256(one[2])].append(one)
    groups = [found for found in same.values() if len(found) > 1]
    probes = [str(file) for found in groups for side, _, file in found if side == "probe" and any(one[0] == "gallery" for one in found)]
    twice = [f"{found[0][2]} is {found[-1][2]}" for found in groups if len({person for _, person, _ in found}) > 1]
    if probes:
        text = f"{len(probes):,} probes are copies of images in the gallery ({', '.join(probes[:FEW])}); any model finds those"
        warnings.warn(f"{name}: {text}", LimenWarning, stacklevel=4)
    if twice:
        text = f"{len(twice):,} images stand under two people ({', '.join(twice[:FEW])}); one of the two is wrong"
        warnings.warn(f"{name}: {text}", LimenWarning, stacklevel=4)


def _size(file: Path) -> int:
    """0 for what is no plain file, which is a failure to acquire, later."""
    return file.stat().st_size if file.is_file() else 0


def _images(people: People) -> list[Path]:
    return [image for images in people.values() for image in images]
