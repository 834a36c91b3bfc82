"""What a release needs: one version, a wheel of the package alone, files that other programs read, a command line that starts at once."""

import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import limen
from limen.cli import COMMANDS, main
from limen.models.bundle import Architecture, Bundle, save_bundle

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "sklearn", "scipy", "matplotlib", "cv2", "numpy", "jsonargparse")


@pytest.fixture(scope="module")
def check():
    """tools/release_check.py as a module."""
    stated = importlib.util.spec_from_file_location("release_check", ROOT / "tools" / "release_check.py")
    module = importlib.util.module_from_spec(stated)
    stated.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def distributions(check, tmp_path_factory):
    for package in ("build", "hatchling", "twine", "validate_pyproject"):
        pytest.importorskip(package)
    check.DIST = tmp_path_factory.mktemp("dist")
    return check.build()


def test_wheel_and_sdist_pass_their_checks(check, distributions):
    check.check(distributions)


def test_the_wheel_says_the_version_of_the_package(distributions):
    assert distributions.name == f"limen-{limen.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(distributions) as archive:
        assert f"Version: {limen.__version__}\n" in archive.read(f"limen-{limen.__version__}.dist-info/METADATA").decode()


def test_the_version_stands_in_one_place():
    stated = [path for path in (ROOT / "pyproject.toml", ROOT / "CITATION.cff") if re.search(r"^version\b", path.read_text(), re.MULTILINE)]
    assert stated == []
    assert f"## {limen.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"message", "title", "authors"}
    assert all(author.keys() & {"name", "family-names"} for author in citation["authors"])
    assert citation["license"] in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_run_commands_that_exist(path):
    workflow = yaml.safe_load(path.read_text())
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert steps
    assert all(("uses" in step) != ("run" in step) for step in steps)
    assert workflow["permissions"] == {"contents": "read"}  # each job asks for more itself
    for words in re.findall(r"make ([\w-]+)", path.read_text()):
        assert words in targets
    for words in re.findall(r"^ *- run: limen (\w+)", path.read_text(), re.MULTILINE):
        assert words in COMMANDS


def test_reports_of_faults_ask_what_limen_runs_on(capsys):
    assert "limen info --system" in (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text()
    assert main(["info", "--system", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["limen"] == limen.__version__
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["threads"] >= 1
    assert facts["devices"][0] == "cpu"


@pytest.mark.parametrize("words", [["info"], ["info", "model.safetensors", "--system"]])
def test_info_asks_for_a_model_or_the_system(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "MODEL" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_names_every_command(shell, capsys, tmp_path):
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
    assert "--pairs" in script
    if shell == "bash":
        (tmp_path / "limen.bash").write_text(script)
        subprocess.run(["bash", "-n", tmp_path / "limen.bash"], check=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    architecture = Architecture("tiny", 8)
    bundle = Bundle(architecture, {f"backbone.{name}": tensor for name, tensor in architecture.build().state_dict().items()})
    path = tmp_path_factory.mktemp("info") / "model.safetensors"
    save_bundle(path, bundle)
    return str(path)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["info", "--help"], ["info", "nowhere.safetensors", "--system"], ["info", "MODEL"]]
)
def test_the_command_line_starts_without_heavy_packages(words, model):
    words = [model if word == "MODEL" else word for word in words]
    script = f"import sys; from limen.cli import main\ntry: main({words!r})\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert loaded & set(HEAVY) == set()
    assert len([name for name in loaded if name.startswith("limen")]) < 12
    assert len(loaded) < 400
