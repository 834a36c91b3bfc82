"""A recogniser's network in a graph: images in, raw features and, where there is one, the quality out; tried out before it is trusted."""

from pathlib import Path

import numpy as np

from limen.errors import LimenError
from limen.models.graphs.graph import Graph, first_line
from limen.models.graphs.sidecar import Sidecar, sidecar_of, wrong_sidecar

DEPENDS = 0.01  # of a vector's length: rounding is below, networks quantised on the fly are near, BatchNorm in training mode far above


class Network:
    """A graph that takes (B, 3, size, size) float32, or with its preprocessing inside (B, size, size, 3) uint8 RGB.

    A foreign graph has one output, (B, D) float32. One that limen exported has `embedding` (B, D), a unit vector, `norm` (B,) and, of a
    model with a quality head, `quality` (B,).
    Raises LimenError for a graph that does not fit its sidecar, whose vectors depend on the batch, or are not finite.
    """

    def __init__(self, path: Path, graph: Graph, sidecar: Sidecar):
        self.path, self.graph, self.size, self.exported = path, graph, sidecar.preprocessing.size, sidecar.exported
        self.takes_pixels = sidecar.exported is not None and sidecar.exported.input == "uint8"
        first = graph.inputs[0].shape[:1] if graph.inputs else []
        self.fixed_batch = first[0] if first and isinstance(first[0], int) else None  # None where it takes any number of images
        self.outputs = [port.name for port in graph.outputs]
        self.has_quality = self.exported is not None and "quality" in self.outputs
        try:
            self._check_ports()
            self.embedding_size = self._probe()
        except LimenError as error:
            raise LimenError(f"cannot use {path}: {error}") from error

    def run(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, D) features and (B,) qualities. A fixed batch is filled up with blank images, whose rows are dropped."""
        count = len(inputs)
        if self.fixed_batch:
            inputs = np.concatenate([inputs, np.zeros((self.fixed_batch - count, *inputs.shape[1:]), inputs.dtype)])
        feature, quality = self._call(inputs)
        return feature[:count], None if quality is None else quality[:count]

    def _call(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        found = dict(zip(self.outputs, self.graph.call(inputs), strict=True))
        if self.exported is None:
            return found[self.outputs[0]], None
        return found["embedding"] * found["norm"][:, None], found.get("quality")

    def _check_ports(self) -> None:
        inputs, outputs = self.graph.inputs, self.graph.outputs
        wanted_outputs = 1 if self.exported is None else len(self.outputs)
        if len(inputs) != 1 or len(outputs) != wanted_outputs:
            remedy = f"onnx.utils.extract_model({self.path.name!r}, 'one.onnx', ['{inputs[0].name if inputs else ''}'], ['EMBEDDING'])"
            raise LimenError(f"it has inputs {_listed(inputs)} and outputs {_listed(outputs)}; keep one of each: {remedy}")
        if self.exported is not None and not {"embedding", "norm"} <= set(self.outputs):
            raise LimenError(f"it has outputs {_listed(outputs)}, not embedding and norm as `limen export` names them; export it again")
        kind, wanted = ("tensor(uint8)", (None, self.size, self.size, 3)) if self.takes_pixels else self._floats()
        shape = inputs[0].shape
        fits = len(shape) == 4 and all(not isinstance(a, int) or b is None or a == b for a, b in zip(shape, wanted, strict=True))
        if not fits or inputs[0].kind != kind:
            if inputs[0].kind == "tensor(float)" and shape[1:] == [3, shape[-1], shape[-1]]:
                reason = f"size: {self.size}, but the model's input is {_listed(inputs)}"
                raise wrong_sidecar(sidecar_of(self.path), reason, size=shape[-1])
            last = "; its channels stand last: export it with image.permute(0, 2, 3, 1) in front" if shape[3:] == [3] else "; export it so"
            raise LimenError(f"its input is {_listed(inputs)}, not {kind} [{', '.join(str(side or 'batch') for side in wanted)}]{last}")

    def _floats(self) -> tuple[str, tuple[int | None, ...]]:
        return "tensor(float)", (None, 3, self.size, self.size)

    def _probe(self) -> int:
        """The length of an embedding. Tries an image beside another and alone, or in a fixed batch beside others: it must give the same."""
        count, rng = self.fixed_batch or 2, np.random.default_rng(0)
        if self.takes_pixels:
            images = rng.integers(0, 256, (count + 1, self.size, self.size, 3), np.uint8)
        else:
            images = rng.uniform(-1, 1, (count + 1, 3, self.size, self.size)).astype(np.float32)
        images[0] = images[0] / 4  # of another contrast, which a network that looks at the whole batch cannot miss
        together = self._try(images[:count])
        alone = self._try(images[np.r_[0, 2 : count + 1]] if self.fixed_batch else images[:1])
        if not np.linalg.norm(alone[0] - together[0]) <= DEPENDS * np.linalg.norm(together[0]):
            raise LimenError(
                "what it gives for an image changes with the images beside it or from run to run; "
                "export it in eval mode, with the statistics of its BatchNorms fixed and without dropout"
            )
        return together.shape[1]

    def _try(self, images: np.ndarray) -> np.ndarray:
        count = len(images)
        try:
            output, _ = self._call(images)
        except Exception as error:  # the runtimes' exceptions have no base class of their own
            raise LimenError(f"it fails on {count} images ({first_line(error)}); export it again") from error
        if output.ndim != 2 or len(output) != count or output.dtype != np.float32:
            raise LimenError(f"for {count} images it gives {output.dtype} {list(output.shape)}, not float32 [{count}, D]; export it again")
        if not np.isfinite(output).all():
            raise LimenError("what it gives for images at random is not finite; export it again")
        return output


def _listed(ports: list) -> str:
    return ", ".join(map(str, ports))
