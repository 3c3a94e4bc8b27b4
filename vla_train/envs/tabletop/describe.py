"""The state in words, and as JSON values that set it up again."""

from typing import Any

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.furniture import tray_at
from vla_train.envs.tabletop.state import FAR, State
from vla_train.envs.tabletop.world import ON, TRAYS
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
    facts += [_whereabouts(state, row, slot, names) for slot in range(len(names)) if slot != held]
    distance = np.hypot(state.x[row] - state.tip_x[row], state.y[row] - state.tip_y[row])
    facts.append(f"the {names[int(distance.argmin())]} is nearest to the gripper")
    for tray, name in enumerate(TRAYS[: state.tray_x.shape[1]]):
        facts.append(f"the {name} is near the {_nearest_region(state.tray_x[row, tray], state.tray_y[row, tray])}")
    for x, y in zip(state.wall_x[row], state.wall_y[row], strict=True):
        facts.append(f"a wall stands near the {_nearest_region(x, y)}")
    return "; ".join(facts)


def _whereabouts(state: State, row: int | np.integer, slot: int, names: list[str]) -> str:
    """Where an object that is not held lies: on a tray, on another object, or on the table."""
    x, y, count = state.x[row, slot], state.y[row, slot], len(names)
    tray = int(tray_at(state, np.array([row]), np.array([x]), np.array([y]))[0])
    below = (np.hypot(state.x[row, :count] - x, state.y[row, :count] - y) <= ON) & (
        state.layer[row, :count] < state.layer[row, slot]
    )
    if tray >= 0:
        return f"the {names[slot]} is on the {TRAYS[tray]}"
    if below.any():
        return f"the {names[slot]} is on the {names[int(below.argmax())]}"
    return f"the {names[slot]} is near the {_nearest_region(x, y)}"


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
    scene |= {field: int(getattr(state, field)[row]) for field in _INTEGERS}
    return scene | (_furniture_to_json(state, row) if state.furnished else {})


def _furniture_to_json(state: State, row: int | np.integer) -> dict[str, Any]:
    """Trays and walls, and which objects lie on others: "layers" has a number for each object."""
    return {
        "trays": [{"x": float(x), "y": float(y)} for x, y in zip(state.tray_x[row], state.tray_y[row], strict=True)],
        "walls": [
            {"x": float(x), "y": float(y), "upright": int(upright)}
            for x, y, upright in zip(state.wall_x[row], state.wall_y[row], state.wall_upright[row], strict=True)
        ],
        "layers": state.layer[row, : state.count[row]].tolist(),
    }


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
    _furniture_from_json(state, row, scene)


def _furniture_from_json(state: State, row: int | np.integer, scene: dict[str, Any]) -> None:
    trays, walls = scene.get("trays", []), scene.get("walls", [])
    expected = (state.tray_x.shape[1], state.wall_x.shape[1])
    if (len(trays), len(walls)) != expected:
        raise WorldError(
            f"tabletop: a scene with {len(trays)} trays and {len(walls)} walls does not fit this stage, "
            f"which has {expected[0]} and {expected[1]}"
        )
    for field in ("x", "y"):
        getattr(state, f"tray_{field}")[row] = [tray[field] for tray in trays]
        getattr(state, f"wall_{field}")[row] = [wall[field] for wall in walls]
    state.wall_upright[row] = [wall["upright"] for wall in walls]
    state.layer[row] = 0
    if "layers" in scene:
        state.layer[row, : state.count[row]] = scene["layers"]


def parse_name(name: str) -> tuple[int, int]:
    """Colour and shape of "red cup"."""
    colour, _, shape = name.partition(" ")
    if colour not in world.COLOURS or shape not in world.SHAPES:
        raise WorldError(
            f"tabletop: unknown object {name!r}; colours: {', '.join(world.COLOURS)}; shapes: {', '.join(world.SHAPES)}"
        )
    return world.COLOURS.index(colour), world.SHAPES.index(shape)
