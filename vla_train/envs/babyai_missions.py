"""BabyAI's missions as plain data, and the other missions that a scene allows.

A mission is a nested tuple, so that it can be compared, stored as JSON and built again in any copy of the scene:
``("go to", object)``, ``("open", object, strict)``, ``("pick up", object, strict)``,
``("put next", object, object, strict)`` and ``("and" | "before" | "after", mission, mission, strict)``, where an object is
``(type, colour, place)`` with None for what is not said. The grammar is that of Chevalier-Boisvert et al. 2019, "BabyAI: A
Platform to Study the Sample Efficiency of Grounded Language Learning".
"""

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # minigrid imports pygame, which greets on stdout

from minigrid.core.roomgrid import Room
from minigrid.envs.babyai.core import roomgrid_level
from minigrid.envs.babyai.core import verifier as _verifier
from minigrid.envs.babyai.core.levelgen import LevelGen

from vla_train.envs.contract import Goal

# The library prints 'Sampling rejected' to stdout whenever it draws a scene again. A module-level name hides the builtin there
# and nowhere else; redirecting sys.stdout would also swallow what other threads print meanwhile.
vars(roomgrid_level)["print"] = lambda *values, **options: None

verifier: Any = _verifier  # the library has no type hints
Mission = tuple[Any, ...]
Object = tuple[str | None, str | None, str | None]

_CLAUSES = {
    "go to": verifier.GoToInstr,
    "open": verifier.OpenInstr,
    "pick up": verifier.PickupInstr,
    "put next": verifier.PutNextInstr,
}
_SEQUENCES = {"and": verifier.AndInstr, "before": verifier.BeforeInstr, "after": verifier.AfterInstr}
TASKS = (*_CLAUSES, "sequence")

# Levels (by class) whose mission names whatever the scene holds. In all others the level itself fixes what is asked for.
_OPEN_LEVELS = {
    *("GoToLocal", "GoTo", "GoToDoor", "GoToObjDoor", "Open", "OpenDoor", "OpenDoorsOrder", "ActionObjDoor"),
    *("Pickup", "UnblockPickup", "PickupDist", "PutNextLocal", "PutNext", "MoveTwoAcross"),
}
_MIXED_LEVELS = {"GoToObjDoor", "ActionObjDoor"}  # "go to" may name doors and movable objects alike
_ACROSS_LEVELS = {"PutNext", "MoveTwoAcross"}  # each object has its side of the room


def asks_for_many(env: Any) -> bool:
    """Whether the level's own grammar could ask for something else in the same scene."""
    if getattr(env, "start_carrying", False):  # the object to put somewhere is in the agent's hands already
        return False
    return isinstance(env, LevelGen) or type(env).__name__ in _OPEN_LEVELS


def to_mission(instruction: Any) -> Mission:
    """The library's instruction object as plain data."""
    for name, cls in _SEQUENCES.items():
        if isinstance(instruction, cls):
            return (name, to_mission(instruction.instr_a), to_mission(instruction.instr_b), bool(instruction.strict))
    name = next(name for name, cls in _CLAUSES.items() if isinstance(instruction, cls))
    objects = tuple((desc.type, desc.color, desc.loc) for desc in _descriptions(instruction))
    return (name, *objects) if name == "go to" else (name, *objects, bool(instruction.strict))


def to_instruction(mission: Mission) -> Any:
    """A fresh instruction object of the library; ``reset_verifier(env)`` ties it to a scene."""
    name = mission[0]
    if name in _SEQUENCES:
        return _SEQUENCES[name](to_instruction(mission[1]), to_instruction(mission[2]), mission[3])
    objects = [verifier.ObjDesc(*part) for part in mission[1:] if not isinstance(part, bool)]
    strict = [part for part in mission[1:] if isinstance(part, bool)]
    return _CLAUSES[name](*objects, *strict)


def from_json(value: Any) -> Any:
    """A mission that went through JSON: lists become tuples again."""
    return tuple(from_json(item) for item in value) if isinstance(value, list | tuple) else value


def goal_of(instruction: Any, words: str) -> Goal:
    """The contract's Goal of an instruction that is tied to a scene and said in ``words``."""
    mission = to_mission(instruction)
    task = "sequence" if mission[0] in _SEQUENCES else mission[0]
    return Goal(
        instruction=words,
        key=_text(mission, True),
        task=task,
        named=_named(instruction),
        template=_text(mission, False),
        data=mission,
    )


def alternatives(env: Any, goal: Goal) -> list[Goal]:
    """The missions that differ from ``goal`` in one object, which exists in this fresh scene and is the only one so described.

    The description keeps its form (type, colour, place), so it stays within the level's grammar.
    """
    found = {}
    for mission in _variants(env, goal.data, _named_objects(env, goal.data)):
        instruction = to_instruction(mission)
        try:
            env.validate_instrs(instruction)
        except roomgrid_level.RejectSampling:
            continue
        instruction.reset_verifier(env)
        other = goal_of(instruction, instruction.surface(env))
        if other.key != goal.key:
            found[other.key] = other
    return list(found.values())


