"""The angular arithmetic of the margins, with gradients that stay finite at |cos| = 1."""

import math
from functools import lru_cache

import torch
from torch import Tensor


def sine(cosine: Tensor) -> Tensor:
    """sin(acos(cosine)) >= 0. Where |cosine| = 1 to rounding the gradient is 0 instead of infinite (released heads give NaN there).

    >>> import torch
    >>> from limen.functional import sine
    >>> sine(torch.tensor([0.6, 0.0]))
    tensor([0.8000, 1.0000])
    """
    return (1 - cosine * cosine).clamp_min(torch.finfo(cosine.dtype).eps).sqrt()


def add_angle(cosine: Tensor, angle: Tensor | float, past_peak: str = "paper") -> Tensor:
    """cos(theta + angle) with theta = acos(cosine), up to an angle that `past_peak` chooses. Shapes (B,) and (B,) or a number; radians.

    What the margin costs, cosine - cos(theta + angle), is largest at theta = pi / 2 - angle / 2 and falls beyond. `past_peak`:
        "keep": the largest cost, 2 sin(angle / 2), stays: cosine - 2 sin(angle / 2) beyond the peak. Continuously differentiable.
        "paper": ArcFace's branch: cosine - angle * sin(angle) where theta + angle > pi. It falls with theta, and costs less than the peak.
        "released": no branch, as in ElasticFace's release: it rises again where theta + angle > pi.

    >>> import torch
    >>> from limen.functional import add_angle
    >>> cosine = torch.tensor([0.7, -1.0])
    >>> add_angle(cosine, 0.5)  # ArcFace; beyond pi - 0.5 it is cosine - 0.5 sin(0.5)
    tensor([ 0.2719, -1.2397])
    >>> add_angle(cosine, 0.5, past_peak="keep")
    tensor([ 0.2719, -1.4948])
    """
    along, across = (angle.cos(), angle.sin()) if isinstance(angle, Tensor) else (math.cos(angle), math.sin(angle))
    turned = cosine * along - sine(cosine) * across
    if past_peak == "released":
        return turned
    if past_peak == "keep":
        return keep_peak(cosine, angle, turned)
    return torch.where(cosine > -along, turned, cosine - angle * across)


def keep_peak(cosine: Tensor, angle: Tensor | float, turned: Tensor) -> Tensor:
    """`turned`, which is cos(theta + angle), up to the angle where a margin costs most, and cosine - 2 sin(angle / 2) beyond it.

    At the peak both have the value -sin(angle / 2) and the slope 1 in the cosine. A negative angle has no such peak and stays `turned`.

    >>> import torch
    >>> from limen.functional import keep_peak
    >>> cosine = torch.tensor([0.7, -1.0])
    >>> keep_peak(cosine, 0.5, (torch.acos(cosine) + 0.5).cos())  # add_angle(cosine, 0.5, past_peak="keep")
    tensor([ 0.2719, -1.4948])
    """
    half = (angle / 2).sin() if isinstance(angle, Tensor) else torch.tensor(math.sin(angle / 2), dtype=cosine.dtype, device=cosine.device)
    return torch.where((half > 0) & (cosine < half), cosine - 2 * half, turned)


def multiply_angle(cosine: Tensor, factor: float, past_peak: str = "paper") -> Tensor:
    """SphereFace's psi(theta) = (-1)^k cos(factor * theta) - 2k with k = floor(factor * theta / pi): monotonic over [0, pi]. Shape (B,).

    What it costs, cosine - psi, rises to a first peak before factor * theta = pi, falls beyond, and rises again. `past_peak`:
        "paper": as it is.
        "keep": the cost of that peak stays: cosine - cost beyond it. Continuously differentiable.

    >>> import torch
    >>> from limen.functional import multiply_angle
    >>> multiply_angle(torch.tensor([1.0, 0.0, -1.0]), 2.0)  # cos(2 theta), then continued to stay monotonic
    tensor([ 1.0000, -1.0000, -3.0000])
    """
    turned = factor * torch.atan2(sine(cosine), cosine)
    k = (turned.detach() / math.pi).floor()
    psi = torch.where(k % 2 == 0, 1.0, -1.0) * turned.cos() - 2 * k
    if past_peak == "paper" or factor <= 1:
        return psi
    peak = _first_peak(factor)
    return torch.where(cosine < math.cos(peak), cosine - (math.cos(peak) - math.cos(factor * peak)), psi)


@lru_cache
def _first_peak(factor: float) -> float:
    """The angle in (0, pi / factor) at which cos(theta) - cos(factor * theta) is largest, for a factor above 1: where its slope,
    factor * sin(factor * theta) - sin(theta), changes its sign. By bisection."""
    low, high = 0.0, math.pi / factor
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if factor * math.sin(factor * middle) > math.sin(middle) else (low, middle)
    return low
