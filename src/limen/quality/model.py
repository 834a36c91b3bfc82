"""Measures that a recogniser gives: its quality head and the length of its features. Anything with `embed` serves as a recogniser."""

from collections.abc import Sequence

import numpy as np

from limen.errors import LimenError
from limen.recogniser import Embeddings, Recogniser


class ModelMeasure:
    """A measure that is read off a recogniser's embeddings, by its own flip rule."""

    name, needs = "model", "It needs a model."

    def __init__(self, recogniser: Recogniser, name: str | None = None):
        self.recogniser = recogniser
        self.name = name or type(self).name

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        """Equals `of(recogniser.embed(images))`."""
        return self.of(self.recogniser.embed(images))

    def of(self, embeddings: Embeddings) -> np.ndarray:
        """(N,) float64 scores of images that are embedded already."""
        raise NotImplementedError


class LearnedQuality(ModelMeasure):
    """What the model's quality head says. Raises LimenError where it has none."""

    name = "quality"
    needs = "It needs a model with a quality head: one trained with the recipe's `quality` section, or an imported CR-FIQA release."

    def __init__(self, recogniser: Recogniser, name: str | None = None):
        super().__init__(recogniser, name)
        self._check(getattr(recogniser, "has_quality", True))  # one of your own need not say so before it embeds

    def of(self, embeddings: Embeddings) -> np.ndarray:
        self._check(embeddings.quality is not None)
        return np.asarray(embeddings.quality, float)

    def _check(self, has_quality: bool) -> None:
        if not has_quality:
            raise LimenError(f"{self.name}: the model has no quality head. {self.needs} Or measure norm, sharpness, resolution or exposure")


class FeatureNorm(ModelMeasure):
    """The length of the raw feature: many losses leave poor images short ones, none but MagFace's sets out to."""

    name = "norm"
    needs = "It needs a model, a bundle or an ONNX file; networks that end in BatchNorm without scale keep their norms near one value."

    def of(self, embeddings: Embeddings) -> np.ndarray:
        return embeddings.norms.astype(float)


class MagFaceNorm(FeatureNorm):
    """FeatureNorm of a model trained with MagFace's margin, which makes the norm a quality (Meng et al., CVPR 2021).

    Raises LimenError for a model that was not, or does not say so: by the margin in its recipe, or by its release.
    """

    name = "magface_norm"
    needs = "It needs a model that was trained with MagFace's margin."

    def __init__(self, recogniser: Recogniser, name: str | None = None):
        super().__init__(recogniser, name)
        margin = getattr(recogniser, "margin", None)
        if margin != "MagFace":
            what = f"trained with {margin}" if margin else "not said to be trained with MagFace"
            raise LimenError(f"{self.name}: the model is {what}, so its norm is no MagFace quality; measure its norm instead (norm:MODEL)")
