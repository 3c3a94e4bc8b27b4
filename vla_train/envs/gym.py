"""Any registered gymnasium environment as one of ours, mostly for reinforcement learning. See docs/gym.md."""

import difflib
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import cv2
import gymnasium
import numpy as np

from vla_train.envs.contract import Goal
from vla_train.envs.gym_spaces import View, action_spec, to_action
from vla_train.envs.vector import RowEpisode, RowsVectorEnv, library_call
from vla_train.errors import StageError, UsageError, WorldError
from vla_train.spec import ImageSpec, Spec
from vla_train.types import RawObservation

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame, which draws many of them, greets on stdout

HORIZON = 1000  # steps, where the environment sets no limit of its own
NO_EXPERT = "a gymnasium environment brings none"
NOT_APPLICABLE = {
    "expert": NO_EXPERT,
    "alternatives": "a gymnasium environment has one goal",
    "first_touched": "a gymnasium environment names no objects",
    "describe": "a gymnasium environment has no words",
}


class GymVectorEnv(RowsVectorEnv[Any]):
    """``num_envs`` copies of a gymnasium environment. See ``envs/contract.py`` for the methods.

    Args:
        stage: "none": there are no stages.
        env_id: as registered with gymnasium, e.g. CartPole-v1.
        observation: "state": what the environment itself shows; "pixels": what it draws (``render_mode="rgb_array"``).
        image_size: edge in pixels of what is drawn.
        success_return: an episode whose rewards add up to at least this is a success; "auto": the registered
            ``reward_threshold``; None, or "auto" where none is registered: success does not apply.
        horizon: steps after which an episode is truncated; None: the registered limit, or 1,000.

    Raises:
        UsageError: no such environment, or one that cannot be made here or has spaces of other kinds.
    """

    version: ClassVar[int] = 1  # of what is recorded: raise it when the frames or rewards of a seed change

    def __init__(
        self,
        num_envs: int,
        stage: str = "none",
        env_id: str = "CartPole-v1",
        observation: Literal["state", "pixels"] = "state",
        image_size: int = 64,
        success_return: float | int | str | None = "auto",
        horizon: int | None = None,
    ) -> None:
        if stage != "none":
            raise StageError("a gymnasium environment has no stages, so leave this out")
        registered = _registered(env_id)
        pixels = observation == "pixels"
        first = _make(env_id, pixels)
        try:
            view, action = View(env_id, first.observation_space), action_spec(env_id, first.action_space)
        except Exception:
            first.close()
            raise
        images = {"pixels": ImageSpec(image_size, image_size)} if pixels else view.images
        threshold = registered.reward_threshold if isinstance(success_return, str) else success_return
        io_spec = Spec(
            images=images,
            state_size=0 if pixels else len(view.state_names),
            state_names=() if pixels else view.state_names,
            action=action,
            rate=float(first.metadata.get("render_fps") or 10.0),
            horizon=horizon or registered.max_episode_steps or HORIZON,
            tasks=(env_id,),
        )
        not_applicable = dict(NOT_APPLICABLE)
        if threshold is None:
            not_applicable["success"] = f"{env_id} registers no reward_threshold; set environment.success_return"
        size = image_size if pixels else None
        episodes = [Episode(env_id, view, size, io_spec.horizon, threshold) for _ in range(num_envs)]
        episodes[0].env = first
        self._begin(env_id, stage, episodes, io_spec, not_applicable)

    def expert_action(self, goals: Sequence[Goal] | None = None) -> np.ndarray:
        raise UsageError(f"{self.name} has no expert: {NO_EXPERT}")

    def describe(self) -> list[str]:
        return [""] * self.num_envs

    def sample_instructions(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        return [""] * len(seeds)

    def close(self, **kwargs: Any) -> None:
        for episode in self.episodes:
            episode.close()
        super().close(**kwargs)

    def _observation(self) -> RawObservation:
        blank = {name: np.zeros(image.shape, image.dtype) for name, image in self.io_spec.images.items()}
        shown = [episode.images or blank for episode in self.episodes]  # blank: rows that were never reset
        zero = np.zeros(self.io_spec.state_size, np.float32)
        return {
            "images": {name: np.stack([images[name] for images in shown]) for name in blank},
            "state": np.array([zero if episode.state is None else episode.state for episode in self.episodes]),
            "instruction": [""] * self.num_envs,
        }


class Episode(RowEpisode):
    """A row: a copy of the environment. One that failed is made anew at the next reset."""

    def __init__(self, env_id: str, view: View, image_size: int | None, horizon: int, threshold: float | None) -> None:
        super().__init__()
        self.env: Any = None
        self.goal = Goal(instruction="", key=env_id, task=env_id, named="", template="")
        self.images: dict[str, np.ndarray] = {}
        self.state: np.ndarray | None = None
        self._view, self._image_size, self._horizon, self._threshold = view, image_size, horizon, threshold
        self._return, self._space = 0.0, None

    def reset(self, seed: int) -> None:
        with library_call(self.goal.key, f"the reset from seed {seed}"):
            self.env = self.env or _make(self.goal.key, self._image_size is not None)
            self._space = self.env.action_space  # asked for once: it is behind several wrappers
            self._see(self._guarded("reset", seed=seed)[0])
        self.seed, self.actions, self.ended, self.success, self._return = seed, [], False, False, 0.0

    def step(self, action: Any) -> tuple[float, bool, bool]:
        if self.ended:
            return 0.0, False, False
        with library_call(self.goal.key, f"step {len(self.actions)} from seed {self.seed}"):
            seen, reward, terminated, truncated, _ = self._guarded("step", to_action(self._space, action))
            self._see(seen)
        self.actions.append(action)
        self._return += float(reward)
        truncated = bool(not terminated and (truncated or len(self.actions) >= self._horizon))
        self.ended = bool(terminated) or truncated
        self.success = self.ended and self._threshold is not None and self._return >= self._threshold
        return float(reward), bool(terminated), truncated

    def set_goal(self, goal: Goal) -> None:
        if goal.key != self.goal.key:
            raise WorldError(f"{self.goal.key} cannot be asked for {goal.key}")

    def expert_action(self, goal: Goal | None = None) -> Any:
        raise UsageError(f"{self.goal.key} has no expert: {NO_EXPERT}")

    def close(self) -> None:
        if self.env is not None:
            self.env.close()

    def _guarded(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(self.env, method)(*args, **kwargs)
        except Exception:
            self.env, self.ended = None, True  # nobody knows what state it is in
            raise

    def _see(self, observation: Any) -> None:
        if self._image_size is None:
            self.images, self.state = self._view.split(observation)
            return
        edge = (self._image_size, self._image_size)
        frame = cv2.resize(np.ascontiguousarray(self._guarded("render")), edge, interpolation=cv2.INTER_AREA)
        self.images, self.state = {"pixels": np.asarray(frame, np.uint8)}, np.zeros(0, np.float32)


def _registered(env_id: str) -> Any:
    """The registration of an environment. A module before a colon, which gymnasium would import, is refused."""
    if env_id not in gymnasium.registry:
        near = difflib.get_close_matches(env_id, gymnasium.registry, n=1, cutoff=0.0)
        raise UsageError(
            f"dataset.env_id={env_id}: no environment of this name is registered with gymnasium; did you mean {near[0]}? "
            "A package registers its own when it is installed"
        )
    return gymnasium.registry[env_id]


def _make(env_id: str, pixels: bool) -> Any:
    if pixels:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no window is wanted, and there may be no screen
    try:
        env = gymnasium.make(env_id, render_mode="rgb_array" if pixels else None, disable_env_checker=True)
    except Exception as error:  # a missing package, a version that is gone: whatever an environment raises
        raise UsageError(f"{env_id} cannot be made here ({type(error).__name__}: {error})") from error
    if pixels and env.render_mode != "rgb_array":
        env.close()
        raise UsageError(f"{env_id} does not draw itself (render_mode rgb_array): set dataset.observation=state")
    return env
