"""The recipe: everything that decides a training run, as dataclasses read from YAML and the command line."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from limen.errors import LimenError
from limen.lookup import did_you_mean


@dataclass
class Sampling:
    """Which images stand in a batch."""

    name: str = "shuffled"  # shuffled: every image once an epoch; adaptive: limen.data.AdaptiveDataSampler
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Data:
    """Where the faces come from and how they are varied."""

    reader: str = "folder"  # folder, recordio, synthetic, or package.module:Class
    path: str | None = None  # the folder, the .rec file; not for synthetic
    options: dict[str, Any] = field(default_factory=dict)  # further arguments of the reader
    augment: str = "flip"  # none, flip, adaface
    workers: int = 2  # processes that read images ahead of the training step
    max_unreadable: float = 0.01  # share of the images that may be unreadable before the run stops; they are replaced and counted
    sampling: Sampling = field(default_factory=Sampling)


@dataclass
class Backbone:
    """The network: see limen.create_backbone."""

    name: str = "iresnet50"
    embedding_size: int = 512
    options: dict[str, Any] = field(default_factory=dict)
    compile: bool = False  # torch.compile, which needs a C++ compiler on a CPU


@dataclass
class Margin:
    """The margin: a name of limen.margins, or package.module:Class."""

    name: str = "AdaFace"
    options: dict[str, Any] = field(default_factory=dict)  # past_peak of an angular margin is keep in training, unless it is given


@dataclass
class Sampler:
    """Which class centres take part in a step."""

    name: str = "all"  # all, PartialFC, HardPrototypeMining, or package.module:Class
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Head:
    """The class-centre head: see limen.MarginHead."""

    scale: float = 64.0
    implementation: str = "auto"
    dtype: str = "float32"  # of the class centres: float32, bf16
    sampler: Sampler = field(default_factory=Sampler)


@dataclass
class Quality:
    """The quality head of CR-FIQA, trained beside any margin: see limen.quality."""

    weight: float | None = None  # of its loss, 10 in the paper; where it is not set there is no quality head
    ratio: str = "paper"  # of the target: paper, released
    lr: float = 0.002  # its own, on optimiser's schedule; above about 2 / (weight * largest eigenvalue of E[z z^T]) the head swings


@dataclass
class Optimiser:
    """SGD with the papers' schedules. Epochs may be fractions."""

    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4  # on weights of two or more dimensions and class centres: not on BatchNorm, biases, PReLU, class margins
    schedule: str = "milestones"  # milestones, cosine, constant
    milestones: list[float] = field(default_factory=list)  # epochs after which lr is multiplied by `factor`
    factor: float = 0.1
    warmup_epochs: float = 0.0  # lr rises linearly from 0
    margin_lr: float | None = None  # of learnable class margins; lr where it is not set
    clip_norm: float | None = None  # largest norm of the backbone's gradient
    ema: float | None = None  # decay of a moving average of backbone and quality head, which is then evaluated and kept


@dataclass
class Evaluation:
    """Verification while training."""

    pairs: list[str] = field(default_factory=list)  # .bin files or pairs.txt
    images: str | None = None  # the folder behind pairs.txt
    every: int | None = None  # steps; also at the end


@dataclass
class Recipe:
    """A training run. `limen train --config recipe.yaml --optimiser.lr .05`; any key can be given on the command line."""

    out: str = "runs/limen"  # folder of the log, the checkpoints and the bundle
    epochs: float = 26.0
    batch_size: int = 512
    seed: int = 0
    device: str = "auto"  # auto: cuda where there is one
    precision: str = "float32"  # float32, or bf16: autocast of the backbone; the head computes in float32 either way
    threads: int | None = None  # of the training process on a CPU
    log_every: int = 20  # steps
    checkpoint_every: int = 1000  # steps
    tensorboard: bool = False
    licence: str = "not stated"  # of the trained weights, kept in the bundle
    init: str | None = None  # a model.safetensors to start from, and the centres of people it knows from the checkpoint beside it
    freeze: list[str] = field(default_factory=list)  # [backbone]: only class centres, margin and quality head learn
    data: Data = field(default_factory=Data)
    backbone: Backbone = field(default_factory=Backbone)
    margin: Margin = field(default_factory=Margin)
    head: Head = field(default_factory=Head)
    quality: Quality = field(default_factory=Quality)
    optimiser: Optimiser = field(default_factory=Optimiser)
    evaluation: Evaluation = field(default_factory=Evaluation)


CHOICES = {
    "precision": ("float32", "bf16"),
    "optimiser.schedule": ("milestones", "cosine", "constant"),
    "head.implementation": ("auto", "dense", "chunked"),
    "head.dtype": ("float32", "bf16"),
    "data.sampling.name": ("shuffled", "adaptive"),
    "quality.ratio": ("paper", "released"),
}
FREEZABLE = ("backbone",)
RANGES: dict[str, tuple[float, float]] = {  # key -> smallest and largest value
    "batch_size": (2, math.inf),  # BatchNorm and AdaFace's statistics need two
    "seed": (0, 2**40),
    "threads": (1, math.inf),
    "log_every": (1, math.inf),
    "checkpoint_every": (1, math.inf),
    "evaluation.every": (1, math.inf),
    "backbone.embedding_size": (1, math.inf),
    "data.workers": (0, math.inf),
    "data.max_unreadable": (0, 1),
    "optimiser.momentum": (0, 1),
    "optimiser.weight_decay": (0, math.inf),
    "optimiser.warmup_epochs": (0, math.inf),
    "optimiser.ema": (0, 1),
}
POSITIVE = (
    "epochs",
    "head.scale",
    "optimiser.lr",
    "optimiser.factor",
    "optimiser.margin_lr",
    "optimiser.clip_norm",
    "quality.weight",
    "quality.lr",
)


