"""Floor 0: pure functions on tensors, without state."""

from limen.functional.cosine import add_angle, keep_peak, multiply_angle, sine
from limen.functional.margin_softmax import MarginSoftmax, margin_softmax, margin_softmax_naive

__all__ = ["MarginSoftmax", "add_angle", "keep_peak", "margin_softmax", "margin_softmax_naive", "multiply_angle", "sine"]
