"""One pass over the class centres."""

from limen.functional.margin_softmax.fused_pass import MarginSoftmax, margin_softmax, margin_softmax_naive

__all__ = ["MarginSoftmax", "margin_softmax", "margin_softmax_naive"]
