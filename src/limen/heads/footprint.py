"""What the head takes on one of several ranks, before there is one: bytes of its arrays, and bytes that it sends in a step."""

import math
from dataclasses import dataclass

from limen.errors import LimenError
from limen.functional.margin_softmax.blocks import block_size, kept_classes, strip_size
from limen.functional.margin_softmax.footprint import in_tiles, pass_memory, tiled_memory
from limen.functional.margin_softmax.kernels import DTYPES
from limen.heads.center_sgd import update_memory
from limen.heads.centers import DRAWN_TOGETHER
from limen.heads.samplers.base import FLOAT, LONG, ClassSampler, Shares


@dataclass(frozen=True)
class HeadSetup:
    """What decides them. Per rank: `held` classes of the C in all, of which `active` take part in a step, and `images` of the batch."""

    classes: int
    ranks: int
    batch: int
    size: int  # of an embedding
    center_bytes: int  # of one value
    momentum: bool
    margins_per_class: int
    gated: bool
    sampler: ClassSampler | None
    implementation: str
    device_type: str
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.sampler is not None and self.sampler.share is None:
            name = type(self.sampler).__name__
            raise LimenError(f"head.sampler.name: how many classes {name} chooses is not known; plan with PartialFC of that rate")

    @property
    def held(self) -> int:
        return -(-self.classes // self.ranks)

    @property
    def images(self) -> int:
        return self.batch // self.ranks

    @property
    def active(self) -> int:
        """At most: a batch of more classes than the sampler's share brings its own."""
        if self.sampler is None or self.sampler.share is None:
            return self.held
        return max(math.ceil(round(self.sampler.share * self.held, 6)), min(self.batch, self.held))

    @property
    def kept(self) -> int:
        """Classes whose exponentials stay for the backward pass."""
        item = DTYPES[self.precision].itemsize if self.in_tiles else FLOAT
        return kept_classes(self.implementation, self.active, self.batch, item, self.device_type)

    @property
    def in_tiles(self) -> bool:
        return in_tiles(self.precision, self.device_type, self.center_bytes)

    @property
    def strip(self) -> int:
        """Centres that are updated together."""
        return strip_size(self.size, FLOAT, self.device_type, min(block_size(self.batch, self.device_type), self.active))

    @property
    def shares(self) -> Shares:
        return Shares(self.classes, self.held, self.active, self.ranks, self.batch, self.size, self.kept == self.active)

    def memory(self) -> dict[str, int]:
        """Bytes of the arrays on the rank that holds most classes, at the height of a step; what is 0 is left out."""
        centers = self.held * self.size * self.center_bytes
        in_place = self.sampler is None and self.center_bytes == FLOAT
        hardest = self.sampler is not None and self.sampler.hardest > 0
        sampled = self.sampler is not None
        passed = (
            tiled_memory(
                self.active,
                self.held,
                self.batch,
                self.size,
                self.implementation,
                self.device_type,
                self.precision,
                self.center_bytes,
                sampled,
            )
            if self.in_tiles
            else pass_memory(self.active, self.batch, self.size, self.implementation, self.device_type, self.gated, hardest, in_place)
            | {"update of a strip of centres": update_memory(self.strip, self.size, self.center_bytes, in_place)}
        )
        items = {
            "class centres": centers,
            "momentum of the centres": centers * self.momentum,
            # value, momentum, gradient, and the two parts whose sum that is
            "class margins": self.margins_per_class * self.held * FLOAT * (4 + self.momentum),
            **passed,
            # two blocks at the start, on the CPU, whose allocator keeps them
            "draws of the centres": 2 * min(DRAWN_TOGETHER, self.held) * self.size * FLOAT * (self.device_type == "cpu"),
        }
        items |= {} if self.sampler is None else self.sampler.memory(self.shares)
        return {name: size for name, size in items.items() if size}

    def traffic(self) -> dict[str, int]:
        """Bytes that a rank sends in a step, by ring: (K-1) n for gathering n from each, 2 (K-1)/K n for the sum of n."""
        others, batch, summed = self.ranks - 1, self.batch, self.shares.summed
        if not others:
            return {}
        back = others * self.images * self.size * FLOAT
        vectors = others * (self.images * (FLOAT + LONG) + batch * (2 * FLOAT + LONG)) + summed(2 * batch * FLOAT)
        if self.margins_per_class:
            vectors += summed(3 * batch * FLOAT + FLOAT)  # the margined cosines, the gradients of cosine and norm, the regulariser
        items = {
            "embeddings": back,
            # gloo's reduce-scatter sends the whole sum to every rank
            "gradient of the embeddings": summed(batch * self.size * FLOAT) if self.device_type == "cpu" else back,
            "vectors of the batch": vectors,
        }
        return items | ({} if self.sampler is None else self.sampler.traffic(self.shares))
