"""Statistics and splits, by hand."""

import numpy as np
import pytest

from tests.toy_dataset import open_toy, write_toy
from vla_train.data.split import split_episodes
from vla_train.data.statistics import PixelStatistics, describe, describe_columns, feature_statistics
from vla_train.errors import DataError


def test_a_column_and_a_constant():
    """0 1 2 3 and 5 5 5 5: mean 1.5, std sqrt((1.5^2 + 0.5^2) / 2) = sqrt(1.25); q01 at rank 0.03, q99 at rank 2.97."""
    found = feature_statistics(np.array([[0, 5], [1, 5], [2, 5], [3, 5]]))
    assert found.count == 4
    assert found.mean.tolist() == [1.5, 5]
    assert found.std.tolist() == [np.sqrt(1.25), 0]
    assert (found.min.tolist(), found.max.tolist()) == ([0, 5], [3, 5])
    assert found.q01 == pytest.approx([0.03, 5])
    assert found.q99 == pytest.approx([2.97, 5])
    assert found.mean.dtype == np.float64


def test_large_offsets_keep_their_precision():
    """In float32 the standard deviation of 1e6 + (0, 1) would be lost to rounding of the squares."""
    values = np.array([[1e6], [1e6 + 1]], dtype=np.float32)
    assert feature_statistics(values).std.tolist() == [0.5]


def test_columns_side_by_side_equal_columns_alone():
    columns = {"a": np.random.default_rng(0).normal(size=(9, 3)), "b": np.arange(9)[:, None]}
    together = describe_columns(columns)
    for name, values in columns.items():
        for key, value in describe(values).items():
            np.testing.assert_array_equal(together[name][key], value)


def test_pixels_by_channel():
    """Channel 0 holds 0 0 0 255: mean 1/4, std sqrt(3)/4. Channel 1 is 51 = 0.2 everywhere. Added in two parts."""
    pixels = PixelStatistics(2)
    pixels.add(np.array([[[[0, 51]], [[0, 51]]]], dtype=np.uint8))
    more = PixelStatistics(2)
    more.add(np.array([[[[0, 51]], [[255, 51]]]], dtype=np.uint8))
    pixels.merge(more)
    found = pixels.describe()
    assert found["mean"].shape == (2, 1, 1)
    assert found["mean"].ravel() == pytest.approx([0.25, 0.2])
    assert found["std"].ravel() == pytest.approx([np.sqrt(3) / 4, 0])
    assert found["max"].ravel() == pytest.approx([1, 0.2])
    assert found["q50"].ravel() == pytest.approx([0, 0.2])
    assert found["count"].tolist() == [2]


def test_of_the_training_episodes_only(tmp_path):
    """Four episodes; whichever is held out, the rest decide: state[0] is the number of the episode, with 3 2 3 2 steps."""
    dataset = open_toy(write_toy(tmp_path, num_episodes=4), validation=0.25)
    (held_out,) = dataset.episodes["validation"]
    rows = [e for e, length in enumerate((3, 2, 3, 2)) for _ in range(length) if e != held_out]
    found = dataset.statistics()["state"]
    assert found.count == len(rows) == len(dataset.frames("train"))
    assert found.mean[0] == np.mean(rows)
    assert found.std[0] == np.std(rows)
    assert dataset.statistics()["action"].max[0] == 10 * max(rows) + (2 if max(rows) % 2 == 0 else 1)


def test_split_is_whole_episodes_and_a_function_of_its_arguments():
    split = split_episodes(40, 0.1, seed=3)
    assert len(split["validation"]) == 4
    assert sorted(np.concatenate(list(split.values()))) == list(range(40))
    assert split_episodes(40, 0.1, seed=3)["validation"].tolist() == split["validation"].tolist()
    assert split_episodes(40, 0.1, seed=4)["validation"].tolist() != split["validation"].tolist()


def test_a_small_share_holds_out_one_and_none_holds_out_none():
    assert len(split_episodes(2, 0.01, seed=0)["validation"]) == 1
    assert len(split_episodes(1, 0.0, seed=0)["train"]) == 1


@pytest.mark.parametrize(("episodes", "validation"), [(1, 0.1), (2, 0.9)])
def test_a_split_that_leaves_nothing_to_train_on_is_refused(episodes, validation):
    with pytest.raises(DataError, match=f"the dataset has {episodes}"):
        split_episodes(episodes, validation, seed=0)


def test_a_share_of_one_is_refused():
    with pytest.raises(ValueError, match="share in"):
        split_episodes(4, 1.0, seed=0)
