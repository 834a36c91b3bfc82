"""The public names explain themselves: each has a docstring, and the examples in it give what they say."""

import doctest
import importlib
import inspect

import pytest

import limen

ROOMS = ("align", "backbones", "data", "functional", "heads", "margins", "metrics", "protocols", "quality", "training")
TYPES = ("Progress", "Statistic")  # names of types, which have no docstring of their own


def _public():
    names = {f"limen.{name}": getattr(limen, name) for name in limen.__all__ if name not in ROOMS}
    for room in ROOMS:
        module = importlib.import_module(f"limen.{room}")
        names |= {f"limen.{room}.{name}": getattr(module, name) for name in module.__all__}
    return {name: thing for name, thing in names.items() if callable(thing) and name.rpartition(".")[2] not in TYPES}


PUBLIC = _public()
EXAMPLES = [
    test for name, thing in PUBLIC.items() for test in doctest.DocTestFinder(recurse=False).find(thing, name, globs={}) if test.examples
]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def test_every_public_name_says_what_it_is():
    generated = {name for name, thing in PUBLIC.items() if (thing.__doc__ or "").startswith(f"{thing.__name__}(")}  # by dataclass
    assert {name for name, thing in PUBLIC.items() if not inspect.getdoc(thing)} | generated == set()


def test_what_one_begins_with_has_an_example():
    with_example = {test.name.rpartition(".")[2] for test in EXAMPLES}
    first = {name for name in limen.__all__ if name not in ROOMS} | set(limen.margins.MARGINS)
    needs_files = {"export_onnx", "import_release", "train"}  # a trained model, weights of others, minutes
    assert first - with_example == needs_files


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_give_what_they_say(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)
