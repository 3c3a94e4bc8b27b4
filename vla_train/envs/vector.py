"""The vector environment of worlds that step one at a time: BabyAI, Meta-World and any gymnasium environment are made of it."""

import string
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from vla_train.envs.contract import Goal
from vla_train.errors import VlaTrainError, WorldError
from vla_train.spec import Spec
from vla_train.types import RawObservation


class library_call:  # noqa: N801  # reads as a function; as a generator it would take longer than many a step
    """Inside, only a foreign library is at work: whatever it raises becomes WorldError, which evaluation counts as a crash."""

    def __init__(self, library: str, what: str) -> None:
        self._library, self._what = library, what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, VlaTrainError):  # which says more
            raise WorldError(f"{self._library} failed at {self._what}: {type(error).__name__}: {error}") from error


class RowEpisode(ABC):
    """One row: a world of a library, and the episode that is played in it."""

    def __init__(self) -> None:
        self.seed = -1  # not reset yet
        self.goal = Goal("", "", "", "", "")
        self.actions: list[Any] = []  # executed since the reset
        self.ended = True
        self.success = False

    @abstractmethod
    def reset(self, seed: int) -> None: ...

    @abstractmethod
    def set_goal(self, goal: Goal) -> None:
        """Judge this fresh episode by another goal."""

    @abstractmethod
    def step(self, action: Any) -> tuple[float, bool, bool]:
        """Reward, terminated, truncated. An episode that has ended stays as it is and gives (0.0, False, False)."""

    def replay(self, actions: Sequence[Any]) -> None:
        """Take these actions, which may come from JSON."""
        for action in actions:
            self.step(action)

    @abstractmethod
    def expert_action(self, goal: Goal | None = None) -> Any:
        """What the expert would do next towards ``goal`` (default: the episode's own)."""

    @property
    def expert_failed(self) -> bool:
        """The expert has given up although the episode goes on."""
        return False


R = TypeVar("R", bound=RowEpisode)


