"""One tabletop world as an ordinary ``gymnasium.Env``."""

from typing import Any

import gymnasium as gym
import numpy as np

from vla_train.envs.tabletop.vector_env import TabletopVectorEnv
from vla_train.types import RawObservation


class TabletopEnv(gym.Env[dict[str, Any], np.ndarray]):
    """A view on a ``TabletopVectorEnv`` of one row (``vector``), which takes the same arguments."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": TabletopVectorEnv.metadata["render_fps"]}  # noqa: RUF012

    def __init__(self, stage: str = "basic_navigation", render_mode: str | None = None, **options: Any):
        self.vector = TabletopVectorEnv(1, stage, **options)
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Scene ``seed``; without one, a scene of this environment's own generator."""
        super().reset(seed=seed)
        scene = int(self.np_random.integers(0, 2**31)) if seed is None else seed
        observation, info = self.vector.reset(seed=[scene])
        return _first(observation), info

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """As gymnasium has it; ``info["success"]`` tells whether the goal has been reached."""
        observation, reward, terminated, truncated, _ = self.vector.step(np.asarray(action)[None])
        info = {"success": bool(self.vector.success[0])}
        return _first(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> np.ndarray | None:
        """uint8 [256, 256, 3] in the mode "rgb_array"."""
        return self.vector.render()[0] if self.render_mode == "rgb_array" else None


def _first(observation: RawObservation) -> dict[str, Any]:
    return {
        "images": {name: images[0] for name, images in observation["images"].items()},
        "state": observation["state"][0],
        "instruction": observation["instruction"][0],
    }
