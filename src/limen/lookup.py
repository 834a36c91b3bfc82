"""Things by name: a table names what is built in, "package.module:Class" a class of the user's own. An error names the nearest known one.

A name may come from a file, so nothing is called on its word: what it stands for has to be a class of the kind that is asked for.
Whether a file may name a module at all, whose import runs code, is asked where the file is read (`limen.training.settings`).
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from limen.errors import LimenError

NEAR, MANY = 0.6, 20


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown `name`: the nearest known ones, or all. Of a dotted one its last part may be meant."""
    known = list(known)
    score = {item: max(_likeness(name, item), _likeness(name, item.rpartition(".")[2])) for item in known}
    best = max(score.values(), default=0)
    if best >= NEAR:
        return f"did you mean {' or '.join(repr(item) for item in known if score[item] == best)}?"
    return f"known: {', '.join(known[:MANY]) or 'none'}{f' and {len(known) - MANY} more' if len(known) > MANY else ''}"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def find(kind: str, name: str, table: Mapping[str, str], base: type) -> Any:
    """The class that `table[name]`, or `name` itself, says where to import: "package.module:Name".

    Raises LimenError for a name that is neither in the table nor importable, and for what is no class, or no subclass of `base`, or,
    where `base` is a protocol, lacks one of its methods.
    """
    module, colon, attribute = table.get(name, name).partition(":")
    if not colon:
        raise LimenError(f"{kind}: {name!r} is not known; {did_you_mean(name, table)} (your own is written package.module:Name)")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever a module of the user's own raises
        raise LimenError(f"{kind}: {name!r} cannot be imported ({error}); check its spelling and PYTHONPATH") from error
    if lacks := _lacks(found, base):
        raise LimenError(f"{kind}: {name!r} {lacks}; see docs/extend")
    return found


def _lacks(found: Any, base: type) -> str | None:
    """What keeps `found` from being a class of the kind `base`."""
    if not isinstance(found, type):
        return "is not a class"
    if not getattr(base, "_is_protocol", False):
        return None if issubclass(found, base) else f"is not a subclass of {base.__module__}.{base.__name__}"
    methods = {name for kind in base.__mro__ for name, member in vars(kind).items() if inspect.isfunction(member)} - {*dir(object)}
    missing = sorted(name for name in methods if not callable(getattr(found, name, None)))
    return f"has no method {', '.join(missing)}" if missing else None


def call(kind: str, build: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """`build(**arguments)`. Raises LimenError for an argument it does not take, one it lacks, or one it refuses with ValueError."""
    accepted = inspect.signature(build).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    for name, value in arguments.items():
        if name not in accepted and not takes_any:
            raise LimenError(f"{kind}: {name!r} is not one of its options; {did_you_mean(str(name), accepted)}")
        wanted = accepted[name].annotation if name in accepted else None
        if wanted in (int, float) and (isinstance(value, bool) or not isinstance(value, int if wanted is int else int | float)):
            raise LimenError(f"{kind}: {name} is a {'whole ' if wanted is int else ''}number, not {value!r}")
    for name, parameter in accepted.items():
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and name not in arguments:
            raise LimenError(f"{kind}: it needs {name!r}; set it")
    try:
        return build(**arguments)
    except (ValueError, TypeError, OverflowError) as error:
        raise LimenError(f"{kind}: {error}") from error