def load_recipe(config: str | Path | None = None, overrides: list[str] | None = None) -> Recipe:
    """The recipe of a YAML file, changed by command-line words such as ["--optimiser.lr", ".05"].

    Raises LimenError for a file that cannot be read, an unknown key (the nearest known one is named) or a value of the wrong type.
    """
    parser = ArgumentParser(exit_on_error=False, prog="limen train")
    parser.add_class_arguments(Recipe, as_group=False)
    values = _read(Path(config)) if config is not None else {}
    known = known_keys()
    for word in overrides or []:
        key = word[2:].split("=")[0]
        if word.startswith("--") and key not in known and not any(key.startswith(f"{name}.") for name in known if name.endswith("options")):
            raise LimenError(f"--{key}: no such setting; {did_you_mean(key, known)}")
        if word.startswith("--") and (inside := [name for name in known if name.startswith(f"{key}.")]):
            raise LimenError(
                f"--{key}: a section, whose settings are given one by one: {', '.join(f'--{name}' for name in inside[:3])}, ..."
            )
    source = str(config)
    try:
        chosen = parser.parse_object(values)
        source = "command line"
        chosen = parser.parse_args(overrides or [], namespace=chosen)
        recipe = Recipe(**vars(parser.instantiate(chosen)))
    except ArgumentError as error:
        raise LimenError(f"{source}: {' '.join(str(error).split())}") from error
    check(recipe)
    return recipe


def known_keys(kind: Any = Recipe, prefix: str = "") -> list[str]:
    """Every key of a recipe, sections included: "data", "data.path", ..."""
    keys = []
    for item in dataclasses.fields(kind):
        keys.append(prefix + item.name)
        if dataclasses.is_dataclass(item.type):
            keys += known_keys(item.type, f"{prefix}{item.name}.")
    return keys


def value_of(recipe: Recipe, key: str) -> Any:
    """The value of a dotted key."""
    for name in key.split("."):
        recipe = getattr(recipe, name)
    return recipe


def check(recipe: Recipe) -> None:
    """Raises LimenError for a value that cannot be meant."""
    for key, choices in CHOICES.items():
        if value_of(recipe, key) not in choices:
            raise LimenError(f"{key}: {value_of(recipe, key)!r} is not known; choose from {', '.join(choices)}")
    for part in recipe.freeze:
        if part not in FREEZABLE:
            raise LimenError(f"freeze: {part!r} cannot be frozen; {did_you_mean(part, FREEZABLE)}")
    if recipe.freeze and recipe.init is None:
        raise LimenError("freeze: a backbone that was never trained would stay so; name a trained model with --init")
    if recipe.data.sampling.name == "shuffled" and recipe.data.sampling.options:
        raise LimenError("data.sampling.options: shuffling takes none; set data.sampling.name to adaptive")
    if recipe.head.sampler.name == "all" and recipe.head.sampler.options:
        raise LimenError("head.sampler.options: all classes take none; set head.sampler.name to PartialFC or HardPrototypeMining")
    for key in POSITIVE:
        value = value_of(recipe, key)
        if value is not None and not 0 < value < math.inf:
            raise LimenError(f"{key}: {value} must be above 0")
    for key, (low, high) in RANGES.items():
        value = value_of(recipe, key)
        if value is not None and not low <= value <= high:
            raise LimenError(f"{key}: {value} must be {f'from {low} to {high}' if high < math.inf else f'at least {low}'}")
    if recipe.optimiser.warmup_epochs > recipe.epochs:
        raise LimenError(f"optimiser.warmup_epochs: {recipe.optimiser.warmup_epochs:g} is more than all {recipe.epochs:g} epochs; lower it")


def _read(config: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise LimenError(f"{config}: {error.strerror}; check the path of --config") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LimenError(f"{config}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise LimenError(f"{config}: a recipe is a mapping of settings, such as 'epochs: 26'")
    _check_keys(config, values, Recipe, "")
    return values


def _check_keys(config: Path, values: dict[str, Any], kind: Any, prefix: str) -> None:
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in fields:
            raise LimenError(f"{config}: unknown key '{prefix}{name}'; {did_you_mean(str(name), fields)}")
        section = fields[name].type
        if dataclasses.is_dataclass(section):
            if value is None:
                values[name] = {}  # `quality: null`
                continue
            if not isinstance(value, dict):
                raise LimenError(f"{config}: '{prefix}{name}' is a section with keys of its own, not {value!r}")
            _check_keys(config, value, section, f"{prefix}{name}.")
