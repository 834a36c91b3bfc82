"""The memory that `margin_softmax` takes, by the same rules by which it takes it."""

from limen.functional.margin_softmax.blocks import block_size, kept_classes, strip_size
from limen.functional.margin_softmax.kernels import DTYPES, SPAN, TILE

PARTIAL = 12  # bytes of the sum, the maximum and its place of a tile and a sample


def pass_memory(
    count: int,
    batch: int,
    size: int,
    implementation: str = "auto",
    device_type: str = "cpu",
    gated: bool = False,
    hardest: bool = False,
    in_place: bool = True,
    element_size: int = 4,
) -> dict[str, int]:
    """Bytes of the arrays of a forward and backward pass with an update, by name: of `batch` samples and `count` classes that take part.

    Args:
        size: D, of an embedding.
        gated, hardest: whether there is a gate, and whether the hardest negatives are asked for.
        in_place: whether the centres take part where they lie: all of them, in the precision of the products.
    """
    kept = kept_classes(implementation, count, batch, element_size, device_type)
    block = min(block_size(batch, device_type), count)
    logits = (kept < count or hardest) + 4 * gated  # (B, block): what is not kept, and what the gate makes
    fetched = 0 if in_place else block
    gradient = 2 * strip_size(size, element_size, device_type, block)  # of the centres, and its product with them
    return {
        "kept exponentials": kept * batch * element_size,
        "blocks of classes": (logits * batch * block + (fetched + gradient) * size) * element_size,
        "norms of the active centres": count * element_size,
        "embeddings and their gradient": 9 * batch * size * element_size,  # raw, of length one, scaled; own centres; the sums that go back
    }


def in_tiles(precision: str, device_type: str, center_bytes: int) -> bool:
    """Whether the pass goes in tiles, kernels being there where it can."""
    return precision != "float32" or (device_type == "cuda" and center_bytes == 4)


def tiled_memory(
    count: int, held: int, batch: int, size: int, implementation: str, device_type: str, precision: str, center_bytes: int, active: bool
) -> dict[str, int]:
    """Bytes of the arrays of the pass in tiles, by name: of `batch` samples and `count` of `held` classes, `active` if chosen."""
    item = DTYPES[precision].itemsize
    kept = kept_classes(implementation, count, batch, item, device_type)
    block = min(block_size(batch, device_type), count)
    recomputed, logits = (kept < count) * block * batch * item, (precision == "float32") * block * batch * 4
    return {
        "kept exponentials": kept * batch * item,
        "centres as the products read them": held * size * item * (center_bytes != item),
        "norms of the centres": 4 * (held + active * count),
        "partial results of tiles": -(-min(count, SPAN) // TILE) * batch * PARTIAL,
        "blocks of classes": recomputed + logits + block * size * (4 + active * item),
        "own classes of the batch": batch * (batch * 13 + size * 4) + 4 * count,
        "embeddings and their gradient": 11 * batch * size * 4,
    }
