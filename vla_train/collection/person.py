"""A person plays: sees the picture in the terminal, and presses keys. One episode at a time; the world waits for each key."""

from typing import Protocol, runtime_checkable

import numpy as np

from vla_train.collection.player import Moment, Move
from vla_train.spec import ActionSpec

PAIRS = [tuple(keys) for keys in ("da", "ws", "eq", "rf", "tg", "yh", "uj", "ik")]  # for more and less of each number
ARROWS = {"\x1b[C": "d", "\x1b[D": "a", "\x1b[A": "w", "\x1b[B": "s"}
NUMBERED = "1234567890abcdefghijklmnopqrstuvw"  # of a discrete action
GIVE_UP, NOTHING = "x", " "
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
    """What the person does is executed and recorded. ``x`` gives an episode up: nothing more is done in it."""

    def __init__(self, screen: Screen, *, keeps_failures: bool = False) -> None:
        self._screen, self.keeps_failures = screen, keeps_failures
        self._given_up = False
        self._played = self._succeeded = 0

    def begin(self, rows: np.ndarray | None) -> None:
        self._given_up = False

    def ended(self, success: bool) -> None:
        self._played += 1
        self._succeeded += success

    def close(self) -> None:
        self._screen.close()

    def names(self, seeds: np.ndarray) -> list[str]:
        return ["person"] * len(seeds)

    def move(self, moment: Moment) -> Move:
        spec = moment.environment.io_spec
        if not self._given_up:
            self._show(moment)
        action = self._asked(spec.action)
        rows = np.repeat(action[None], len(moment.seeds), axis=0)
        return Move(rows, rows)

    def _asked(self, spec: ActionSpec) -> np.ndarray:
        """The action [a] of the next key that means one; nothing is done any more where the episode was given up."""
        while not self._given_up:
            key = self._screen.key()
            if key == GIVE_UP and not (spec.kind == "discrete" and GIVE_UP in NUMBERED[: spec.choices]):
                self._given_up = True
            elif (action := action_of(key, spec)) is not None:
                return action
        action = action_of(NOTHING, spec)
        return np.zeros(1, np.int64) if action is None else action

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


def action_of(key: str, spec: ActionSpec) -> np.ndarray | None:
    """The action [a] that a key stands for, None for a key that means nothing. Missing bounds are taken as -1 and 1."""
    key = ARROWS.get(key, key)
    if spec.kind == "discrete":
        place = NUMBERED.find(key) if len(key) == 1 else -1
        return np.array([place], np.int64) if 0 <= place < spec.choices else None
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
        return ["  ".join(keys[first : first + 6]) for first in range(0, len(keys), 6)]
    keys = [f"{more}/{less} {name} +/-" for (more, less), name in zip(PAIRS, names, strict=False)]
    return ["  ".join(keys), "capitals: all the way   space: nothing   x: give up   Ctrl-C: end"]
