"""The reference pages that are made from the code: commands, settings of a recipe, rooms of the API, fields of result.json."""

import argparse
import ast
import csv
import dataclasses
import inspect
import io
import json
import re
import tokenize
from collections import Counter
from importlib import import_module
from pathlib import Path

import msgspec
from plain import markdown_line, to_markdown

from limen.backbones import BACKBONES
from limen.cli import COMMANDS, parser_of
from limen.cli.train import choices, options_of
from limen.data.augmentation import AUGMENTATIONS
from limen.data.photos.record import Row
from limen.data.source import READERS
from limen.models.bundle import FORMAT, HASHES, KINDS, Architecture
from limen.models.graphs.sidecar import SCALES, TEMPLATE, Exported
from limen.models.operating_point import OperatingPoint
from limen.models.preprocessing import Preprocessing
from limen.quality import Calibration
from limen.training import recipe
from limen.training.settings import describe, shipped_recipes

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "limen",
    "limen.training",
    "limen.data",
    "limen.margins",
    "limen.heads",
    "limen.backbones",
    "limen.quality",
    "limen.align",
    "limen.metrics",
    "limen.protocols",
    "limen.report",
    "limen.functional",
)


def pages():
    """File name -> text, of the folder docs/generated."""
    schemas = {"schema/sidecar.json": sidecar_schema(), "schema/bundle.json": bundle_schema()}
    found = {name: json.dumps(schema, indent=1) for name, schema in schemas.items()}
    return found | {name: make() for name, make in FRAGMENTS.items()} | {f"api/{room}.md": room_page(room) for room in ROOMS}


def commands():
    parser = parser_of(COMMANDS)
    return "\n\n".join(_command(f"limen {name}", _actions(parser)[name], COMMANDS[name], 2) for name in COMMANDS)


def settings():
    """A table for each section of a recipe."""
    meanings, found = comments(), []
    for prefix, kind in sections(recipe.Recipe):
        title = f"`{prefix}`" if prefix else "The run"
        where = f"--{prefix}." if prefix else "--"
        rows = [
            (
                f"`{where}{item.name}`",
                describe(item.type),
                f"`{_default(item)}`",
                meanings[kind.__name__, item.name],
            )
            for item in dataclasses.fields(kind)
            if not dataclasses.is_dataclass(item.type)
        ]
        found += [f"## {title}", to_markdown(inspect.getdoc(kind)), table(("setting", "value", "default", "meaning"), rows)]
    return "\n\n".join(found)


def names():
    """What a setting called `name` takes, and the options of each."""
    rows = [(f"`{section}.name`", f"`{name}`", _code(options_of(kind)), _first_sentence(kind)) for section, name, kind in choices()]
    others = {"data.reader": READERS, "data.augment": AUGMENTATIONS, "backbone.name": BACKBONES}
    rows += [(f"`{setting}`", ", ".join(f"`{name}`" for name in known), "", "") for setting, known in others.items()]
    return table(("setting", "name", "options and defaults", "what it is"), rows)


def recipes():
    rows = []
    for name, path in shipped_recipes().items():
        said = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ") and not line.startswith("#   ")]
        rows.append((f"`{name}`", " ".join(said)))
    return table(("`--config`", "what it is"), rows)


def result_fields():
    """The dataclasses behind result.json, field by field."""
    from limen.protocols import result

    found = []
    for name in ("ResultFile", "Result", "Metric", "Interval", "Curve", "Discarding", "Mistake", "HardPair", "HardPerson", "Training"):
        kind = getattr(result, name)
        said = attribute_docs(kind)
        rows = [(f"`{item.name}`", f"`{_type(item.type)}`", said.get(item.name, "")) for item in dataclasses.fields(kind)]
        found += [f"### {name}", to_markdown(inspect.getdoc(kind)), table(("field", "type", "meaning"), rows)]
    return "\n\n".join(found)


