"""Files of pairs, told apart by their suffix."""

from os import PathLike
from pathlib import Path

from limen.data.images import SIZE
from limen.data.pairs.bins import open_bin
from limen.data.pairs.lists import open_list
from limen.data.pairs.pair_set import PairSet
from limen.errors import LimenError


def open_pairs(
    path: str | PathLike[str], images: str | PathLike[str] | None = None, size: int = SIZE, on_other_size: str = "refuse"
) -> PairSet:
    """The pairs in a `.bin` file or a text list in the format of LFW's pairs.txt, named after the file.

    A `.bin` is a pickle, of Python 2 or 3, of (2P encoded images, P flags), pair i being images 2i and 2i + 1. It is read without
    running anything in it. Images with the same bytes count as one; subjects are the groups joined by mated pairs. An image that
    cannot be decoded raises UnreadableImage only from `source.image`.

    A list has lines `name i j` (mated) and `name i other j`, fields apart by tabs or spaces, under an optional header `folds n`
    (each fold n mated and n non-mated pairs) or `n` (one such block). The images are images/name/name_0001.jpg, or name_1.jpg,
    or with another suffix; where i is a file name and no number, images/name/i. Or it has lines `path other 1` (mated) and `path other 0`,
    paths below `images`; it names no people, and subjects are groups as in a .bin. Names and paths that are not there as they are written
    are found in another case or with accents composed otherwise, and a LimenWarning counts them.

    Args:
        path: the .bin or .txt file.
        images: the folder of the images of a list; not for a .bin.
        size: side of the images in pixels.
        on_other_size: what to do with an image of another size: "refuse" or "resize" (see decode_image).

    Raises:
        LimenError: a file that is missing, damaged, hostile or of another kind, or a list whose images are missing.
    """
    path = Path(path)
    if not path.exists():
        raise LimenError(f"{path}: no such file; give a .bin file of pairs or a list like LFW's pairs.txt")
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return open_bin(path, size, on_other_size)
    if suffix != ".txt":
        raise LimenError(f"{path}: is neither .bin nor .txt; give a .bin file of pairs or a list like LFW's pairs.txt")
    if images is None:
        raise LimenError(f"{path}: lists names only; give the folder of their images too (--images DIR)")
    return open_list(path, Path(images), size, on_other_size)
