"""``source=dagger``: the dataset grows at the right updates, by what was asked for, and a resumed source goes on alike."""

import numpy as np
import pytest

from tests.toy_dataset import toy_processor, write_toy
from vla_train.data.dataset import DemonstrationDataset
from vla_train.errors import CheckpointError, UsageError
from vla_train.sources.dagger import DaggerSource
from vla_train.types import Demonstration, Transition

KEYS = {"rounds": 2, "every": 3, "episodes": 5, "expert": 0.5, "batch_size": 4, "seed": 1, "prefetch": 0}


class Rounds:
    """Notes what is asked for; every round is the dataset ``made``."""

    def __init__(self, made):
        self.made, self.asked = made, []

    def play(self, number, episodes, share):
        self.asked.append((number, episodes, share))
        return self.made

    def played(self, number):
        self.asked.append(number)
        return self.made

    def augmentation(self, dataset):
        return None


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens toy datasets by name: 3 and 2 episodes, all seen through one Processor."""
    folders = {name: write_toy(tmp_path_factory.mktemp(name), count) for name, count in (("first", 3), ("more", 2))}
    processor = toy_processor(folders["first"])
    return lambda name: DemonstrationDataset(folders[name], processor, history=1, chunk=2, validation=0.0)


@pytest.fixture
def grown(opened):
    def make():
        dataset, more = opened("first"), opened("more")
        source = DaggerSource(dataset, indices=[dataset.frames("train")], **KEYS)
        source.rounds = Rounds(more)
        return source

    return make


def test_it_grows_after_every_so_many_updates_and_no_more_often_than_it_shall(grown):
    source, rounds = grown(), []
    for _ in range(12):
        next(source)
        rounds.append(source.round)
    assert rounds == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert source.rounds.asked == [(1, 5, 0.5), (2, 5, 0.25)]
    assert source.env_steps == 2 * source.rounds.made.num_frames


def test_all_frames_are_drawn_equally_often(grown):
    source = grown()
    for _ in range(7):
        next(source)
    parts = source._parts
    total = len(parts["demonstrations"].frames("train")) + 2 * len(parts["round 1"].frames("train"))
    assert source._source._order.size == total


@pytest.mark.parametrize("stopped", [2, 3, 4, 8])
def test_a_resumed_source_goes_on_with_the_same_batches(grown, stopped):
    source = grown()
    whole = [next(source) for _ in range(11)]
    first, again = grown(), grown()
    for _ in range(stopped):
        next(first)
    again.load_state_dict(first.state_dict())
    for batch in whole[stopped:]:
        assert np.array_equal(next(again).action, batch.action)


def test_a_state_that_it_never_gave_is_refused(grown):
    with pytest.raises(ValueError, match="rounds"):
        grown().load_state_dict({"batches": 3, "rounds": ["a"] * 3, "source": {"batches": 0}})


def test_rounds_that_another_policy_played_since_are_refused(grown, opened):
    source, again = grown(), grown()
    for _ in range(4):
        next(source)
    again.rounds = Rounds(opened("first"))
    with pytest.raises(CheckpointError, match="round 1 of this run was played anew"):
        again.load_state_dict(source.state_dict())


def test_it_serves_those_who_learn_from_demonstrations_alone(opened):
    dataset = opened("first")
    indices = [dataset.frames("train")]
    assert DaggerSource(dataset, indices=indices, **KEYS).batch_type is Demonstration
    with pytest.raises(UsageError, match="as bc does"):
        DaggerSource(dataset, indices=indices, **KEYS, batch_type=Transition)
    with pytest.raises(UsageError, match="one dataset"):
        DaggerSource(dataset, indices=indices * 2, **KEYS)
