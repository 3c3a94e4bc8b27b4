"""Batches from recorded data, in an order that is a pure function of (seed, epoch), made ahead by a thread."""

import functools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np

from vla_train.data.augmentation.batch import Change
from vla_train.data.dataset import DemonstrationDataset
from vla_train.errors import DataError
from vla_train.seeds import counter_bits
from vla_train.sources.balance import balanced
from vla_train.sources.order import Order
from vla_train.spec import StateDict
from vla_train.types import Demonstration, Struct, Transition


class DatasetSource:
    """Endless batches of a dataset's frames ``indices``, given for each of its parts, which are drawn by ``weights``.

    The epochs of an ``Order`` stand one behind the other in one stream, and batch n is its samples n * batch_size to
    (n + 1) * batch_size. So every batch is full, every frame comes once an epoch (without weights), and a dataset smaller than
    a batch fills it with frames of several epochs. ``prefetch`` batches are made ahead (0: no thread); it changes neither order
    nor content. ``discount`` is for batches of Transition. ``augmentation`` changes every sample by numbers that follow from
    (seed, epoch, place in the epoch), so that it is the same whatever the size of batches and wherever a run was resumed.
    ``rare``: the share of the samples whose action does what it does in few of the frames (``sources.balance``); 0: as they come.
    """

    collects = False  # no world is stepped
    env_steps = 0

    def __init__(
        self,
        dataset: DemonstrationDataset,
        *,
        batch_size: int,
        seed: int,
        prefetch: int,
        indices: Sequence[np.ndarray],
        weights: Sequence[float] | None = None,
        batch_type: type[Struct] = Demonstration,
        discount: float = 0.99,
        augmentation: Change | None = None,
        rare: float = 0.0,
    ):
        if batch_size < 1 or prefetch < 0:
            raise ValueError(f"batch_size must be at least 1 and prefetch at least 0, not {batch_size} and {prefetch}")
        if issubclass(batch_type, Transition) and not dataset.has_rewards:
            raise DataError(f"the dataset at {dataset.folder} has no rewards: the paradigm needs data with them")
        self._dataset, self._discount = dataset, discount
        if rare:
            indices, weights = balanced(indices, weights, dataset.actions, rare)
        self._order, self._seed, self._augmentation = Order(indices, weights, seed), seed, augmentation
        self._batch_size, self._prefetch = batch_size, prefetch
        self._batch_type = Transition if issubclass(batch_type, Transition) else Demonstration  # what it has, whatever was asked
        self._batches = 0  # consumed; what was made ahead does not count
        self._worker: _Prefetcher | None = None

    @property
    def batch_type(self) -> type[Demonstration]:
        return self._batch_type

    @property
    def samples(self) -> int:
        """Samples consumed so far."""
        return self._batches * self._batch_size

    @property
    def epoch(self) -> int:
        """Whole epochs so far."""
        return self.samples // self._order.size

    def __iter__(self) -> Iterator[Demonstration]:
        return self

    def __next__(self) -> Demonstration:
        if self._prefetch == 0:
            batch = self._make(self._batches)
        else:
            self._worker = self._worker or _Prefetcher(self._make, self._batches, self._prefetch)
            batch = self._worker.take()
        self._batches += 1
        return batch

    def state_dict(self) -> StateDict:
        return {"batches": self._batches}

    def load_state_dict(self, state: StateDict) -> None:
        self.close()
        if type(state["batches"]) is not int or state["batches"] < 0:
            raise ValueError(f"the number of batches drawn is {state['batches']!r}")
        self._batches = state["batches"]

    def close(self) -> None:
        """Stop the thread. The source can be used again: it goes on where it was."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _make(self, batch: int) -> Demonstration:
        samples = np.arange(batch * self._batch_size, (batch + 1) * self._batch_size)
        indices = self._order(int(samples[0]), int(samples[-1]) + 1)
        augment = None
        if self._augmentation is not None:
            key = counter_bits(samples, self._seed, 1)[:, 0].astype(np.int64)
            augment = functools.partial(self._augmentation, key=key)
        if issubclass(self._batch_type, Transition):
            return self._dataset.gather_transitions(indices, self._discount, augment)
        return self._dataset.gather(indices, augment)


class _Prefetcher:
    """A thread that makes batches ``first``, ``first + 1``, ... and hands them over in that order, at most ``ahead`` early."""

    def __init__(self, make: Callable[[int], Demonstration], first: int, ahead: int):
        self._ready: queue.Queue[Demonstration | BaseException] = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(make, first), name="prefetch", daemon=True)
        self._thread.start()

    def take(self) -> Demonstration:
        """The next batch; what the thread died of is raised here."""
        item = self._ready.get()
        if isinstance(item, BaseException):
            self._ready.put(item)  # whoever asks again is told again, instead of waiting for ever
            raise item
        return item

    def close(self) -> None:
        self._stop.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):  # a thread that waits for room must be let through
                self._ready.get(timeout=0.05)
        self._thread.join()

    def _run(self, make: Callable[[int], Demonstration], batch: int) -> None:
        while not self._stop.is_set():
            try:
                item: Demonstration | BaseException = make(batch)
            except BaseException as error:
                item = error
            self._ready.put(item)
            if isinstance(item, BaseException):
                return
            batch += 1
