"""The order of samples: how often each part comes in an epoch, and that nothing but seed and place decides."""

import numpy as np
import pytest

from vla_train.errors import DataError
from vla_train.sources.order import Order, buffered_order, epoch_order

NEAR, FAR = np.arange(6), np.arange(100, 130)  # 6 and 30 frames


def shares(frames):
    return int((frames < 100).sum()), int((frames >= 100).sum())


def test_without_weights_every_frame_comes_once_an_epoch():
    order = Order([NEAR, FAR], None, seed=0)
    assert order.size == 36
    for epoch in range(3):
        assert sorted(order(36 * epoch, 36 * (epoch + 1))) == [*NEAR, *FAR]
    assert order(0, 36).tolist() != order(36, 72).tolist()


def test_weights_decide_how_often_each_part_comes_in_every_epoch():
    order = Order([NEAR, FAR], [3.0, 1.0], seed=0)  # 36 samples: 27 and 9
    assert [shares(order(36 * epoch, 36 * (epoch + 1))) for epoch in range(4)] == [(27, 9)] * 4
    drawn = order(0, 36 * 10)  # 90 of the 30 frames, 270 of the 6: each frame as often as any other of its part
    counts = np.unique(drawn, return_counts=True)[1]
    assert counts.tolist() == [45] * 6 + [3] * 30


def test_shares_are_rounded_by_the_largest_remainder():
    frames = [np.arange(5), np.arange(10, 15), np.arange(20, 20)]
    assert Order(frames, [1.0, 2.0, 0.0], seed=0).counts.tolist() == [3, 7, 0]  # of 10: 3.33 and 6.67
    assert Order(frames, [1.0, 1.0, 0.0], seed=0).counts.tolist() == [5, 5, 0]


def test_a_part_without_weight_is_not_drawn_and_does_not_lengthen_the_epoch():
    order = Order([NEAR, FAR], [1.0, 0.0], seed=5)
    assert order.size == 6
    assert order(0, 60).max() < 100
    assert order(0, 60).tolist() == Order([NEAR], None, seed=5)(0, 60).tolist()


def test_the_parts_are_spread_over_the_epoch():
    drawn = Order([np.arange(500), np.arange(1000, 1500)], [1.0, 1.0], seed=0)(0, 1000)
    blocks = [(drawn[start : start + 100] < 1000).sum() for start in range(0, 1000, 100)]
    assert min(blocks) > 25
    assert max(blocks) < 75


def test_any_stretch_is_what_the_whole_stream_has_there():
    whole = Order([NEAR, FAR], [0.3, 0.7], seed=3)(0, 200)
    for start, stop in [(199, 200), (0, 1), (30, 110), (36, 72), (71, 73)]:
        assert Order([NEAR, FAR], [0.3, 0.7], seed=3)(start, stop).tolist() == whole[start:stop].tolist()
    assert Order([NEAR, FAR], [0.3, 0.7], seed=4)(0, 200).tolist() != whole.tolist()


def test_the_order_of_a_single_dataset_stays_what_it_was():
    """Figures that were published with a seed must come again."""
    random = np.random.Generator(np.random.Philox(key=[7, 2]))
    assert epoch_order(7, 2, 6).tolist() == random.permutation(6).tolist()
    assert Order([FAR], None, seed=7)(60, 90).tolist() == FAR[epoch_order(7, 2, 30)].tolist()


@pytest.mark.parametrize(("frames", "weights"), [([NEAR[:0]], None), ([NEAR, FAR[:0]], [0.5, 0.5]), ([NEAR], [0.0])])
def test_nothing_to_draw_is_told(frames, weights):
    with pytest.raises(DataError, match="no frames to train on"):
        Order(frames, weights, seed=0)


SHARDS = np.repeat(np.arange(40), np.resize([3, 5, 2], 40))  # 40 episodes of 3, 5 and 2 frames: 133 in all


def test_a_buffered_order_is_a_permutation_of_its_arguments_alone():
    first, again = buffered_order(0, 1, SHARDS, 20), buffered_order(0, 1, SHARDS, 20)
    assert sorted(first) == list(range(133))
    assert (first == again).all()
    for other in (buffered_order(1, 1, SHARDS, 20), buffered_order(0, 2, SHARDS, 20), buffered_order(0, 1, SHARDS, 20, 1)):
        assert (first != other).any()


def test_a_buffer_of_one_reads_shard_by_shard_in_another_order_each_epoch():
    order = buffered_order(0, 0, SHARDS, 1)
    shards = SHARDS[order]
    turns = shards[np.flatnonzero(np.diff(shards, prepend=-1))]
    assert sorted(turns) == list(range(40)), "each shard is read at once"
    assert turns.tolist() != sorted(turns)
    assert all(np.diff(order[shards == shard]).tolist() == [1] * ((shards == shard).sum() - 1) for shard in range(40))


@pytest.mark.parametrize("buffer", [5, 10, 50])
def test_no_more_than_the_buffer_waits(buffer):
    reading, order = buffered_order(0, 3, SHARDS, 1), buffered_order(0, 3, SHARDS, buffer)
    place = np.argsort(reading)[order]  # where in reading order the samples stand, in the order in which they come
    waiting = [int((place[turn:] <= place[: turn + 1].max()).sum()) for turn in range(133)]
    assert max(waiting) <= buffer + 1
    assert np.abs(place - np.arange(133)).max() <= buffer
    assert np.abs(place - np.arange(133)).mean() > buffer / 8, "it does shuffle"


@pytest.mark.parametrize("buffer", [None, 20])
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_processes_draw_every_sample_once_in_every_epoch(buffer, world):
    parts = [np.arange(133), np.arange(200, 230)]
    shards = [SHARDS, np.arange(30) // 4]
    for epoch in range(3):
        drawn = []
        for rank in range(world):
            order = Order(parts, None, 5, shards=shards, buffer=buffer, process=(rank, world))
            drawn += order(order.size * epoch, order.size * (epoch + 1)).tolist()
        assert sorted(drawn) == [*range(133), *range(200, 230)]


def test_a_sample_is_known_by_one_place_in_the_stream_of_all_processes():
    orders = [Order([NEAR], None, 0, process=(rank, 4)) for rank in range(4)]  # of 6 frames they draw 1, 2, 1 and 2
    places = [order.places(np.arange(2 * order.size)).tolist() for order in orders]
    assert places == [[0, 6], [1, 2, 7, 8], [3, 9], [4, 5, 10, 11]]
    assert Order([NEAR], None, 0).places(np.arange(9)).tolist() == list(range(9))


def test_more_processes_than_samples_are_refused():
    with pytest.raises(DataError, match="6 frames cannot be shared by 7 processes"):
        Order([NEAR], None, 0, process=(0, 7))
