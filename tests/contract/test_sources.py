"""What every source promises, and what the dataset source promises besides."""

import threading

import numpy as np
import pytest
import torch

from tests.toy_dataset import open_toy, write_toy
from vla_train.errors import DataError
from vla_train.sources.dataset import DatasetSource
from vla_train.types import Demonstration, Transition


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return open_toy(write_toy(tmp_path_factory.mktemp("toy"), num_episodes=4), history=2, chunk=2)  # 10 frames


@pytest.fixture
def make(dataset):
    """Makes dataset sources and closes them at the end."""
    made = []

    def make_source(**changes):
        options = {"batch_size": 4, "seed": 0, "prefetch": 0, "indices": [dataset.frames("train")]}
        made.append(DatasetSource(dataset, **(options | changes)))
        return made[-1]

    yield make_source
    for source in made:
        source.close()


def take(source, count):
    return [next(source) for _ in range(count)]


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert type(one) is type(other)
        for left, right in zip(one.tensors(), other.tensors(), strict=True):
            assert left.dtype == right.dtype
            assert torch.equal(left, right)


def steps_seen(batches):
    """(episode, step) of every sample, which identifies its frame."""
    return [tuple(state) for batch in batches for state in batch.observation.state[:, -1].int().tolist()]


KINDS = [
    {"prefetch": 0},
    {"prefetch": 1},
    {"prefetch": 3},
    {"prefetch": 2, "batch_size": 25},
    {"prefetch": 2, "workers": 3, "shuffle": 4},
]


@pytest.mark.parametrize("options", KINDS)
def test_stopped_anywhere_and_resumed_it_goes_on_to_the_bit(make, options):
    whole = take(make(**options), 9)
    for stop in (0, 1, 4, 8):  # within an epoch (2.5 batches of 4), at its end, in a later one
        first = make(**options)
        assert_equal(take(first, stop), whole[:stop])
        second = make(**options)
        second.load_state_dict(first.state_dict())
        assert_equal(take(second, 9 - stop), whole[stop:])


def test_the_thread_changes_neither_order_nor_content(make):
    assert_equal(take(make(prefetch=3), 12), take(make(prefetch=0), 12))


def test_the_state_counts_what_was_consumed_not_what_was_made_ahead(make):
    source = make(prefetch=3)
    take(source, 2)
    assert source.state_dict() == {"batches": 2}
    assert (source.samples, source.epoch) == (8, 0)
    next(source)
    assert (source.samples, source.epoch) == (12, 1)


def test_a_state_is_loaded_into_a_source_that_ran_ahead(make):
    source = make(prefetch=3)
    whole = take(source, 5)
    source.load_state_dict({"batches": 1})
    assert_equal(take(source, 4), whole[1:])


def test_every_frame_comes_once_an_epoch(make, dataset):
    frames = {tuple(state) for state in dataset.gather(np.arange(10)).observation.state[:, -1].int().tolist()}
    seen = steps_seen(take(make(), 5))  # 20 samples are two epochs
    assert set(seen[:10]) == set(seen[10:]) == frames
    assert seen[:10] != seen[10:]


def test_the_order_belongs_to_the_seed(make):
    assert steps_seen(take(make(seed=1), 2)) != steps_seen(take(make(seed=2), 2))


def test_a_dataset_smaller_than_a_batch_fills_it_with_several_epochs(make):
    (batch,) = take(make(batch_size=25), 1)
    counts = np.unique(steps_seen([batch]), axis=0, return_counts=True)[1]
    assert len(batch) == 25
    assert counts.tolist().count(2) == counts.tolist().count(3) == 5


def test_only_the_chosen_frames_come(make):
    assert set(steps_seen(take(make(indices=[np.array([3, 4])]), 3))) == {(1, 0), (1, 1)}


@pytest.mark.parametrize("batch_type", [Demonstration, Transition])
def test_the_batches_have_the_promised_type(make, dataset, batch_type):
    source = make(batch_type=batch_type, indices=[dataset.transition_frames("train")], discount=0.5)
    assert source.batch_type is batch_type
    assert type(next(source)) is batch_type


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_accident_is_raised_where_its_batch_is_asked_for(make, dataset, monkeypatch, prefetch):
    asked, gather = [], dataset.gather

    def fail_at_the_third(indices, *others):
        asked.append(indices)
        if len(asked) == 3:
            raise DataError("the disk is gone")
        return gather(indices, *others)

    monkeypatch.setattr(dataset, "gather", fail_at_the_third)
    source = make(prefetch=prefetch)
    take(source, 2)
    with pytest.raises(DataError, match="the disk is gone"):
        next(source)
    source.close()


def test_close_ends_the_thread_and_the_source_can_go_on(make):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]

    source = make(prefetch=2)
    whole = take(make(), 4)
    before = len(threads())
    assert_equal(take(source, 2), whole[:2])
    assert len(threads()) == before + 1
    source.close()
    assert len(threads()) == before
    assert_equal(take(source, 2), whole[2:])


def test_nothing_to_train_on_is_told(make):
    with pytest.raises(DataError, match="no frames to train on"):
        make(indices=[np.array([], dtype=np.int64)])


def test_rewards_are_asked_for_at_the_start(dataset, make, monkeypatch):
    monkeypatch.setattr(type(dataset), "has_rewards", property(lambda self: False))
    with pytest.raises(DataError, match="has no rewards"):
        make(batch_type=Transition)


def test_a_wrong_size_is_refused(make):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        make(batch_size=0)
