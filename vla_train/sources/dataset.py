"""Batches from recorded data, in an order that is a pure function of (seed, epoch), made ahead by a thread."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from vla_train.data.dataset import DemonstrationDataset
from vla_train.errors import DataError
from vla_train.spec import StateDict
from vla_train.types import Demonstration, Struct, Transition


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """A permutation of ``size`` numbers, int64, from nothing but its arguments."""
    return np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch])).permutation(size)


class DatasetSource:
    """Endless batches of the frames ``indices`` of a dataset.

    The epochs' permutations stand one behind the other in one stream, and batch n is its samples n * batch_size to
    (n + 1) * batch_size. So every batch is full, every frame comes once an epoch, and a dataset smaller than a batch fills it
    with frames of several epochs. ``prefetch`` batches are made ahead (0: no thread); it changes neither order nor content.
    ``discount`` is for batches of Transition.
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
        indices: np.ndarray,
        batch_type: type[Struct] = Demonstration,
        discount: float = 0.99,
    ):
        if batch_size < 1 or prefetch < 0:
            raise ValueError(f"batch_size must be at least 1 and prefetch at least 0, not {batch_size} and {prefetch}")
        if len(indices) == 0:
            raise DataError("there are no frames to train on: the split or the choice of frames is empty")
        if issubclass(batch_type, Transition) and not dataset.has_rewards:
            raise DataError(f"the dataset at {dataset.folder} has no rewards: the paradigm needs data with them")
        self._dataset, self._indices, self._seed, self._discount = dataset, np.asarray(indices, dtype=np.int64), seed, discount
        self._batch_size, self._prefetch = batch_size, prefetch
        self._batch_type = Transition if issubclass(batch_type, Transition) else Demonstration  # what it has, whatever was asked
        self._batches = 0  # consumed; what was made ahead does not count
        self._orders: dict[int, np.ndarray] = {}
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
        """Whole passes over the frames so far."""
        return self.samples // len(self._indices)

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
        self._batches = int(state["batches"])

    def close(self) -> None:
        """Stop the thread. The source can be used again: it goes on where it was."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _make(self, batch: int) -> Demonstration:
        indices = self._indices[self._positions(batch)]
        if issubclass(self._batch_type, Transition):
            return self._dataset.gather_transitions(indices, self._discount)
        return self._dataset.gather(indices)

    def _positions(self, batch: int) -> np.ndarray:
        size = len(self._indices)
        stream = np.arange(batch * self._batch_size, (batch + 1) * self._batch_size)
        epochs, places = stream // size, stream % size
        order = {epoch: self._order(int(epoch)) for epoch in np.unique(epochs)}
        return np.concatenate([order[epoch][places[epochs == epoch]] for epoch in order])

    def _order(self, epoch: int) -> np.ndarray:
        """The permutation of an epoch, kept while its batches are made. Only one thread makes batches at a time."""
        if epoch not in self._orders:
            self._orders = {old: order for old, order in self._orders.items() if old == epoch - 1}
            self._orders[epoch] = epoch_order(self._seed, epoch, len(self._indices))
        return self._orders[epoch]


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
