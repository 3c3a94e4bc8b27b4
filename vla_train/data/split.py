"""Which episodes are held out."""

from collections.abc import Sequence

import numpy as np

from vla_train.errors import DataError


def split_episodes(
    num_episodes: int, validation: float, seed: int, held_out: Sequence[int] | None = None, excluded: Sequence[int] = ()
) -> dict[str, np.ndarray]:
    """Episode numbers of "train" and "validation", int64, sorted: a pure function of the arguments. Those ``excluded`` are in
    neither.

    ``held_out`` names the episodes of "validation"; without it ``validation`` is their share in [0, 1), rounded to whole
    episodes, at least one if it is not 0. DataError if the training split would be left empty, or an episode does not exist.
    """
    used = np.setdiff1d(np.arange(num_episodes), excluded)
    if held_out is not None:
        return _named(num_episodes, held_out, used)
    if not 0.0 <= validation < 1.0:
        raise ValueError(f"validation must be a share in [0, 1), not {validation}")
    count = max(1, round(len(used) * validation)) if validation > 0 else 0
    if count >= len(used):
        raise DataError(
            f"a split with validation={validation} needs at least one episode on each side, but the dataset has "
            f"{len(used)} and {count} would be held out: add episodes or lower dataset.validation (0 holds out none)"
        )
    order = used[np.random.Generator(np.random.Philox(key=seed)).permutation(len(used))]
    return {"train": np.sort(order[count:]), "validation": np.sort(order[:count])}


def _named(num_episodes: int, held_out: Sequence[int], used: np.ndarray) -> dict[str, np.ndarray]:
    chosen = np.unique(np.array(held_out, dtype=np.int64))
    if outside := [int(episode) for episode in chosen if not 0 <= episode < num_episodes]:
        raise DataError(f"dataset.held_out names episode {outside[0]}, but the dataset has the episodes 0 to {num_episodes - 1}")
    if both := np.setdiff1d(chosen, used).tolist():
        raise DataError(f"dataset.held_out and dataset.exclude both name episode {both[0]}: take it out of one")
    rest = np.setdiff1d(used, chosen)
    if not len(rest):
        raise DataError(
            f"dataset.held_out={[int(episode) for episode in chosen]} leaves none of the {len(used)} episodes to train on"
            + (f" that dataset.exclude leaves of {num_episodes}" if len(used) < num_episodes else "")
            + ": name fewer, or add episodes"
        )
    return {"train": rest, "validation": chosen}
