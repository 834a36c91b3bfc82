"""From images of people to what is kept of them: a gate of quality, and one template for each person."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from limen.data import ImageSource
from limen.errors import LimenError
from limen.files import atomic_write
from limen.inference.measures import measure_identity
from limen.inference.table import embed_images, without_quality
from limen.metrics import pool_templates, quality_weights
from limen.metrics.rates import allowed_events
from limen.models.model import Model
from limen.quality import LearnedQuality, QualityMeasure


@dataclass(frozen=True)
class Enrolment:
    """What is kept of images.

    arrays            what `limen embed` writes, by name
    failures          file and reason of every image that could not be read, embedded or measured
    failed_to_enrol   template and reason of every person of whom nothing is left
    min_quality       images below it were refused; None where there was no gate
    """

    arrays: dict[str, np.ndarray]
    failures: list[str]
    failed_to_enrol: list[dict[str, str]] = field(default_factory=list)
    min_quality: float | None = None

    def save(self, path: str | Path, made_by: Mapping[str, Any]) -> None:
        """Writes an .npz of the arrays, and as `made_by` the JSON of what made them. Raises LimenError where the system refuses."""
        arrays: dict[str, Any] = self.arrays | {"made_by": np.array(json.dumps({**made_by, "limen": version("limen")}))}

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)

        atomic_write(Path(path), write)


def enrol(
    embedder: Model,
    source: ImageSource,
    people: Mapping[str, Sequence[Path]] | None = None,
    measure: QualityMeasure | None = None,
    min_quality: float | None = None,
    worst_share: float | None = None,
    weighted: bool = False,
    reference: np.ndarray | None = None,
    best: int | None = None,
    **inference: Any,
) -> Enrolment:
    """The embeddings of the images of `source` whose quality is not below `min_quality`; of `people`, one template each.

    With `worst_share`, `min_quality` is the highest at which no more than that share of the scores `reference` is refused, or where there
    are none, of the images given.

    A template is the mean of the unit vectors of a person's images, itself made a unit vector. With `weighted` an image weighs by the
    percentile of its quality among the scores `reference`, or where there are none among the images given. With
    `best` it is of so many of the person's images: those of the highest quality or, without a measure, of the longest features.

    Args:
        people: person -> images, in the order of `source`; None makes no templates.
        measure: gives each image a quality; one to which it gives none is a failure to acquire.
        inference: of `embed_images`.

    Raises:
        LimenError: none of the images can be read, none has a quality, or `min_quality` refuses all.
    """
    table = embed_images(embedder, source, measures=[measure] if measure else [], **inference)
    failures, quality = dict(table.failures), None
    refused = np.zeros(len(source), bool)
    if measure:
        (quality,) = table.qualities
        failures = without_quality(quality, measure.name, source, np.arange(len(source))) | failures
        if len(failures) == len(source):
            raise LimenError(f"no image has a {measure.name}; use another --quality")
        if worst_share is not None:
            min_quality = _score_above(worst_share, quality[~np.isnan(quality)] if reference is None else reference)
        refused = quality < (-np.inf if min_quality is None else min_quality)
    kept = ~refused
    kept[list(failures)] = False
    if quality is not None and not kept.any():
        raise LimenError(
            f"--min-quality {min_quality:g} refuses every image; their qualities are {np.nanmin(quality):.4g} to {np.nanmax(quality):.4g}"
        )
    template = None if people is None else np.repeat(list(people), [len(images) for images in people.values()])
    passed = np.zeros(len(source), bool)
    if best is not None and template is not None:
        passed = kept & ~best_of_each(template, table.norms if quality is None else quality, kept, best)
        kept &= ~passed
    files = np.array([source.locate(index) for index in range(len(source))])
    arrays = {"vectors": table.vectors[kept], "norms": table.norms[kept], "files": files[kept]}
    if quality is not None:
        arrays["quality"] = quality[kept]
        if min_quality is not None:
            arrays |= {"refused_files": files[refused], "refused_quality": quality[refused]}
    listed = [failures[number] for number in sorted(failures)]
    if people is None or template is None:
        return Enrolment(arrays, listed, min_quality=min_quality)

    weight = quality_weights(arrays["quality"], reference) if weighted else np.ones(kept.sum())
    vectors, names = pool_templates(arrays["vectors"], template[kept], arrays["files"], weight)
    acquired = np.isfinite(vectors).all(1)
    images = np.unique(template[kept], return_counts=True)[1]
    failed = []
    for name in sorted(set(people) - set(names[acquired].tolist())):
        own = template == name
        cancels = "; the rest cancel out" if (own & kept).any() else ""
        reason = f"{own.sum()} images, {(own & ~kept & ~refused & ~passed).sum()} unusable, {(own & refused).sum()} refused{cancels}"
        failed.append({"template": name, "reason": reason})
    arrays |= {"image_vectors": arrays["vectors"], "vectors": vectors[acquired], "templates": names[acquired], "images": images[acquired]}
    arrays |= {"template": template[kept], "weight": weight}
    del arrays["norms"]
    return Enrolment(arrays, listed, failed, min_quality)


def best_of_each(person: np.ndarray, score: np.ndarray, usable: np.ndarray, count: int) -> np.ndarray:
    """(N,) bool: the `count` images of the highest score among the usable ones of each person (N,); of equal ones the first."""
    order = np.lexsort((-score, ~usable, person))
    starts = np.flatnonzero(np.r_[True, person[order][1:] != person[order][:-1]])
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    chosen = np.zeros(len(person), bool)
    chosen[order[place < count]] = True
    return chosen & usable


def _score_above(share: float, scores: np.ndarray) -> float:
    """The score below which lies the share of the scores (N,), or less where that is no whole number of them, or some are equal."""
    return float(np.sort(scores)[min(int(allowed_events(len(scores), [share])[0]), len(scores) - 1)])


def reference_of(embedder: Model, spec: str, measure: QualityMeasure) -> np.ndarray | None:
    """The scores by that measure of the reference images of the model, or of the model whose quality head it is: a template then does not
    depend on who else is enrolled."""
    known: dict[str, Any] = {measure_identity(spec, measure, embedder): embedder}
    if isinstance(measure, LearnedQuality):
        known.setdefault("quality", measure.recogniser)
    for name, model in known.items():
        if model.calibration is not None and model.calibration.measure == name:
            return np.array(model.calibration.quantiles, np.float32)  # as the scores are, so that equal ones are equal
    return None
