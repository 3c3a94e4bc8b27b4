"""Which frame is the n-th sample: a pure function of (seed, n), so that a run can be stopped and resumed anywhere."""

from collections.abc import Sequence

import numpy as np

from vla_train.errors import DataError

_ARRANGING = 2**63  # the stream of random numbers that decides which part is next; the parts themselves have 0, 1, 2, ...


def epoch_order(seed: int, epoch: int, size: int, stream: int = 0) -> np.ndarray:
    """A permutation of ``size`` numbers, int64, from nothing but its arguments."""
    random = np.random.Philox(key=[seed % 2**64, epoch], counter=[0, 0, 0, stream])
    return np.random.Generator(random).permutation(size)


def buffered_order(seed: int, epoch: int, shards: np.ndarray, buffer: int, stream: int = 0) -> np.ndarray:
    """A permutation of n numbers that can be read shard by shard, with at most ``buffer`` of them waiting for their turn.

    ``shards``, int64 [n] ascending, says of which shard each is. The shards are read whole, in a new order each epoch. What is
    read at place p has its turn at p + u * buffer with u uniform in [0, 1), so it comes at most ``buffer`` places early or late:
    a shuffle buffer whose outcome follows from nothing but the arguments.
    """
    random = np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch], counter=[0, 0, 0, stream]))
    starts = np.flatnonzero(np.diff(shards, prepend=shards[0] - 1))
    turns = random.permutation(len(starts))
    lengths = np.diff(starts, append=len(shards))[turns]
    reading = np.arange(len(shards)) + np.repeat(starts[turns] - (np.cumsum(lengths) - lengths), lengths)
    keys = np.arange(len(shards)) + random.random(len(shards)) * buffer
    ordered: np.ndarray = reading[np.argsort(keys, kind="stable")]
    return ordered


class Order:
    """The endless stream of the frames of several parts, epoch after epoch.

    Each part goes through its own frames again and again, in a new permutation each time. ``weights`` say how often it is its
    turn (None: in proportion to the numbers of frames, so that every frame comes once an epoch): in every epoch it comes exactly
    its share of times, rounded by the largest remainder, at places that a permutation decides. An epoch has as many samples
    as the parts that are drawn at all have frames. ``frames``: int64 [n] of each part.

    With a ``buffer`` the permutations are those of ``buffered_order``, where ``shards`` says of each frame of each part in which
    it lies. Of every epoch process r of w draws its own contiguous share (``process``): together they draw all of it once.

    Raises:
        DataError: a part that is to be drawn has no frames, or none is to be drawn.
    """

    def __init__(
        self,
        frames: Sequence[np.ndarray],
        weights: Sequence[float] | None,
        seed: int,
        *,
        shards: Sequence[np.ndarray] = (),
        buffer: int | None = None,
        process: tuple[int, int] = (0, 1),
    ):
        shares = np.array([len(part) for part in frames] if weights is None else weights, dtype=np.float64)
        if len(shares) != len(frames) or (shares < 0).any():
            raise ValueError(f"{len(frames)} parts need as many weights of at least 0, not {shares.tolist()}")
        if not shares.any() or any(share and len(part) == 0 for share, part in zip(shares, frames, strict=True)):
            raise DataError("there are no frames to train on: the split or the choice of frames is empty")
        self._frames, self._seed = [np.asarray(part, dtype=np.int64) for part in frames], seed
        self._whole = sum(len(part) for share, part in zip(shares, frames, strict=True) if share)
        self.counts = _rounded(shares / shares.sum() * self._whole)
        self._shards, self._buffer = shards, buffer
        rank, world = process
        self._share = slice(rank * self._whole // world, (rank + 1) * self._whole // world)
        self.size = self._share.stop - self._share.start
        if self.size < 1:
            raise DataError(f"{self._whole} frames cannot be shared by {world} processes: use fewer")
        self._epochs: dict[int, np.ndarray] = {}

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """int64 [stop - start]: the frames of the samples from ``start`` on. Only one thread at a time may ask."""
        epochs = range(start // self.size, (stop - 1) // self.size + 1)
        parts = [self._epoch(epoch)[max(start - epoch * self.size, 0) : stop - epoch * self.size] for epoch in epochs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def places(self, samples: np.ndarray) -> np.ndarray:
        """int64 [n]: of these samples of this process their places in the stream of all processes, by which each is known."""
        epoch, place = np.divmod(samples, self.size)
        found: np.ndarray = epoch * self._whole + self._share.start + place
        return found

    def _epoch(self, epoch: int) -> np.ndarray:
        """The frames of an epoch, kept while it lasts and where the next one has begun."""
        if epoch not in self._epochs:
            self._epochs = {old: order for old, order in self._epochs.items() if old == epoch - 1}
            self._epochs[epoch] = self._made(epoch)[self._share]
        return self._epochs[epoch]

    def _made(self, epoch: int) -> np.ndarray:
        drawn = [self._draw(part, epoch) for part in range(len(self._frames))]
        if np.count_nonzero(self.counts) == 1:
            return drawn[int(self.counts.argmax())]
        turns = np.repeat(np.arange(len(drawn)), self.counts)[epoch_order(self._seed, epoch, self._whole, _ARRANGING)]
        frames = np.empty(self._whole, dtype=np.int64)
        for part, its in enumerate(drawn):
            frames[turns == part] = its
        return frames

    def _draw(self, part: int, epoch: int) -> np.ndarray:
        """What an epoch takes of a part: its permutations stand one behind the other, and the epochs follow on each other."""
        frames, count = self._frames[part], int(self.counts[part])
        if count == 0:
            return frames[:0]
        size, start = len(frames), epoch * count
        passes = range(start // size, (start + count - 1) // size + 1)
        stream = np.concatenate([self._permutation(part, number) for number in passes])
        drawn: np.ndarray = frames[stream[start - passes[0] * size :][:count]]
        return drawn

    def _permutation(self, part: int, number: int) -> np.ndarray:
        if self._buffer is None:
            return epoch_order(self._seed, number, len(self._frames[part]), part)
        return buffered_order(self._seed, number, self._shards[part], self._buffer, part)


def _rounded(parts: np.ndarray) -> np.ndarray:
    """Whole numbers with the same sum, int64: the largest remainders are rounded up, the first of equal ones."""
    whole: np.ndarray = np.floor(parts).astype(np.int64)
    missing = round(float(parts.sum())) - int(whole.sum())
    whole[np.argsort(whole - parts, kind="stable")[:missing]] += 1
    return whole
