"""A person plays: sees the picture in the terminal, and presses keys. One episode at a time; the world waits for each key."""

from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.collection.player import Moment, Move
from vla_train.errors import UsageError
from vla_train.spec import ActionSpec

PAIRS = [tuple(keys) for keys in ("da", "ws", "eq", "rf", "tg", "yh", "uj", "ik")]  # for more and less of each number
ARROWS = {"\x1b[C": "d", "\x1b[D": "a", "\x1b[A": "w", "\x1b[B": "s"}
NUMBERED = "1234567890abcdefghijklmnopqrstuvw"  # of a discrete action
GIVE_UP, NOTHING = "x", " "
LEAVING = "x: give up   Ctrl-C: end"
STEP = 0.5  # of the reach, for a small letter; a capital takes all of it


@runtime_checkable
class Screen(Protocol):
    """Where the person looks and presses keys."""

    def show(self, picture: np.ndarray | None, lines: list[str]) -> None:
        """A picture uint8 [y, x, 3], or None, and lines of text."""

    def key(self) -> str:
        """The next key; waits for it. Raises Interrupted when a stop was asked for."""

    def close(self) -> None: ...


class PersonPlayer:
    """What the person does is executed and recorded. ``x`` gives an episode up: it ends there."""

    def __init__(self, screen: Screen, *, keeps_failures: bool = False) -> None:
        self._screen, self.keeps_failures = screen, keeps_failures
        self._played = self._succeeded = 0

    def begin(self, rows: np.ndarray | None) -> None:
        """Nothing to forget."""

    def ended(self, success: bool) -> None:
        self._played += 1
        self._succeeded += success

    def close(self) -> None:
        self._screen.close()

    def names(self, seeds: np.ndarray) -> list[str]:
        return ["person"] * len(seeds)

    def move(self, moment: Moment) -> Move:
        self._show(moment)
        spec, count = moment.environment.io_spec.action, len(moment.seeds)
        action = self._asked(spec)
        rows = np.repeat((_any(spec) if action is None else action)[None], count, axis=0)
        return Move(rows, rows, given_up=np.full(count, action is None))

    def _asked(self, spec: ActionSpec) -> np.ndarray | None:
        """The action [a] of the next key that means one; None where the episode is given up."""
        while (key := self._screen.key()) != GIVE_UP:
            if (action := action_of(key, spec)) is not None:
                return action
        return None

    def _show(self, moment: Moment) -> None:
        row, spec = int(moment.rows[0]), moment.environment.io_spec
        colour = [name for name, image in spec.images.items() if image.kind == "colour"]
        picture = moment.seen["images"][colour[0]][row] if colour else None
        score = f"   episode {self._played + 1}: {self._succeeded} of {self._played} succeeded" if self._played else ""
        lines = [
            f"{moment.seen['instruction'][row]}   (step {int(moment.steps[row]) + 1} of {spec.horizon}){score}",
            *legend(spec.action),
        ]
        if picture is None and "describe" not in moment.environment.not_applicable:
            lines.insert(1, moment.environment.describe()[row])
        self._screen.show(picture, lines)


def refuse_unplayable(spec: ActionSpec) -> None:
    """Raise UsageError for actions for which there are not enough keys."""
    if spec.kind == "discrete" and spec.choices > len(NUMBERED):
        raise UsageError(f"player=person has keys for {len(NUMBERED)} choices, and this environment has {spec.choices}")
    if spec.kind != "discrete" and spec.size > len(PAIRS):
        raise UsageError(f"player=person has keys for {len(PAIRS)} numbers, and an action of this environment has {spec.size}")


def _any(spec: ActionSpec) -> np.ndarray:
    """An action [a] that a world takes: of an episode that is over nobody asks what it does."""
    found = action_of(NUMBERED[0] if spec.kind == "discrete" else NOTHING, spec)
    assert found is not None, "these keys mean something everywhere"
    return found


def action_of(key: str, spec: ActionSpec) -> np.ndarray | None:
    """The action [a] that a key stands for, None for a key that means nothing. Missing bounds are taken as -1 and 1."""
    if spec.kind == "discrete":
        place = NUMBERED.find(key) if len(key) == 1 else -1
        return np.array([place], np.int64) if 0 <= place < spec.choices else None
    key = ARROWS.get(key, key)
    low, high = np.array(spec.low or (-1.0,) * spec.size), np.array(spec.high or (1.0,) * spec.size)
    action = np.clip(np.zeros(spec.size), low, high)
    if key == NOTHING:
        return action.astype(np.float32)
    for dimension, (more, less) in enumerate(PAIRS[: spec.size]):
        if key.lower() in (more, less):
            reach = high if key.lower() == more else low
            share = 1.0 if key.isupper() else STEP
            action[dimension] += share * (reach[dimension] - action[dimension])
            return action.astype(np.float32)
    return None


def legend(spec: ActionSpec) -> list[str]:
    """What the keys do, in lines."""
    names = spec.names or tuple(f"action {number}" for number in range(spec.size))
    if spec.kind == "discrete":
        named = spec.names or tuple(str(number) for number in range(spec.choices))
        keys = [f"{key} {name}" for key, name in zip(NUMBERED, named, strict=False)]
        return [*("  ".join(keys[first : first + 6]) for first in range(0, len(keys), 6)), LEAVING]
    keys = [f"{more}/{less} {name} +/-" for (more, less), name in zip(PAIRS, names, strict=False)]
    return ["  ".join(keys), f"capitals: all the way   space: nothing   {LEAVING}"]
