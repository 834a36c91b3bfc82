"""Measures that a recogniser gives: its quality head and the length of its features. Anything with `embed` serves as a recogniser."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from limen.errors import LimenError


class RecogniserEmbeddings(Protocol):
    """What the measures read of `limen.Embeddings`."""

    @property
    def norms(self) -> np.ndarray: ...

    @property
    def quality(self) -> np.ndarray | None: ...


class Recogniser(Protocol):
    """`limen.Embedder`, or what is like it."""

    def embed(self, images: np.ndarray) -> RecogniserEmbeddings: ...


class ModelMeasure:
    """A measure that is read off a recogniser's embeddings, by its own flip rule."""

    name, needs = "model", "It needs a model."

    def __init__(self, recogniser: Recogniser, name: str | None = None):
        self.recogniser = recogniser
        self.name = name or type(self).name

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        """Equals `of(recogniser.embed(images))`."""
        return self.of(self.recogniser.embed(images))

    def of(self, embeddings: RecogniserEmbeddings) -> np.ndarray:
        """(N,) float64 scores of images that are embedded already."""
        raise NotImplementedError


class LearnedQuality(ModelMeasure):
    """What the model's quality head says. Raises LimenError where it has none."""

    name = "quality"
    needs = "It needs a model with a quality head: one trained with the recipe's `quality` section, or an imported CR-FIQA release."

    def __init__(self, recogniser: Recogniser, name: str | None = None):
        super().__init__(recogniser, name)
        self._check(getattr(recogniser, "quality_head", recogniser))

    def of(self, embeddings: RecogniserEmbeddings) -> np.ndarray:
        self._check(embeddings.quality)
        return np.asarray(embeddings.quality, float)

    def _check(self, head: object) -> None:
        if head is None:
            raise LimenError(f"{self.name}: the model has no quality head. {self.needs} Or measure norm, sharpness, resolution or exposure")


class FeatureNorm(ModelMeasure):
    """The length of the raw feature: many losses leave poor images short ones, none but MagFace's sets out to."""

    name = "norm"
    needs = "It needs a model, a bundle or an ONNX file; networks that end in BatchNorm without scale keep their norms near one value."

    def of(self, embeddings: RecogniserEmbeddings) -> np.ndarray:
        return embeddings.norms.astype(float)


class MagFaceNorm(FeatureNorm):
    """FeatureNorm of a model trained with MagFace's margin, which makes the norm a quality (Meng et al., CVPR 2021).

    Raises LimenError for a model that was not, or does not say so: by the margin in its recipe, or by its release.
    """

    name = "magface_norm"
    needs = "It needs a model that was trained with MagFace's margin."

    def __init__(self, recogniser: Recogniser, name: str | None = None):
        super().__init__(recogniser, name)
        margin = _margin_of(recogniser)
        if margin != "MagFace":
            what = f"trained with {margin}" if margin else "not said to be trained with MagFace"
            raise LimenError(f"{self.name}: the model is {what}, so its norm is no MagFace quality; measure its norm instead (norm:MODEL)")


def _margin_of(recogniser: Any) -> str | None:
    bundle = getattr(recogniser, "bundle", None)
    if bundle is None:
        return None
    if bundle.training.get("release") == "magface":
        return "MagFace"
    return bundle.recipe.get("margin", {}).get("name")
