"""A gallery of people: one template for each, what made it, and whom a probe is."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limen import metrics
from limen.decision.audit import most_alike
from limen.decision.enrolment import Enrolment
from limen.decision.vectors_file import read_arrays
from limen.errors import LimenError
from limen.files import parse_json
from limen.metrics.rates import trials_needed
from limen.models.model import Model
from limen.names import spelling

Answer = Literal["yes", "not sure", "nobody"]
SEARCHED = 10_000  # templates that search the others for a threshold; of a larger gallery as many are drawn
COMPARED = 10_000  # people: of a larger gallery `limen audit` names those too much alike, for it costs more than a search by 1,000 probes
NAMED = 100
WRITTEN = "name a file that `limen embed --templates` wrote"
AGAIN = "enrol its people again with this one (limen embed --templates)"


@dataclass(frozen=True)
class PeopleGallery:
    """vectors (G, D) of unit length, finite; names of the people (G,), each once; what made them, see `limen.decision.enrolment`."""

    vectors: np.ndarray
    names: Sequence[str]
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


def gallery_of(enrolment: Enrolment) -> PeopleGallery:
    """The people of `enrol`."""
    return PeopleGallery(enrolment.arrays["vectors"], enrolment.arrays["templates"].tolist())


def read_gallery(path: str | Path, embedder: Model) -> PeopleGallery:
    """The templates in a file that `limen embed --templates` wrote with this model.

    Raises LimenError for another file, one that is damaged, vectors of another model or of other preprocessing, a person who is in it
    twice. Nothing in the file is run, and it takes no more memory than it is long.
    """
    arrays = read_arrays(path, ("vectors", "made_by"), ("templates",), "vectors, templates or made_by", WRITTEN)
    if "templates" not in arrays:
        raise LimenError(f"{path}: holds images and no people; {AGAIN}")
    vectors, names = arrays["vectors"], [str(name) for name in arrays["templates"].tolist()]
    made_by = parse_json(str(arrays["made_by"]), f"{path} made_by")
    fits = vectors.ndim == 2 and vectors.dtype == np.float32 and np.isfinite(vectors).all() and len(vectors) == len(names)
    if not fits or not isinstance(made_by, dict) or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise LimenError(f"{path}: is damaged: a finite vector of unit length is needed for each person; {AGAIN}")
    twice = [name for name, count in Counter(map(spelling, names)).items() if count > 1]
    if twice:
        which = [name for name in names if spelling(name) == twice[0]]
        raise LimenError(f"{path}: {which[0]} and {which[1]} are one name; put the images of one person in one folder, and {AGAIN}")
    check_made_by(path, made_by, embedder)
    return PeopleGallery(vectors, names, made_by)


def check_alignment(path: str | Path, gallery: PeopleGallery, alignment: Mapping[str, Any] | None) -> None:
    """Raises LimenError where faces were found in the gallery's photos in another way than in the probes', which `alignment` tells.

    Of crops that came aligned nothing is told, and nothing is refused. Which of several faces is meant changes no crop.
    """
    both = (alignment or {}, gallery.made_by.get("alignment") or {})
    own, other = ({key: value for key, value in told.items() if key != "faces"} for told in both)
    if own and other and own != other:
        raise LimenError(f"{path}: its faces were found by another detector or with other settings; {AGAIN}")


def threshold_at_fpir(gallery: PeopleGallery, fpir: float, seed: int = 0) -> metrics.Thresholds:
    """The lowest threshold at which the share `fpir` of the templates, or less, finds anybody else in the gallery, and its interval.

    Each template searches the gallery without its own person; of more than `SEARCHED` as many are drawn. It is the threshold for probes
    as good as the templates are. Raises LimenError where there are too few people for the rate.
    """
    if not 0 < fpir < 1:
        raise LimenError(f"--fpir {fpir:g}: must lie between 0 and 1")
    count = len(gallery)
    searching = np.arange(count) if count <= SEARCHED else np.sort(np.random.default_rng(seed).choice(count, SEARCHED, replace=False))
    if fpir * len(searching) < 1:
        people = f"{count:,} people" if count <= SEARCHED else f"{SEARCHED:,} of its people"
        needed = f"needs {trials_needed(fpir):,} people who search the others, and it has {people}"
        raise LimenError(f"--fpir {fpir:g}: {needed}; give a higher rate, or a --threshold")
    if count < 2:
        raise LimenError("--fpir: one person has nobody to be taken for; give --threshold")
    found = metrics.search(gallery.vectors[searching], searching, gallery.vectors, np.arange(count))
    return metrics.threshold_at_fmr(found.other, [fpir], searching, searching)


@dataclass(frozen=True)
class TooAlike:
    """Pairs of people in a gallery of whom either would be taken for the other: their number, and the first NAMED of them, the most alike
    first, as (person, other, score)."""

    count: int
    pairs: Sequence[tuple[str, str, float]]


def too_alike(gallery: PeopleGallery, threshold: float) -> TooAlike | None:
    """The people whose templates are as much alike as `threshold`; None, which is not known, of more than `COMPARED` people."""
    if len(gallery) > COMPARED:
        return None
    count, found = most_alike(gallery.vectors, threshold, NAMED)
    rows = zip(found.first.tolist(), found.second.tolist(), found.score.tolist(), strict=True)
    return TooAlike(count, [(gallery.names[one], gallery.names[other], score) for one, other, score in rows])


def answer(score: float, low: float, high: float) -> Answer:
    """ "yes" from `high` on, "nobody" below `low`, "not sure" between: the ends of the interval of a threshold, or twice the same one."""
    return "yes" if score >= high else "not sure" if score >= low else "nobody"


def check_made_by(path: str | Path, made_by: Mapping[str, Any], embedder: Model) -> None:
    """Raises LimenError where the vectors are not comparable with this embedder's."""
    own, other = json.loads(json.dumps(embedder.identity)), made_by.get("network")
    if other is None:  # of limen 0.1.0, which kept the hash of the file alone
        own, other = {"model_sha256": embedder.description["model_sha256"]}, {"model_sha256": made_by.get("model_sha256")}
    differing = sorted(key for key in {*own, *other} if own.get(key) != other.get(key)) if isinstance(other, dict) else ["network"]
    if "model_sha256" in differing or "architecture" in differing:
        raise LimenError(f"{path}: its vectors are of another model ({made_by.get('model', 'unknown')}); {AGAIN}")
    if differing:
        raise LimenError(f"{path}: its vectors were made with another {', '.join(differing)}; {AGAIN}")
