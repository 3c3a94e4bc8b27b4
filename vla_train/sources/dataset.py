"""Batches from recorded data, in an order that is a pure function of (seed, epoch), made ahead by threads."""

import functools
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from vla_train import runtime
from vla_train.data.augmentation.batch import Change
from vla_train.data.dataset import DemonstrationDataset
from vla_train.errors import DataError, Notice, UsageError
from vla_train.seeds import counter_bits
from vla_train.sources.balance import balanced
from vla_train.sources.order import Order
from vla_train.spec import StateDict
from vla_train.types import Demonstration, Struct, Transition


class DatasetSource:
    """Endless batches of a dataset's frames ``indices``, given for each of its parts, which are drawn by ``weights``.

    The epochs of an ``Order`` stand one behind the other in one stream, and batch n is its samples n * batch_size to
    (n + 1) * batch_size. So every batch is full, every frame comes once an epoch (without weights), and a dataset smaller than
    a batch fills it with frames of several epochs. ``prefetch`` batches are made ahead (0: no thread) by ``workers`` threads
    (decoders run outside of the interpreter's lock); that changes neither order nor content. ``shuffle``: how many samples wait
    in a shuffle buffer, where episodes are to be read from front to back (None: an epoch is shuffled as a whole). ``process``
    r of w draws its own share of every epoch (None: as ``torch.distributed`` says, if there is a group). ``discount`` is for
    batches of Transition. ``augmentation`` changes every sample by numbers that follow from (seed, epoch, place in the epoch),
    so that it is the same whatever the size of batches and the number of processes, and wherever a run was resumed. ``rare``: the
    share of the samples whose action does what it does in few of the frames (``sources.balance``); 0: as they come.

    Raises UsageError for ``rare`` beside ``shuffle``: rare frames stand here and there in the episodes, and would have them read
    once more.
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
        workers: int = 1,
        shuffle: int | None = None,
        process: tuple[int, int] | None = None,
    ):
        if batch_size < 1 or prefetch < 0 or workers < 1:
            raise ValueError(
                f"batch_size must be at least 1, workers too, and prefetch at least 0, not {batch_size}, {workers}, {prefetch}"
            )
        if issubclass(batch_type, Transition) and not dataset.has_rewards:
            raise DataError(f"the dataset at {dataset.folder} has no rewards: the paradigm needs data with them")
        self._dataset, self._discount = dataset, discount
        if rare and shuffle is not None:
            raise UsageError(
                f"source.rare={rare:g} and source.shuffle={shuffle} exclude each other, for rare frames are not read in order: "
                "leave out source.shuffle (and give the frame cache room, dataset.cache_gb), or source.rare"
            )
        if rare:
            whole = len(indices)
            indices, weights = balanced(indices, weights, dataset.actions, rare)
            if len(indices) == whole:
                told = (
                    f"source.rare={rare:g} changes nothing: no number of the actions rests in most of the frames and moves in few"
                )
                warnings.warn(told, Notice, stacklevel=2)
        shards = [] if shuffle is None else [dataset.episode_of[frames] for frames in indices]
        self._order = Order(indices, weights, seed, shards=shards, buffer=shuffle, process=process or runtime.process_group())
        self._seed, self._augmentation = seed, augmentation
        self._batch_size, self._prefetch, self._workers = batch_size, prefetch, workers
        self._lock = threading.Lock()
        self._batch_type = Transition if issubclass(batch_type, Transition) else Demonstration  # what it has, whatever was asked
        self._batches = 0  # consumed; what was made ahead does not count
        self._ahead: _Ahead | None = None

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

    def prepare(self) -> None:
        """Everything is there."""

    def __next__(self) -> Demonstration:
        if self._prefetch == 0:
            batch = self._make(self._batches)
        else:
            self._ahead = self._ahead or _Ahead(self._make, self._batches, self._prefetch, self._workers)
            batch = self._ahead.take()
        self._batches += 1
        return batch

    def figures(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> StateDict:
        return {"batches": self._batches}

    def load_state_dict(self, state: StateDict) -> None:
        self.close()
        if type(state["batches"]) is not int or state["batches"] < 0:
            raise ValueError(f"the number of batches drawn is {state['batches']!r}")
        self._batches = state["batches"]

    def close(self) -> None:
        """Stop the threads. The source can be used again: it goes on where it was."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _make(self, batch: int) -> Demonstration:
        samples = np.arange(batch * self._batch_size, (batch + 1) * self._batch_size)
        with self._lock:
            indices = self._order(int(samples[0]), int(samples[-1]) + 1)
        augment = None
        if self._augmentation is not None:
            key = counter_bits(self._order.places(samples), self._seed, 1)[:, 0].astype(np.int64)
            augment = functools.partial(self._augmentation, key=key)
        if issubclass(self._batch_type, Transition):
            return self._dataset.gather_transitions(indices, self._discount, augment)
        return self._dataset.gather(indices, augment)


class _Ahead:
    """Threads that make batches ``first``, ``first + 1``, ..., handed over in that order; at most ``ahead`` wait."""

    def __init__(self, make: Callable[[int], Demonstration], first: int, ahead: int, workers: int):
        self._make, self._next = make, first
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
        self._made: deque[Future[Demonstration]] = deque()
        for _ in range(ahead + workers):  # every worker has one in hand besides
            self._begin()

    def take(self) -> Demonstration:
        """The next batch; what making it failed with is raised here, and again to whoever asks again."""
        batch = self._made[0].result()
        self._made.popleft()
        self._begin()
        return batch

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        self._made.append(self._pool.submit(self._make, self._next))
        self._next += 1
