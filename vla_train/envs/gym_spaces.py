"""Gymnasium spaces as ours: what an environment shows as pictures and one vector of numbers, what it takes as an action."""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from vla_train.errors import UsageError, WorldError
from vla_train.spec import FEWEST_POINTS, POINT_NUMBERS, ActionSpec, ImageSpec


def action_spec(env_id: str, space: Any) -> ActionSpec:
    """Box with bounds and Discrete. Raises UsageError for another space."""
    if isinstance(space, spaces.Discrete):
        return ActionSpec("discrete", size=1, choices=int(space.n))
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and space.is_bounded("both"):
        low, high = (tuple(float(value) for value in bound.ravel()) for bound in (space.low, space.high))
        return ActionSpec("continuous", size=len(low), low=low, high=high)
    raise UsageError(f"{env_id} takes actions of {space}: here actions are Discrete, or a Box of floats with finite bounds")


def to_action(space: Any, action: Any) -> Any:
    """An action of ours, an int or float32 [a], as the environment takes it."""
    if isinstance(space, spaces.Discrete):
        return int(space.start) + int(action)
    return np.asarray(action, space.dtype).reshape(space.shape)


class View:
    """What the observations of a space hold: pictures (uint8 Boxes of three dimensions) and point clouds (Boxes of floats that
    could be one, under a name with ``point`` or ``cloud`` in it) by name, everything else in ``state``.

    Other Boxes are flattened, Discrete becomes one-hot, a Dict is taken key by key. Raises UsageError for any other space.
    """

    def __init__(self, env_id: str, space: Any) -> None:
        self.env_id = env_id
        self._leaves = list(_leaves(env_id, space, ()))
        shown = {path: _camera(path, leaf) for path, leaf in self._leaves}
        self._shown = {path: image for path, image in shown.items() if image is not None}
        self.images = {_name(path): image for path, image in self._shown.items()}
        self._plain = isinstance(space, spaces.Box) and not self.images
        numbers = [(path, leaf) for path, leaf in self._leaves if path not in self._shown]
        self.state_names = tuple(f"{_name(path)} {index}" for path, leaf in numbers for index in range(spaces.flatdim(leaf)))

    def split(self, observation: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Pictures and clouds by name, and the state as float32 [s]. Raises WorldError where a number is not finite."""
        if self._plain:
            return {}, self._checked(np.asarray(observation, np.float32).ravel())
        images, state = {}, [np.zeros(0, np.float32)]
        for path, leaf in self._leaves:
            value = observation
            for key in path:
                value = value[key]
            if image := self._shown.get(path):
                images[_name(path)] = self._frame(_name(path), image, np.ascontiguousarray(value, image.dtype))
            else:
                numbers = value if isinstance(leaf, spaces.Box) else spaces.flatten(leaf, value)
                state.append(np.asarray(numbers, np.float32).ravel())
        return images, self._checked(np.concatenate(state))

    def _frame(self, name: str, image: ImageSpec, frame: np.ndarray) -> np.ndarray:
        if image.kind != "points":
            return frame
        if not np.isfinite(frame).all():
            raise WorldError(f"{self.env_id} shows points of {name} that are not finite")
        return frame[:, None]

    def _checked(self, vector: np.ndarray) -> np.ndarray:
        if len(vector) != len(self.state_names):
            raise WorldError(
                f"{self.env_id} shows {len(vector)} numbers, and has announced {len(self.state_names)}: an environment whose "
                "spaces change cannot be learned in; wrap it in one that always shows the same"
            )
        if not math.isfinite(vector.dot(vector)) and not np.isfinite(vector).all():  # the first asks fast
            raise WorldError(f"{self.env_id} shows {self.state_names[int(np.argmin(np.isfinite(vector)))]} as not finite")
        return vector


def _leaves(env_id: str, space: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _leaves(env_id, part, (*path, str(key)))
    elif isinstance(space, spaces.Box | spaces.Discrete):
        yield path, space
    else:
        where = f" under {'.'.join(path)}" if path else ""
        raise UsageError(f"{env_id} shows {space}{where}: here observations are Box, Discrete, or a Dict of these")


def _camera(path: tuple[str, ...], space: Any) -> ImageSpec | None:
    """What a picture or a point cloud is to us; None for numbers. Tables of these are seldom clouds, so the name must say it."""
    if not isinstance(space, spaces.Box):
        return None
    if space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] in (1, 3):
        return ImageSpec(*space.shape, kind="colour" if space.shape[2] == 3 else "depth")
    named = path and re.search("point|cloud", path[-1].lower())
    if named and np.issubdtype(space.dtype, np.floating) and len(space.shape) == 2:
        count, size = space.shape
        if count >= FEWEST_POINTS and POINT_NUMBERS[0] <= size <= POINT_NUMBERS[1]:
            return ImageSpec(count, 1, size, kind="points")
    return None


def _name(path: tuple[str, ...]) -> str:
    return "_".join(path) or "observation"
