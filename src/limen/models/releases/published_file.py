"""The tensors of a checkpoint that somebody published: out of a PyTorch or safetensors file, and out of whatever they are wrapped in."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from limen.errors import LimenError
from limen.files import explain, open_plain_file

# where trainers put the network's tensors, one inside the other
INSIDE = ("state_dict", "net_state_dict", "model_state_dict", "backbone_state_dict", "backbone", "model", "net")
POINTER = b"version https://git-lfs"
LIBRARIES = ("pytorch_lightning.", "lightning.", "omegaconf.", "argparse.")  # whose objects a trainer leaves beside the tensors


class _Unused:
    """Stands for an object of a trainer's library that lies beside the tensors. It is never looked at."""

    def __new__(cls, *arguments: Any, **options: Any) -> "_Unused":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors by name, in float32 where they are floating point, and what there is to say of the file: its epoch, its precision.

    Raises LimenError for a file that is no checkpoint, is damaged, or would run code.
    """
    state: Any = _load(path)
    notes: dict[str, Any] = {}
    for _ in INSIDE:  # a pickle may hold itself
        if inside := [name for name in INSIDE if isinstance(state, dict) and isinstance(state.get(name), dict)]:
            notes |= {"epoch": state["epoch"]} if isinstance(state.get("epoch"), int) else {}
            state = state[inside[0]]
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise LimenError(f"it holds no state dict ({_content(state)}); give the file of weights that the authors publish")
    if not any(isinstance(value, Tensor) and value.ndim == 4 for value in state.values()):
        names = ", ".join(map(str, list(state)[:3]))
        raise LimenError(f"it holds no convolution, so it may be the training head alone ({names}); give the file of the backbone")
    tensors = {str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}
    precisions = {str(value.dtype).removeprefix("torch.") for value in tensors.values() if value.is_floating_point()} - {"float32"}
    if precisions:
        notes = notes | {"stored_as": ", ".join(sorted(precisions))}
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}, notes


def _load(path: Path) -> Any:
    if not path.is_file():
        raise LimenError(
            "there is no such file; check the path" if not path.exists() else "it is not a plain file; name the checkpoint itself"
        )
    try:
        with open_plain_file(path) as file:
            if file.read(len(POINTER)) == POINTER:
                raise LimenError("it is a Git LFS pointer and not the weights themselves; download the raw file")
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_sums(path)
        with _stand_ins(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).splitlines() if "GLOBAL" in line), "")
        if not reason:
            raise LimenError("it is not a PyTorch checkpoint, or a damaged one; download it again") from error
        raise LimenError(
            f"it asks to run code, and limen runs none ({reason.strip()[:120]}); where you trust it, load it with its authors' code "
            "and save its state dict alone"
        ) from error
    except OSError as error:
        raise LimenError(explain(error)) from error
    except LimenError:
        raise
    except Exception as error:  # zipfile and the unpickler raise what they like of a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise LimenError(f"it is not a checkpoint, or half of one ({reason}); download it again") from error


def _check_sums(path: Path) -> None:
    """Raises LimenError where a part of what torch.save wrote has another CRC-32 than the file says, which torch.load does not look at."""
    with open_plain_file(path) as file:
        if file.read(4) != b"PK\x03\x04":
            return  # torch.save's older form, which has none
        with zipfile.ZipFile(file) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise LimenError("its parts are compressed, as torch.save leaves none; load it with PyTorch and save it again")
            damaged = archive.testzip()
    if damaged is not None:
        raise LimenError(f"it is damaged: {damaged} is not what its checksum says; download it again")


@contextmanager
def _stand_ins(path: Path) -> Iterator[None]:
    """Lets objects of known trainers' libraries stand beside the tensors without those libraries, and without running anything of them."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a damaged file may raise anything here; torch.load then says what is wrong
        named = []
    known: list[Any] = [(_Unused, name) for name in named if name.startswith(LIBRARIES)]
    with torch.serialization.safe_globals(known):
        yield


def _content(stored: Any) -> str:
    if isinstance(stored, dict):
        return f"its entries are {', '.join(map(str, list(stored)[:4])) or 'none'}"
    return f"it is a {type(stored).__name__}"


def colour_beside(path: Path) -> Literal["RGB", "BGR"]:
    """The `color_space` that a YAML file in the checkpoint's folder states, RGB where none does. Raises LimenError where two differ."""
    stated = set()
    for file in sorted(path.parent.glob("*.y*ml")):
        if file.is_file():
            with open(file, encoding="utf-8", errors="replace") as text:
                stated |= set(re.findall(r"^\s*color_space:\s*['\"]?(RGB|BGR)\b", text.read(1 << 20), re.MULTILINE))
    if len(stated) > 1:
        raise LimenError("the YAML files beside it state both RGB and BGR as color_space; keep the one of this checkpoint")
    return "BGR" if stated == {"BGR"} else "RGB"
