"""Frames with seldom actions are drawn as often as asked, by worked numbers."""

import numpy as np
import pytest
import torch

from tests.toy_dataset import LENGTHS, SPEC, episode, open_toy, write_toy
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import Notice, UsageError
from vla_train.sources.balance import balanced, rare_frames
from vla_train.sources.dataset import DatasetSource
from vla_train.sources.order import Order


def actions_of(turns: int, of: int) -> np.ndarray:
    """A number that moves in every frame, one that moves in the first ``turns``, and one that never does."""
    actions = np.zeros((of, 3), dtype=np.float32)
    actions[:, 0] = np.linspace(-1, 1, of)
    actions[:turns, 1] = [(-1) ** frame for frame in range(turns)]
    return actions


def test_frames_are_rare_in_which_a_number_moves_that_mostly_rests():
    assert rare_frames(actions_of(5, 100)).nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    assert not rare_frames(actions_of(10, 100)).any(), "a tenth of the frames is not seldom"
    assert not rare_frames(actions_of(0, 100)).any()


def test_trembling_is_no_movement():
    actions = actions_of(5, 100)
    actions[60:, 1] = 0.09  # the range is 2, of which a twentieth counts
    assert rare_frames(actions).sum() == 5
    actions[60:64, 1] = 0.11
    assert rare_frames(actions).sum() == 9


def test_choices_are_rare_that_few_frames_make():
    assert rare_frames(np.array([0] * 60 + [3] * 35 + [1] * 5)[:, None]).nonzero()[0].tolist() == [95, 96, 97, 98, 99]


def test_a_part_has_the_share_asked_for_and_the_parts_keep_theirs():
    actions = np.concatenate([actions_of(5, 100), actions_of(50, 100)])
    parts, weights = balanced([np.arange(100), np.arange(100, 200)], [0.7, 0.3], actions, 0.25)
    assert [len(part) for part in parts] == [5, 95, 100]
    assert weights == pytest.approx([0.175, 0.525, 0.3])
    drawn = Order(parts, weights, seed=0)(0, 2000)
    assert np.isin(drawn, np.arange(5)).mean() == pytest.approx(0.175)
    assert (drawn >= 100).mean() == pytest.approx(0.3)


def test_without_weights_parts_count_by_their_size():
    _, weights = balanced([np.arange(100)], None, actions_of(5, 100), 0.25)
    assert weights == [25.0, 75.0]
    assert balanced([np.arange(100)], None, actions_of(5, 100), 0.04)[1] == [100.0], "more than asked for come anyway"


def test_a_part_without_frames_stays_without():
    parts, weights = balanced([np.arange(0), np.arange(100)], [0.0, 1.0], actions_of(5, 100), 0.25)
    assert [len(part) for part in parts] == [0, 5, 95]
    assert weights == [0.0, 0.25, 0.75]


@pytest.mark.filterwarnings("ignore:the frames of")
def test_a_source_draws_rare_frames_by_their_share(tmp_path):
    writer = LeRobotWriter(tmp_path / "toy", SPEC, "toy")
    for e in range(20):  # 50 frames, of which the first of episodes 3, 8 and 13 turn
        action = np.zeros((LENGTHS[e % 2], 2), dtype=np.float32)
        action[0, 1] = e in (3, 8, 13)
        writer.add_episode(**episode(e, action=action))
    folder = writer.finish()
    drawn = []
    for loading in ({}, {"cache_gb": 0.0}):
        dataset = open_toy(folder, **loading)
        keys = {"indices": [dataset.frames("train")], "batch_size": 5, "prefetch": 0, "seed": 0}
        source = DatasetSource(dataset, **keys, rare=0.24)
        drawn.append([next(source) for _ in range(10)])  # an epoch
    assert torch.cat([batch.action[:, 0, 1] for batch in drawn[0]]).sum() == 12  # a share of 0.24
    for cached, decoded in zip(*drawn, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(cached.tensors(), decoded.tensors(), strict=True))


def test_rare_frames_are_not_read_in_order_so_there_is_no_buffer_for_them(tmp_path):
    dataset = open_toy(write_toy(tmp_path, 3))
    with pytest.raises(UsageError, match=r"source.rare=0.2 and source.shuffle=8 exclude each other"):
        DatasetSource(dataset, indices=[dataset.frames("train")], batch_size=5, prefetch=0, seed=0, rare=0.2, shuffle=8)


def test_it_says_where_nothing_is_rare(tmp_path):
    dataset = open_toy(write_toy(tmp_path, 3))
    keys = {"indices": [dataset.frames("train")], "batch_size": 5, "prefetch": 0, "seed": 0}
    with pytest.warns(Notice, match=r"source.rare=0.2 changes nothing"):
        DatasetSource(dataset, **keys, rare=0.2)
