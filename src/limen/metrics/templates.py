"""Templates: one vector of several images of a person, so that a video of a thousand frames weighs as much as a photo."""

import numpy as np
from scipy import sparse

from limen.metrics.scores import usable_rows


def pool_templates(
    features: np.ndarray, template: np.ndarray, media: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The IJB rule: a template is the sum over its media of the mean over a medium's images of weight * feature, made a unit vector.

    The mean divides by the number of images, not by their weight. Computed as one sparse product, in the features' precision.

    Args:
        features: (N, D), unit vectors or raw features whose norms then count. A row that is not finite is a failure to acquire and
            left out.
        template: (N,) the template of each image: numbers or names.
        media: (N,) the photo or video it is from; the same medium in two templates is two media.
        weight: (N,) 0 or above, such as the face detector's scores or `quality_weights`; None weighs all alike.

    Returns:
        The templates (T, D) and their ids (T,), sorted. A template of which nothing is left, as all its images failed, weigh 0 or cancel
        out, is a row of NaN, a failure to acquire: a vector of zeros would be as near to everybody as to its owner.

    Raises:
        ValueError: arrays of different lengths, a weight below 0 or not finite.

    >>> import numpy as np
    >>> from limen.metrics import pool_templates
    >>> features = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    >>> vectors, numbers = pool_templates(features, template=np.array([0, 0, 1]), media=np.array([0, 1, 2]))
    >>> vectors.round(3)
    array([[0.707, 0.707],
           [0.6  , 0.8  ]])
    """
    features = np.asarray(features)
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float64)
    count = len(features)
    weight = np.ones(count) if weight is None else np.asarray(weight, np.float64)
    if features.ndim != 2 or not np.shape(template) == np.shape(media) == weight.shape == (count,):
        shapes = ", ".join(str(np.shape(array)) for array in (features, template, media, weight))
        raise ValueError(f"features, template, media and weight: shapes {shapes}, expected (N, D) and three times (N,)")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("weight: finite numbers of 0 or above are needed")
    order = np.lexsort((media, template))
    of_template, of_medium = np.asarray(template)[order], np.asarray(media)[order]
    new_template = np.ones(count, bool)
    new_template[1:] = of_template[1:] != of_template[:-1]
    new_group = new_template.copy()  # of one medium of one template
    new_group[1:] |= of_medium[1:] != of_medium[:-1]
    row, group = np.cumsum(new_template) - 1, np.cumsum(new_group) - 1

    def pooled_from(usable: np.ndarray) -> np.ndarray:
        """(T, D) from the places in `order` of the images that can be used."""
        share = (weight[order[usable]] / np.bincount(group[usable])[group[usable]]).astype(features.dtype)
        starts = np.searchsorted(row[usable], np.arange(new_template.sum() + 1))
        return sparse.csr_array((share, order[usable], starts), shape=(len(starts) - 1, count)) @ features

    pooled = pooled_from(np.arange(count))
    if not np.isfinite(pooled).all():  # looking for failures first would read all features once more
        pooled = pooled_from(np.flatnonzero(usable_rows(features)[order]))
    length = np.sqrt(np.einsum("td,td->t", pooled, pooled))[:, None]
    with np.errstate(invalid="ignore"):
        pooled /= np.where(length > 0, length, np.nan)
    return pooled, of_template[new_template]


def quality_weights(quality: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Weights for `pool_templates` from qualities: (1 + how many of the reference are not better) / (1 + size of the reference).

    It is a percentile, since no two measures of quality share a scale: any increasing function of the qualities, and of the reference
    with them, gives the same weights. They lie in (0, 1]: no image and so no template can weigh nothing, however bad it is. A better
    image never weighs less, and images of equal quality weigh alike, which is the plain mean.

    Args:
        quality: (N,) higher is better.
        reference: (M,) qualities to compare with; None is `quality` itself, whose images are then weighed by their rank among each other.

    Raises:
        ValueError: a quality that is not a number.

    >>> import numpy as np
    >>> from limen.metrics import quality_weights
    >>> quality_weights(np.array([0.1, 0.5, 0.9]))
    array([0.5 , 0.75, 1.  ])
    """
    quality = np.asarray(quality, np.float64)
    reference = np.sort(quality if reference is None else np.asarray(reference, np.float64))
    if np.isnan(quality).any() or np.isnan(reference).any():
        raise ValueError("quality: an image without a quality has no weight; leave it out")
    return (1 + np.searchsorted(reference, quality, side="right")) / (1 + len(reference))
