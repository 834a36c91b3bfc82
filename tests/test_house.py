"""The floors of the house: a room imports only from lower floors, and rooms on one floor leave each other alone."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "limen"
FLOORS = [
    {"devices", "errors", "files", "lookup", "locks", "names", "tables", "parts", "recogniser"},  # below the house: what every room may use
    {"functional", "metrics", "align"},
    {"margins", "backbones", "data"},
    {"heads", "quality"},
    {"models"},
    {"inference"},
    {"decision", "protocols"},
    {"training", "planning"},
    {"report", "cli", "__main__"},
]
# Neighbours on one floor that may meet, in this direction alone.
NEIGHBOURS = {
    ("devices", "errors"),
    ("files", "errors"),
    ("lookup", "errors"),
    ("locks", "errors"),
    ("locks", "files"),
    ("names", "errors"),
    ("tables", "errors"),
    ("tables", "files"),
    ("recogniser", "errors"),
    ("planning", "training"),
    ("cli", "report"),
    ("__main__", "cli"),
}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONLY_HERE = {  # package -> the only places that may import it
    "torch.distributed": {"heads/collectives.py", "training/distributed.py"},
    "jsonargparse": {"training/recipe.py", "training/settings.py"},
    "onnx": {"models/graphs/onnxruntime.py", "models/export/graph.py"},
    "onnxruntime": {"models/graphs/onnxruntime.py", "models/export/int8.py"},
    "openvino": {"models/graphs/openvino.py"},
    "huggingface_hub": {"models/hub.py"},
    "safetensors": {"models/bundle.py", "models/releases/published_file.py", "files.py", "training/checkpoint/tensors.py"},
    "ray": {"inference/ray_data.py"},
    "pyarrow": {"data/readers/arrow_table.py"},
    "triton": {"functional/margin_softmax/kernels/compiled.py"},
    "matplotlib": {"report/canvas.py", "report/figures.py", "report/html.py"},
    "jinja2": {"report/html.py"},
    "sklearn": {"metrics/roc.py", "metrics/verification.py", "decision/fit_calibration.py"},
}
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def imports_of(path):
    """Every module imported, wherever in the file it is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names if node.module == "limen")]
    return found


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} - {"__init__"} <= set(FLOOR_OF)


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) != "__init__"], ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_from_lower_floors_only(path):
    room = room_of(path)
    for module in imports_of(path):
        if not module.startswith("limen."):
            continue
        other = module.split(".")[1]
        lower = FLOOR_OF[other] < FLOOR_OF[room]
        assert other == room or lower or (room, other) in NEIGHBOURS, f"{room} (floor {FLOOR_OF[room]}) imports {module}"


def test_metrics_know_no_torch():
    for path in (SOURCE / "metrics").glob("*.py"):
        assert not [module for module in imports_of(path) if module.split(".")[0] == "torch"], path


@pytest.mark.parametrize("package", ONLY_HERE)
def test_a_package_is_wrapped_in_one_place(package):
    users = {str(path.relative_to(SOURCE)) for path in FILES for module in imports_of(path) if re.match(rf"{package}(\.|$)", module)}
    assert users <= ONLY_HERE[package]


def test_files_stay_small():
    """A file of ours is about 120 lines, and at most 300."""
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in FILES}
    assert max(lengths.values()) <= 300, max(lengths, key=lengths.get)


def test_the_training_loop_is_read_on_one_screen():
    tree = ast.parse((SOURCE / "training" / "loop.py").read_text())
    (loop,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "train_steps"]
    assert loop.end_lineno - loop.lineno < 60


def test_dir_shows_the_public_names():
    import limen

    assert {*limen.__all__, "__version__"} == set(dir(limen))
    assert not [name for name in limen.__all__ if not hasattr(limen, name)]
