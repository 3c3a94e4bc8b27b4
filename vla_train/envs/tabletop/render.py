"""Pictures of n worlds at once."""

import math
from dataclasses import dataclass

import numpy as np

from vla_train.envs.tabletop import shapes, world
from vla_train.envs.tabletop.sprites import gripper_sheet, object_sheet
from vla_train.envs.tabletop.state import State

_CHUNK = 256  # worlds drawn at once: bounds the memory of large batches


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
        self.objects, self.gripper = object_sheet(self.scale), gripper_sheet(self.scale)
        patch = max(self.objects.patch, self.gripper.patch)
        self.margin = patch // 2 + 2  # how far outside the picture a thing's centre can be and still show
        self.pad = self.margin + (self.margin if camera.follows else math.ceil((world.HALF - camera.span / 2) * self.scale))
        self.background, self.origin = self._background()

    def draw(self, state: State) -> np.ndarray:
        """uint8 [n, size, size, 3] of the present state."""
        count, inside = len(state.seed), slice(self.pad, self.pad + self.size)
        pictures = np.empty((count, self.size, self.size, 3), np.uint8)
        for start in range(0, count, _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, count))
            canvas = self._draw(state, rows)
            pictures[start : start + len(rows)] = canvas.reshape(len(rows), canvas.shape[1], -1, 3)[:, inside, inside]
        return pictures

    def _draw(self, state: State, rows: np.ndarray) -> np.ndarray:
        """uint8 [rows, y, 3 x], with a border of ``pad`` pixels."""
        canvas, left, top = self._canvas(state, rows)
        column, row = state.x[rows] * self.scale - left[:, None], -state.y[rows] * self.scale - top[:, None]
        low, high = self.pad - self.margin, self.pad + self.size + self.margin
        seen = state.present[rows] & (column >= low) & (column < high) & (row >= low) & (row < high)
        held = np.arange(state.num_slots) == state.held[rows, None]
        colour = shapes.RGB[state.colour[rows]]
        layers = [
            (index := np.flatnonzero((seen & ~held)[:, slot]), np.full(len(index), slot)) for slot in range(state.num_slots)
        ]
        for index, slot in [*layers, np.nonzero(seen & held)]:
            pick = (index, slot)
            angle, shape = state.angle[rows[index], slot], state.shape[rows[index], slot]
            self.objects.paste(canvas, index, column[pick], row[pick], angle, shape, colour[pick])
        column, row = state.tip_x[rows] * self.scale - left, -state.tip_y[rows] * self.scale - top
        opening = np.round(state.opening[rows] * (shapes.OPENINGS - 1)).astype(np.int64)
        every, colour = np.arange(len(rows)), np.broadcast_to(shapes.GRIPPER_RGB, (len(rows), 3))
        self.gripper.paste(canvas, every, column, row, state.yaw[rows], opening, colour)
        return canvas

    def _canvas(self, state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Padded pictures of the bare table, and pixel coordinates (x right, y down, 0 at its centre) of their first pixel."""
        width = self.size + 2 * self.pad
        x, y = (state.tip_x[rows], state.tip_y[rows]) if self.camera.follows else (np.zeros(len(rows)), np.zeros(len(rows)))
        left = np.floor(x * self.scale).astype(np.int64) - width // 2
        top = np.floor(-y * self.scale).astype(np.int64) - width // 2
        windows = np.lib.stride_tricks.sliding_window_view(self.background, (width, 3 * width))
        return windows[top + self.origin, (left + self.origin) * 3], left, top

    def _background(self) -> tuple[np.ndarray, int]:
        """The bare table with everything a camera may see around it, uint8 [side, 3 side], and the index of its centre."""
        width = self.size + 2 * self.pad
        half = width // 2 + 2 + (math.ceil(world.HALF * self.scale) if self.camera.follows else 0)
        centres = np.arange(-half, half) + 0.5
        picture = np.empty((2 * half, 2 * half, 3), np.float64)
        picture[:] = shapes.FLOOR_RGB
        _fill(picture, centres, (0.0, 0.0), world.HALF * self.scale, shapes.TABLE_RGB)
        for x, y in world.REGIONS.values():
            _fill(picture, centres, (x * self.scale, -y * self.scale), shapes.MARK_HALF * self.scale, shapes.MARK_RGB)
        return np.round(picture).astype(np.uint8).reshape(2 * half, -1), half


def _fill(picture: np.ndarray, centres: np.ndarray, middle: tuple[float, float], half: float, rgb: tuple[int, int, int]) -> None:
    """Blend an upright square into a picture."""
    across, down = (np.clip(half - np.abs(centres - offset) + 0.5, 0, 1) for offset in middle)
    cover = (down[:, None] * across)[..., None]
    picture += cover * (np.array(rgb) - picture)
