"""What a BabyAI agent sees: tiles as codes (object type, colour, state), as pixels, and in words."""

import functools
from typing import Any

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, IDX_TO_OBJECT, OBJECT_TO_IDX, STATE_TO_IDX
from minigrid.core.grid import Grid
from minigrid.core.world_object import WorldObj

from vla_train.spec import ImageSpec

SYMBOLS = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX))  # how many codes each channel has


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


def describe(env: Any) -> str:
    """What the agent carries, and every object of the scene by its place: "carrying nothing; a grey door 5 ahead and 1 left"."""
    held = env.carrying
    found = []
    for index, thing in enumerate(env.grid.grid):
        if thing is None or thing.type not in ("door", "key", "ball", "box"):
            continue
        offset = np.array([index % env.width, index // env.width]) - np.asarray(env.agent_pos)
        ahead, right = int(offset @ env.dir_vec), int(offset @ env.right_vec)
        parts = [_distance(ahead, "ahead", "behind"), _distance(right, "right", "left")]
        found.append(f"a {thing.color} {thing.type} {' and '.join(part for part in parts if part)}")
    carrying = f"the {held.color} {held.type}" if held is not None else "nothing"
    return f"carrying {carrying}; " + (", ".join(found) or "nothing else is there")


def _distance(steps: int, forth: str, back: str) -> str:
    return f"{abs(steps)} {forth if steps > 0 else back}" if steps else ""