def _descriptions(instruction: Any) -> list[Any]:
    if isinstance(instruction, verifier.PutNextInstr):
        return [instruction.desc_move, instruction.desc_fixed]
    if isinstance(instruction, verifier.SeqInstr):
        return [*_descriptions(instruction.instr_a), *_descriptions(instruction.instr_b)]
    return [instruction.desc]


def _named(instruction: Any) -> str:
    """The object that is to be dealt with first ("red ball"), "" if several kinds fit its description."""
    if isinstance(instruction, verifier.AndInstr):  # in any order
        return ""
    if isinstance(instruction, verifier.SeqInstr):
        return _named(instruction.instr_b if isinstance(instruction, verifier.AfterInstr) else instruction.instr_a)
    names = {f"{thing.color} {thing.type}" for thing in _descriptions(instruction)[0].obj_set}
    return names.pop() if len(names) == 1 else ""


def _text(mission: Mission, concrete: bool) -> str:
    """The canonical text of a mission's success test, or (not ``concrete``) the template of its words."""
    name = mission[0]
    if name in _SEQUENCES:
        first, second = _text(mission[1], concrete), _text(mission[2], concrete)
        if not concrete:
            return first + {"and": " and ", "before": ", then ", "after": " after you "}[name] + second
        if name == "and":
            return " and ".join(sorted([f"({first})", f"({second})"]))
        pair = (first, second) if name == "before" else (second, first)
        return f"({pair[0]}) then ({pair[1]})" + (" strictly" if mission[3] else "")
    parts = [_object_text(part, concrete) for part in mission[1:] if not isinstance(part, bool)]
    if not concrete:
        return f"put {parts[0]} next to {parts[1]}" if name == "put next" else f"{name} {parts[0]}"
    return f"{name} " + ", ".join(parts) + (" strictly" if mission[-1] is True else "")


def _object_text(description: Object, concrete: bool) -> str:
    kind, color, place = description
    if concrete:
        return " ".join(word for word in (color, kind or "object", place) if word)
    return " ".join(
        word for word, said in (("{color}", color), ("{type}" if kind else "object", True), ("{place}", place)) if said
    )


def _matches(env: Any, description: Object) -> list[Any]:
    objects, _ = verifier.ObjDesc(*description).find_matching_objs(env)
    return list(objects)


def _named_objects(env: Any, mission: Mission) -> list[Any]:
    instruction = to_instruction(mission)
    return [thing for desc in _descriptions(instruction) for thing in _matches(env, (desc.type, desc.color, desc.loc))]


def _variants(env: Any, mission: Mission, taken: list[Any]) -> Iterator[Mission]:
    """``mission`` with one object replaced by another that it does not name (``taken``)."""
    for index, part in enumerate(mission):
        if index == 0 or isinstance(part, bool):
            continue
        if mission[0] in _SEQUENCES:
            others: Iterator[Any] = _variants(env, part, taken)
        else:
            others = _other_objects(env, mission[0], index, part, taken)
        for other in others:
            yield (*mission[:index], other, *mission[index + 1 :])


def _other_objects(env: Any, clause: str, slot: int, description: Object, taken: list[Any]) -> Iterator[Object]:
    kind, color, place = description
    here = _matches(env, description)
    for thing in env.grid.grid:
        if thing is None or thing.type not in verifier.OBJ_TYPES or not _fits(env, clause, slot, description, thing):
            continue
        if type(env).__name__ in _ACROSS_LEVELS and _room(env, thing) is not _room(env, here[0]):
            continue
        for where in verifier.LOC_NAMES if place else [None]:
            other = (thing.type if kind else None, thing.color if color else None, where)
            found = _matches(env, other)
            if len(found) == 1 and found[0] is thing and not any(thing is named for named in taken) and _unlocked(env, thing):
                yield other


def _fits(env: Any, clause: str, slot: int, description: Object, thing: Any) -> bool:
    """Whether the level's grammar allows this kind of thing (door or movable object) in this place of a mission."""
    door = thing.type == "door"
    if clause == "open":
        return bool(door)
    if clause == "pick up" or (clause == "put next" and slot == 1):
        return not door
    mixed = isinstance(env, LevelGen) or type(env).__name__ in _MIXED_LEVELS
    return mixed or door == (description[0] == "door")


def _room(env: Any, thing: Any) -> Any:
    return env.room_from_pos(*thing.cur_pos)


def _unlocked(env: Any, thing: Any) -> bool:
    """Levels without implicit unlocking never ask for something behind the locked door."""
    locked = getattr(env, "locked_room", None)
    if getattr(env, "implicit_unlock", True) or not isinstance(locked, Room):
        return True
    return not locked.pos_inside(*thing.cur_pos)


def longest_episode(env: Any) -> int:
    """An upper bound of the level's episode length in steps, from the level's size and grammar."""
    if env.fixed_max_steps:
        return int(env.max_steps)
    if isinstance(env, LevelGen):
        clauses = 4 if "seq" in env.instr_kinds else 2 if "and" in env.instr_kinds else 1
        walks = clauses * (2 if "putnext" in env.action_kinds else 1)
    else:
        walks = 0
        for seed in range(16):  # these levels draw among a few forms of mission at most
            env.reset(seed=seed)
            walks = max(walks, env.num_navs_needed(env.instrs))
    return int(walks * env.room_size**2 * env.num_rows * env.num_cols)
