"""List the benchmarks that limen reads: what a folder must hold, what is counted in the published set, and where people get it.

limen protocols
limen protocols cfp-fp
limen evaluate model.safetensors --on lfw:data/lfw cfp-fp:data/cfp_fp.bin --out report/
"""

import argparse
from typing import Any

from limen.protocols.layouts import all_layouts, layout_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="one benchmark (all)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    found = [layout_of(options.name)] if options.name else list(all_layouts())
    return {"protocols": [layout.record() for layout in found]}


def text(result: dict[str, Any]) -> str:
    return "\n\n".join("\n".join(_lines(record)) for record in result["protocols"])


def _lines(record: dict[str, Any]) -> list[str]:
    counts = ", ".join(f"{count:,} {what}" for what, count in record["expected counts"].items())
    return [
        f"{record['name']}   {record['title']} ({record['kind']})",
        "  the folder holds:",
        *(f"    {name}   {what}" for name, what in record["holds"].items()),
        *([f"  or {record['also accepted']}"] if record["also accepted"] else []),
        *([f"  in the published set: {counts}"] if counts else []),
        f"  images as people hold them: {record['images']}" + ("; align them to 112x112 first" if record["images"] == "raw" else ""),
        f"  from: {record['people get it from']}",
    ]
