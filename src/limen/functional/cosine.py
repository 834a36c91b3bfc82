"""The angular arithmetic of the margins, with gradients that stay finite at |cos| = 1."""

import math

import torch
from torch import Tensor


def sine(cosine: Tensor) -> Tensor:
    """sin(acos(cosine)) >= 0. Where |cosine| = 1 to rounding the gradient is 0 instead of infinite (released heads give NaN there)."""
    return (1 - cosine * cosine).clamp_min(torch.finfo(cosine.dtype).eps).sqrt()


def add_angle(cosine: Tensor, angle: Tensor | float) -> Tensor:
    """cos(acos(cosine) + angle) while the sum stays below pi, and cosine - angle * sin(angle) past it.

    Shapes (B,) and (B,) or a number; radians. The second branch keeps the result falling with theta, as insightface does;
    ElasticFace's release has no such branch, so it differs for theta + angle > pi alone.
    """
    along, across = (angle.cos(), angle.sin()) if isinstance(angle, Tensor) else (math.cos(angle), math.sin(angle))
    turned = cosine * along - sine(cosine) * across
    return torch.where(cosine > -along, turned, cosine - angle * across)


def multiply_angle(cosine: Tensor, factor: float) -> Tensor:
    """SphereFace's psi(theta) = (-1)^k cos(factor * theta) - 2k with k = floor(factor * theta / pi): monotonic over [0, pi]. Shape (B,)."""
    turned = factor * torch.atan2(sine(cosine), cosine)
    k = (turned.detach() / math.pi).floor()
    return torch.where(k % 2 == 0, 1.0, -1.0) * turned.cos() - 2 * k
