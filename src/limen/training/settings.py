"""Reads a recipe from YAML and the command line, and checks one made in Python by the same rules."""

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from limen.errors import LimenError
from limen.files import read_plain_file, unique_keys
from limen.lookup import did_you_mean
from limen.training.recipe import Optimiser, Recipe

SHIPPED = Path(__file__).parents[1] / "recipes"  # with the package: `--config small/faces`
LARGEST_FILE, DEEPEST = 100_000, 32  # bytes and levels of a recipe: a small file must not unfold to a large one
NAMES_OF_CLASSES = ("data.reader", "data.sampling.name", "margin.name", "head.sampler.name")  # which may be package.module:Class

SOURCES = "data.sources"


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with limen, by the name that `--config` takes: "small/faces", "papers/adaface_ir101_ms1mv2", ..."""
    return {path.relative_to(SHIPPED).with_suffix("").as_posix(): path for path in sorted(SHIPPED.rglob("*.yaml"))}


def load_recipe(config: str | Path | None = None, overrides: Sequence[str] = (), allow_code: bool = False) -> Recipe:
    """The recipe of a YAML file, or of one that comes with limen ("small/faces"), changed by command-line words:
    ["--optimiser.lr", ".05"].

    `overrides` may name a class of the user's own, package.module:Class. `config`, which may be another's, may do so with `allow_code`.

    Raises LimenError for a file that cannot be read, an unknown key (the nearest known one is named) or a value of the wrong type.

    >>> from limen.training import load_recipe
    >>> recipe = load_recipe("small/faces", ["--margin.name", "ArcFace", "--optimiser.lr", ".05"])
    >>> recipe.margin.name, recipe.optimiser.lr, recipe.epochs
    ('ArcFace', 0.05, 8.0)
    """
    values = {} if config is None else _read(_file_of(config))
    _check_words(overrides)
    chosen = _parsed(_parser().parse_object, values, source=f"{config}: ", given=lambda key: _at(values, key))
    chosen = _parsed(_parser().parse_args, list(overrides), chosen, source="command line: ", given=lambda key: _word(overrides, key))
    for key, kind in known_keys().items():
        if _at(chosen, key) is None and not dataclasses.is_dataclass(kind) and NoneType not in get_args(kind):
            raise LimenError(f"{config}: {key}: null is not allowed; leave the key out to get its default")
    for key in NAMES_OF_CLASSES:
        if ":" in _at(chosen, key) and not allow_code and _word(overrides, key) is None:
            raise LimenError(
                f"{config}: {key} {_at(chosen, key)!r} would run code from outside limen; if you trust it, add --allow-code, "
                f"or name it on the command line by --{key}"
            )
    named = [entry.get("reader") for entry in _at(chosen, SOURCES)]
    if any(isinstance(name, str) and ":" in name for name in named) and not allow_code and _word(overrides, SOURCES) is None:
        raise LimenError(f"{config}: {SOURCES} name a reader that would run code from outside limen; if you trust it, add --allow-code")
    recipe = _plain(Recipe(**vars(_parser().instantiate(chosen))))
    check(recipe)
    return recipe


def check(recipe: Recipe) -> None:
    """Raises LimenError for a setting of the wrong type, outside its range, or at odds with another."""
    values = dataclasses.asdict(recipe)
    chosen = _parsed(_parser().parse_object, values, source="", given=lambda key: _at(values, key))
    for key, kind in known_keys().items():
        value = _at(values, key)
        if get_origin(kind) is dict or key == SOURCES:
            try:
                json.dumps(value)
            except (TypeError, ValueError, RecursionError) as error:
                raise LimenError(f"{key}: {error}; give numbers, text, true or false, lists and mappings") from error
        elif not dataclasses.is_dataclass(kind) and _at(chosen, key) != value:  # "3", which a file may say for 3
            raise LimenError(_message(key, value))
    if recipe.freeze and recipe.init is None:
        raise LimenError("freeze: a backbone that was never trained would stay so; name a trained model with --init")
    if recipe.head.sampler.name == "all" and recipe.head.sampler.options:
        raise LimenError("head.sampler.options: all classes take none; set head.sampler.name to PartialFC or HardPrototypeMining")
    if recipe.head.precision == "tf32" and recipe.head.dtype == "bf16":
        raise LimenError("head.precision: tf32 needs float32 centres; give bf16, or head.dtype float32")
    _check_optimiser(recipe.optimiser)
    if recipe.evaluation.best is not None and not recipe.evaluation.pairs:
        raise LimenError(f"evaluation.best: {recipe.evaluation.best} cannot be judged without pairs; name its file in evaluation.pairs")
    if recipe.optimiser.warmup_epochs > recipe.epochs:
        raise LimenError(f"optimiser.warmup_epochs: {recipe.optimiser.warmup_epochs:g} is more than all {recipe.epochs:g} epochs; lower it")


def _check_optimiser(config: Optimiser) -> None:
    if len(config.betas) != 2 or max(config.betas) >= 1:
        raise LimenError(f"optimiser.betas: {config.betas} must be two numbers from 0 to below 1, such as [0.9, 0.999]")
    if config.name == "AdamW" and (config.center_lr is None or config.center_weight_decay is None):
        raise LimenError(
            "optimiser.name: AdamW moves the network alone, for class centres move by SGD inside the backward pass; set "
            "optimiser.center_lr and optimiser.center_weight_decay for them, such as 0.1 and 0.0005"
        )


def known_keys(kind: Any = Recipe, prefix: str = "") -> dict[str, Any]:
    """The type of every key of a recipe, sections included: "data", "data.path", ..."""
    keys: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        keys[prefix + item.name] = item.type
        if dataclasses.is_dataclass(item.type):
            keys |= known_keys(item.type, f"{prefix}{item.name}.")
    return keys


def describe(kind: Any) -> str:
    """What a value of this type is, for help and messages: "a number above 0"."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is UnionType:
        return f"{' or '.join(describe(one) for one in get_args(kind) if one is not NoneType)}, or null"
    if get_origin(kind) is list:
        return f"a list, each {describe(*get_args(kind))}"
    words = {bool: "true or false", str: "text", dict[str, Any]: "a mapping of names to values"}
    return words.get(kind) or f"a {getattr(kind, '__name__', kind)}"


