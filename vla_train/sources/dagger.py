"""Batches from demonstrations and from what the policy itself has visited since, labelled by the expert.

Ross et al. 2011, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning", algorithm 3.1: the
first policy learns from the expert's own episodes; then, round by round, policy and expert play together, the expert says in
every state what it would have done, and the next policy learns from all episodes so far.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vla_train.data.augmentation.batch import Change
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import joined
from vla_train.errors import CheckpointError, UsageError
from vla_train.sources.dataset import DatasetSource
from vla_train.spec import StateDict
from vla_train.types import Demonstration, Struct

SEEDS_APART = 2**32  # of the orders of two rounds: a run's own seed is smaller


@runtime_checkable
class Rounds(Protocol):
    """Where the source gets its rounds from; the run brings it."""

    def play(self, number: int, episodes: int, share: float) -> DemonstrationDataset:
        """Round ``number`` (from 1), played now; in a ``share`` of the steps the expert acts."""

    def played(self, number: int) -> DemonstrationDataset:
        """A round that was played before the run was stopped."""

    def augmentation(self, dataset: DemonstrationDataset) -> Change | None:
        """The run's augmentation for demonstrations and rounds together."""


class DaggerSource:
    """A ``DatasetSource`` whose dataset grows: ``rounds`` times, after every ``every`` batches, by ``episodes`` episodes.

    In round i the expert acts in a share ``expert``^i of the steps (beta in the paper); 0 leaves all to the policy. All frames,
    those of the demonstrations too, are drawn equally often. The other keys are those of ``DatasetSource``.
    """

    collects = False  # it does, but no longer than its rounds: env_steps might never end a run

    def __init__(
        self,
        dataset: DemonstrationDataset,
        *,
        rounds: int,
        every: int,
        episodes: int,
        expert: float,
        seed: int,
        indices: Sequence[np.ndarray],
        batch_type: type[Struct] = Demonstration,
        augmentation: Change | None = None,
        **keys: Any,
    ):
        if len(indices) > 1:
            raise UsageError("source=dagger grows one dataset: leave out dataset=mix, and choose a curriculum of one stage")
        if not issubclass(Demonstration, batch_type):
            raise UsageError("source=dagger gives what an expert did: choose a paradigm that learns from that, as bc does")
        self._parts = {"demonstrations": dataset}
        self._rounds, self._every, self._episodes, self._expert = rounds, every, episodes, expert
        self._keys = {"batch_type": batch_type, **keys}
        self._seed, self._batches = seed, 0
        self.rounds: Rounds | None = None  # set before the first batch
        self._source = self._drawn_from(dataset, indices, seed, augmentation)

    @property
    def batch_type(self) -> type[Demonstration]:
        return self._source.batch_type

    @property
    def env_steps(self) -> int:
        """Steps that were played so far; every one of them was recorded."""
        return sum(part.num_frames for part in list(self._parts.values())[1:])

    @property
    def round(self) -> int:
        """Rounds that were played so far."""
        return len(self._parts) - 1

    def __iter__(self) -> Iterator[Demonstration]:
        return self

    def prepare(self) -> None:
        """Play the rounds that are due."""
        while self.round < min(self._rounds, self._batches // self._every):
            number = self.round + 1
            self._grow(lambda rounds: rounds.play(number, self._episodes, self._expert**number))  # noqa: B023  # called at once

    def __next__(self) -> Demonstration:
        self.prepare()
        batch = next(self._source)
        self._batches += 1
        return batch

    def figures(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> StateDict:
        played = [part.fingerprint for part in list(self._parts.values())[1:]]
        return {"batches": self._batches, "rounds": played, "source": self._source.state_dict()}

    def load_state_dict(self, state: StateDict) -> None:
        if type(state["batches"]) is not int or state["batches"] < 0:
            raise ValueError(f"source.batches is {state['batches']!r}")
        if len(state["rounds"]) > self._rounds:
            raise ValueError(f"the source has played {len(state['rounds'])} rounds of {self._rounds}")
        for number, fingerprint in enumerate(state["rounds"][self.round :], self.round + 1):
            self._grow(lambda rounds: rounds.played(number))  # noqa: B023  # called at once
            if self._parts[f"round {number}"].fingerprint != fingerprint:
                raise CheckpointError(
                    f"round {number} of this run was played anew since, by another policy (a resume from an earlier checkpoint "
                    "does that): go on from that one"
                )
        self._batches = state["batches"]
        self._source.load_state_dict(state["source"])

    def close(self) -> None:
        """Stop making batches ahead. The source can be used again: it goes on where it was."""
        self._source.close()

    def _grow(self, get: Callable[[Rounds], DemonstrationDataset]) -> None:
        """One more round, and an order of its own for all that there is then."""
        assert self.rounds is not None, "the run that makes this source brings its rounds"
        self._source.close()
        self._parts[f"round {self.round + 1}"] = get(self.rounds)
        dataset = joined(self._parts)
        seed = self._seed + self.round * SEEDS_APART
        self._source = self._drawn_from(dataset, [dataset.frames("train")], seed, self.rounds.augmentation(dataset))

    def _drawn_from(
        self, dataset: DemonstrationDataset, indices: Sequence[np.ndarray], seed: int, augmentation: Change | None
    ) -> DatasetSource:
        return DatasetSource(dataset, indices=indices, seed=seed, augmentation=augmentation, **self._keys)
