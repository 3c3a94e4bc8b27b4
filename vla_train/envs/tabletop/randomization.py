"""Domain randomization: what may differ from episode to episode beside the scene itself, each axis within its own range.

Tobin et al. 2017, "Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real World". Every draw is
a pure function of the episode's seed, so that episode k looks the same alone, in any batch, and in every run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.draws import Draw
from vla_train.envs.tabletop.look import GRID, LEVELS, Look
from vla_train.envs.tabletop.state import State
from vla_train.errors import UsageError
from vla_train.seeds import counter_integers, counter_uniform

Range = Sequence[float]  # of two: least and largest; YAML has lists, the fields are tuples

# The neutral value of each axis, and the least and the largest value that it may take.
LIMITS: dict[str, tuple[float, float, float]] = {
    "camera_shift": (0.0, -0.2, 0.2),
    "camera_zoom": (1.0, 0.5, 2.0),
    "camera_rotation": (0.0, -45.0, 45.0),
    "brightness": (1.0, 0.1, 2.0),
    "contrast": (1.0, 0.1, 2.0),
    "temperature": (0.0, -0.5, 0.5),
    "noise": (0.0, 0.0, 100.0),
    "table_shade": (1.0, 0.1, 1.3),
    "table_warmth": (0.0, -0.5, 0.5),
    "texture": (0.0, 0.0, 0.9),
    "object_shade": (1.0, 0.3, 1.2),
    "object_size": (1.0, 0.6, 1.5),
    "distractors": (0.0, 0.0, 7.0),
    "start_shift": (0.0, -0.5, 0.5),
    "start_turn": (0.0, -90.0, 90.0),
    "start_opening": (1.0, world.DOWN, 1.0),
}
WHOLE = {"distractors"}  # counts: fractions are refused
START_LIMIT = 0.48  # a shifted gripper starts within this

# Robustness is measured along these: what each changes at strength 1. A weaker change has proportionally narrower ranges. Every
# goal can still be reached, and the middle of every object seen.
ROBUSTNESS: dict[str, dict[str, Range]] = {
    "camera": {"camera_shift": (-0.04, 0.04), "camera_zoom": (0.8, 1.0), "camera_rotation": (-10.0, 10.0)},
    "light": {"brightness": (0.5, 1.4), "contrast": (0.6, 1.3), "temperature": (-0.3, 0.3)},
    "noise": {"noise": (0.0, 40.0)},
    "background": {"table_shade": (0.5, 1.2), "table_warmth": (-0.3, 0.3), "texture": (0.0, 0.5)},
    "layout": {"distractors": (0.0, 2.0), "object_size": (0.7, 1.3), "object_shade": (0.7, 1.15)},
    "start_pose": {"start_shift": (-0.3, 0.3), "start_turn": (-60.0, 60.0), "start_opening": (0.5, 1.0)},
}


@dataclass(frozen=True)
class Randomization:
    """The range (least, largest) of each axis; an episode's value is uniform within it. The defaults change nothing.

    ``strength`` scales how far every range reaches from the value that changes nothing. Raises UsageError for a range that is
    none, or reaches beyond ``LIMITS``.
    """

    strength: float = 1.0
    camera_shift: Range = (0.0, 0.0)  # metres by which every camera is moved, in x and in y
    camera_zoom: Range = (1.0, 1.0)  # factor on what is seen
    camera_rotation: Range = (0.0, 0.0)  # degrees counter-clockwise by which every camera is turned
    brightness: Range = (1.0, 1.0)  # factor on all colours
    contrast: Range = (1.0, 1.0)  # factor on the distance from mid-grey
    temperature: Range = (0.0, 0.0)  # share by which red is raised and blue is lowered: above 0 is warmer light
    noise: Range = (0.0, 0.0)  # standard deviation of the sensor's noise, of 255
    table_shade: Range = (1.0, 1.0)  # factor on the colour of the table and of the floor
    table_warmth: Range = (0.0, 0.0)  # as temperature, of the table and of the floor alone
    texture: Range = (0.0, 0.0)  # share by which the table is lighter and darker in a pattern of blotches or stripes
    object_shade: Range = (1.0, 1.0)  # factor on the colour, of each object
    object_size: Range = (1.0, 1.0)  # factor on how large each object is drawn; what can be grasped where stays the same
    distractors: Range = (0.0, 0.0)  # objects more than the scene has, as far as 8 in all; whole numbers
    start_shift: Range = (0.0, 0.0)  # metres by which the gripper starts elsewhere, in x and in y
    start_turn: Range = (0.0, 0.0)  # degrees counter-clockwise by which it starts turned
    start_opening: Range = (1.0, 1.0)  # its opening at the start

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"randomization.strength={self.strength}: it must be at least 0 (nothing is changed) and at most 1")
        for axis, (_, least, largest) in LIMITS.items():
            value = tuple(getattr(self, axis))
            ordered = len(value) == 2 and least <= value[0] <= value[1] <= largest
            if not ordered or (axis in WHOLE and any(end % 1 for end in value)):
                raise _refused(axis, value)
            object.__setattr__(self, axis, (float(value[0]), float(value[1])))

    def range(self, axis: str) -> Range:
        """The least and the largest value of an axis, strength included."""
        neutral, (low, high) = LIMITS[axis][0], getattr(self, axis)
        return neutral + self.strength * (low - neutral), neutral + self.strength * (high - neutral)

    def changes(self, *axes: str) -> bool:
        """Whether any of these axes (without any: of all) ever differs from what changes nothing."""
        return any(self.range(axis) != (LIMITS[axis][0],) * 2 for axis in axes or LIMITS)

    def slots(self, max_objects: int) -> int:
        """How many objects there may be where the scenes alone have at most ``max_objects``."""
        return min(max_objects + math.floor(self.range("distractors")[1]), world.MAX_OBJECTS)

    def look(self, seeds: np.ndarray, slots: int) -> Look:
        """What the pictures of the episodes of seeds [n] look like."""
        light, camera = (counter_uniform(seeds, draw, 4) for draw in (Draw.LIGHT, Draw.CAMERA))
        table = counter_uniform(seeds, Draw.TEXTURE, 4 + GRID * GRID)
        objects = counter_uniform(seeds, Draw.OBJECT_LOOK, 2 * world.MAX_OBJECTS).reshape(-1, world.MAX_OBJECTS, 2)[:, :slots]
        pattern = 2 * table[:, 4:].reshape(-1, GRID, GRID) - 1
        stripes = table[:, 3, None, None]  # a third each: blotches, stripes one way, stripes the other way
        pattern = np.where(stripes < 1 / 3, pattern[:, :1], np.where(stripes < 2 / 3, pattern[:, :, :1], pattern))
        return Look(
            shift_x=self._value("camera_shift", camera[:, 0]),
            shift_y=self._value("camera_shift", camera[:, 1]),
            zoom=self._value("camera_zoom", camera[:, 2]),
            rotation=self._value("camera_rotation", camera[:, 3]),
            brightness=self._value("brightness", light[:, 0]),
            contrast=self._value("contrast", light[:, 1]),
            temperature=self._value("temperature", light[:, 2]),
            noise=self._value("noise", counter_uniform(seeds, Draw.NOISE, 1)[:, 0]),
            table_shade=self._value("table_shade", table[:, 0]),
            table_warmth=self._value("table_warmth", table[:, 1]),
            texture=self._value("texture", table[:, 2]),
            pattern=pattern,
            shade=self._value("object_shade", objects[:, :, 0]),
            size=np.floor(objects[:, :, 1] * LEVELS).astype(np.int64),
        )

    def extra(self, seeds: np.ndarray) -> np.ndarray:
        """How many objects more the scenes have, int64 [n]."""
        low, high = self.range("distractors")
        most = math.floor(high)
        least = min(math.ceil(low), most)  # a strength may leave no whole number between the two
        return least + counter_integers(seeds, Draw.EXTRA_DISTRACTORS, 1, most - least + 1)[:, 0]

    def move_start(self, state: State) -> None:
        """Have the grippers of fresh scenes start elsewhere, in place."""
        draw = counter_uniform(state.seed, Draw.START_POSE, 4)
        for place, column in ((state.tip_x, 0), (state.tip_y, 1)):
            shift = np.round(self._value("start_shift", draw[:, column]), 6)
            place[:] = np.where(shift == 0, place, np.clip(place + shift, -START_LIMIT, START_LIMIT))
        turn = np.round(np.radians(self._value("start_turn", draw[:, 2])), 6)
        state.yaw[:] = np.clip(state.yaw + turn, -world.YAW_LIMIT, world.YAW_LIMIT)
        state.opening[:] = np.round(self._value("start_opening", draw[:, 3]), 6)

    def sizes(self) -> tuple[float, ...]:
        """The sizes in which objects are drawn; one if they do not differ."""
        low, high = self.range("object_size")
        return (low,) if low == high else tuple(float(size) for size in np.linspace(low, high, LEVELS))

    def _value(self, axis: str, uniform: np.ndarray) -> np.ndarray:
        low, high = self.range(axis)
        return low + (high - low) * uniform


def _refused(axis: str, value: Sequence[float]) -> UsageError:
    _, least, largest = LIMITS[axis]
    numbers = "whole numbers" if axis in WHOLE else "numbers"
    return UsageError(f"randomization.{axis}={list(value)}: give two {numbers} from {least:g} to {largest:g}, smaller one first")


def changed(axis: str, strength: float) -> Randomization:
    """The randomization along one axis of ``ROBUSTNESS``, and nothing else. At strength 0 it changes nothing. Raises UsageError
    for an axis that does not exist, or a strength beyond 0 to 1.
    """
    if axis not in ROBUSTNESS:
        raise UsageError(f"there is no axis {axis!r} to change; there are {', '.join(ROBUSTNESS)}")
    ranges: dict[str, Any] = dict(ROBUSTNESS[axis])
    return Randomization(strength=float(strength), **ranges)


AXES = tuple(field.name for field in fields(Randomization) if field.name != "strength")
assert tuple(LIMITS) == AXES
