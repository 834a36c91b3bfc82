"""Whether a run may go on from a checkpoint: with its settings and its data."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.training.recipe import Recipe

# What may differ between a run and its continuation: it changes no weight beyond rounding (device and threads) or not at all.
FREE_KEYS = {"out", "epochs", "device", "threads", "log_every", "checkpoint_every", "tensorboard", "licence", "evaluation"}
FREE_KEYS |= {"allow_collapse"}  # it decides whether a run goes on, not how
FREE_DATA_KEYS = {
    "data.workers",
    "data.augment_on",
    "data.max_unreadable",
    "data.path",
}  # people and labels are compared, wherever they lie


# What nodes that train together may have of their own.
NODE_KEYS = {"device", "threads"}
NODE_DATA_KEYS = {"data.path", "data.workers"}


def node_differences(theirs: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """The settings that nodes of one run must share and do not, each as "key theirs, not first"."""
    return _differing(_settings(theirs), _settings(first), NODE_KEYS, NODE_DATA_KEYS)


def check_compatible(checkpoint: Path, values: dict[str, Any], recipe: Recipe, data_sha256: str) -> None:
    """Raises LimenError where the checkpoint, whose plain `values` these are, belongs to another run."""
    differing = differences(values["recipe"], recipe_values(recipe))
    if differing:
        raise LimenError(f"{checkpoint}: the run had {', '.join(differing)}; use its settings, or start afresh in another --out")
    if values["data_sha256"] != data_sha256:
        raise LimenError(
            f"{checkpoint}: the run had other people or images in {recipe.data.path}; use its data, or start afresh in another --out"
        )


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON reads it back."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The settings that decide the weights and are not the same, each as "key old, not new"; one that is not there has its default."""
    defaults = _settings(dataclasses.asdict(Recipe()))
    mined = isinstance(new["head"]["sampler"]["options"].get("threshold"), list)
    whole = new["optimiser"]["schedule"] == "cosine" or mined  # a schedule that ends with the last epoch
    free = FREE_KEYS - {"epochs"} if whole else FREE_KEYS
    return _differing(defaults | _settings(old), defaults | _settings(new), free, FREE_DATA_KEYS)


def _differing(old: dict[str, Any], new: dict[str, Any], free: set[str], free_keys: set[str]) -> list[str]:
    had, have = (
        {
            key: json.dumps(_without_paths(value) if key == "data.sources" else value)
            for key, value in settings.items()
            if key.split(".")[0] not in free and key not in free_keys
        }
        for settings in (old, new)
    )
    return [
        f"{key} {had.get(key, 'unset')}, not {have.get(key, 'unset')}"
        for key in sorted(had.keys() | have.keys())
        if had.get(key) != have.get(key)
    ]


def _without_paths(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As data.path is free: their names, people and labels are compared."""
    return [{key: value for key, value in entry.items() if key != "path"} for entry in sources]


def _settings(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a recipe by their dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _settings(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
