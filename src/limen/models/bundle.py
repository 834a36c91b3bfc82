"""The bundle: one .safetensors file that holds a model's weights and everything needed to use them.

Tensors are named by group: `backbone.` and, where a model has them, further groups such as `quality.` or `centers.`. The file's metadata
has one entry, `limen`: the JSON of every other field of Bundle, and of two hashes that tell damage: `weights_sha256` of the tensors and
`description_sha256` of all the rest. Nothing in it is ever executed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from limen.backbones import create_backbone
from limen.backbones.undrawn import undrawn
from limen.errors import LimenError
from limen.files import atomic_write, explain, file_sha256, open_plain_file, unique_keys
from limen.models.bundle_file import FORMAT, HASHES, description_sha256
from limen.models.hub import local_file
from limen.models.name_hashes import checked_hashes, trained_hashes
from limen.models.operating_point import OperatingPoint, points_from_json
from limen.models.preprocessing import Preprocessing
from limen.quality import Calibration, QualityHead

Module = TypeVar("Module", bound=nn.Module)
COPY_REMEDY = "copy or download it again"
TRAIN_REMEDY = "name the model.safetensors that `limen train` leaves, or an .onnx file"


@dataclass(frozen=True)
class Architecture:
    """The arguments of `create_backbone` that build the network."""

    name: str
    embedding_size: int = 512
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if type(self.name) is not str:
            raise LimenError(f"architecture.name: {self.name!r} is not a name")
        if type(self.embedding_size) is not int or self.embedding_size < 1:
            raise LimenError(f"architecture.embedding_size: {self.embedding_size!r} is not a whole number above 0")
        if not isinstance(self.options, dict):
            raise LimenError(f"architecture.options: {self.options!r} is not a mapping of names to values")

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return create_backbone(self.name, self.embedding_size, **self.options)


def source_sha256() -> str:
    """SHA-256 over limen's own Python files, names and contents, in the order of their names."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _filled(build: Callable[[], Module], weights: dict[str, torch.Tensor]) -> Module:
    """What `build` makes, with copies of these weights on the CPU, in the network's dtypes. No weights are drawn for it before, so torch's
    random state stays as it is."""
    module = undrawn(build)
    kinds = {name: value.dtype for name, value in module.state_dict().items()}
    copies = {name: value.detach().to("cpu", kinds.get(name, value.dtype), copy=True) for name, value in weights.items()}
    module.load_state_dict(copies, assign=True)  # Module.to_empty would load PyTorch's compiler too
    return module


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass
class Bundle:
    """A model: tensors by their full name ("backbone.stem.0.weight") and their description.

    recipe                 the training recipe as nested plain values; empty for an imported release
    class_names_sha256     of the classes trained on; None where they are not known
    people_sha256          `trained_hashes` of their names, class_names_sha256 the salt; empty where they are not known, or not to be
    calibration            what `limen calibrate` found of the model's quality; None where it was not calibrated
    operating_points       the thresholds it found, one for each FMR, which falls; empty where it was not calibrated
    training               summary: images seen, final loss, hours, hardware, ...
    sha256                 of the file this was loaded from; None for one that was not
    """

    architecture: Architecture
    tensors: dict[str, torch.Tensor]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    recipe: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = "not stated"
    class_names_sha256: str | None = None
    calibration: Calibration | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    people_sha256: tuple[str, ...] = ()
    source_sha256: str = field(default_factory=source_sha256)
    created: str = field(default_factory=_now)
    sha256: str | None = None

    def __repr__(self) -> str:
        architecture = self.architecture
        return f"Bundle({architecture.name}, {architecture.embedding_size}, {len(self.tensors)} tensors, created {self.created})"

    def group(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors of one group without its prefix: a state dict. Empty where the bundle has no such group."""
        return {key[len(name) + 1 :]: tensor for key, tensor in self.tensors.items() if key.startswith(f"{name}.")}

    @property
    def weights_sha256(self) -> str:
        """SHA-256 over names and bytes of all tensors: equal for two runs whose weights are equal to the bit."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(name.encode() + b"\0")
            digest.update(tensor.detach().cpu().contiguous().numpy().reshape(-1).view("uint8").data)  # no copy of a large tensor
        return digest.hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        """Everything but the tensors, and their number."""
        return {
            "sha256": self.sha256,
            "weights_sha256": self.weights_sha256,
            "architecture": asdict(self.architecture),
            "parameters": sum(tensor.numel() for tensor in self.tensors.values()),
            "preprocessing": asdict(self.preprocessing),
            "quality_head": bool(self.group("quality")),
            "calibration": self.calibration.summary if self.calibration else None,
            "operating_points": [point.summary for point in self.operating_points],
            "licence": self.licence,
            "training": self.training,
            "class_names_sha256": self.class_names_sha256,
            "names_hashed": len(self.people_sha256),
            "source_sha256": self.source_sha256,
            "created": self.created,
            "recipe": self.recipe,
        }

    def trained_on(self, names: Iterable[str]) -> list[str]:
        """Those of `names` who are among the people trained on, by name; nobody where no hashes of them are kept."""
        known, salt = set(self.people_sha256), self.class_names_sha256 or ""
        return sorted({name for name in names if known and not known.isdisjoint(trained_hashes([name], salt))})

    def backbone(self) -> nn.Module:
        """The network with the bundle's weights, in eval mode."""
        return _filled(self.architecture.build, self.group("backbone")).eval()

    @property
    def margin(self) -> str | None:
        """The name of the margin trained with, None where the bundle does not say."""
        margin = self.recipe.get("margin")
        stated = margin.get("name") if isinstance(margin, dict) else None
        return "MagFace" if self.training.get("release") == "magface" else stated

    def quality_head(self) -> QualityHead | None:
        """The quality head with the bundle's weights, None where the bundle has none."""
        if not (weights := self.group("quality")):
            return None
        return _filled(lambda: QualityHead(self.architecture.embedding_size), weights)


# Fields that files of earlier versions lack, and what reads them: left out of the file where they are empty.
ADDED: dict[str, Callable[[Any], Any]] = {
    "calibration": Calibration.from_json,
    "operating_points": points_from_json,
    "people_sha256": checked_hashes,
}
DESCRIBED = tuple(f.name for f in fields(Bundle) if f.name not in ("tensors", "sha256"))
KINDS = {"recipe": dict, "training": dict, "licence": str, "class_names_sha256": str | None, "source_sha256": str, "created": str}


def save_bundle(path: str | Path, bundle: Bundle) -> str:
    """Writes the bundle and returns the file's SHA-256. The same bundle gives the same bytes.

    Raises LimenError where the tensors do not fit the architecture or are not finite, and where the file cannot be written; an earlier
    file at `path` is then unchanged.
    """
    path = Path(path)
    try:
        _check(bundle)
    except LimenError as error:
        raise LimenError(f"cannot save {path}: {error}") from error
    description = {name: getattr(bundle, name) for name in DESCRIBED if name not in ADDED or getattr(bundle, name)}
    description |= {"format": FORMAT, "weights_sha256": bundle.weights_sha256}
    text = json.dumps(description, default=asdict, sort_keys=True)
    text = json.dumps(json.loads(text) | {"description_sha256": _description_sha256(text, bundle.tensors)}, sort_keys=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in bundle.tensors.items()}
    atomic_write(path, lambda temporary: save_file(tensors, temporary, metadata={"limen": text}))
    return file_sha256(path)


def load_bundle(path: str | Path) -> Bundle:
    """The bundle in the file, or at an hf:// address, its tensors on the CPU.

    Raises LimenError that says what is wrong with the file and the remedy.
    """
    path = local_file(path)
    if path.is_dir():
        raise LimenError(f"cannot load {path}: it is a folder; name the model file in it, model.safetensors of a run")
    if path.exists() and not path.is_file():
        raise LimenError(f"cannot load {path}: it is not a plain file; {TRAIN_REMEDY}")
    try:
        open_plain_file(path).close()
    except LimenError as error:
        raise LimenError(f"cannot load {error}") from error
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("limen")
            if text is None:
                raise LimenError(f"it is a safetensors file but not a limen bundle; {TRAIN_REMEDY}")
            description, hashes = _parse(text)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        bundle = Bundle(tensors=tensors, sha256=file_sha256(path), **description)
        _check(bundle)
        if hashes and hashes != {"weights_sha256": bundle.weights_sha256, "description_sha256": _description_sha256(text, tensors)}:
            raise LimenError(f"its content is not what was saved; {COPY_REMEDY}")
        return bundle
    except OSError as error:
        raise LimenError(f"cannot load {path}: {explain(error)}") from error
    except SafetensorError as error:
        reason = (
            f"it is truncated or damaged ({error}); {COPY_REMEDY}"
            if _begins_as_bundle(path)
            else f"it is not a limen bundle; {TRAIN_REMEDY}"
        )
        raise LimenError(f"cannot load {path}: {reason}") from error
    except LimenError as error:
        raise LimenError(f"cannot load {path}: {error}") from error


def _begins_as_bundle(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(64)[8:].startswith(b'{"__metadata__":{"limen"')


def _description_sha256(text: str, tensors: dict[str, torch.Tensor]) -> str:
    return description_sha256(text, {name: _kind(tensor) for name, tensor in tensors.items()})


def _parse(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of Bundle that the metadata holds, and its hashes; format 1 has none."""
    try:
        description = json.loads(text, object_pairs_hook=unique_keys)
        version = description.pop("format")
        if version not in (1, FORMAT):
            remedy = "upgrade limen" if version > FORMAT else "save it again with the limen that made it, or train anew"
            raise LimenError(f"it has bundle format {version} and this limen reads format 1 and {FORMAT}; {remedy}")
        hashes = {name: description.pop(name) for name in HASHES} if version == FORMAT else {}
        preprocessing = description["preprocessing"]
        colours = {name: tuple(preprocessing[name]) for name in ("mean", "std")}
        description["preprocessing"] = Preprocessing(**preprocessing | colours)
        description["architecture"] = Architecture(**description["architecture"])
        description |= {name: read(description[name]) for name, read in ADDED.items() if name in description}
        if unlike := (description.keys() | set(ADDED)) ^ set(DESCRIBED):
            raise ValueError(f"missing or unknown: {', '.join(sorted(unlike))}")
        for name, kind in KINDS.items():
            if not isinstance(description[name], kind):
                raise ValueError(f"{name} is {description[name]!r}")
        return description, hashes
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise LimenError(f"its description is damaged ({type(error).__name__}: {error}); {COPY_REMEDY}") from error


def _check(bundle: Bundle) -> None:
    """Raises LimenError unless the tensors of backbone and quality head are just those of the architecture and every tensor is finite."""
    parts: dict[str, nn.Module] = {"backbone": undrawn(bundle.architecture.build)}
    if bundle.group("quality"):
        parts["quality"] = undrawn(lambda: QualityHead(bundle.architecture.embedding_size))
    expected = {f"{group}.{name}": _kind(tensor) for group, part in parts.items() for name, tensor in part.state_dict().items()}
    found = {name: _kind(tensor) for name, tensor in bundle.tensors.items()}
    both = expected.keys() & found.keys()
    faults = {
        "lacks": [name for name in expected if name not in both],
        "has the unexpected": [name for name in found if name not in both and name.partition(".")[0] in (name, *parts)],
        "has misshaped": [f"{name} ({found[name]}, not {expected[name]})" for name in both if found[name] != expected[name]],
        "has values that are not finite in": [name for name, tensor in bundle.tensors.items() if not is_finite(tensor)],
    }
    for fault, names in faults.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise LimenError(
                f"for a {bundle.architecture.name} of embedding size {bundle.architecture.embedding_size} it {fault} "
                f"{', '.join(sorted(names)[:3])}{more}; use another checkpoint of the run"
            )


def is_finite(tensor: torch.Tensor) -> bool:
    """Equals tensor.isfinite().all(), without a copy of the tensor: NaN is the least and the largest of whatever holds it."""
    return tensor.numel() == 0 or all(bool(end.isfinite()) for end in torch.aminmax(tensor.detach()))


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