def _fields_of(kind):
    """A table of what the class's docstring says of its fields."""
    rows, names = [], {item.name for item in dataclasses.fields(kind)}
    for line in inspect.getdoc(kind).split("\n"):
        said = re.match(r"(\w+(?:, \w+)*)\s{2,}(\S.*)", line)
        if said and set(said[1].split(", ")) <= names:
            rows.append([", ".join(f"`{name}`" for name in said[1].split(", ")), said[2]])
        elif rows and line.startswith("  "):
            rows[-1][1] += " " + line.strip()
    return table(("field", "meaning"), rows)


def sidecar():
    return f"```json\n{json.dumps(TEMPLATE, indent=1)}\n```"


def sidecar_schema():
    """The JSON schema of a sidecar, made of the dataclasses that read it."""
    defs = msgspec.json.schema_components([Preprocessing, OperatingPoint, Calibration, Exported], ref_template="#/$defs/{name}")[1]
    known = defs.pop("Preprocessing")["properties"] | {"pixels": {"enum": list(SCALES)}, "licence": {"type": "string"}}
    known |= {"operating_points": _list_of("OperatingPoint"), "calibration": _ref("Calibration"), "exported": _ref("Exported")}
    stated = {name: {key: value for key, value in said.items() if key != "default"} for name, said in known.items()}
    return _schema("The sidecar of a graph", stated, list(TEMPLATE), defs)


def bundle_schema():
    """The JSON schema of the entry `limen` in the metadata of a bundle."""
    kinds = [Architecture, Preprocessing, OperatingPoint, Calibration]
    defs = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")[1]
    known = {name: msgspec.json.schema(kind) for name, kind in KINDS.items()}
    known |= {"architecture": _ref("Architecture"), "preprocessing": _ref("Preprocessing")}
    known |= {"format": {"type": "integer", "maximum": FORMAT}, **{name: {"type": "string"} for name in HASHES}}
    required = sorted(known)
    known |= {"operating_points": _list_of("OperatingPoint"), "calibration": _ref("Calibration")}
    return _schema("The description in a bundle", known, required, defs)


def _schema(title, properties, required, defs):
    start = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "type": "object"}
    return start | {"properties": properties, "required": required, "$defs": defs}


def _ref(name):
    return {"$ref": f"#/$defs/{name}"}


def _list_of(name):
    return {"type": "array", "items": _ref(name)}


def alignment():
    stated = re.findall(r"^(\w[\w,. ]*?) {2,}(\S.*)$", inspect.getdoc(Row), re.MULTILINE)
    rows = [
        (" to ".join(", ".join(f"`{name}`" for name in part.split(", ")) for part in names.split(" ... ")), said) for names, said in stated
    ]
    return table(("column", "meaning"), [*rows, ("`failure`", "why a photo gave no face")])


def benchmarks():
    """The first sentence of each script, and its table of results."""
    rows = []
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        said = " ".join(ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].split())
        results = ROOT / "benchmarks" / "results" / f"{path.stem}.csv"
        count = len(results.read_text().splitlines()) - 1 if results.exists() else 0
        if "results/" in path.read_text() or count:
            rows.append((f"`{path.name}`", said, str(count or "")))
    runs = csv.DictReader((ROOT / "benchmarks" / "results" / "evidence.csv").read_text().splitlines())
    made = Counter(row["claim"] for row in runs)
    for path in sorted((ROOT / "benchmarks" / "evidence").glob("*.py")):
        if claim := re.search(r'^CLAIM = "(.*)"$', path.read_text(), re.MULTILINE):
            said = " ".join(ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].split())
            rows.append((f"`evidence/{path.name}`", said, str(made[claim[1]] or "")))
    return table(("script", "what it measures", "rows measured"), rows)


def room_page(room):
    module = import_module(room)
    body = "\n".join(_documented(room, name) for name in module.__all__ if not inspect.ismodule(getattr(module, name)))
    return f"# `{room}`\n\n{to_markdown(inspect.getdoc(module))}\n\n```{{eval-rst}}\n{body}\n```\n"


