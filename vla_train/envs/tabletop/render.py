"""Pictures of n worlds at once, anti-aliased by signed distances on small patches around each thing.

The distance to a rounded box is the one in Inigo Quilez, "2D distance functions" (iquilezles.org), without its inner term, which
an opaque fill does not need.
"""

from dataclasses import dataclass

import numpy as np

from vla_train.envs.tabletop import shapes, world
from vla_train.envs.tabletop.state import State

_TURN = 256  # directions are drawn to 1/256 of a turn, from a table: the same bits whatever the batch and the machine
_ANGLES = np.arange(_TURN) * (2 * np.pi / _TURN)
_COS, _SIN = np.round(np.cos(_ANGLES), 5).astype(np.float32), np.round(np.sin(_ANGLES), 5).astype(np.float32)
_CHUNK = 64  # worlds drawn at once: their patches fit a core's cache


@dataclass(frozen=True)
class Camera:
    """Looks straight down on a square of ``span`` metres, centred on the table or, if it ``follows``, on the gripper."""

    span: float
    follows: bool


CAMERAS = {"top": Camera(1.0, False), "gripper": Camera(0.4, True)}


class Renderer:
    """Draws one camera's pictures of a given size."""

    def __init__(self, camera: Camera, size: int):
        self.camera, self.size = camera, size
        self.scale = size / camera.span  # pixels per metre
        self.object_patch = _patch_size(shapes.REACH * shapes.LIFTED, self.scale)
        self.gripper_patch = _patch_size(shapes.GRIPPER_REACH, self.scale)
        self.pad = max(self.object_patch, self.gripper_patch)
        self.background, self.origin = self._background()

    def draw(self, state: State) -> np.ndarray:
        """uint8 [n, size, size, 3] of the present state."""
        pictures = np.empty((len(state.seed), self.size, self.size, 3), np.uint8)
        for start in range(0, len(pictures), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(pictures)))
            pictures[rows[0] : rows[-1] + 1] = self._draw(state, rows)
        return pictures

    def _draw(self, state: State, rows: np.ndarray) -> np.ndarray:
        canvas, left, top = self._canvas(state, rows)
        column, row = state.x[rows] * self.scale - left[:, None], -state.y[rows] * self.scale - top[:, None]
        turn, colour = _turn(state.angle[rows]), shapes.RGB[state.colour[rows]]
        held = state.held[rows]
        free = state.present[rows] & (np.arange(state.num_slots) != held[:, None])
        layers = [(np.flatnonzero(free[:, slot]), slot) for slot in range(state.num_slots)]
        parts = shapes.PARTS[state.shape[rows]]
        for index, slot in layers:
            where = (index, column[index, slot], row[index, slot], turn[index, slot])
            _paint(canvas, *where, parts[index, slot], colour[index, slot], self.object_patch, self.scale)
        index = np.flatnonzero(held >= 0)
        slot = held[index]
        where = (index, column[index, slot], row[index, slot], turn[index, slot])
        lifted = parts[index, slot] * np.float32([shapes.LIFTED] * 5 + [1])
        _paint(canvas, *where, lifted, colour[index, slot], self.object_patch, self.scale)
        self._gripper(canvas, state, rows, left, top)
        pad = self.pad
        return canvas[:, pad : pad + self.size, pad : pad + self.size]

    def _gripper(self, canvas: np.ndarray, state: State, rows: np.ndarray, left: np.ndarray, top: np.ndarray) -> None:
        colour = np.broadcast_to(shapes.GRIPPER_RGB, (len(rows), 3))
        column, row = state.tip_x[rows] * self.scale - left, -state.tip_y[rows] * self.scale - top
        parts = shapes.gripper_parts(state.opening[rows])
        where = (np.arange(len(rows)), column, row, _turn(state.yaw[rows]))
        _paint(canvas, *where, parts, colour, self.gripper_patch, self.scale)

    def _canvas(self, state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Padded pictures of the bare table, and the pixel coordinates (x right, y down, table's centre 0) of their first pixel."""
        width = self.size + 2 * self.pad
        x, y = (state.tip_x[rows], state.tip_y[rows]) if self.camera.follows else (np.zeros(len(rows)), np.zeros(len(rows)))
        left = np.floor(x * self.scale).astype(np.int64) - width // 2
        top = np.floor(-y * self.scale).astype(np.int64) - width // 2
        windows = np.lib.stride_tricks.sliding_window_view(self.background, (width, 3 * width))
        canvas = windows[top + self.origin, (left + self.origin) * 3].reshape(len(rows), width, width, 3)
        return canvas, left, top

    def _background(self) -> tuple[np.ndarray, int]:
        """The bare table with everything a camera may see around it, uint8 [side, 3 side], and the index of its centre."""
        width = self.size + 2 * self.pad
        half = width // 2 + 2 + (int(np.ceil(world.HALF * self.scale)) if self.camera.follows else 0)
        centres = np.arange(-half, half) + 0.5
        picture = np.empty((2 * half, 2 * half, 3), np.float64)
        picture[:] = shapes.FLOOR_RGB
        _fill(picture, centres, (0.0, 0.0), world.HALF * self.scale, shapes.TABLE_RGB)
        for x, y in world.REGIONS.values():
            _fill(picture, centres, (x * self.scale, -y * self.scale), shapes.MARK_HALF * self.scale, shapes.MARK_RGB)
        return np.round(picture).astype(np.uint8).reshape(2 * half, -1), half


def _patch_size(reach: float, scale: float) -> int:
    return int(np.ceil(2 * reach * scale)) + 2


def _turn(angle: np.ndarray) -> np.ndarray:
    return np.round(angle * (_TURN / (2 * np.pi))).astype(np.int64) % _TURN


def _fill(picture: np.ndarray, centres: np.ndarray, middle: tuple[float, float], half: float, rgb: tuple[int, int, int]) -> None:
    """Blend an upright square into a picture."""
    across, down = (np.clip(half - np.abs(centres - offset) + 0.5, 0, 1) for offset in middle)
    cover = (down[:, None] * across)[..., None]
    picture += cover * (np.array(rgb) - picture)


def _paint(
    canvas: np.ndarray,
    index: np.ndarray,
    column: np.ndarray,
    row: np.ndarray,
    turn: np.ndarray,
    parts: np.ndarray,
    colour: np.ndarray,
    patch: int,
    scale: float,
) -> None:
    """Blend one thing into each of some pictures [k] in place: centre (column, row) in pixels, parts [k, p, 6], colour [k, 3]."""
    if not len(index):
        return
    limit = canvas.shape[1] - patch
    left = np.clip(np.floor(column).astype(np.int64) - patch // 2, 0, limit)
    top = np.clip(np.floor(row).astype(np.int64) - patch // 2, 0, limit)
    steps = np.arange(patch) + 0.5
    dx = ((left - column)[:, None] + steps).astype(np.float32)[:, None, :]
    dy = ((row - top)[:, None] - steps).astype(np.float32)[:, :, None]  # up, as on the table
    cos, sin = _COS[turn][:, None, None], _SIN[turn][:, None, None]
    cover, shade = _look(dx * cos + dy * sin, dy * cos - dx * sin, parts * np.float32([scale] * 5 + [1]))
    flat = canvas.reshape(len(canvas), canvas.shape[1], -1)
    windows = np.lib.stride_tricks.sliding_window_view(flat, (patch, 3 * patch), axis=(1, 2), writeable=True)  # type: ignore[call-overload]
    below = windows[index, top, left * 3].reshape(len(index), patch, patch, 3).astype(np.float32)
    ink = shade[..., None] * colour[:, None, None, :]
    ink -= below
    ink *= cover[..., None]
    below += ink
    below += np.float32(0.5)
    windows[index, top, left * 3] = below.astype(np.uint8).reshape(len(index), patch, 3 * patch)


def _look(u: np.ndarray, v: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and shade [k, y, x] of a thing at its own coordinates (u, v) in pixels; ``parts`` are in pixels too."""
    for number in range(parts.shape[1]):
        part = parts[:, number, :, None, None]
        radius = np.maximum(part[:, 4], np.float32(0.6))  # so that the inside is opaque without the inner term
        du = np.abs(u - part[:, 0])
        du -= part[:, 2] - radius
        dv = np.abs(v - part[:, 1])
        dv -= part[:, 3] - radius
        np.maximum(du, 0, out=du)
        np.maximum(dv, 0, out=dv)
        du *= du
        dv *= dv
        du += dv
        np.sqrt(du, out=du)
        np.subtract(radius + np.float32(0.5), du, out=du)
        np.minimum(np.maximum(du, 0, out=du), 1, out=du)
        if number == 0:
            cover, shade = du, np.broadcast_to(part[:, 5], du.shape).copy()
        else:
            shade += du * (part[:, 5] - shade)
            np.maximum(cover, du, out=cover)
    return cover, shade
