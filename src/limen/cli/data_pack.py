"""`limen data pack --raw`: faces as plain pixels, read without a decoder. `convert` keeps encoded bytes; this decodes them."""

import argparse
from typing import Any

from limen.cli.progress import progress_bar
from limen.data import open_source
from limen.data.readers.raw import pack_raw
from limen.data.source import READERS, reader_of
from limen.errors import LimenError


def add_pack(actions: Any) -> None:
    pack = actions.add_parser("pack", help="write faces as raw shards: decoded once, then read without a decoder")
    pack.add_argument("path", metavar="PATH", help="a folder of people, a train.rec, ...")
    pack.add_argument("--raw", action="store_true", help="plain pixels, 37,632 bytes an image")
    pack.add_argument("--reader", help=f"{', '.join(READERS)}, or package.module:Class (told by PATH)")
    pack.add_argument("--out", required=True, metavar="DIR", help="a new folder")


def pack(options: argparse.Namespace) -> dict[str, Any]:
    if not options.raw:
        raise LimenError("limen data pack: raw shards are the one form it writes; add --raw")
    source = open_source(options.reader or reader_of(options.path), options.path)
    with progress_bar("packing") as progress:
        unreadable = pack_raw(source, options.out, progress)
    return {
        "out": options.out,
        "images": len(source) - len(unreadable),
        "people": len(source.class_names),
        "left_out": len(unreadable),
        "unreadable_images": unreadable,
    }
