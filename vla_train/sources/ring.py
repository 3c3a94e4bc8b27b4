"""The last frames of the rows of a world, each stored once: windows, actions and what came of them are read by their places."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vla_train.processor import Processor
from vla_train.spec import StateDict
from vla_train.types import Observation

Arrays = dict[str, np.ndarray]
IMAGE = "image/"  # before a camera's name


def fields_of(processor: Processor) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Type and shape of everything that is kept for a frame, by name."""
    spec = processor.spec
    images = {IMAGE + name: (image.dtype, image.shape) for name, image in processor.image_specs.items()}
    action = np.int64 if spec.action.kind == "discrete" else np.float32
    return {
        **images,
        "state": (np.float32, (spec.state_size,)),
        "tokens": (np.int32, (processor.max_tokens,)),
        "told": (np.int32, ()),  # how many of the tokens count
        "age": (np.int32, ()),  # steps since the episode began
        "action": (action, (spec.chunk, spec.action.size)),  # taken here; 0 in the last frame of an episode
        "reward": (np.float32, ()),  # of the step that led here
        "terminated": (np.bool_, ()),
        "truncated": (np.bool_, ()),
    }


def frame_bytes(processor: Processor) -> int:
    """Memory of one frame."""
    return sum(np.dtype(kind).itemsize * int(np.prod(shape)) for kind, shape in fields_of(processor).values())


class Ring:
    """Keeps the newest ``slots`` frames of each of ``num_envs`` rows. A ``Recorder``.

    A row's frames are numbered from 0 on, through all of its episodes, and number i lies in slot i modulo ``slots``. What a
    step led to is written with the frame that it led to, so nothing that was written is ever changed: the last frame of an
    episode has a place of its own, with the step's reward and end. The frame that a row shows now is not in the ring yet.
    """

    def __init__(self, processor: Processor, slots: int, num_envs: int) -> None:
        self.slots, self.num_envs, self.steps = slots, num_envs, 0
        self._processor = processor
        size = slots * num_envs
        self.arrays: Arrays = {name: np.zeros((size, *shape), kind) for name, (kind, shape) in fields_of(processor).items()}
        self.written = np.zeros(num_envs, np.int64)  # frames of each row, those included that were overwritten since
        self._rows = np.arange(num_envs)
        self._age = np.zeros(num_envs, np.int32)  # of the frame that each row shows now
        self._reward = np.zeros(num_envs, np.float32)  # of the step that led to it
        self._ends = (np.zeros(num_envs, bool), np.zeros(num_envs, bool))

    @property
    def oldest(self) -> np.ndarray:
        """Number of the oldest frame that is still there, int64 [n]."""
        return np.maximum(self.written - self.slots, 0)

    def places(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Where in ``arrays`` these frames of these rows lie."""
        return (numbers % self.slots) * self.num_envs + rows  # type: ignore[no-any-return]

    def add(
        self, observation: Observation, action: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """See ``Recorder``."""
        at = self._put(self._rows, observation)
        self.arrays["action"][at] = action
        self.arrays["terminated"][at] = self.arrays["truncated"][at] = False
        self._age += 1
        self._reward, self._ends = reward.astype(np.float32), (terminated, truncated)
        self.steps += 1

    def after(self, observation: Observation) -> None:
        """See ``Recorder``."""
        terminated, truncated = self._ends
        self._close(observation, np.flatnonzero(terminated | truncated), terminated, truncated)

    def cut(self, now: Observation) -> None:
        """See ``Recorder``."""
        none = np.zeros(self.num_envs, bool)
        self._close(now, np.flatnonzero(self._age), none, ~none)

    def forget(self, rows: np.ndarray) -> None:
        """The episodes under way in these rows (a mask) do not go on."""
        self._age[rows], self._reward[rows] = 0, 0.0

    def _close(self, last: Observation, rows: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> None:
        at = self._put(rows, last)
        self.arrays["action"][at] = 0
        self.arrays["terminated"][at], self.arrays["truncated"][at] = terminated[rows], truncated[rows]
        self.forget(rows)

    def _put(self, rows: Any, observation: Observation) -> np.ndarray:
        """The newest frame of these rows, the next in each; returns its places."""
        at = self.places(rows, self.written[rows])
        self.written[rows] += 1
        arrays = self.arrays
        rows = slice(None) if rows is self._rows else rows  # which copies nothing
        for name, image in observation.images.items():
            arrays[IMAGE + name][at] = image[:, -1].permute(0, 2, 3, 1).numpy()[rows]
        arrays["state"][at] = observation.state[:, -1].numpy()[rows]
        arrays["tokens"][at] = observation.tokens.numpy()[rows]
        arrays["told"][at] = observation.token_mask.numpy()[rows].sum(-1)
        arrays["age"][at], arrays["reward"][at] = self._age[rows], self._reward[rows]
        return at

    def observation(self, rows: np.ndarray, numbers: np.ndarray) -> Observation:
        """What a policy saw at these frames, [b]: each with the window of its own episode."""
        arrays, history = self.arrays, self._processor.spec.history
        now = self.places(rows, numbers)
        back, age = np.arange(history - 1, -1, -1), arrays["age"][now][:, None]
        window = self.places(rows[:, None], numbers[:, None] - np.minimum(back, age)) if history > 1 else now[:, None]
        images = {name: arrays[IMAGE + name][window] for name in self._processor.cameras}
        tokens = arrays["tokens"][now].astype(np.int64)
        mask = np.arange(tokens.shape[1]) < arrays["told"][now][:, None]
        return self._processor.observation(images, tokens, mask, arrays["state"][window], back <= age)

    def state_dict(self) -> StateDict:
        """All but the frames."""
        return {"written": self.written.copy(), "age": self._age.copy(), "reward": self._reward.copy(), "steps": self.steps}

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` for the state of other rows."""
        own: Mapping[str, np.ndarray] = {"written": self.written, "age": self._age, "reward": self._reward}
        for name, array in own.items():
            saved = state[name]
            if saved.shape != array.shape or saved.dtype != array.dtype or (name != "reward" and (saved < 0).any()):
                raise ValueError(f"source.ring.{name} is not that of {self.num_envs} rows")
            array[:] = saved
        if type(state["steps"]) is not int or state["steps"] < 0:
            raise ValueError(f"source.ring.steps is {state['steps']!r}")
        self.steps = state["steps"]
