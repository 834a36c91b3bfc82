"""Who was taken for whom in a search."""

from collections.abc import Sequence

import numpy as np

from limen import metrics
from limen.protocols.result import Metric, Mistake
from limen.protocols.task import Gallery, SearchSet

MOST = 10_000  # of one result; its file stays one that people can read


def mistakes_of(searched: SearchSet, searches: Sequence[metrics.Search], measured: Sequence[Metric]) -> list[Mistake]:
    """The mistakes of the searches of `searched.galleries`, the surest first, `MOST` at most.

    A mated probe is misidentified where an entry of another person scores as high as its best mate. A stranger is where its best score
    reaches the threshold of the lowest FPIR that is resolved among `measured`.
    """
    templates, several = searched.templates, len(searches) > 1
    image = np.full(len(templates), -1)  # of a template that has one alone
    image[templates.template] = np.where(np.bincount(templates.template)[templates.template] == 1, templates.image, -1)
    found = []
    for gallery, one in zip(searched.galleries, searches, strict=True):
        threshold = _strictest(measured, [gallery.name] * several)
        for row in np.flatnonzero((one.nearest >= 0) & np.where(one.mated, one.rank > 0, one.other >= threshold)).tolist():
            found.append((float(one.other[row]), gallery, one, row))
    surest = sorted(found, key=lambda mistake: -mistake[0])[:MOST]
    return [_mistake(searched, image, gallery, one, row, gallery.name if several else "") for _, gallery, one, row in surest]


def _mistake(searched: SearchSet, image: np.ndarray, gallery: Gallery, found: metrics.Search, row: int, of: str) -> Mistake:
    probe, entry = int(gallery.probe[row]), int(gallery.gallery[found.nearest[row]])
    names = searched.templates.names
    return Mistake(
        probe=searched.source.locate(int(image[probe])) if image[probe] >= 0 else str(names[probe]),
        person=_person(searched, probe),
        enrolled=bool(found.mated[row]),
        taken_for=_person(searched, entry) or str(names[entry]),
        score=float(found.other[row]),
        own_score=float(found.mate[row]) if np.isfinite(found.mate[row]) else None,
        gallery=of,
    )


def _person(searched: SearchSet, template: int) -> str:
    number = int(searched.templates.person[template])
    return str(searched.people[number]) if searched.people and number >= 0 else ""


def _strictest(measured: Sequence[Metric], variant: list[str]) -> float:
    """The threshold of the lowest resolved FPIR of a whole gallery; infinity where there is none."""
    own = [m for m in measured if m.quantity == "tpir" and m.variant == variant and "enrolled" not in m.at and m.threshold is not None]
    return min(own, key=lambda metric: metric.at["fpir"]).threshold or 0.0 if own else np.inf
