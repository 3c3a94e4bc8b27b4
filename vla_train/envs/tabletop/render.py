"""Pictures of n worlds at once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vla_train.envs.tabletop import shapes, world
from vla_train.envs.tabletop.sprites import Sheet, gripper_sheet, object_sheet, tray_sheet, wall_sheet
from vla_train.envs.tabletop.state import State


@dataclass(frozen=True)
class Camera:
    """Looks straight down on a square of ``span`` metres, centred on the table or, if it ``follows``, on the gripper."""

    span: float
    follows: bool


CAMERAS = {"top": Camera(1.0, False), "gripper": Camera(0.4, True)}


class Renderer:
    """Draws one camera's pictures of a given size; ``furnished`` where worlds have trays or walls. ``border`` is how many pixels
    beyond the pictures are drawn besides.
    """

    chunk = 256  # worlds drawn at once: bounds the memory of large batches

    def __init__(self, camera: Camera, size: int, furnished: bool = False, border: int = 0):
        self.camera, self.size, self.border = camera, size, border
        self.scale = size / camera.span  # pixels per metre
        self.objects, self.gripper = self._object_sheet(), gripper_sheet(self.scale)
        self.furniture: list[Sheet] = [tray_sheet(self.scale), wall_sheet(self.scale)] if furnished else []
        patch = max(sheet.patch for sheet in (self.objects, self.gripper, *self.furniture))
        shadow = math.ceil(shapes.SHADOW_OFFSET * self.scale) if furnished else 0
        self.margin = patch // 2 + 2 + shadow  # how far outside the picture a thing's centre can be and still show
        self.pad = self.margin + (self.margin if camera.follows else math.ceil((world.HALF - camera.span / 2) * self.scale))
        self.pad += border
        self.background, self.origin = self._background()

    def draw(self, state: State) -> np.ndarray:
        """uint8 [n, size, size, 3] of the present state."""
        count = len(state.seed)
        pictures = np.empty((count, self.size, self.size, 3), np.uint8)
        for start in range(0, count, self.chunk):
            rows = np.arange(start, min(start + self.chunk, count))
            pictures[start : start + len(rows)] = self._develop(self._draw(state, rows), state, rows)
        return pictures

    def prepare(self, rows: np.ndarray) -> None:
        """Told of rows that begin an episode: nothing to prepare where all look alike."""

    def _object_sheet(self) -> Sheet:
        return object_sheet(self.scale)

    def _variants(self, state: State, rows: np.ndarray) -> np.ndarray:
        """Which pictures of the objects' sheet the objects are, [rows, m]."""
        variants: np.ndarray = state.shape[rows]
        return variants

    def _colours(self, state: State, rows: np.ndarray) -> np.ndarray:
        """The objects' colours, int16 [rows, m, 3]."""
        colours: np.ndarray = shapes.RGB[state.colour[rows]]
        return colours

    def _develop(self, canvas: np.ndarray, state: State, rows: np.ndarray) -> np.ndarray:
        """What the camera sees of a canvas, uint8 [rows, size, size, 3]."""
        inside = slice(self.pad, self.pad + self.size)
        return canvas.reshape(len(rows), canvas.shape[1], -1, 3)[:, inside, inside]

    def _draw(self, state: State, rows: np.ndarray) -> np.ndarray:
        """uint8 [rows, y, 3 x], with a border of ``pad`` pixels."""
        canvas, left, top = self._canvas(state, rows)
        self._draw_furniture(canvas, left, top, state, rows)
        self._draw_objects(canvas, left, top, state, rows)
        column, row = state.tip_x[rows] * self.scale - left, -state.tip_y[rows] * self.scale - top
        opening = np.round(state.opening[rows] * (shapes.OPENINGS - 1)).astype(np.int64)
        every, colour = np.arange(len(rows)), np.broadcast_to(shapes.GRIPPER_RGB, (len(rows), 3))
        self.gripper.paste(canvas, every, column, row, state.yaw[rows], opening, colour)
        return canvas

    def _draw_objects(self, canvas: np.ndarray, left: np.ndarray, top: np.ndarray, state: State, rows: np.ndarray) -> None:
        """From below to above. What lies on another object casts a shadow, which sets it off from one of its own colour."""
        column, row = state.x[rows] * self.scale - left[:, None], -state.y[rows] * self.scale - top[:, None]
        seen = state.present[rows] & self._in_sight(column, row)
        held = np.arange(state.num_slots) == state.held[rows, None]
        colour, variant = self._colours(state, rows), self._variants(state, rows)
        layer, shadow = state.layer[rows], shapes.SHADOW_OFFSET * self.scale

        def paste(index: np.ndarray, slot: np.ndarray, rgb: np.ndarray, offset: float = 0.0) -> None:
            pick = (index, slot)
            angle = state.angle[rows[index], slot]
            self.objects.paste(canvas, index, column[pick] + offset, row[pick] + offset, angle, variant[pick], rgb)

        for index, slot in _layers(seen, held, layer):
            raised = layer[index, slot] > 0
            if raised.any():
                paste(index[raised], slot[raised], np.zeros((raised.sum(), 3), np.int16), shadow)
            paste(index, slot, colour[index, slot])

    def _in_sight(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        beyond = self.margin + self.border
        low, high = self.pad - beyond, self.pad + self.size + beyond
        sight: np.ndarray = (column >= low) & (column < high) & (row >= low) & (row < high)
        return sight

    def _draw_furniture(self, canvas: np.ndarray, left: np.ndarray, top: np.ndarray, state: State, rows: np.ndarray) -> None:
        """Trays and walls, below everything else."""
        level = np.zeros(len(state.seed), np.int64)
        trays = [(state.tray_x[:, k], state.tray_y[:, k], level, shapes.TRAY_RGB[k]) for k in range(state.tray_x.shape[1])]
        walls = [
            (state.wall_x[:, k], state.wall_y[:, k], state.wall_upright[:, k], shapes.WALL_RGB)
            for k in range(state.wall_x.shape[1])
        ]
        for sheet, things in zip(self.furniture, (trays, walls), strict=False):
            for x, y, quarters, rgb in things:
                column, row = x[rows] * self.scale - left, -y[rows] * self.scale - top
                index = np.flatnonzero(self._in_sight(column, row))
                angle, colour = quarters[rows[index]] * (math.pi / 2), np.broadcast_to(rgb, (len(index), 3))
                sheet.paste(canvas, index, column[index], row[index], angle, np.zeros_like(index), colour)

    def _canvas(self, state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Padded pictures of the bare table, and pixel coordinates (x right, y down, 0 at its centre) of their first pixel."""
        nowhere = np.zeros(len(rows))
        return self._bare(state.tip_x[rows], state.tip_y[rows]) if self.camera.follows else self._bare(nowhere, nowhere)

    def _bare(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As ``_canvas``, for cameras above places [n]."""
        width = self.size + 2 * self.pad
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


def _layers(seen: np.ndarray, held: np.ndarray, layer: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which objects to draw together, from below to above: rows and slots, each row at most once. What is held comes last."""
    lying, rows = seen & ~held, np.arange(len(seen))
    stacked = bool(layer.any())
    order = layer.argsort(axis=1, kind="stable") if stacked else np.broadcast_to(np.arange(seen.shape[1]), seen.shape)
    for slot in order.T:
        index = np.flatnonzero(lying[rows, slot])
        yield index, slot[index]
    index, slot = np.nonzero(seen & held)
    yield index, slot


def _fill(picture: np.ndarray, centres: np.ndarray, middle: tuple[float, float], half: float, rgb: tuple[int, int, int]) -> None:
    """Blend an upright square into a picture."""
    across, down = (np.clip(half - np.abs(centres - offset) + 0.5, 0, 1) for offset in middle)
    cover = (down[:, None] * across)[..., None]
    picture += cover * (np.array(rgb) - picture)
