"""Generate synthetic faces as a folder, or look at what a source of faces holds.

limen data synthesize --identities 100 --images 20 --out faces/
limen data inspect faces/
limen data inspect train.rec --reader recordio --check
"""

import argparse
from typing import Any

import numpy as np

from limen.cli.progress import progress_bar
from limen.data import open_source
from limen.data.source import READERS
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import UnreadableImage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = actions.add_parser("synthesize", help="write generated faces, one folder per person, and truth.csv")
    make.add_argument("--identities", type=int, default=100, help="people (100)")
    make.add_argument("--images", type=int, default=20, help="images of each (20)")
    make.add_argument("--seed", type=int, default=0, help="of the population (0)")
    make.add_argument("--first", type=int, default=0, help="number of the first person: other ranges are other people (0)")
    make.add_argument("--difficulty", type=float, default=1.0, help="0: frontal and clean; 1: pose, light, occlusion, poor quality (1)")
    make.add_argument("--out", required=True, metavar="DIR")
    look = actions.add_parser("inspect", help="people, images per person, unreadable images")
    look.add_argument("path", metavar="PATH")
    look.add_argument("--reader", default="folder", help=f"{', '.join(READERS)}, or package.module:Class (folder)")
    look.add_argument("--check", action="store_true", help="read every image")


def run(options: argparse.Namespace) -> dict[str, Any]:
    return _synthesize(options) if options.action == "synthesize" else _inspect(options)


def _synthesize(options: argparse.Namespace) -> dict[str, Any]:
    source = SyntheticFaces(options.identities, options.images, options.seed, options.first, options.difficulty)
    with progress_bar("drawing faces") as progress:
        path = save_folder(source, options.out, progress)
    return {"out": str(path), "identities": options.identities, "images": len(source)}


def _inspect(options: argparse.Namespace) -> dict[str, Any]:
    source = open_source(options.reader, options.path)
    sizes = np.bincount(source.labels, minlength=len(source.class_names))
    result = {"path": options.path, "identities": len(sizes), "images": len(source)}
    result |= {f"images_per_identity_{name}": int(value) for name, value in _spread(sizes).items()}
    if options.check:
        unreadable = []
        with progress_bar("reading") as progress:
            for index in range(len(source)):
                try:
                    source.image(index)
                except UnreadableImage as error:
                    unreadable.append(str(error))
                progress(index + 1, len(source))
        result |= {"unreadable": len(unreadable), "unreadable_images": unreadable}
    return result


def _spread(sizes: np.ndarray) -> dict[str, float]:
    return {"least": sizes.min(), "median": np.median(sizes), "most": sizes.max()}


def text(result: dict[str, Any]) -> str:
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items() if not isinstance(value, list)]
    return "\n".join([*lines, *result.get("unreadable_images", [])])