class RowsVectorEnv(gymnasium.vector.VectorEnv[Any, np.ndarray, np.ndarray], Generic[R], ABC):
    """Rows that are ``RowEpisode``s. See ``envs/contract.py`` for the methods.

    A subclass gives ``_observation`` and calls ``_begin`` once. A row is restored by replaying its actions from its seed.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012  # as gymnasium declares it
    io_spec: Spec
    stage: str
    not_applicable: dict[str, str]

    def _begin(self, name: str, stage: str, episodes: Sequence[R], io_spec: Spec, not_applicable: dict[str, str]) -> None:
        """``name`` is what messages call this world, and what tells its scenes from those of another."""
        self.name, self.stage, self.episodes, self.num_envs = name, stage, list(episodes), len(episodes)
        self.io_spec, self.not_applicable = io_spec, not_applicable
        self.single_observation_space = observation_space(io_spec)
        self.single_action_space = action_space(io_spec)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)

    @abstractmethod
    def _observation(self) -> RawObservation: ...

    def reset(  # type: ignore[override]  # seeds are obligatory in the contract
        self, *, seed: Sequence[int] | np.ndarray, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        if len(seed) != self.num_envs or len(mask) != self.num_envs:
            raise WorldError(f"reset of {self.num_envs} rows was given {len(seed)} seeds and a mask of {len(mask)}")
        for row in np.flatnonzero(mask).tolist():
            try:
                self.episodes[row].reset(int(seed[row]))
            except WorldError as error:
                error.rows = [row]
                raise
        return self._observation(), self._info()

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if any(episode.seed < 0 for episode in self.episodes):
            raise WorldError(f"{self.name}: reset every row before the first step")
        chosen = self._checked(actions)
        results = []
        for row, action in enumerate(chosen):
            try:
                results.append(self.episodes[row].step(action))
            except WorldError as error:
                error.rows = [row]
                raise
        reward, terminated, truncated = (np.array(column) for column in zip(*results, strict=True))
        return self._observation(), reward.astype(np.float32), terminated, truncated, self._info()

    @property
    def success(self) -> np.ndarray:
        return np.array([episode.success for episode in self.episodes])

    @property
    def goals(self) -> list[Goal]:
        return [episode.goal for episode in self.episodes]

    def set_goals(self, rows: Sequence[int], goals: Sequence[Goal]) -> RawObservation:
        for row, goal in zip(rows, goals, strict=True):
            self.episodes[row].set_goal(goal)
        return self._observation()

    def alternatives(self) -> list[list[Goal]]:
        return [[] for _ in self.episodes]

    def expert_action(self, goals: Sequence[Goal] | None = None) -> np.ndarray:
        """[n, a]. ``info["expert_failed"]`` of a step tells of rows whose expert knows no way."""
        wanted: Sequence[Goal | None] = goals if goals is not None else [None] * self.num_envs
        chosen = [episode.expert_action(goal) for episode, goal in zip(self.episodes, wanted, strict=True)]
        if self.io_spec.action.kind == "discrete":
            return np.array(chosen, np.int64)[:, None]
        return np.stack(chosen).astype(np.float32)

    @property
    def first_touched(self) -> list[str]:
        return [""] * self.num_envs

    def get_scenes(self) -> list[dict[str, Any]]:
        """World, seed and the actions so far: foreign worlds are set up again by replaying them."""
        return [
            {"world": self.name, "seed": episode.seed, "actions": [np.asarray(action).tolist() for action in episode.actions]}
            for episode in self.episodes
        ]

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        for row, scene in zip(rows, scenes, strict=True):
            if scene["world"] != self.name:
                raise WorldError(f"a scene of {scene['world']} cannot be set up in {self.name}")
            self.episodes[row].reset(int(scene["seed"]))
            self.episodes[row].replay(scene["actions"])
        return self._observation()

    def _info(self) -> dict[str, Any]:
        return {"expert_failed": np.array([episode.expert_failed for episode in self.episodes])}

    def _checked(self, actions: np.ndarray) -> list[Any]:
        """The action of each row as the Spec says: an int, or float32 [a] within the bounds."""
        actions, spec = np.asarray(actions), self.io_spec.action
        if actions.shape != (self.num_envs, spec.size):
            raise WorldError(f"actions have the shape {list(actions.shape)}; {self.name} wants [{self.num_envs}, {spec.size}]")
        if spec.kind == "discrete":
            legal = (actions >= 0) & (actions < spec.choices)  # false for NaN too
            if actions.dtype.kind == "f":
                legal &= actions == np.floor(actions)
            wanted = f"{self.name} has the actions 0 to {spec.choices - 1}"
            wanted += f" ({', '.join(spec.names)})" if spec.names else ""
        else:
            legal, wanted = np.isfinite(actions), "actions must be finite"
        if not legal.all():
            row, column = np.argwhere(~legal)[0].tolist()
            where = f"row {row} (seed {self.episodes[row].seed}, step {len(self.episodes[row].actions)})"
            raise WorldError(f"action {actions[row, column]} in {where}: {wanted}", rows=[row])
        if spec.kind == "discrete":
            return list(actions[:, 0].astype(np.int64).tolist())
        return list(np.clip(actions, spec.low, spec.high).astype(np.float32))


def observation_space(spec: Spec) -> gymnasium.Space[Any]:
    """The gymnasium space of one row of a RawObservation."""
    spaces = gymnasium.spaces
    images: dict[str, gymnasium.Space[Any]] = {
        name: spaces.Box(-np.inf, np.inf, image.shape, np.float32)
        if image.kind == "points"
        else spaces.Box(0, 255, image.shape, np.uint8)
        for name, image in spec.images.items()
    }
    return spaces.Dict(
        images=spaces.Dict(images),
        state=spaces.Box(-np.inf, np.inf, (spec.state_size,), np.float32),
        instruction=spaces.Text(1000, min_length=0, charset=string.printable),
    )


def action_space(spec: Spec) -> gymnasium.Space[np.ndarray]:
    """The gymnasium space of one row of actions."""
    if spec.action.kind == "discrete":
        return gymnasium.spaces.MultiDiscrete([spec.action.choices])
    return gymnasium.spaces.Box(np.array(spec.action.low, np.float32), np.array(spec.action.high, np.float32))
