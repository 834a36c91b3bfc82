"""The head as a surface: a stack of ellipses with a relief of Gaussian bumps, seen in parallel projection.

A point of the surface is a longitude phi (0 is the front) and a height y (down, the eyes at 0). At height y the ellipse has half width w(y)
and half depth d(y), so yawed by psi it is seen at  u = w sin(phi) cos(psi) + d cos(phi) sin(psi) = A sin(phi + delta)  with
A = hypot(w cos(psi), d sin(psi)), tan(delta) = d sin(psi) / (w cos(psi)): a pixel finds its longitude in closed form, at any yaw.
"""

from dataclasses import dataclass
from math import cos, sin

import cv2
import numpy as np

from limen.data.synthetic.identity import Identity

TOP, BOTTOM, STEP = -76.0, 84.0, 0.5
HEIGHTS = np.arange(TOP, BOTTOM, STEP, dtype=np.float32)
RADIUS, SPAN = 40.0, 1.75  # texture column: RADIUS pixels to the radian, longitudes -SPAN to SPAN
COLUMNS = np.arange(-RADIUS * SPAN, RADIUS * SPAN + 1, dtype=np.float32)
ROWS = np.arange(TOP, BOTTOM, dtype=np.float32)
WIDEST = -8.0


def superellipse(t: np.ndarray, power: float, root: float) -> np.ndarray:
    """(1 - t^power)^(1/root) for t >= 0, negative beyond t = 1."""
    rest = 1 - t**power
    return np.sign(rest) * np.abs(rest) ** (1 / root)


