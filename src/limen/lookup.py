"""Finding things by name: built in, or "package.module:Name" for one's own. A misspelt name is answered with the nearest known one."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from limen.errors import LimenError


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown `name`: the nearest known one, or all of them."""
    known = list(known)
    lower = {item.lower(): item for item in known}
    close = difflib.get_close_matches(name.lower(), list(lower), n=1)
    return f"did you mean {lower[close[0]]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def find(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """What `table[name]`, or `name` itself, says where to import: "package.module:Name".

    Raises LimenError for a name that is neither in the table nor importable.
    """
    module, colon, attribute = table.get(name, name).partition(":")
    if not colon:
        raise LimenError(f"{kind}: {name!r} is not known; {did_you_mean(name, table)} (your own is written package.module:Name)")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise LimenError(f"{kind}: {name!r} cannot be imported ({error}); check its spelling and PYTHONPATH") from error


def call(kind: str, build: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """`build(**arguments)`. Raises LimenError for an argument it does not take, one it lacks, or one it refuses with ValueError."""
    if not callable(build):
        raise LimenError(f"{kind}: it names {build!r}, which makes nothing; name a class")
    accepted = inspect.signature(build).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    for name, value in arguments.items():
        if name not in accepted and not takes_any:
            raise LimenError(f"{kind}: {name!r} is not one of its options; {did_you_mean(name, accepted)}")
        wanted = accepted[name].annotation if name in accepted else None
        if wanted in (int, float) and (isinstance(value, bool) or not isinstance(value, int if wanted is int else int | float)):
            raise LimenError(f"{kind}: {name} is a {'whole ' if wanted is int else ''}number, not {value!r}")
    for name, parameter in accepted.items():
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and name not in arguments:
            raise LimenError(f"{kind}: it needs {name!r}; set it")
    try:
        return build(**arguments)
    except (ValueError, TypeError) as error:
        raise LimenError(f"{kind}: {error}") from error
