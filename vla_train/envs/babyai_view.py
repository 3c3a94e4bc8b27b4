"""What a BabyAI agent sees: tiles as codes (object type, colour, state), as pixels, and in words."""

import functools

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, IDX_TO_COLOR, IDX_TO_OBJECT, OBJECT_TO_IDX, STATE_TO_IDX
from minigrid.core.grid import Grid
from minigrid.core.world_object import WorldObj

from vla_train.spec import ImageSpec

SYMBOLS = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX))  # how many codes each channel has
_THINGS = [OBJECT_TO_IDX[kind] for kind in ("door", "key", "ball", "box")]


class View:
    """The agent's ``size`` x ``size`` tiles. It stands in the middle of the lowest row and looks up.

    ``tile_size`` is a tile's edge in pixels; None shows the codes themselves.
    """

    def __init__(self, size: int, tile_size: int | None) -> None:
        self.size, self.tile_size = size, tile_size
        if tile_size is None:
            self.spec = ImageSpec(size, size, kind="symbols", symbols=SYMBOLS)
        else:
            self.spec = ImageSpec(size * tile_size, size * tile_size)

    def show(self, codes: np.ndarray) -> np.ndarray:
        """Codes uint8 [n, size, size, 3] to images uint8 [n, y, x, 3]. Tiles are looked up, the agent's in a table of its own."""
        if self.tile_size is None:
            return codes
        plain, with_agent = _draw_tiles(self.tile_size)
        tiles = plain[codes[..., 0], codes[..., 1], codes[..., 2]]
        own = codes[:, -1, self.size // 2]
        tiles[:, -1, self.size // 2] = with_agent[own[:, 0], own[:, 1], own[:, 2]]
        image: np.ndarray = tiles.transpose(0, 1, 3, 2, 4, 5).reshape(len(codes), self.spec.height, self.spec.width, 3)
        return image


@functools.cache
def _draw_tiles(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Every tile as the library draws it in the agent's view, uint8 [type, colour, state, y, x, 3]; and with the agent on it."""
    plain, with_agent = (np.zeros((*SYMBOLS, pixels, pixels, 3), np.uint8) for _ in range(2))
    for kind, color, state in np.ndindex(*SYMBOLS):
        thing = WorldObj.decode(kind, color, state)
        seen = IDX_TO_OBJECT[kind] != "unseen"  # the library highlights what is in sight
        plain[kind, color, state] = Grid.render_tile(thing, highlight=seen, tile_size=pixels)
        with_agent[kind, color, state] = Grid.render_tile(thing, agent_dir=3, highlight=True, tile_size=pixels)
    return plain, with_agent


def describe(codes: np.ndarray) -> str:
    """The objects in sight: "a red ball 3 ahead and 1 left, a grey door 5 ahead", or "nothing"."""
    size, seen = len(codes), []
    for y, x in np.argwhere(np.isin(codes[..., 0], _THINGS)):
        ahead, side = size - 1 - int(y), int(x) - size // 2
        if ahead == 0 and side == 0:  # what the agent carries is drawn where it stands
            continue
        where = f"{ahead} ahead" + (f" and {abs(side)} {'right' if side > 0 else 'left'}" if side else "")
        seen.append(f"a {IDX_TO_COLOR[int(codes[y, x, 1])]} {IDX_TO_OBJECT[int(codes[y, x, 0])]} {where}")
    return ", ".join(seen) or "nothing"