def bumps(table: np.ndarray) -> np.ndarray:
    """Sum of separable Gaussians on the texture's grid, (rows, columns); one row of the table each: x, y, sigma x, sigma y, height."""
    x, y, sigma_x, sigma_y, height = np.asarray(table, dtype=np.float32).T[:, :, None]
    return (height * np.exp(-0.5 * ((ROWS - y) / sigma_y) ** 2)).T @ np.exp(-0.5 * ((COLUMNS - x) / sigma_x) ** 2)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (3, ...) scaled to length one."""
    return vectors / np.sqrt(np.square(vectors).sum(0))


def mirrored(x: float, *rest: float) -> list[tuple[float, ...]]:
    """The same bump on both sides."""
    return [(-x, *rest), (x, *rest)]


def entry(y: np.ndarray) -> np.ndarray:
    """Which entry of a table over HEIGHTS holds for heights y; beyond its ends where y is."""
    return ((y - np.float32(TOP)) * np.float32(1 / STEP)).astype(np.intp)


def sample(texture: np.ndarray, phi: np.ndarray, y: np.ndarray, density: float = 1.0) -> np.ndarray:
    """A texture, given with `density` texels to the pixel, read at points of the surface."""
    column = (phi + np.float32(SPAN)) * np.float32(RADIUS * density)
    row = (y - np.float32(TOP)) * np.float32(density)
    return cv2.remap(texture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Shell:
    """A stack of ellipses: half widths and half depths at HEIGHTS, negative where there is none; and an optional relief over it."""

    width: np.ndarray
    depth: np.ndarray
    relief: np.ndarray | None = None

    def normals(self) -> np.ndarray:
        """Unit normals on the texture's grid, (rows, columns, 3): right, down, towards the viewer."""
        every = round(1 / STEP)
        w, d = np.maximum(self.width, 2.0), np.maximum(self.depth, 2.0)
        slope_w, slope_d = (np.gradient(table, STEP)[::every, None] / table[::every, None] for table in (w, d))
        phi = COLUMNS / np.float32(RADIUS)
        s, c = np.sin(phi), np.cos(phi)
        normal = unit(np.stack([s / w[::every, None], -(s**2 * slope_w + c**2 * slope_d), c / d[::every, None]]))
        if self.relief is not None:
            rise_y, rise_x = np.gradient(self.relief)
            normal = unit(normal - np.stack([rise_x * c, rise_y, -rise_x * s]))
        return cv2.merge(tuple(normal))

    def project(self, x: np.ndarray, y: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
        """Where points of the texture (x in its pixels) are seen: complex u + iv, (n,)."""
        phi = np.asarray(x) / RADIUS
        w, d = (np.interp(y, HEIGHTS, table) for table in (self.width, self.depth))
        if self.relief is not None:
            lift = sample(self.relief, phi.astype(np.float32), np.asarray(y, dtype=np.float32))[:, 0]
            w, d = w + lift, d + lift
        right, front = w * np.sin(phi), d * np.cos(phi)
        towards = front * cos(yaw) - right * sin(yaw)
        return right * cos(yaw) + front * sin(yaw) + 1j * (y * cos(pitch) + towards * sin(pitch))

    def trace(self, u: np.ndarray, v: np.ndarray, yaw: float, pitch: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What pixels at (u, v) see, float32 arrays of one shape: longitude, height, and a cover that falls from 1 to 0 at the outline."""
        reach = np.hypot(self.width * cos(yaw), self.depth * sin(yaw)) * np.sign(self.width)
        turn = np.arctan2(self.depth * sin(yaw), np.maximum(self.width, 0.5) * cos(yaw)).astype(np.float32)
        softness = (1 / np.hypot(1, np.gradient(reach, STEP))).astype(np.float32)
        reach, sink, rise = reach.astype(np.float32), np.float32(sin(pitch)), np.float32(1 / cos(pitch))
        square = (reach * np.abs(reach)).take(entry((v - np.float32(RADIUS * 0.85) * sink) * rise), mode="clip")
        y = (v - np.sqrt(np.maximum(square - u * u, 0)) * sink) * rise
        at = entry(y)
        across, turned, softness = (table.take(at, mode="clip") for table in (reach, turn, softness))
        cover = ((across - np.abs(u)) * softness + np.float32(0.5)).clip(0, 1)
        across = np.maximum(across, np.float32(0.5))
        phi = np.arcsin((u / across).clip(-1, 1)) - turned
        if self.relief is not None:
            lift = sample(self.relief, phi, y)
            phi = np.arcsin(((u - lift * np.sin(phi + np.float32(yaw))) / across).clip(-1, 1)) - turned
            y = y - lift * sink
        return phi, y, cover


def head_shell(person: Identity) -> Shell:
    """Skull, cheeks and jaw with the relief of the face."""
    below, above = np.maximum(HEIGHTS - WIDEST, 0) / (person.chin - WIDEST), np.maximum(WIDEST - HEIGHTS, 0) / (WIDEST - person.crown)
    skull = np.where(HEIGHTS < WIDEST, superellipse(above, 2.2, 2.0), 1)
    width = person.width * np.where(HEIGHTS < WIDEST, skull, superellipse(below, person.jaw_taper, person.jaw_round))
    depth = person.width * 0.95 * np.where(HEIGHTS < WIDEST, skull, superellipse(below, 5.0, 2.5))
    tip, wing, bridge = person.nose_length, person.nose_width, person.nose_height * person.nose_bridge
    mouth, eye = person.mouth_height, person.eye_spacing
    table = [
        *((0, tip * k / 4, 2.6 + 0.25 * k, tip / 5.5, 0.34 * (bridge + (person.nose_height - bridge) * k / 4)) for k in range(4)),
        (0, tip - 1, 0.48 * wing, 3.4, 0.62 * person.nose_height),
        *mirrored(0.66 * wing, tip + 0.8, 0.3 * wing, 2.8, 0.3 * person.nose_height),
        *mirrored(eye, 0, 8, 6, -person.socket),
        *mirrored(eye, 0.5, 5.5, 3.6, 0.55 * person.socket),
        *mirrored(0.8 * eye, -person.brow_height - 1, 8, 4, person.brow_ridge),
        *mirrored(27, 15, 9, 8, person.cheekbone),
        (0, mouth, 11, 8, 2.0),
        (0, mouth - 1.6, 8, 1.7, 0.3 * person.upper_lip),
        (0, mouth + 2.6, 7, 1.9, 0.34 * person.lower_lip),
        (0, mouth + 8, 7, 2.6, -1.0),
        (0, person.chin - 8, 8, 5, person.chin_relief),
    ]
    return Shell(width.astype(np.float32), depth.astype(np.float32), bumps(np.array(table)))


def hair_shell(person: Identity, length: float) -> Shell:
    """The surface of the hair: the skull's, thicker by the hair's volume, and as wide as the head down to `length`."""
    thick = person.hair_volume
    above = np.maximum(WIDEST - HEIGHTS, 0) / (WIDEST - person.crown + thick)
    below = np.maximum(HEIGHTS - WIDEST, 0) / (length - WIDEST)
    profile = np.where(HEIGHTS < WIDEST, superellipse(above, 2.2, 2.0), superellipse(below, 4.0, 2.0))
    width = (person.width + 0.6 * thick) * profile
    return Shell(width.astype(np.float32), width.astype(np.float32))
