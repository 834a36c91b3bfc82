"""The memory that `margin_softmax` takes, by the same rules by which it takes it."""

from limen.functional.margin_softmax.blocks import block_size, kept_classes, strip_size


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
