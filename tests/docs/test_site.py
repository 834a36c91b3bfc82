"""The site: it builds without a warning, no link leads nowhere, pictures have words, and the reference holds what the code holds."""

import argparse
import ast
import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from safetensors import safe_open

from limen import create_backbone
from limen.cli import COMMANDS, parser_of
from limen.models.bundle import Architecture, Bundle, save_bundle
from limen.models.graphs.sidecar import Exported, Sidecar
from limen.models.preprocessing import Preprocessing
from limen.training.settings import known_keys

ROOT = Path(__file__).parents[2]
DOCS, SOURCE = ROOT / "docs", ROOT / "src" / "limen"
NEEDED = ("sphinx", "myst_parser", "pydata_sphinx_theme", "sphinx_gallery", "sphinx_design")
ELLIPSIS = "…"
OF_OTHERS = {"--section.key", "--opt_out", "--nproc-per-node", "--no-python"}  # a placeholder, OpenVINO's and torchrun's
OF_OTHERS |= {
    "--nnodes",
    "--rdzv-backend",
    "--rdzv-id",
    "--rdzv-endpoint",
    "--max-restarts",
    "--local-addr",
    "--grad-accum-steps",
}  # and timm's
OF_OTHERS |= {
    "--array",
    "--requeue",
    "--gpus",
    "--job-name",
    "--nodes",
    "--ntasks-per-node",
    "--gpus-per-node",
    "--cpus-per-task",
}  # SLURM's
OF_OTHERS |= {"--time", "--open-mode", "--signal"}


@pytest.fixture(scope="module")
def reference():
    """docs/_ext/reference.py, which makes pages from the code; it needs no Sphinx."""
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        import reference
    finally:
        sys.path.remove(str(DOCS / "_ext"))
    return reference


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built without running the tutorials: `make docs` runs them."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"the site is built with limen[docs]: {missing[0]} is not installed")
    place = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, place / "docs", ignore=shutil.ignore_patterns("generated"))
    for path in [*ROOT.glob("*.md"), ROOT / "benchmarks", ROOT / "src"]:
        (place / path.name).symlink_to(path)
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-D", "plot_gallery=0", "docs", "site"]
    built = subprocess.run(words, cwd=place, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    return place / "site"


class Page(HTMLParser):
    """Links, anchors and pictures of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.pictures, self.scripts = [], set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "img":
            self.pictures.append(given)
        if tag in ("script", "link", "img"):
            self.scripts.append(given.get("src") or (given.get("href") if given.get("rel") == "stylesheet" else "") or "")


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_every_link_leads_somewhere(pages):
    lost = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages.get(target)
            if not target.exists() or (known and parts.fragment and unquote(parts.fragment) not in known.anchors):
                lost.append(f"{path.name}: {link}")
    assert not lost


def test_every_picture_has_words(pages):
    beside = "_thumb.png"  # a thumbnail's title stands beside it
    pictures = [picture for page in pages.values() for picture in page.pictures if beside not in picture["src"]]
    assert pictures
    assert [picture for picture in pictures if not picture.get("alt", "").strip()] == []


def test_a_page_asks_nothing_of_the_network(pages):
    assert {source for page in pages.values() for source in page.scripts if urlsplit(source).netloc} == set()


def test_the_reference_holds_every_command_and_option(reference):
    text = reference.commands()
    chosen = reference._actions(parser_of(COMMANDS))
    parsers = list(chosen.items())
    parsers += [(f"data {name}", parser) for name, parser in reference._actions(chosen["data"]).items()]
    for name, parser in parsers:
        section = re.split(rf"^##+ limen {name}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]
        options = {word for action in parser._actions for word in action.option_strings} - {"-h", "--help", "--json", "--debug"}
        assert {option for option in options if f"`{option}" not in section and f", {option}" not in section} == set(), name


def test_every_setting_has_its_default_and_a_meaning(reference):
    text, keys = reference.settings(), known_keys()
    sections = {key for key in keys if any(other.startswith(f"{key}.") for other in keys)}
    rows = dict(re.findall(r"^\| `--(\S+)` \| (.*) \|$", text, re.MULTILINE))
    assert set(rows) == set(keys) - sections
    assert [key for key, row in rows.items() if len(row.split(" | ")[2]) < 5] == []


@pytest.fixture(scope="module")
def options():
    """Every option of every command, and every setting."""
    parsers, found = [parser_of(COMMANDS)], {f"--{key}" for key in known_keys()}
    while parsers:
        for action in parsers.pop()._actions:
            found |= set(action.option_strings)
            parsers += action.choices.values() if isinstance(action, argparse._SubParsersAction) else []
    return found


def _tells_of_scripts(path):
    """Whether a page names the options of benchmarks."""
    return path.name == "LOG.md" or path.parent.name == "results"


def test_help_and_pages_name_no_option_that_does_not_exist(reference, options):
    chosen = reference._actions(parser_of(COMMANDS))
    texts = {name: parser.description for name, parser in chosen.items()}
    texts |= {path.name: path.read_text() for path in [*DOCS.rglob("*.md"), *(DOCS / "tutorials").iterdir()] if not _tells_of_scripts(path)}
    said = {(name, word) for name, text in texts.items() for word in re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", text)}
    free = tuple(f"--{key}." for key in known_keys() if key.endswith("options"))
    assert {(name, word) for name, word in said if word not in options | OF_OTHERS and not word.startswith(free)} == set()


def test_the_schemas_are_of_the_files_that_limen_writes(reference, tmp_path):
    sidecar = reference.sidecar_schema()
    written = json.loads(Sidecar(Preprocessing(), "none", exported=Exported("uint8", "int8", "0" * 64)).text)
    assert set(sidecar["required"]) <= set(written) <= set(sidecar["properties"])
    assert {field.name for field in dataclasses.fields(Exported)} == set(sidecar["$defs"]["Exported"]["properties"])
    weights = {f"backbone.{name}": tensor for name, tensor in create_backbone("tiny", 8).state_dict().items()}
    save_bundle(tmp_path / "model.safetensors", Bundle(Architecture("tiny", 8), weights))
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        written = json.loads(file.metadata()["limen"])
    bundle = reference.bundle_schema()
    assert set(bundle["required"]) == set(written)
    assert set(bundle["properties"]) - set(written) == {"operating_points", "calibration"}


def test_the_errors_explained_are_those_of_the_code():
    known = [message for path in SOURCE.rglob("*.py") for message in _messages(path)]
    explained = re.findall(r"^\| `{1,2}(.+?)`{1,2} \| ", (DOCS / "reference" / "errors.md").read_text(), re.MULTILINE)
    assert len(explained) > 30
    assert [message for message in explained if not any(_within(message, one) for one in known)] == []


def _messages(path):
    """Every text in the code, what is filled in as an ellipsis."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else ELLIPSIS for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _within(message, known):
    """Whether the words of `message` between its ellipses stand in `known`, in this order."""
    place = 0
    for part in filter(None, (part.strip(" ();:'") for part in message.split(ELLIPSIS))):
        place = known.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True
