"""Pictures whose table, light, camera and sensor differ from episode to episode."""

import math

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.look import GRID, Look
from vla_train.envs.tabletop.randomization import Randomization
from vla_train.envs.tabletop.render import CAMERAS, Camera, Renderer
from vla_train.envs.tabletop.sprites import Sheet, sized_object_sheet
from vla_train.envs.tabletop.state import State
from vla_train.seeds import counter_bits, counter_uniform

_LOW_BYTES = np.uint32(0x00FF00FF)  # two channels of a packed pixel, each with eight bits of room above it
_FINE = 256  # steps of a pixel in bilinear interpolation
_BANK = 2**16  # places at which a frame's noise may begin in the bank
_GREY = 128.0  # the colour that contrast leaves as it is
_BRIGHTEST = 204  # of an object's colour: times the largest shade of its parts it stays within 255
_TABLE_BITS = 7  # fixed-point of the table's factors: 128 for 1
_CAMERA_KEYS = {camera: number for number, camera in enumerate(CAMERAS.values())}


class RandomRenderer(Renderer):
    """Draws as ``Renderer`` does, with the looks of ``look``, whose rows are those of the states drawn. ``prepare`` must be told
    of the rows whose looks have changed: what stays the same through an episode is worked out once.
    """

    chunk = 32  # worlds drawn at once: what they take fits in a processor's cache

    def __init__(self, camera: Camera, size: int, furnished: bool, randomization: Randomization, look: Look):
        self.look, self.sizes = look, randomization.sizes()
        self._changes = randomization.changes
        super().__init__(camera, size, furnished, border=_border(randomization, size, size / camera.span))
        self._moves = self._changes("camera_shift", "camera_zoom", "camera_rotation")
        self._tints = self._changes("table_shade", "table_warmth", "texture")
        n, side = len(look.zoom), self.size + 2 * self.pad
        pixels = n if self._moves else 0
        self._source = np.zeros((pixels, size, size), np.int64)  # the pixel to the upper left of what is seen
        self._across, self._down = (np.zeros((pixels, size, size), np.uint8) for _ in range(2))  # and the way on, of 256
        self._tables = np.zeros((n if self._tints and not camera.follows else 0, side, 3 * side), np.uint8)
        self._bank = _noise_bank(_BANK + size * size * 3) if self._changes("noise") else np.empty(0, np.float32)

    def prepare(self, rows: np.ndarray) -> None:
        """Work out where the pixels of rows look, and a table that does not move in the picture."""
        for start in range(0, len(rows), self.chunk):
            part = rows[start : start + self.chunk]
            if self._moves:
                self._aim(part)
            if len(self._tables):
                self._tables[part] = self._tinted(*self._bare(np.zeros(len(part)), np.zeros(len(part))), part)

    def _object_sheet(self) -> Sheet:
        return sized_object_sheet(self.scale, self.sizes)

    def _variants(self, state: State, rows: np.ndarray) -> np.ndarray:
        """The size of an object is a variant of its shape."""
        count = len(self.sizes)
        variants: np.ndarray = super()._variants(state, rows) * count + np.minimum(self.look.size[rows], count - 1)
        return variants

    def _colours(self, state: State, rows: np.ndarray) -> np.ndarray:
        colours = super()._colours(state, rows)
        if self._changes("object_shade"):
            colours = np.minimum(np.round(colours * self.look.shade[rows][:, :, None]), _BRIGHTEST).astype(np.int16)
        return colours

    def _canvas(self, state: State, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        canvas, left, top = super()._canvas(state, rows)
        if self._tints:
            canvas = self._tables[rows] if len(self._tables) else self._tinted(canvas, left, top, rows)
        return canvas, left, top

    def _tinted(self, canvas: np.ndarray, left: np.ndarray, top: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The bare table in its colour and with its pattern, which stays where it is on the table."""
        look, width = self.look, canvas.shape[1]
        factor = look.table_shade[rows][:, None] * _warmth(look.table_warmth[rows])
        factor = (factor * 2**_TABLE_BITS).astype(np.float32)
        pattern = np.ones((len(rows), width, width), np.float32)
        if self._changes("texture"):
            across = _hats((left[:, None] + np.arange(width) + 0.5) / self.scale)
            down = _hats(-(top[:, None] + np.arange(width) + 0.5) / self.scale)
            weights = (look.pattern[rows] * look.texture[rows][:, None, None]).astype(np.float32)
            pattern += down @ (across @ weights).transpose(0, 2, 1)
        tinted = canvas.reshape(len(rows), width, width, 3).astype(np.uint16)
        tinted *= np.round(pattern[..., None] * factor[:, None, None]).astype(np.uint16)
        tinted += 2 ** (_TABLE_BITS - 1)
        tinted >>= _TABLE_BITS
        return np.minimum(tinted, 255).astype(np.uint8).reshape(canvas.shape)

    def _develop(self, canvas: np.ndarray, state: State, rows: np.ndarray) -> np.ndarray:
        """What the camera sees of the canvas, in its light and with its noise."""
        pictures = self._moved(canvas, rows) if self._moves else super()._develop(canvas, state, rows)
        lit = self._changes("brightness", "contrast", "temperature")
        if not lit and not self._changes("noise"):
            return pictures
        colours = pictures.astype(np.float32)
        if lit:
            gain, offset = self._light(rows)
            colours *= gain
            colours += offset
        if self._changes("noise"):
            colours += self._noise(state, rows)
        np.clip(colours, 0, 255, out=colours)
        return np.rint(colours, out=colours).astype(np.uint8)

    def _light(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor and offset of each channel, float32 [rows, 1, 1, 3 or 1]."""
        look = self.look
        gain = (look.brightness * look.contrast)[rows][:, None] * _warmth(look.temperature[rows])
        offset = _GREY * (1 - look.contrast[rows])
        return gain.astype(np.float32)[:, None, None], offset.astype(np.float32)[:, None, None, None]

    def _noise(self, state: State, rows: np.ndarray) -> np.ndarray:
        """float32 [rows, size, size, 3]: a stretch of the bank, which begins where the seed, the step and the camera say."""
        frame = (state.seed[rows].astype(np.int64) << 32) + state.steps[rows] * len(CAMERAS) + _CAMERA_KEYS[self.camera]
        start = (counter_bits(frame, 0, 1)[:, 0] % _BANK).astype(np.int64)
        length = self.size * self.size * 3
        stretch: np.ndarray = np.lib.stride_tricks.sliding_window_view(self._bank, length)[start]
        stretch *= self.look.noise[rows].astype(np.float32)[:, None]
        frames: np.ndarray = stretch.reshape(len(rows), self.size, self.size, 3)
        return frames

    def _moved(self, canvas: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The canvas as a shifted, turned and zoomed camera sees it: bilinear interpolation between its pixels."""
        n, side, inner = len(rows), self.size + 2 * self.border, slice(self.pad - self.border, self.pad + self.size + self.border)
        packed = np.zeros((n, side, side, 4), np.uint8)
        packed[..., :3] = canvas.reshape(n, canvas.shape[1], -1, 3)[:, inner, inner]
        pixels = packed.view(np.uint32).reshape(n * side * side)
        first = self._source[rows] + (np.arange(n) * side * side)[:, None, None]
        across, down = self._across[rows].astype(np.uint32), self._down[rows].astype(np.uint32)
        corners = [pixels.take(first + step) for step in (0, 1, side, side + 1)]
        seen = _blend(_blend(corners[0], corners[1], across), _blend(corners[2], corners[3], across), down)
        pictures: np.ndarray = seen.view(np.uint8).reshape(n, self.size, self.size, 4)[..., :3]
        return pictures

    def _aim(self, rows: np.ndarray) -> None:
        """Where each pixel of rows looks on what lies within the border, in steps of 1/256 pixel."""
        look, centres, side = self.look, np.arange(self.size) + 0.5 - self.size / 2, self.size + 2 * self.border
        angle = np.radians(look.rotation[rows])
        cos, sin = np.cos(angle) / look.zoom[rows], np.sin(angle) / look.zoom[rows]
        middle = self.border + self.size / 2 - 0.5

        def place(centre: np.ndarray, of_column: np.ndarray, of_row: np.ndarray) -> np.ndarray:
            along = np.rint(((middle + centre)[:, None] + of_column[:, None] * centres) * _FINE).astype(np.int64)
            across: np.ndarray = np.rint(of_row[:, None] * centres * _FINE).astype(np.int64)[:, :, None]
            steps: np.ndarray = across + along[:, None, :]
            return steps

        column = place(look.shift_x[rows] * self.scale, cos, sin)
        row = place(-look.shift_y[rows] * self.scale, -sin, cos)
        self._source[rows] = (row // _FINE) * side + column // _FINE
        self._across[rows], self._down[rows] = column % _FINE, row % _FINE


def _blend(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``first`` and ``share``/256 of the way to ``second``, of pixels packed in uint32, two channels at a time."""
    rest = np.uint32(_FINE) - share
    even = ((first & _LOW_BYTES) * rest + (second & _LOW_BYTES) * share) >> np.uint32(8)
    odd = ((first >> np.uint32(8)) & _LOW_BYTES) * rest + ((second >> np.uint32(8)) & _LOW_BYTES) * share
    blended: np.ndarray = (even & _LOW_BYTES) | (odd & ~_LOW_BYTES)
    return blended


def _warmth(share: np.ndarray) -> np.ndarray:
    """Factors of red, green and blue, [n, 3]."""
    factors: np.ndarray = 1 + share[:, None] * np.array([1.0, 0.0, -1.0])
    return factors


def _hats(places: np.ndarray) -> np.ndarray:
    """The weight of each line of the pattern at places [n, k] in metres from the table's centre, float32 [n, k, GRID]."""
    cells = np.clip((places + world.HALF) * (GRID - 1), 0, GRID - 1).astype(np.float32)
    weights: np.ndarray = np.maximum(1 - np.abs(cells[:, :, None] - np.arange(GRID, dtype=np.float32)), 0)
    return weights


def _noise_bank(length: int) -> np.ndarray:
    """Near normal float32 [length] with standard deviation 1: the sum of 12 uniforms less 6, the same bits on every machine."""
    uniform = counter_uniform(np.arange(12), 0, length)
    total: np.ndarray = (uniform.sum(axis=0) - 6.0).astype(np.float32)
    return total


def _border(randomization: Randomization, size: int, scale: float) -> int:
    """How many pixels beyond the picture the most changed camera looks."""
    turn = math.radians(min(max(map(abs, randomization.range("camera_rotation"))), 45.0))
    reach = size / 2 * (math.cos(turn) + math.sin(turn)) / randomization.range("camera_zoom")[0]
    return math.ceil(reach - size / 2 + max(map(abs, randomization.range("camera_shift"))) * scale) + 1
