"""The state in words, and as JSON values that set it up again."""

from typing import Any

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.state import FAR, State
from vla_train.errors import WorldError


def slot_names(state: State, row: int | np.integer) -> list[str]:
    """The objects of one row in words, by slot."""
    count = state.count[row]
    pairs = zip(state.colour[row, :count].tolist(), state.shape[row, :count].tolist(), strict=True)
    return [world.object_name(colour, shape) for colour, shape in pairs]


def describe(state: State) -> list[str]:
    """One text for each row, such as "the gripper is near the centre and open; the gripper holds nothing; ..."."""
    return [_describe(state, row) for row in range(len(state.seed))]


def _describe(state: State, row: int | np.integer) -> str:
    names = slot_names(state, row)
    fingers = "open" if state.opening[row] >= world.DOWN else "closed"
    held = state.held[row]
    facts = [
        f"the gripper is near the {_nearest_region(state.tip_x[row], state.tip_y[row])} and {fingers}",
        f"the gripper holds {f'the {names[held]}' if held >= 0 else 'nothing'}",
    ]
    for slot, name in enumerate(names):
        if slot != held:
            facts.append(f"the {name} is near the {_nearest_region(state.x[row, slot], state.y[row, slot])}")
    distance = np.hypot(state.x[row] - state.tip_x[row], state.y[row] - state.tip_y[row])
    facts.append(f"the {names[int(distance.argmin())]} is nearest to the gripper")
    return "; ".join(facts)


def _nearest_region(x: float, y: float) -> str:
    return min(world.REGIONS, key=lambda name: (world.REGIONS[name][0] - x) ** 2 + (world.REGIONS[name][1] - y) ** 2)


_PER_OBJECT = ("x", "y", "angle", "start_x", "start_y")
_FLOATS = ("tip_x", "tip_y", "yaw", "opening")
_INTEGERS = ("seed", "held", "still", "touched", "steps")


def to_json(state: State, row: int | np.integer) -> dict[str, Any]:
    """One row as JSON values."""
    objects = [
        {"name": name, **{field: float(getattr(state, field)[row, slot]) for field in _PER_OBJECT}}
        for slot, name in enumerate(slot_names(state, row))
    ]
    scene: dict[str, Any] = {"objects": objects}
    scene |= {field: float(getattr(state, field)[row]) for field in _FLOATS}
    return scene | {field: int(getattr(state, field)[row]) for field in _INTEGERS}


def from_json(state: State, row: int | np.integer, scene: dict[str, Any]) -> None:
    """Put one row into a scene made by ``to_json``."""
    objects = scene["objects"]
    if not 1 <= len(objects) <= state.num_slots:
        raise WorldError(f"tabletop: a scene of {len(objects)} objects does not fit max_objects={state.num_slots}")
    state.count[row] = len(objects)
    for field, value in (("colour", 0), ("shape", 0), ("x", FAR), ("y", FAR), ("angle", 0), ("start_x", FAR), ("start_y", FAR)):
        getattr(state, field)[row] = value
    for slot, item in enumerate(objects):
        state.colour[row, slot], state.shape[row, slot] = parse_name(item["name"])
        for field in _PER_OBJECT:
            getattr(state, field)[row, slot] = item[field]
    for field in (*_FLOATS, *_INTEGERS):
        getattr(state, field)[row] = scene[field]


def parse_name(name: str) -> tuple[int, int]:
    """Colour and shape of "red cup"."""
    colour, _, shape = name.partition(" ")
    if colour not in world.COLOURS or shape not in world.SHAPES:
        raise WorldError(
            f"tabletop: unknown object {name!r}; colours: {', '.join(world.COLOURS)}; shapes: {', '.join(world.SHAPES)}"
        )
    return world.COLOURS.index(colour), world.SHAPES.index(shape)