def _documented(room, name):
    thing = getattr(import_module(room), name)
    if not inspect.isclass(thing) and not inspect.isfunction(thing):
        held = f"Holds: {', '.join(thing)}." if isinstance(thing, dict) else f"``{' '.join(str(thing).split())}``"
        return f".. py:data:: {room}.{name}\n\n   {held}\n"
    kind = "autoclass" if inspect.isclass(thing) else "autofunction"
    more = "\n   :members:\n   :exclude-members: __init__, __new__" if kind == "autoclass" and not _is_alias(thing, name) else ""
    index = "" if _home(room, name) else "\n   :no-index:"
    return f".. {kind}:: {room}.{name}{more}{index}\n"


def _is_alias(thing, name):
    return getattr(thing, "__name__", name) != name


def _home(room, name):
    """Whether a name is indexed in this room: the first that has it, so that each name has one place."""
    return next(one for one in ROOMS if name in import_module(one).__all__) == room


def comments():
    """(class, field) -> the comment beside the field in recipe.py."""
    source = inspect.getsource(recipe)
    said = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return {
        (kind.name, item.target.id): " ".join(said[line] for line in range(item.lineno, item.end_lineno + 1) if line in said)
        for kind in ast.parse(source).body
        if isinstance(kind, ast.ClassDef)
        for item in kind.body
        if isinstance(item, ast.AnnAssign)
    }


def sections(kind, prefix=""):
    """(prefix, dataclass), the whole first."""
    yield prefix, kind
    for item in dataclasses.fields(kind):
        if dataclasses.is_dataclass(item.type):
            yield from sections(item.type, f"{prefix}.{item.name}" if prefix else item.name)


def attribute_docs(kind):
    """field -> the text that follows it in the class."""
    (body,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    pairs = zip(body.body, body.body[1:], strict=False)
    return {
        one.target.id: " ".join(after.value.value.split())
        for one, after in pairs
        if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


def table(header, rows):
    lines = [header, ["---"] * len(header), *([cell if cell.startswith("`") else markdown_line(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _command(name, parser, summary, level):
    found = [f"{'#' * level} {name}", to_markdown(parser.description if level == 2 else summary[0].upper() + summary[1:] + ".")]
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
    found.append(f"```text\n{usage}\n```")
    rows = [(_spelled(action), _help(action)) for action in parser._actions if _shown(action)]
    found += [table(("option", "meaning"), rows)] if rows else []
    inner = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
    if inner:
        said = {choice.dest: choice.help for choice in inner._choices_actions}
        found += [_command(f"{name} {action}", sub, said[action], level + 1) for action, sub in inner.choices.items()]
    return "\n\n".join(found)


def _actions(parser):
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction)).choices


def _shown(action):
    return not isinstance(action, argparse._SubParsersAction) and action.dest not in ("help", "debug", "json")


def _spelled(action):
    value = "" if action.nargs == 0 else action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    names = ", ".join(action.option_strings)
    return f"`{' '.join(part for part in (names, value) if part)}`".replace("|", r"\|")


def _help(action):
    return action.help or ""


def _default(item):
    value = item.default if item.default is not dataclasses.MISSING else item.default_factory()
    return {None: "null", True: "true", False: "false"}.get(value, value) if not isinstance(value, list | dict) else value or str(value)


def _first_sentence(kind):
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split()).split(". ")[0]


def _code(text):
    return text if text == "has none" else f"`{text}`"


def _type(kind):
    return (
        str(getattr(kind, "__name__", kind) if isinstance(kind, type) else kind).replace("limen.protocols.result.", "").replace("|", r"\|")
    )


FRAGMENTS = {
    "commands.md": commands,
    "recipe.md": settings,
    "names.md": names,
    "recipes.md": recipes,
    "result.md": result_fields,
    "operating_point.md": lambda: _fields_of(OperatingPoint),
    "calibration.md": lambda: _fields_of(Calibration),
    "sidecar.md": sidecar,
    "alignment.md": alignment,
    "benchmarks.md": benchmarks,
}
"""What pages of docs/reference include."""
