"""Batches drawn from what was played before: the policy plays on, and learns from all that it remembers."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vla_train.envs.contract import Environment
from vla_train.errors import Notice, UsageError
from vla_train.processor import Processor
from vla_train.sources.draws import Draws
from vla_train.sources.player import Player
from vla_train.sources.ring import Ring, frame_bytes
from vla_train.sources.segments import Segments
from vla_train.spec import StateDict
from vla_train.types import Observation, Transition


class ReplaySource:
    """Endless ``Transition`` batches. Before each the policy takes ``steps`` steps in each of ``num_envs`` rows, and
    ``learning_starts`` steps of all rows together before the first.

    Args:
        batch_size: transitions in a batch, drawn uniformly (Lin 1992; Mnih et al. 2015, "Human-level control through deep
            reinforcement learning").
        capacity: frames that are kept, of all rows together; the last frame of each episode is one besides its steps.
        n_step, discount: rewards that are added up in a transition, and what a later one is worth.
        folder, keep: where ``state_dict`` saves the frames, and for how many checkpoints.

    Raises:
        UsageError: the frames need more memory than there is, or are too few to draw from.
    """

    collects = True
    batch_type = Transition

    def __init__(
        self,
        *,
        num_envs: int,
        steps: int,
        batch_size: int,
        capacity: int,
        learning_starts: int,
        n_step: int,
        discount: float,
        make_environment: Callable[[int], Environment],
        processor: Processor,
        explore: Callable[[Observation], np.ndarray],
        seed: int,
        folder: Path,
        keep: int,
    ) -> None:
        self._slots, self._processor = -(-capacity // num_envs), processor
        self._check_size(num_envs, capacity, processor.spec.history + n_step + 1)
        self.player = Player(
            num_envs=num_envs, make_environment=make_environment, processor=processor, explore=explore, seed=seed
        )
        self._num_steps, self._first_steps = steps, max(2, -(-learning_starts // num_envs))
        self._batch_size, self._n_step, self._discount = batch_size, n_step, discount
        self._segments = Segments(folder, keep)
        self._random = np.random.Generator(np.random.PCG64([seed, 1]))
        self._ring: Ring | None = None
        self._batches = 0

    def _check_size(self, num_envs: int, capacity: int, least: int) -> None:
        self._bytes = frame_bytes(self._processor) * self._slots * num_envs
        memory = _memory()
        if self._bytes > memory:
            fitting = memory // 2 // (self._bytes // capacity + 1)
            raise UsageError(
                f"source.capacity={capacity} frames take {_spoken(self._bytes)}, and the memory is {_spoken(memory)}: "
                f"lower it, to {fitting} perhaps, or make pictures smaller (model.image_size, model.cameras)"
            )
        if self._slots < least:
            raise UsageError(
                f"source.capacity={capacity} gives each of {num_envs} rows {self._slots} frames, and a window with its rewards "
                f"takes {least}: set it to {least * num_envs} or more"
            )

    def __iter__(self) -> Iterator[Transition]:
        return self

    @property
    def env_steps(self) -> int:
        return 0 if self._ring is None else self._ring.steps * self.player.num_envs

    def prepare(self) -> None:
        self._make_ring()
        self.player.prepare()

    def _make_ring(self) -> Ring:
        if self._ring is None:
            self._ring = Ring(self._processor, self._slots, self.player.num_envs)
            frames = self._slots * self.player.num_envs
            warnings.warn(f"the replay buffer holds {frames:,} frames in {_spoken(self._bytes)}", Notice, stacklevel=4)
        return self._ring

    def __next__(self) -> Transition:
        self.prepare()
        ring = self._make_ring()
        until = ring.steps + self._num_steps if self._batches else self._first_steps
        while ring.steps < until:
            self.player.step(ring)
        self._batches += 1
        draws = Draws(ring, self._processor.spec.history, steps=self._n_step, discount=self._discount)
        return draws.draw(self._random, self._batch_size)

    def figures(self) -> dict[str, float]:
        filled = 0 if self._ring is None else int((self._ring.written - self._ring.oldest).sum())
        return self.player.figures() | {"buffer": float(filled)}

    def close(self) -> None:
        self.player.close()

    def state_dict(self) -> StateDict:
        """Saves the frames that came since the last call."""
        ring = self._make_ring()
        return {
            "player": self.player.state_dict(),
            "ring": ring.state_dict(),
            "segments": self._segments.save(ring),
            "random": self._random.bit_generator.state,
            "batches": self._batches,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` or ``LookupError`` for what no source of so many rows has given, CheckpointError where frames
        are missing or altered."""
        if type(state["batches"]) is not int or state["batches"] < 0:
            raise ValueError(f"source.batches is {state['batches']!r}")
        ring = self._make_ring()
        ring.load_state_dict(state["ring"])
        self._segments.load(ring, state["segments"])
        self._random.bit_generator.state = state["random"]
        self._batches = state["batches"]
        self.player.load_state_dict(state["player"])
        ring.forget(self.player.lengths == 0)


def _memory() -> int:
    """Bytes of memory that this machine, or the container that this process is in, has."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else ""
    return min(found, int(text)) if text.isdecimal() else found


def _spoken(size: int) -> str:
    for unit, number in (("GB", 10**9), ("MB", 10**6)):
        if size >= number:
            return f"{size / number:.1f} {unit}"
    return f"{size / 1000:.1f} kB"
