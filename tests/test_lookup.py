"""Finding by name, and calling with options that exist."""

from typing import Protocol

import pytest

from limen import LimenError
from limen.lookup import call, did_you_mean, find

TABLE = {"OrderedDict": "collections:OrderedDict"}


def test_a_built_in_name_and_one_of_ones_own():
    from collections import Counter, OrderedDict

    assert find("thing", "OrderedDict", TABLE, dict) is OrderedDict
    assert find("thing", "collections:Counter", TABLE, dict) is Counter


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ordereddict", "did you mean 'OrderedDict'"),
        ("something", "known: OrderedDict"),
        ("collections:Nothing", "cannot be imported"),
        ("no_module:Thing", "cannot be imported"),
        ("collections:namedtuple", "is not a class"),
        ("collections:deque", "is not a subclass of builtins.dict"),
    ],
)
def test_a_wrong_name_is_helped(name, message):
    with pytest.raises(LimenError, match=message):
        find("thing", name, TABLE, dict)


class Sized(Protocol):
    kind: str

    def __len__(self) -> int: ...

    def measure(self) -> int: ...


class Ruler:
    def __len__(self):
        return 1

    def measure(self):
        return 1


def test_a_protocol_asks_for_its_methods():
    """Attributes, which instances may be given, cannot be asked of a class."""
    assert find("thing", f"{__name__}:Ruler", {}, Sized) is Ruler
    with pytest.raises(LimenError, match="has no method measure"):
        find("thing", "collections:Counter", {}, Sized)


def build(path, size=112, *, strict=False):
    if size < 1:
        raise ValueError("size must be positive")
    return path, size, strict


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": 1, "sise": 3}, "'sise' is not one of its options; did you mean 'size'"),
        ({"size": 3}, "it needs 'path'"),
        ({"path": 1, "size": 0}, "size must be positive"),
    ],
)
def test_wrong_options_are_helped(arguments, message):
    with pytest.raises(LimenError, match=message):
        call("thing", build, arguments)


def test_right_options_reach_the_thing():
    assert call("thing", build, {"path": "a", "strict": True}) == ("a", 112, True)


def test_nothing_is_near():
    assert did_you_mean("x", []) == "known: none"


def test_equally_near_names_are_all_given():
    assert did_you_mean("lr", ["optimiser.lr", "quality.lr", "seed"]) == "did you mean 'optimiser.lr' or 'quality.lr'?"
    assert did_you_mean("zz", [f"name{k}" for k in range(30)]).endswith("name19 and 10 more")
