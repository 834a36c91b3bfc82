"""The entries of an LMDB file, without LMDB: `mdb.c` of release 0.9 says how the file is laid out, on 64-bit little-endian machines.

A file is pages of one size. Pages 0 and 1 each describe the tree of entries, the newer of them as it is now. A page has a header, the
places of its nodes, and the nodes: in a branch a node leads to a page, in a leaf it is an entry. A value that is too large for a leaf
stands on pages of its own, in one piece, which the leaf names.

Only descriptions and leaves are read here, so a value can be read later at its place.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from limen.errors import LimenError
from limen.files import explain, read_at

PAGE = struct.Struct("<Q2xHHH")  # number, flags, lower, upper
BRANCH, LEAF, DESCRIPTION = 0x01, 0x02, 0x08
TREE = struct.Struct("<IHHQQQQQ")  # page size (of the first tree), flags, depth, pages of three kinds, entries, page of the root
ABOUT = struct.Struct("<II16x")  # magic number, version; then two trees, the last page and the number of the transaction
MAGIC, VERSION, NO_PAGE = 0xBEEFC0DE, 1, (1 << 64) - 1
NODE = struct.Struct("<HHHH")  # length of the value (or number of the page) in two parts, flags (or its third part), length of the key
ON_PAGES, DATABASE, SEVERAL = 0x01, 0x02, 0x04
FETCH = "fetch it again"


def lmdb_entries(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(key, first byte of the value, its length) of every entry, in the order of the keys.

    Raises LimenError for a file that is no LMDB, or is damaged, as far as its tree tells.
    """
    size, entries, found = os.fstat(file.fileno()).st_size, 0, 0
    try:
        page_size, entries, root = _newest(file)
        seen, waiting = set[int](), [] if root == NO_PAGE else [root]
        while waiting:
            number = waiting.pop()
            if number in seen or (number + 1) * page_size > size:
                raise ValueError(f"page {number} is {'used twice' if number in seen else 'missing'}")
            seen.add(number)
            data = read_at(file.fileno(), page_size, number * page_size)
            own, flags, lower, upper = PAGE.unpack_from(data)
            if own != number or flags & ~(BRANCH | LEAF) or not PAGE.size <= lower <= upper <= page_size:
                raise ValueError(f"page {number} is no page of its tree")
            nodes = struct.unpack_from(f"<{(lower - PAGE.size) // 2}H", data, PAGE.size)
            if flags & BRANCH:
                parts = [NODE.unpack_from(data, node) for node in nodes]
                waiting += [low | middle << 16 | high << 32 for low, middle, high, _ in reversed(parts)]
                continue
            for node in nodes:
                low, high, flags, key_length = NODE.unpack_from(data, node)
                start, length = node + NODE.size + key_length, low | high << 16
                if flags & (DATABASE | SEVERAL):
                    raise ValueError("it holds databases inside databases")
                if flags & ON_PAGES:
                    (first,) = struct.unpack_from("<Q", data, start)
                    place = first * page_size + PAGE.size
                else:
                    place = number * page_size + start
                if start > page_size or place + length > (size if flags & ON_PAGES else (number + 1) * page_size):
                    raise ValueError(f"an entry of page {number} ends after it")
                found += 1
                yield data[node + NODE.size : start], place, length
    except (ValueError, struct.error) as error:
        raise LimenError(f"{path}: is no LMDB file, or a damaged one ({error}); {FETCH}") from error
    except OSError as error:
        raise LimenError(f"{path}: {explain(error)}") from error
    if found != entries:
        raise LimenError(f"{path}: holds {found:,} of its {entries:,} entries; {FETCH}")


def _newest(file: BinaryIO) -> tuple[int, int, int]:
    """Page size, entries and root of the tree as the last transaction left it."""
    page_size, found = 0, list[tuple[int, int, int]]()
    for number in range(2):
        data = read_at(file.fileno(), PAGE.size + ABOUT.size + 2 * TREE.size + 16, number * page_size)
        _, flags, _, _ = PAGE.unpack_from(data)
        magic, version = ABOUT.unpack_from(data, PAGE.size)
        if magic != MAGIC or version != VERSION or not flags & DESCRIPTION:
            raise ValueError("it does not begin as one")
        trees = PAGE.size + ABOUT.size
        page_size = TREE.unpack_from(data, trees)[0]
        if page_size & (page_size - 1) or not 256 <= page_size <= 1 << 16:
            raise ValueError(f"pages of {page_size} bytes")
        _, flags, _, _, _, _, entries, root = TREE.unpack_from(data, trees + TREE.size)
        if flags:
            raise ValueError("its keys are of another kind than text")
        found.append((struct.unpack_from("<Q", data, trees + 2 * TREE.size + 8)[0], entries, root))
    _, entries, root = max(found)
    return page_size, entries, root
