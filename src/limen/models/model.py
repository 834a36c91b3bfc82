"""How a model file is opened, and what every kind of them answers."""

from pathlib import Path
from typing import Any, Protocol

from limen.models.preprocessing import Preprocessing
from limen.quality import Calibration
from limen.recogniser import Recogniser

BATCH = 64  # images that a network takes at a time


class Model(Recogniser, Protocol):
    """A recogniser out of a file: limen.Embedder of a bundle, OnnxEmbedder of an ONNX file.

    path          the file, None where it lies in none
    calibration   what `limen calibrate` found of a quality of its images, None where it was not calibrated
    device        where it computes
    has_quality   whether `embed` gives a quality
    margin        the name of the margin it was trained with, None where the file does not say
    identity      all that decides its vectors and qualities, but not where they lie: preprocessing and SHA-256 of the weights
    facts         what `limen info` says of the file
    """

    @property
    def path(self) -> Path | None: ...
    @property
    def device(self) -> Any: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def calibration(self) -> Calibration | None: ...
    @property
    def has_quality(self) -> bool: ...
    @property
    def margin(self) -> str | None: ...
    @property
    def identity(self) -> dict[str, Any]: ...
    @property
    def facts(self) -> dict[str, Any]: ...

    def calibration_file(self, out: str | Path | None = None) -> Path:
        """The file that a calibration would be kept in, `out` or the model's own. Raises LimenError where it cannot be `out`."""
        ...

    def save_calibration(self, calibration: Calibration, out: str | Path | None = None) -> Path:
        """Keeps the calibration in `calibration_file(out)`, which it returns, and answers with it from then on."""
        ...


def is_onnx(path: str | Path) -> bool:
    """Whether a file of that name is opened as an ONNX file and not as a bundle: the one place where a suffix decides."""
    return Path(path).suffix.lower() == ".onnx"


def model_name(path: str | Path) -> str:
    """What to call a model file: a run's folder says more than "model"."""
    path = Path(path)
    return path.resolve().parent.name if path.stem == "model" else path.stem


def open_model(path: str | Path, device: Any = "cpu", threads: int | None = None, precision: str = "float32") -> Model:
    """The model in a bundle file, or in an .onnx file beside its sidecar.

    Args:
        threads: CPU threads of the network, None for the library's own choice.
        precision: "bf16" runs the network of a bundle in bfloat16.

    Raises:
        LimenError: an unusable file, device or precision.
    """
    if is_onnx(path):  # imported here, for both of them import this file
        from limen.models.onnx.embedder import OnnxEmbedder

        return OnnxEmbedder(path, device, threads, precision)
    from limen.models.bundle import load_bundle
    from limen.models.embedder import Embedder

    return Embedder(load_bundle(path), device, threads, precision, Path(path))
