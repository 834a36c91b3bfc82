"""One pass over the class centres."""

from limen.functional.margin_softmax.definition import MarginSoftmax, margin_softmax_naive
from limen.functional.margin_softmax.fused_pass import margin_softmax

__all__ = ["MarginSoftmax", "margin_softmax", "margin_softmax_naive"]
