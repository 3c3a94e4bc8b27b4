"""What BabyAI looks the same under (see ``vla_train.symmetry``): mirrored, and with colours and movable things exchanged.

The view turns with the agent, so it can be mirrored but not turned. In pixels keys and doors look different in a mirror; in
symbols mirroring is exact.
"""

from typing import Any

from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from vla_train.symmetry import Codes, Names, Plane, Symmetry

ACTION = ("+yaw", "-yaw", "", "", "", "", "")  # left, right, forward, ...
STATE = ("+x", "-y", "-x", "+y")  # facing east, south, west, north
CHANNELS = (0, 1)  # of the symbolic view: what a tile holds, and its colour


def babyai_symmetry(env: Any, symbolic: bool) -> Symmetry:
    """Of a level's library environment. Keys are things like others where there is but one room, so nothing that they open."""
    plane = Plane(("view",), STATE, ACTION, mirror_only=True)
    alone = env.num_rows * env.num_cols == 1
    alike = ("ball", "box", "key") if alone else ("ball", "box")
    painted = ("door",) if alone else ("door", "key")
    codes = Codes(
        CHANNELS,
        shapes={name: OBJECT_TO_IDX[name] for name in alike},
        colours=dict(COLOR_TO_IDX),
        painted=tuple(OBJECT_TO_IDX[name] for name in painted),
    )
    if not symbolic:
        return Symmetry(
            plane, unnamed="BabyAI's colours and shapes change places in symbols, not in pixels: set dataset.view=symbolic"
        )
    return Symmetry(plane, Names(codes={"view": codes}))
