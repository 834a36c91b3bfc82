"""One bundle file and a model card, in a folder or on the Hugging Face Hub.

  limen publish model.safetensors --results report/result.json --out card/
  limen publish model.safetensors --results report/result.json --to hf://owner/name --private

The card is made from the bundle and from results of it: what it is, what it was trained on, licence, intended use, figures with their
intervals, hashes. Results of another model file are refused. Hashes of people's names, which training and calibration keep, are left
out. Look at the card in a folder before it goes out. Others then load the model as hf://owner/name or, at one state of it, hf://owner/name@revision.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.files import file_sha256, write_text
from limen.models.bundle import Bundle, load_bundle, save_bundle
from limen.models.hub import BUNDLE, local_file, repository, upload
from limen.models.model import graph_format
from limen.protocols import load_results
from limen.report.card import model_card

CARD = "README.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote")
    parser.add_argument("--results", nargs="*", default=[], metavar="FILE", help="result.json of `limen evaluate` of this bundle")
    parser.add_argument("--out", metavar="DIR", help="write model and card there")
    parser.add_argument("--to", metavar="hf://OWNER/NAME", help="send them to the Hub")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--intended-use", metavar="TEXT", help="in place of the card's own words")


def run(options: argparse.Namespace) -> dict[str, Any]:
    if bool(options.out) == bool(options.to):
        raise LimenError("give one of --out DIR and --to hf://owner/name")
    if graph_format(options.model):
        raise LimenError(f"{options.model}: a bundle is published, which `limen export` turns into this anywhere; name the .safetensors")
    where = repository(options.to) if options.to else None
    if options.to and where is None:
        raise LimenError(f"--to {options.to}: it is no address on the Hub; write hf://owner/name")
    bundle = load_bundle(options.model)
    facts = bundle.facts
    results = [result for path in options.results for result in load_results(path)]
    address = f"hf://{where.name}" if where else BUNDLE
    card = model_card(facts, results, address, options.intended_use)
    names = bool(bundle.people_sha256) or any(point.people_sha256 for point in bundle.operating_points)
    result = {"model_sha256": facts["sha256"], "results": len(results), "licence": facts["licence"], "names_left_out": names}
    write = partial(_write_without_names, bundle) if names else partial(_write, options.model)
    if where is None:
        write(card, Path(options.out))
        return result | {"out": options.out}
    with tempfile.TemporaryDirectory() as folder:
        write(card, Path(folder))
        return result | {"out": upload(Path(folder), where, options.private)}


def _write(model: str, card: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / BUNDLE).resolve() != (bundle := local_file(model)).resolve():
        shutil.copyfile(bundle, folder / BUNDLE)
    write_text(folder / CARD, card)


def _write_without_names(bundle: Bundle, card: str, folder: Path) -> None:
    """Without the hashes of people's names: whoever has a list of names could tell who was in the data."""
    if (folder / BUNDLE).exists() and file_sha256(folder / BUNDLE) == bundle.sha256:
        raise LimenError(f"{folder}: holds the model itself, whose hashes of people's names are not to be published; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    points = tuple(replace(point, people_sha256=()) for point in bundle.operating_points)
    published = save_bundle(folder / BUNDLE, replace(bundle, operating_points=points, people_sha256=()))
    write_text(folder / CARD, card.replace(str(bundle.sha256), published))


def text(result: dict[str, Any]) -> str:
    remark = "" if result["results"] else "; no figures in it: add --results"
    names = "\nleft out: the hashes of people's names that it kept" if result["names_left_out"] else ""
    return f"licence: {result['licence']}{remark}{names}\n{result['out']}"
