"""Eight-bit weights and activations: ONNX Runtime's static quantisation, its ranges from images of faces.

Weights keep seven of their bits: a CPU without VNNI adds two products of eight bits in sixteen, and cuts the sum off. ReLU and Clip are
quantised too, so that a convolution before one gets the range that is left after it. What did not help stands in docs/LOG.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError

FEWEST, MOST, BATCH = 125, 500, 20
QUANTISED = ["Conv", "Gemm", "MatMul", "Relu", "Clip"]


def calibration_images(images: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Of the images given, those that set the ranges and those that judge the result: one in five. Raises LimenError for too few."""
    count = 0 if images is None else len(images)
    if images is None or count < FEWEST:
        raise LimenError(
            f"int8: {count} images of faces are too few to set the ranges of the activations; give {FEWEST} or more (--images DIR)"
        )
    judging = np.arange(count) % 5 == 4
    return images[~judging][:MOST], images[judging]


def quantise(path: Path, out: Path, inputs: np.ndarray) -> None:
    """Writes the network of the ONNX file `path` in eight bits; `inputs` (N, ...) are what it takes."""
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise LimenError(f"int8 needs onnxruntime ({error}); pip install 'limen[export]'") from error

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[Any] = iter(inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"image": batch}

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)  # folds the batch norms into the convolutions
    quantize_static(
        str(prepared),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
