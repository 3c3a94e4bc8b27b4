"""Gymnasium spaces of one row, from the Spec."""

import string
from typing import Any

import gymnasium as gym
import numpy as np

from vla_train.envs.tabletop import world
from vla_train.envs.tabletop.grammar import longest_instruction
from vla_train.spec import Spec

_LOW = np.array([-world.HALF, -world.HALF, -world.YAW_LIMIT, 0, 0], np.float32)
_HIGH = np.array([world.HALF, world.HALF, world.YAW_LIMIT, 1, 1], np.float32)


def observation_space(spec: Spec) -> gym.spaces.Space[Any]:
    """images, state and instruction as ``RawObservation`` has them."""
    images: dict[str, gym.spaces.Space[Any]] = {
        name: gym.spaces.Box(0, 255, (image.height, image.width, 3), np.uint8) for name, image in spec.images.items()
    }
    return gym.spaces.Dict(
        {
            "images": gym.spaces.Dict(images),
            "state": gym.spaces.Box(_LOW, _HIGH, dtype=np.float32),
            "instruction": gym.spaces.Text(2 * longest_instruction(), charset=string.ascii_letters + " ,.'-"),
        }
    )


def action_space(spec: Spec) -> gym.spaces.Space[Any]:
    """A box of four numbers in [-1, 1], or one integer."""
    if spec.action.kind == "discrete":
        return gym.spaces.MultiDiscrete([spec.action.choices])
    return gym.spaces.Box(-1.0, 1.0, (spec.action.size,), np.float32)
