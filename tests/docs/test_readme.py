"""The README's Python runs, its commands exist and its files are there."""

import re
import shlex
from pathlib import Path

import pytest

from limen import create_backbone
from limen.cli import COMMANDS
from limen.models.bundle import Architecture, Bundle, save_bundle
from limen.training.settings import known_keys

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = create_backbone("tiny", 32).state_dict()
    bundle = Bundle(Architecture("tiny", 32, {}), {f"backbone.{name}": tensor for name, tensor in weights.items()})
    save_bundle(tmp_path / "model.safetensors", bundle)
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("line", re.findall(r"^limen .*$", README, re.MULTILINE))
def test_commands_exist(line):
    words = shlex.split(line, comments=True)
    assert words[1] in COMMANDS
    settings = [word[2:] for word in words if word.startswith("--") and "." in word]
    assert set(settings) <= set(known_keys())


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()
