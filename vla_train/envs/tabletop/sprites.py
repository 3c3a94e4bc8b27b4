"""Anti-aliased pictures of things, drawn once for every direction and sub-pixel offset, and pasted many at a time.

The distance to a rounded box is the one in Inigo Quilez, "2D distance functions" (iquilezles.org), without its inner term, which
an opaque fill does not need.
"""

import math
from functools import lru_cache

import numpy as np

from vla_train.envs.tabletop import shapes

TURNS = 64  # directions in a full turn
QUARTERS = 4  # enough for what stands along an axis
_COVER_BITS, _SHADE_BITS = 7, 6  # fixed-point: cover 0 to 128, shade 64 for 1


class Sheet:
    """The pictures of some variants of a thing.

    ``cover`` and ``shade`` are uint8 [variant, turn, y offset, x offset, patch, 3 patch]: each value stands three times, once for
    each channel, so that pasting runs over contiguous memory.
    """

    def __init__(self, parts: np.ndarray, reach: float, scale: float, turns: int = TURNS):
        """``parts`` float32 [variant, part, 6] in metres (see ``shapes``), none beyond ``reach``; ``scale`` pixels per metre;
        ``turns`` directions in a full turn.
        """
        self.turns = turns
        self.patch = math.ceil(2 * reach * scale) + 2
        self.offsets = 4 if scale <= 96 else 2 if scale <= 256 else 1  # per pixel and axis: finer than 3 mm
        shape = (len(parts), turns, self.offsets, self.offsets)
        variant, turn, down, across = (index.ravel() for index in np.indices(shape))
        cover, shade = draw_parts(
            parts[variant] * np.array([scale] * 5 + [1], np.float32),
            turn * (2 * np.pi / turns),
            (across + 0.5) / self.offsets,
            (down + 0.5) / self.offsets,
            self.patch,
        )
        self.cover = _fixed(cover, _COVER_BITS).reshape(*shape, self.patch, 3 * self.patch)
        self.shade = _fixed(shade, _SHADE_BITS).reshape(*shape, self.patch, 3 * self.patch)

    def paste(
        self,
        canvas: np.ndarray,
        index: np.ndarray,
        column: np.ndarray,
        row: np.ndarray,
        angle: np.ndarray,
        variant: np.ndarray,
        colour: np.ndarray,
    ) -> None:
        """Paste one thing into each of k different pictures of ``canvas`` uint8 [n, y, 3 x], in place.

        ``index`` [k] says which; its centre lies at (``column``, ``row``) in pixels, half a patch or more from the edges;
        ``angle`` in radians; ``colour`` int16 [k, 3].
        """
        left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
        across = ((column - left) * self.offsets).astype(np.int64)
        down = ((row - top) * self.offsets).astype(np.int64)
        which = (variant, np.round(angle * (self.turns / (2 * np.pi))).astype(np.int64) % self.turns, down, across)
        where = (index, top - self.patch // 2, (left - self.patch // 2) * 3)
        windows = np.lib.stride_tricks.sliding_window_view(canvas, (self.patch, 3 * self.patch), axis=(1, 2), writeable=True)
        below = windows[where].astype(np.int16)
        ink = self.shade[which].astype(np.int16)
        ink *= np.tile(colour, self.patch)[:, None, :]
        ink >>= _SHADE_BITS
        ink -= below
        ink *= self.cover[which]
        ink >>= _COVER_BITS
        below += ink
        windows[where] = below


def _fixed(values: np.ndarray, bits: int) -> np.ndarray:
    """Fixed-point uint8 of [k, y, x], each value three times in a row."""
    fixed: np.ndarray = np.round(values * 2**bits).astype(np.uint8)
    return fixed.repeat(3, axis=-1)


@lru_cache(maxsize=16)
def object_sheet(scale: float) -> Sheet:
    """One variant for each shape. Sheets are shared by all environments and never written to."""
    return Sheet(shapes.PARTS, shapes.REACH, scale)


@lru_cache(maxsize=4)  # a sheet of five sizes takes 35 to 120 MB
def sized_object_sheet(scale: float, sizes: tuple[float, ...]) -> Sheet:
    """One variant for each shape and size: shape 0 in all sizes, shape 1 in all sizes, and so on."""
    lengths = np.array([[size] * 5 + [1] for size in sizes], np.float32)  # the last of a part's numbers is its shade
    parts = (shapes.PARTS[:, None] * lengths[:, None]).reshape(-1, *shapes.PARTS.shape[1:])
    return Sheet(parts, shapes.REACH * max(sizes), scale)


@lru_cache(maxsize=16)
def gripper_sheet(scale: float) -> Sheet:
    """One variant for each of ``shapes.OPENINGS`` openings."""
    return Sheet(shapes.gripper_parts(np.linspace(0, 1, shapes.OPENINGS)), shapes.GRIPPER_REACH, scale)


@lru_cache(maxsize=16)
def tray_sheet(scale: float) -> Sheet:
    """Trays differ in their colour only."""
    return Sheet(shapes.TRAY_PARTS, shapes.TRAY_REACH, scale, QUARTERS)


@lru_cache(maxsize=16)
def wall_sheet(scale: float) -> Sheet:
    """Walls stand along x or along y."""
    return Sheet(shapes.WALL_PARTS, shapes.WALL_REACH, scale, QUARTERS)


def draw_parts(
    parts: np.ndarray, angle: np.ndarray, across: np.ndarray, down: np.ndarray, patch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and shade [k, y, x] of things whose centres lie (``across``, ``down``) beyond the corner of the middle pixel."""
    steps = np.arange(patch) + 0.5 - patch // 2
    x = (steps - across[:, None]).astype(np.float32)[:, None, :]
    y = (down[:, None] - steps).astype(np.float32)[:, :, None]  # up, as on the table
    cos, sin = (np.asarray(f(angle), np.float32)[:, None, None] for f in (np.cos, np.sin))
    u, v = x * cos + y * sin, y * cos - x * sin
    cover, shade = np.zeros(u.shape, np.float32), np.ones(u.shape, np.float32)
    for number in range(parts.shape[1]):
        part = parts[:, number, :, None, None]
        fill = _rounded_box(u - part[:, 0], v - part[:, 1], part[:, 2], part[:, 3], part[:, 4])
        shade += (fill if number else 1) * (part[:, 5] - shade)
        cover = np.maximum(cover, fill)
    return cover, shade


def _rounded_box(u: np.ndarray, v: np.ndarray, half_u: np.ndarray, half_v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The share of each pixel that a box with rounded corners covers, all in pixels."""
    radius = np.maximum(radius, np.float32(0.6))  # so that the inside is opaque without the inner term
    du = np.maximum(np.abs(u) - (half_u - radius), 0)
    dv = np.maximum(np.abs(v) - (half_v - radius), 0)
    share: np.ndarray = np.clip(radius + np.float32(0.5) - np.sqrt(du * du + dv * dv), 0, 1)
    return share
