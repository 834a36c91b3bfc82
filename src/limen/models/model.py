"""How a model file is opened, and what every kind of them answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from limen.errors import LimenError
from limen.lookup import did_you_mean
from limen.models.hub import repository
from limen.models.operating_point import OperatingPoint
from limen.models.preprocessing import Preprocessing
from limen.quality import Calibration
from limen.recogniser import Recogniser

BATCHES = {
    "cpu": 16,
    "cuda": 64,
}  # images that a network takes at a time; measured on a CPU (docs/results/speed.md, "Backends on a CPU"), not on a GPU
GRAPHS = {".onnx": "onnx", ".xml": "openvino"}  # a file's suffix -> the format of its graph; whatever else it ends in is a bundle
BACKENDS = ("torch", "onnxruntime", "openvino")


class Model(Recogniser, Protocol):
    """A recogniser out of a file: limen.Embedder of a bundle, GraphEmbedder of an ONNX or OpenVINO file.

    path          the file, None where it lies in none
    calibration   what `limen calibrate` found of a quality of its images, None where it was not calibrated
    operating_points   the thresholds that it found, one for each FMR, which falls; empty where it was not calibrated
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
    def operating_points(self) -> tuple[OperatingPoint, ...]: ...
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

    def save_calibration(
        self, calibration: Calibration | None = None, out: str | Path | None = None, points: Sequence[OperatingPoint] = ()
    ) -> Path:
        """Keeps the calibration and the operating points in `calibration_file(out)`, which it returns, and answers with them from then on.

        An earlier calibration stays where none is given, and earlier points at other false match rates stay.
        """
        ...


def default_batch(device: Any) -> int:
    """Images that a network takes at a time where nobody says how many. `device`: "cpu", "cuda:1" or a torch.device."""
    return BATCHES["cpu" if str(device) == "cpu" else "cuda"]


def graph_format(path: str | Path) -> str | None:
    """The format of the graph in a file of that name, None for a bundle: the one place where a suffix decides."""
    return GRAPHS.get(Path(path).suffix.lower())


def model_name(path: str | Path) -> str:
    """What to call a model file: a run's folder says more than "model"."""
    path = Path(path)
    return path.resolve().parent.name if path.stem == "model" else path.stem


def open_model(
    path: str | Path,
    device: Any = "cpu",
    threads: int | None = None,
    precision: str = "float32",
    backend: str | None = None,
    cache: str | Path | None = None,
) -> Model:
    """The model in a bundle file, or in an .onnx file or an .xml file of OpenVINO's beside its sidecar; hf://owner/name[@revision] is the
    bundle file of a repository on the Hugging Face Hub.

    Args:
        threads: CPU threads of the network, None for the library's own choice.
        precision: "bf16" runs the network of a bundle, or of any file by OpenVINO, in bfloat16.
        backend: who computes: one of BACKENDS. None is PyTorch for a bundle, ONNX Runtime for an .onnx file, OpenVINO for an .xml file.
            For another, a bundle is exported to a temporary file, which is proved equal before it is used.
        cache: a folder that keeps that file for the next time.

    Raises:
        LimenError: an unusable file, device, precision or backend.
    """
    if backend not in (None, *BACKENDS):
        raise LimenError(f"backend {backend!r} is not known; {did_you_mean(str(backend), BACKENDS)}")
    kept = None if repository(path) else Path(path)  # the Hub's own copy is not to be written to
    if graph_format(path):  # imported here, for all of them import this file
        from limen.models.graphs.embedder import GraphEmbedder

        return GraphEmbedder(path, device, threads, precision, backend)
    from limen.models.bundle import load_bundle
    from limen.models.embedder import Embedder

    if backend in (None, "torch"):
        return Embedder(load_bundle(path), device, threads, precision, kept)
    from limen.models.export.backend import BackendEmbedder

    return BackendEmbedder(load_bundle(path), str(backend), str(device), threads, precision, kept, cache)
