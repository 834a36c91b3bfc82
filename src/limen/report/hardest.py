"""The sections of a report on what a model is most wrong about: pairs of images, and the people it fails most often."""

from collections.abc import Sequence

import cv2
import numpy as np
from markupsafe import Markup, escape

from limen.data.pairs import PairSet
from limen.data.source import ImageSource
from limen.errors import LimenError
from limen.protocols import Result, SearchSet, Task
from limen.report.html import Section, face_grid
from limen.report.show import short_labels

SIDE = 88  # pixels of a thumbnail
SHOWN = 10  # of each kind
MOST_RESULTS = 12  # that show images; the page stays below some megabytes


def hardest_sections(results: Sequence[Result], tasks: Sequence[Task]) -> list[Section]:
    """For each result the false matches and false non-matches it is surest of, images side by side, and the people it fails most often.

    A result belongs to the task of its name. Pictures are those of the first `MOST_RESULTS`.
    """
    by_name, sections = {task.name: task for task in tasks}, list[Section]()
    labels = short_labels(results)
    for number, (result, label) in enumerate(zip(results, labels, strict=True)):
        task = by_name.get(result.name)
        if result.discarding is None and task is not None and number < MOST_RESULTS:
            sections += _of_pairs(result, label, task) if isinstance(task, PairSet) else _of_searches(result, label, task)
        sections += _of_people(result, label)
    return sections


def _of_pairs(result: Result, label: str, task: PairSet) -> list[Section]:
    number = {task.place(row): row for row in range(len(task.subject))}
    sections = []
    for mated, title, text in (
        (False, "Worst false matches", "Pairs of two people that score highest."),
        (True, "Worst false non-matches", "Pairs of one person that score lowest."),
    ):
        pairs = [pair for pair in result.hard_pairs if pair.mated == mated and {pair.first, pair.second} <= number.keys()][:SHOWN]
        images = [_side_by_side(task.source, [task.image_of(number[place]) for place in (pair.first, pair.second)]) for pair in pairs]
        captions = [f"{pair.score:.3f}\n{_short(pair.first)}\n{_short(pair.second)}" for pair in pairs]
        if pairs:
            at = "" if result.hard_threshold is None else f" The threshold: {result.hard_threshold:.4f}."
            sections.append(Section(f"{title}: {label}", face_grid(images, captions, jpeg=True), text + at))
    return sections


def _of_searches(result: Result, label: str, task: Task) -> list[Section]:
    """Probes beside the entry they were taken for."""
    if not isinstance(task, SearchSet) or not result.mistakes:
        return []
    templates = task.templates
    image_of = dict(zip(templates.template[::-1].tolist(), templates.image[::-1].tolist(), strict=True))  # the first of each
    entries = np.unique(np.concatenate([gallery.gallery for gallery in task.galleries])).tolist()
    names = {str(templates.names[row]): row for row in range(len(templates))}
    names |= {task.source.locate(int(image_of[row])): row for row in names.values() if row in image_of}
    enrolled = {str(task.people[int(templates.person[row])]): row for row in entries if task.people and templates.person[row] >= 0}
    images, captions = [], []
    for mistake in result.mistakes[:SHOWN]:
        rows = [names.get(mistake.probe), enrolled.get(mistake.taken_for, names.get(mistake.taken_for))]
        if all(row in image_of for row in rows):
            images.append(_side_by_side(task.source, [image_of[row] for row in rows if row is not None]))
            own = "" if mistake.own_score is None else f", {mistake.own_score:.3f} with its own"
            captions.append(f"{mistake.score:.3f}{own}\n{_short(mistake.probe)}\nfor {_short(mistake.taken_for)}")
    text = "The mistakes with the highest scores: a probe, and who it was taken for."
    return [Section(f"Taken for somebody else: {label}", face_grid(images, captions, jpeg=True), text)] if images else []


def _of_people(result: Result, label: str) -> list[Section]:
    if not result.hard_people or result.hard_threshold is None:
        return []
    rows = "".join(
        f"<tr><th>{escape(_short(person.of))}</th><td>{person.false_non_matches:,} of {person.mated:,}</td>"
        f"<td>{person.false_matches:,} of {person.non_mated:,}</td></tr>"
        for person in result.hard_people
    )
    head = "<thead><tr><th>person in</th><th>false non-matches</th><th>false matches</th></tr></thead>"
    table = Markup(f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>')
    text = (
        f"The people with the most false non-matches, then those with the most false matches, at the threshold {result.hard_threshold:.4f}."
    )
    return [Section(f"Who fails most: {label}", table, text)]


def _side_by_side(source: ImageSource, numbers: Sequence[int]) -> np.ndarray:
    return np.hstack([_thumbnail(source, number) for number in numbers])


def _thumbnail(source: ImageSource, number: int) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 RGB; grey where the image cannot be read, as that of a template may be."""
    try:
        return cv2.resize(source.image(int(number)), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    except LimenError:
        return np.full((SIDE, SIDE, 3), 128, np.uint8)


def _short(place: str) -> str:
    """The end of a path: the file, and the person's folder where the file does not begin with its name."""
    *folders, file = place.replace("\\", "/").split("/")
    return f"{folders[-1]}/{file}" if folders and not file.startswith(folders[-1]) else file
