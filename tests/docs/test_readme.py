"""The commands of README and of every page can be parsed, the README's Python runs, its files are there."""

import argparse
import re
import shlex
from pathlib import Path

import cv2
import pytest

from limen import create_backbone
from limen.cli import COMMANDS, parser_of
from limen.data.synthetic import SyntheticFaces
from limen.models.bundle import Architecture, Bundle, save_bundle
from limen.training.settings import known_keys, load_recipe

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [path for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]) if "generated" not in path.parts]
SETTINGS = ("train", "plan")  # commands that take the settings of a recipe


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = create_backbone("tiny", 32).state_dict()
    bundle = Bundle(Architecture("tiny", 32, {}), {f"backbone.{name}": tensor for name, tensor in weights.items()})
    save_bundle(tmp_path / "model.safetensors", bundle)
    faces = SyntheticFaces(identities=2, images_per_identity=1)
    for index, name in enumerate(("anna", "ben")):
        cv2.imwrite(f"{name}.jpg", faces.image(index)[..., ::-1])
    exec(compile(code, "README.md", "exec"), {})


@pytest.fixture(scope="module")
def parser():
    return parser_of(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_can_be_parsed(page, parser):
    text = page.read_text()
    for line in _commands(text):
        words = shlex.split(line, comments=True)
        words = words[words.index("limen") + 1 : words.index(">") if ">" in words else None]
        try:
            options, extra = parser.parse_known_args(words)
        except SystemExit:
            pytest.fail(f"not a command: {line}")
        if options.command not in SETTINGS:
            assert not extra, line
            continue
        recipe = options.config if options.config and "." not in options.config else None  # one that comes with limen
        load_recipe(recipe, extra, allow_code=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_in_sentences_exist(page, parser):
    (chosen,) = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for command, rest in re.findall(r"`limen ([a-z][\w-]*)([^`]*)`", page.read_text()):
        assert command in chosen, command
        every = {word for action in _actions(chosen[command]) for word in action.option_strings}
        every |= {f"--{key}" for key in known_keys()} if command in SETTINGS else set()
        assert set(re.findall(r"(?<!\S)--[\w.-]+", rest)) <= every, f"{command} {rest}"


def _commands(text):
    """Every line of a shell block that calls limen, its continuation lines joined."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in re.sub(r" *\\\n *", " ", block).splitlines():
            if re.match(r"(limen|torchrun .*-m limen) (?!--print-completion)", line):
                yield line


def _actions(parser):
    for action in parser._actions:
        yield action
        for other in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from _actions(other)


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/*/*.md"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(page):
    if "generated" in page.parts:
        pytest.skip("made from the code")
    targets = set(re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()))
    lost = [target for target in targets if "://" not in target and "generated/" not in target and not (page.parent / target).exists()]
    assert not lost
