"""A model card: what a model is, what it was trained on, what was measured of it, and what it is not for."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from limen.errors import LimenError
from limen.protocols import Result
from limen.report.show import interval_text, metric_text, metric_title

INTENDED = "Research on face recognition and face image quality, on images of people who agreed to it or of published research sets."
NOT_FOR = (
    "Not for deciding alone about a person. Rates differ between groups of people and cameras: choose the threshold on pairs like those it "
    "will meet (`limen evaluate`, `limen calibrate`). A feature vector is biometric data of a person."
)
USE = """```python
from limen import Embedder

embedder = Embedder.load("{address}")
vectors = embedder.embed(images).vectors  # aligned (N, {size}, {size}, 3) uint8 RGB
```"""


def model_card(facts: Mapping[str, Any], results: Sequence[Result], address: str, intended: str | None = None) -> str:
    """The card in Markdown, with the Hub's YAML in front.

    Args:
        facts: `facts` of the bundle.
        results: of evaluations of this very bundle.
        address: how to load it.

    Raises:
        LimenError: a result of another model.
    """
    for result in results:
        if result.switches.get("model_sha256") != facts["sha256"]:
            raise LimenError(f"--results: {result.label} is of another model file than this one; evaluate this one (limen evaluate)")
    architecture, preprocessing, training = facts["architecture"], facts["preprocessing"], facts["training"]
    head = {"library_name": "limen", "tags": ["face-recognition", "limen"], "license": "other", "license_name": facts["licence"]}
    sections = {
        "What it is": "\n".join(
            [
                f"- {architecture['name']}, {architecture['embedding_size']} numbers a face, {facts['parameters']:,} parameters",
                f"- {'with' if facts['quality_head'] else 'without'} a quality head",
                f"- takes aligned {preprocessing['size']}x{preprocessing['size']} faces ({preprocessing['alignment']}); limen scales them",
            ]
        ),
        "How to use it": USE.format(address=address, size=preprocessing["size"]),
        "Trained on": _listed(training) + ("\n\n" + _recipe(facts["recipe"]) if facts["recipe"] else ""),
        "Licence": facts["licence"],
        "Intended use": f"{intended or INTENDED}\n\n{NOT_FOR}",
        "Measured": _figures(results),
        "Hashes": _listed({name: facts[name] for name in ("sha256", "weights_sha256", "class_names_sha256", "source_sha256")}),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n# {address.removeprefix('hf://')}\n\n{body}\n"


def _listed(values: Mapping[str, Any]) -> str:
    lines = [f"- {name.replace('_', ' ')}: {value}" for name, value in values.items() if value is not None]
    return "\n".join(lines) or "Not stated."


def _recipe(recipe: Mapping[str, Any]) -> str:
    return "<details><summary>recipe</summary>\n\n```yaml\n" + yaml.safe_dump(dict(recipe), sort_keys=False) + "```\n\n</details>"


def _figures(results: Sequence[Result]) -> str:
    """A row for each number; an interval stands beside each that has one."""
    if not results:
        return "Nothing yet: `limen evaluate` writes a result.json, which `limen publish --results` takes."
    rows = [
        f"| {result.label} | {metric_title(metric)} | {metric_text(metric)} | {interval_text(metric)} |"
        for result in results
        for metric in result.where(variant=[])
        if metric.value is not None and metric.unit != "count"
    ]
    return "\n".join(["| set | figure | value | interval |", "|---|---|---|---|", *rows])
