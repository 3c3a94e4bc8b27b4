"""Which episodes are held out."""

import numpy as np

from vla_train.errors import DataError


def split_episodes(num_episodes: int, validation: float, seed: int) -> dict[str, np.ndarray]:
    """Episode numbers of "train" and "validation", int64, sorted: a pure function of the three arguments.

    ``validation`` is a share in [0, 1), rounded to whole episodes, at least one if it is not 0. DataError if the training
    split would be left empty.
    """
    if not 0.0 <= validation < 1.0:
        raise ValueError(f"validation must be a share in [0, 1), not {validation}")
    held_out = max(1, round(num_episodes * validation)) if validation > 0 else 0
    if held_out >= num_episodes:
        raise DataError(
            f"a split with validation={validation} needs at least one episode on each side, but the dataset has "
            f"{num_episodes} and {held_out} would be held out: add episodes or lower dataset.validation (0 holds out none)"
        )
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(num_episodes)
    return {"train": np.sort(order[held_out:]), "validation": np.sort(order[:held_out])}