@cache
def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False, prog="limen train")
    parser.add_class_arguments(Recipe, as_group=False)
    return parser


def _parsed(parse: Callable[..., Namespace], *arguments: Any, source: str, given: Callable[[str], Any]) -> Namespace:
    """`parse(*arguments)`, its refusals in our words: `source` says where a value comes from, `given` what it was."""
    try:
        return parse(*arguments)
    except ArgumentError as error:
        text = " ".join(str(error).split())
        found = re.match(r'Parser key "([^"]+)"|argument --([^:]+):', text)
        key = found and (found[1] or found[2])
        if text.startswith("unrecognized arguments"):
            raise LimenError(f"{source}{text}; a setting is given as --section.key value") from error
        if not key or key not in known_keys():
            raise LimenError(f"{source}{text}") from error
        raise LimenError(source + _message(key, given(key))) from error
    except (OverflowError, RecursionError, ValueError) as error:
        raise LimenError(f"{source}a number or a nesting in it is too large; give smaller ones") from error


def _message(key: str, value: Any) -> str:
    shown = repr(value)
    return f"{key}: {shown if len(shown) < 60 else shown[:60] + '...'} must be {describe(known_keys()[key])}"


def _at(values: Any, key: str) -> Any:
    for name in key.split("."):
        values = values[name]
    return values


def _word(words: Sequence[str], key: str) -> str | None:
    """What the command line gives for `key`; "" where it gives nothing, None where it does not name it."""
    for place in reversed(range(len(words))):
        name, equals, value = words[place].partition("=")
        if name == f"--{key}":
            return value if equals else next(iter(words[place + 1 : place + 2]), "")
    return None


def _plain(value: Any) -> Any:
    """`value` with plain numbers in place of restricted ones, which YAML does not know."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)})
    if isinstance(value, list):
        return [_plain(one) for one in value]
    base = next((base for base in (int, float) if isinstance(value, base) and type(value) not in (base, bool)), None)
    return value if base is None else base(value)


def _check_words(words: Sequence[str]) -> None:
    known = known_keys()
    free = tuple(f"{name}." for name in known if name.endswith("options") or name == SOURCES)
    for word in words:
        key = word[2:].split("=")[0]
        if not word.startswith("--"):
            continue
        if f"{key}.".startswith(free) and (value := _word(words, key) or "").lstrip().startswith(("{", "[")):
            _loaded(value, f"command line: {key}")
        if key.startswith(free):
            continue
        if key not in known:
            raise LimenError(f"--{key}: no such setting; {did_you_mean(key, known)}")
        if inside := [f"--{name}" for name in known if name.startswith(f"{key}.")]:
            raise LimenError(f"--{key}: a section, whose settings are given one by one: {', '.join(inside[:3])}, ...")


class _Loader(yaml.SafeLoader):
    """Without what makes much of a little: references to what stands elsewhere in the file, and nesting without end; and without keys that
    stand twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read; write the value out")
        if self.depth == DEEPEST:
            raise yaml.YAMLError(f"nested deeper than {DEEPEST} levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            unique_keys((key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        return super().construct_mapping(node, deep)


def _loaded(text: bytes | str, where: str | Path) -> Any:
    """What the YAML of a recipe or of a mapping on the command line says. Raises LimenError that begins with `where` it stands."""
    try:
        return yaml.load(text.decode() if isinstance(text, bytes) else text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise LimenError(f"{where}: not valid YAML ({' '.join(str(error).split())})") from error


def _file_of(config: str | Path) -> Path:
    """A file of the user's own goes before a recipe that comes with limen. A name without a suffix has to be one of the two."""
    path, shipped = Path(config), shipped_recipes()
    if path.exists() or path.suffix:
        return path
    if str(config) not in shipped:
        raise LimenError(f"{config}: neither a file nor a recipe that comes with limen; {did_you_mean(str(config), shipped)}")
    return shipped[str(config)]


def _read(config: Path) -> dict[str, Any]:
    values = _loaded(read_plain_file(config, LARGEST_FILE), config)
    if not isinstance(values, dict):
        raise LimenError(f"{config}: a recipe is a mapping of settings, such as 'epochs: 26'")
    _check_keys(config, values, Recipe, "")
    return values


def _check_keys(config: Path, values: dict[str, Any], kind: Any, prefix: str) -> None:
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in fields:
            raise LimenError(f"{config}: unknown key '{prefix}{str(name)[:40]}'; {did_you_mean(str(name)[:40], fields)}")
        section = fields[name].type
        if dataclasses.is_dataclass(section):
            if value is None:
                values[name] = {}  # `quality: null`
                continue
            if not isinstance(value, dict):
                raise LimenError(f"{config}: '{prefix}{name}' is a section with keys of its own, not {str(value)[:40]!r}")
            _check_keys(config, value, section, f"{prefix}{name}.")
