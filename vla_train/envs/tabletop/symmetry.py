"""What a tabletop looks the same under: turned, mirrored, with its colours exchanged (see ``vla_train.symmetry``).

Mirroring is exact for the world. In its pictures a bottle's neck, a cup's handle and a ball's highlight then point to where
they never do otherwise (objects' angles stay within a quarter turn of the x axis), which changes nothing of what is to be done.
Turning by a right angle is exact but where the gripper turns: its joint ends at a quarter turn.
"""

import json
from collections.abc import Sequence

import numpy as np

from vla_train.envs.tabletop import shapes, world
from vla_train.envs.tabletop.actions import DISCRETE
from vla_train.envs.tabletop.render import CAMERAS
from vla_train.envs.tabletop.splits import HELD_OUT_PAIRS
from vla_train.symmetry import Names, Paint, Plane, Symmetry

STATE = ("x", "y", "yaw", "", "")
CONTINUOUS = ("dx", "dy", "dyaw", "")
_AXES = ("x", "y", "yaw")


def tabletop_symmetry(cameras: Sequence[str], actions: str, plain: bool) -> Symmetry:
    """Of an environment of any stage with these cameras and this kind of action; ``plain`` where pictures keep to the colours of
    ``shapes``."""
    action = CONTINUOUS if actions == "continuous" else tuple(_direction(motion) for motion in DISCRETE.values())
    following = tuple(name for name in cameras if CAMERAS[name].follows)
    plane = Plane(tuple(cameras), STATE, action, period=2 * world.YAW_LIMIT, limited=True, following=following)
    held_out = tuple(" ".join(pair) for pair in HELD_OUT_PAIRS)
    names = Names(dict.fromkeys(cameras, _paint()), held_out=held_out, things=things)
    if not plain:
        return Symmetry(plane, unnamed="with randomization colours look otherwise in every episode: set randomization=none")
    return Symmetry(plane, names)


def things(scene: str) -> list[str]:
    """The names of the objects in a scene, as it is recorded with an episode."""
    return [str(item["name"]) for item in json.loads(scene)["objects"]]


def _direction(motion: Sequence[float | int]) -> str:
    return "".join(f"{'+' if part > 0 else '-'}{axis}" for part, axis in zip(motion, _AXES, strict=False) if part)


def _paint() -> Paint:
    colours = dict(zip(world.COLOURS, map(_rgb, shapes.RGB), strict=True))
    plain = (shapes.TABLE_RGB, shapes.MARK_RGB, shapes.FLOOR_RGB, _rgb(shapes.GRIPPER_RGB))
    trays = [_rgb(rgb * shade) for rgb in shapes.TRAY_RGB for shade in (1.0, 0.55)]
    return Paint(colours, (*plain, *trays, _rgb(shapes.WALL_RGB), _rgb(shapes.WALL_RGB * 1.6), (0, 0, 0)), shades=1.25)


def _rgb(values: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (round(float(value)) for value in values)
    return red, green, blue
