"""``Agent``: a policy and its Processor, asked for actions with plain NumPy arrays."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from vla_train.errors import DataError
from vla_train.models.policy import Policy
from vla_train.processor import Processor
from vla_train.rollouts.window import Window


@contextmanager
def evaluating(module: nn.Module, parts: Sequence[nn.Module] | None = None) -> Iterator[None]:
    """Evaluation mode and no gradients inside; afterwards each submodule is in the mode it was in (frozen parts stay frozen).
    ``parts``: all of them, for who asks often."""
    training = [vars(part) for part in parts or module.modules() if part.training]  # set at the root, which is fast
    for part in training:
        part["training"] = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for part in training:
            part["training"] = True


@contextmanager
def own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """torch's random numbers start from ``seed`` inside; the global state is the same after as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


class Agent:
    """Acts for any number of rows (environments, robots), keeping each row's window of the last k observations.

    Arrays are as an environment gives them: images uint8 [n, y, x, c] per camera, state float [n, s], n instructions.
    ``domain``: in the units of which of the Spec's domains. ``rows`` says which rows the n entries belong to; None means rows 0
    to n - 1. Row numbers may be any; memory grows to fit.
    """

    def __init__(self, policy: Policy, processor: Processor, *, device: torch.device | str = "cpu", domain: int = 0) -> None:
        self.policy = policy
        self.processor = processor
        self.device = torch.device(device)
        self.domain = domain
        self.chunk = processor.spec.chunk
        self._window = Window(processor.spec.history)
        self._calls = 0

    def act(
        self,
        images: dict[str, np.ndarray],
        instruction: Sequence[str],
        state: np.ndarray,
        rows: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """The next h actions of each row, [n, h, a]: float32 in physical units, or int64 with a = 1 for categorical ones.

        What is given is taken into the window first. Neither the policy's mode nor torch's random state is changed: a policy
        that samples draws from numbers of its own, which start anew with ``reset()``.
        """
        if len(instruction) != len(state):
            raise DataError(f"there are {len(instruction)} instructions for {len(state)} rows of state: give one for each row")
        index = self._push(images, state, rows)
        window_images, window_state, present = self._window.read(index)
        tokens, mask = self.processor.tokenize(instruction)  # which encodes each distinct text once
        domain = np.full(len(tokens), self.domain, dtype=np.int64)
        windows = self.processor.observation(window_images, tokens, mask, window_state, present, domain=domain)
        observation = windows.to(self.device)
        with own_randomness(self.device, self._calls), evaluating(self.policy):
            chunk = self.policy.act(observation)
        self._calls += 1
        return (chunk.float() if chunk.is_floating_point() else chunk).cpu().numpy()

    def observe(
        self,
        images: dict[str, np.ndarray],
        instruction: Sequence[str],
        state: np.ndarray,
        rows: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        """Take an observation into the window without planning: for the steps in which an earlier chunk is executed."""
        if self.processor.spec.history > 1:  # a window of one is overwritten by the next `act` anyway
            self._push(images, state, rows)

    def reset(self, rows: Sequence[int] | np.ndarray | None = None) -> None:
        """These rows begin a new episode; None: all of them."""
        self._window.reset(None if rows is None else np.asarray(rows, np.int64))
        if rows is None:
            self._calls = 0

    def _push(self, images: dict[str, np.ndarray], state: np.ndarray, rows: Sequence[int] | np.ndarray | None) -> np.ndarray:
        self._check(images, state)
        index = np.arange(len(state)) if rows is None else np.asarray(rows, np.int64)
        self._window.push(index, self.processor.resize(images), state)
        return index

    def _check(self, images: dict[str, np.ndarray], state: np.ndarray) -> None:
        """Raise DataError for what no environment gives, but a person who calls ``act`` might."""
        spec = self.processor.spec
        if not isinstance(images, dict):
            raise DataError(f"images must be a dict from camera to array, with the cameras {self.processor.cameras}")
        if np.ndim(state) != 2 or state.shape[1] != spec.state_size:
            raise DataError(f"state has the shape {list(np.shape(state))}; this policy needs [n, {spec.state_size}]")
        for camera in self.processor.cameras:
            if camera in images and len(images[camera]) != len(state):
                raise DataError(f"camera {camera!r} has {len(images[camera])} pictures for {len(state)} rows of state")
