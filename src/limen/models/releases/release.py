"""What a family of published weights is: how its names become ours, and how it wants to be fed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limen.backbones.undrawn import undrawn
from limen.errors import LimenError
from limen.models.bundle import Architecture, is_finite
from limen.models.preprocessing import Preprocessing

State = Mapping[str, Tensor]


class Network(NamedTuple):
    """The arguments of `create_backbone`."""

    name: str
    embedding_size: int
    options: dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A family of checkpoints.

    prefixes    of the network's names in the file, tried in order; a file without any is taken as it is
    heads       first parts of names that belong to the training head, which is left out
    recognise   the network that names and shapes (prefix taken off) are of; None where they are of none
    rename      our name of a tensor, or None for one that is not the family's; under "quality." for a quality layer
    options     of `create_backbone`, whatever the file says
    remarks     what a bundle's `training` says besides
    """

    name: str
    preprocessing: Preprocessing
    licence: str
    recognise: Callable[[State], Network | None]
    rename: Callable[[str, Network], str | None]
    prefixes: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    remarks: dict[str, Any] = field(default_factory=dict)
    colour_in_yaml: bool = False  # whether a YAML file beside the checkpoint may state another order of the channels

    def convert(self, state: State, architecture: str | None) -> tuple[Network, dict[str, Tensor], str]:
        """The network, its tensors under a bundle's names, and what was left out, in a few words.

        Names and shapes alone decide; of the numbers see `check_finite`.
        Raises LimenError where the tensors are not those of the architecture named, or of none that the family has.
        """
        found, network, prefix = self._find(state)
        if architecture is not None and (found is None or found.name != architecture):
            is_another = f"it is not of a {architecture}" if found is None else f"it is of a {found.name}, not of a {architecture}"
            raise LimenError(f"{is_another}; {'choose another release' if found is None else 'leave the architecture out'}")
        if found is None:
            names = ", ".join(sorted(state)[:3])
            raise LimenError(f"it holds no network of this release (its names are {names}, ...); choose the release that published it")
        found = found._replace(options=found.options | self.options)
        renamed = {name: self.rename(name, found) for name in network}
        tensors = {new if new.startswith("quality.") else f"backbone.{new}": network[name] for name, new in renamed.items() if new}
        expected = _expected(found)
        tensors = _shaped(tensors, expected)
        _check(tensors, found.name, expected, [name for name, new in renamed.items() if not new])
        beside = {name.partition(".")[0] for name in state if name.removeprefix(prefix) not in network or not name.startswith(prefix)}
        return found, tensors, ", ".join(sorted(beside))

    def holds(self, state: State) -> bool:
        """Whether the tensors are of a network of this family."""
        try:
            return self._find(state)[0] is not None
        except LimenError:
            return False

    def _find(self, state: State) -> tuple[Network | None, State, str]:
        """The network, its tensors without their prefix and the training head, and the prefix."""
        problem: LimenError | None = None
        for prefix in (*self.prefixes, ""):
            names = {name: name[len(prefix) :] for name in state if name.startswith(prefix)}
            network = {new: state[name] for name, new in names.items() if new.partition(".")[0] not in self.heads}
            try:
                if found := self.recognise(network):
                    return found, network, prefix
            except LimenError as error:
                problem = error
        if problem is not None:
            raise problem
        return None, {}, ""


def _expected(network: Network) -> dict[str, Tensor]:
    backbone = undrawn(Architecture(network.name, network.embedding_size, network.options).build)
    return {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}


def _shaped(tensors: dict[str, Tensor], expected: State) -> dict[str, Tensor]:
    """A linear layer that was published as a 1x1 convolution gets its two dimensions; counters that a file lacks are 0."""
    shaped = {
        name: tensor[..., 0, 0]
        if name in expected and tensor.ndim == 4 and expected[name].ndim == 2 and tensor.shape[2:] == (1, 1)
        else tensor
        for name, tensor in tensors.items()
    }
    counters = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith("num_batches_tracked")}
    return counters | {name: tensor.contiguous() for name, tensor in shaped.items()}


def check_finite(tensors: State) -> None:
    """Raises LimenError where a tensor holds NaN or infinity."""
    if damaged := sorted(name for name, tensor in tensors.items() if not is_finite(tensor)):
        raise LimenError(f"it holds numbers that are not finite in {', '.join(damaged[:3])}; download it again, or take another")


def _check(tensors: State, architecture: str, expected: State, unknown: list[str]) -> None:
    backbone = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    faults = {
        "lacks": sorted(expected.keys() - backbone.keys()),
        "has the unknown": sorted([*unknown, *(backbone.keys() - expected.keys())]),
        "has misshaped": sorted(
            f"{name} {list(tensor.shape)}, not {list(expected[name].shape)}"
            for name, tensor in backbone.items()
            if name in expected and tensor.shape != expected[name].shape
        ),
    }
    said = [
        f"{fault} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for fault, names in faults.items()
        if names
    ]
    if said:
        raise LimenError(f"as a {architecture} it {'; it '.join(said)}; choose another --release or --architecture, or download it again")


def nearest_depths(found: tuple[int, ...], table: Mapping[str, tuple[int, ...]]) -> str | None:
    """The name whose blocks per stage are `found`. Raises LimenError that names the nearest where there is none."""
    for name, depths in table.items():
        if depths == found:
            return name
    if not any(found):
        return None
    near = min(table, key=lambda name: sum(abs(a - b) for a, b in zip(table[name], found, strict=False)))
    raise LimenError(
        f"its stages have {list(found)} blocks, as none of {', '.join(table)} has; the nearest is {near} with {list(table[near])}"
    )
