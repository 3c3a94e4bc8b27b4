"""Which episodes are held out: a share of them, or those that are named."""

import numpy as np
import pytest

from vla_train.data.split import split_episodes
from vla_train.errors import DataError


def lists(split):
    return {name: episodes.tolist() for name, episodes in split.items()}


def test_named_episodes_are_held_out_whatever_the_share_and_seed():
    for seed in range(3):
        assert lists(split_episodes(4, 0.5, seed, [3])) == {"train": [0, 1, 2], "validation": [3]}
    assert lists(split_episodes(4, 0.0, 0, [2, 0, 2])) == {"train": [1, 3], "validation": [0, 2]}


def test_a_share_is_the_same_as_ever():
    """Runs of before held out these."""
    order = np.random.Generator(np.random.Philox(key=0)).permutation(20)
    assert lists(split_episodes(20, 0.1, 0)) == {"train": sorted(order[2:]), "validation": sorted(order[:2])}


@pytest.mark.parametrize(
    ("episodes", "held_out", "message"),
    [
        (4, [4], "held_out names episode 4, but the dataset has the episodes 0 to 3"),
        (2, [0, 1], r"held_out=\[0, 1\] leaves none of the 2 episodes to train on"),
        (1, None, "needs at least one episode on each side, but the dataset has 1"),
    ],
)
def test_a_split_that_cannot_be_is_refused(episodes, held_out, message):
    with pytest.raises(DataError, match=message) as raised:
        split_episodes(episodes, 0.1, 0, held_out)
    assert raised.value.exit_code == 3
