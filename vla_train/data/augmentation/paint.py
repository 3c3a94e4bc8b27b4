"""Things in pictures painted anew: a colour exchanged for another one, edges and shades included.

A pixel p of a picture that was drawn without noise is a mixture (1 - a) B + v C of the colour C of a thing, shaded and as far
as it covers the pixel, and of what lies under it, B. With p, B and C known, the least squares of three equations give a and v,
and the pixel with another colour C' is p + v (C' - C). Which C and B a pixel has is looked up in a table over all colours, which
is filled as colours occur: a picture has few.
"""

import numpy as np

from vla_train.symmetry import Paint

_BITS = 6  # of each channel that the table tells apart
_SIDE = 1 << _BITS
_FAINT = 0.03  # a thing of which less than this is seen in a pixel is not looked for
_EASE = 1.0  # in values of 255: so much nearer must a mixture with a colour come than one without
_LIKELIER = 3.0  # likewise, by which a mixture with the first of the grounds is preferred to others
_UNKNOWN = 255  # in the table: this colour has not occurred yet


class Painter:
    """``order`` are the colours' names; permutations are of their places in it."""

    def __init__(self, paint: Paint, order: tuple[str, ...]):
        self._colours = np.array([paint.colours[name] for name in order], np.float32)
        self._grounds = np.array(paint.grounds, np.float32)
        self._mixtures = [(colour, ground) for ground in range(len(self._grounds)) for colour in range(len(order))]
        assert len(self._mixtures) < _UNKNOWN, "the table has bytes"
        solved = [_solve(self._colours[colour], self._grounds[ground]) for colour, ground in self._mixtures]
        self._solved = np.array(solved, np.float32)  # [mixtures, 2, 3]: a and v from p - B
        self._amount = np.ascontiguousarray(self._solved[:, 1])
        below = self._grounds[[ground for _, ground in self._mixtures]]
        self._offset = (self._amount * below).sum(axis=1)
        self._colour_of = np.array([colour for colour, _ in self._mixtures])
        self._shades = paint.shades
        self._table = np.full(_SIDE**3, _UNKNOWN, np.uint8)  # 1 + the mixture; 0 where grounds alone explain a colour

    def __call__(self, images: np.ndarray, permutations: np.ndarray) -> None:
        """Change uint8 [b, ..., 3] in place: a thing of colour i of picture b gets colour ``permutations[b, i]``."""
        pixels = images.reshape(-1, 3)
        if not np.shares_memory(pixels, images):
            raise ValueError("images must be contiguous: they are changed in place")
        high = pixels >> (8 - _BITS)
        code = high[:, 0].astype(np.int32)
        for channel in (1, 2):
            code <<= _BITS
            code |= high[:, channel]
        mixture = self._table.take(code)
        if mixture.max(initial=0) == _UNKNOWN:
            unknown = np.unique(code[mixture == _UNKNOWN])
            self._table[unknown] = self._mixture(unknown)
            mixture = self._table.take(code)
        place = np.flatnonzero(mixture != 0)
        which = mixture.take(place).astype(np.int64) - 1
        old = pixels.take(place, axis=0).astype(np.float32)
        amount = (old * self._amount.take(which, axis=0)).sum(axis=1) - self._offset.take(which)
        amount = np.minimum(np.maximum(amount, 0), self._shades)
        row, colour = place // (len(pixels) // len(images)), self._colour_of.take(which)
        change = (self._colours[permutations] - self._colours).reshape(-1, 3)  # of colour i of picture b at b * colours + i
        old += amount[:, None] * change.take(row * len(self._colours) + colour, axis=0)
        pixels[place] = np.minimum(np.maximum(old + 0.5, 0), 255).astype(np.uint8)

    def _mixture(self, codes: np.ndarray) -> np.ndarray:
        """uint8 [n]: what the table has for colours' codes [n]: 1 + the nearest mixture of a colour and a ground, or 0."""
        parts = np.stack([codes >> (2 * _BITS), (codes >> _BITS) % _SIDE, codes % _SIDE], axis=1)
        pixels = ((parts + 0.5) * (256 / _SIDE) - 0.5).astype(np.float32)
        nearest, chosen = _between(pixels, self._grounds) - _EASE, np.zeros(len(pixels), np.uint8)
        for number, (colour, ground) in enumerate(self._mixtures):
            below, ink = self._grounds[ground], self._colours[colour]
            cover, amount = self._solved[number] @ (pixels - below).T
            cover = np.clip(cover, 0, 1) if below.any() else np.ones_like(amount)
            amount = np.clip(amount, 0, self._shades * cover)
            away = _length(pixels - below * (1 - cover[:, None]) - ink * amount[:, None])
            better = (away + (_LIKELIER if ground else 0) < nearest) & (amount > _FAINT)
            nearest, chosen = np.where(better, away, nearest), np.where(better, np.uint8(number + 1), chosen)
        return chosen


def _solve(colour: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """float64 [2, 3]: the (a, v) with p - B = -a B + v C nearest to a given p - B."""
    solution: np.ndarray = np.linalg.pinv(np.stack([-ground, colour], axis=1).astype(np.float64))
    return solution


def _between(pixels: np.ndarray, grounds: np.ndarray) -> np.ndarray:
    """float32 [n]: how far colours [n, 3] are from the nearest mixture of two grounds."""
    nearest = np.full(len(pixels), np.inf, np.float32)
    for number, first in enumerate(grounds):
        for second in grounds[number + 1 :]:
            way = second - first
            share = np.clip((pixels - first) @ way / max(float(way @ way), 1e-9), 0, 1)
            nearest = np.minimum(nearest, _length(pixels - first - share[:, None] * way))
    return nearest


def _length(vectors: np.ndarray) -> np.ndarray:
    length: np.ndarray = np.sqrt((vectors * vectors).sum(axis=1))
    return length
