"""Where every seed comes from: three disjoint ranges, and counter-based random numbers keyed by (seed, draw).

Counter-based (stateless) numbers make ``reset(seed=k)`` give scene k for ever, alone or in a batch of a thousand, and make
augmentation a pure function of (seed, epoch, sample). The mixer is splitmix64's finalizer (Steele et al. 2014,
"Fast splittable pseudorandom number generators"); it uses integer arithmetic only, so it gives the same bits on every machine.
"""

import random

import numpy as np

# Episode k of a split has the k-th seed of its range whatever the number of environments. All fit in 32 bits.
RANGES: dict[str, range] = {
    "train": range(0, 1_000_000_000),  # demonstrations, rollouts
    "validation": range(1_000_000_000, 1_500_000_000),  # evaluation during training, early stopping, best, mastery
    "test": range(1_500_000_000, 2_000_000_000),  # vla-eval
}


def seeds(split: str, count: int, start: int = 0) -> np.ndarray:
    """Seeds ``start`` to ``start + count`` of a split's range, int64 [count]."""
    span = RANGES[split]
    if start < 0 or start + count > len(span):
        raise ValueError(f"{split} seeds {start} to {start + count} lie outside its {len(span):,} seeds")
    return np.arange(span.start + start, span.start + start + count, dtype=np.int64)


def _mix(value: np.ndarray) -> np.ndarray:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = value ^ (value >> np.uint64(31))
    return mixed


def counter_bits(seed: np.ndarray, draw: int, size: int) -> np.ndarray:
    """Random uint64 [n, size], a pure function of each row's seed [n] and the number of the draw."""
    with np.errstate(over="ignore"):
        key = _mix(np.asarray(seed).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        key = _mix(key ^ _mix(np.array([draw], dtype=np.uint64) + np.uint64(0x632BE59BD9B4E019)))
        return _mix(key[:, None] + np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def counter_uniform(seed: np.ndarray, draw: int, size: int) -> np.ndarray:
    """Uniform float64 [n, size] in [0, 1), a pure function of (seed, draw)."""
    fractions: np.ndarray = (counter_bits(seed, draw, size) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fractions


def counter_integers(seed: np.ndarray, draw: int, size: int, high: np.ndarray | int) -> np.ndarray:
    """Integers int64 [n, size] in [0, high); ``high`` is one number or one for each row [n, 1]."""
    numbers: np.ndarray = np.floor(counter_uniform(seed, draw, size) * high).astype(np.int64)
    return numbers


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy's global generator and torch."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
