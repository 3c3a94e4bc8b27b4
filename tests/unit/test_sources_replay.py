"""The replay source against a world in which everything is foretold: what it keeps, what it draws, what it saves."""

import numpy as np
import pytest
import torch

from tests.scripted import SCRIPTED, Scripted
from tests.unit.test_sources_rollout import equal, state
from vla_train.checkpoint.nested import decode, encode
from vla_train.errors import CheckpointError, Notice, UsageError
from vla_train.processor import Processor, train_tokenizer
from vla_train.sources import replay
from vla_train.sources.draws import Draws
from vla_train.sources.replay import ReplaySource
from vla_train.sources.ring import Ring, frame_bytes

ROWS = 3
pytestmark = pytest.mark.filterwarnings("ignore:the replay buffer holds")


def make_processor(history=1):
    spec = SCRIPTED.with_window(history, 1)
    return Processor(spec, train_tokenizer(["count"], 300), cameras=None, image_size=None, max_tokens=8)


def make_source(folder, history=1, explore=None, world=Scripted, options=None, **changes):
    made = []

    def make_environment(num_envs):
        made.append(world(num_envs, **(options or {})))
        return made[-1]

    settings = {"num_envs": ROWS, "steps": 2, "batch_size": 16, "capacity": 300, "learning_starts": 12, "n_step": 1}
    source = ReplaySource(
        **(settings | {"discount": 0.5} | changes),
        make_environment=make_environment,
        processor=make_processor(history),
        explore=explore or (lambda observation: torch.randint(0, 2, (ROWS, 1, 1)).numpy()),
        seed=0,
        folder=folder,
        keep=2,
    )
    source.made = made
    return source


def ring_of(source):
    source.prepare()
    return source._ring


def play(source, steps):
    ring = ring_of(source)
    for _ in range(steps):
        source.player.step(ring)
    return ring


def check(batch):
    """Of one-step transitions: the observation [seed, count], the one after it, and what step count + 1 of the seed brought."""
    seen, after = state(batch.observation), state(batch.next_observation)
    ends = {"terminated": 0, "truncated": 0, "running": 0}
    for row, (seed, count) in enumerate(seen):
        assert after[row].tolist() == [seed, count + 1], "the true next one, never that of another episode"
        assert batch.reward[row] == count + 1
        assert batch.terminated[row] == (seed % 2 == 0 and count == 2)
        assert batch.truncated[row] == (seed % 2 == 1 and count == 1)
        ends["terminated" if batch.terminated[row] else "truncated" if batch.truncated[row] else "running"] += 1
    assert (batch.discount == 0.5).all()
    assert batch.valid.all()
    return ends


def test_every_transition_is_a_step_that_was_taken(tmp_path):
    source, total = make_source(tmp_path, batch_size=64), dict.fromkeys(("terminated", "truncated", "running"), 0)
    for _ in range(3):
        for name, number in check(next(source)).items():
            total[name] += number
    assert all(total.values())


def test_before_the_first_batch_and_between_batches_it_plays_as_told(tmp_path):
    source = make_source(tmp_path, learning_starts=13, steps=2)
    assert source.env_steps == 0
    counts = []
    for _ in range(3):
        next(source)
        counts.append(source.env_steps)
    assert counts == [15, 21, 27], "13 steps take 5 of 3 rows; then 2 of 3 rows each time"


def test_a_frame_is_stored_once(tmp_path):
    """A step takes a frame, the end of an episode one more: seeds 0 and 2 end after 3 steps, seeds 1 and 3 after 2."""
    source = make_source(tmp_path, history=3)
    source.player._first_seed = 0
    ring = play(source, 4)
    assert ring.written.tolist() == [5, 6, 5], "4 steps each; one end in rows 0 and 2, two in row 1"
    # Row 1 plays seed 1, then 3: [1, 0], [1, 1], the last frame [1, 2], [3, 0], [3, 1], [3, 2].
    shown = ring.arrays["state"].reshape(ring.slots, ROWS, 2)[:6, 1].astype(int).tolist()
    assert shown == [[1, 0], [1, 1], [1, 2], [3, 0], [3, 1], [3, 2]]
    assert ring.arrays["reward"].reshape(-1, ROWS)[:6, 1].tolist() == [0, 1, 2, 0, 1, 2], "of the step that led there"
    assert ring.arrays["truncated"].reshape(-1, ROWS)[:6, 1].tolist() == [False, False, True] * 2


def test_windows_are_read_from_the_same_frames_and_stay_within_their_episode(tmp_path):
    batch = next(make_source(tmp_path, history=3, batch_size=64))
    for observation in (batch.observation, batch.next_observation):
        for window, present in zip(observation.state.long().tolist(), observation.present.tolist(), strict=True):
            seed, count = window[-1]
            assert window == [[seed, max(count - back, 0)] for back in (2, 1, 0)]
            assert present == [count >= 2, count >= 1, True]


def test_the_words_of_each_episode_come_back(tmp_path):
    source = make_source(tmp_path, batch_size=64)
    batch = next(source)
    seen = batch.observation
    for seed, tokens, mask in zip(state(seen)[:, 0], seen.tokens, seen.token_mask, strict=True):
        episode = next(each for each in source.made[0].played if each % 1000 == seed)
        told, counted = make_processor().tokenize([f"count {episode % 3}"])
        assert tokens.tolist() == told[0].tolist()
        assert mask.tolist() == counted[0].tolist()


def test_rewards_of_several_steps_by_hand(tmp_path):
    """Rewards 1, 2, 3 at discount 1/2 over two steps. Seed 0 terminates after three steps, seed 1 is truncated after two."""
    source = make_source(tmp_path)
    source.player._first_seed = 0
    ring = play(source, 4)
    rows, numbers = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    batch = Draws(ring, 1, steps=2, discount=0.5).transitions(rows, numbers)
    assert batch.reward.tolist() == [1 + 2 / 2, 2 + 3 / 2, 3, 1 + 2 / 2, 2]
    assert batch.discount.tolist() == [0.25, 0.25, 0.5, 0.25, 0.5]
    assert batch.terminated.tolist() == [False, True, True, False, False]
    assert batch.truncated.tolist() == [False, False, False, True, True]
    assert state(batch.next_observation).tolist() == [[0, 2], [0, 3], [0, 3], [1, 2], [1, 2]]


def test_the_newest_step_adds_up_what_has_been_played(tmp_path):
    source = make_source(tmp_path)
    source.player._first_seed = 0
    ring = play(source, 3)  # row 0 ended: frames 0 to 3; row 1: the first step of seed 3 is at 3, what it led to is not there yet
    assert ring.written.tolist() == [4, 4, 4]
    draws = Draws(ring, 1, steps=3, discount=0.5)
    drawn = draws.draw(np.random.default_rng(0), 500)
    assert {tuple(each) for each in state(drawn.observation).tolist()} == {
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
        (2, 2),
    }
    play(source, 2)  # row 0 has taken two steps of seed 4, at frames 4 and 5: what the second led to is not there yet
    batch = draws.transitions(np.array([0]), np.array([4]))
    assert (batch.reward.tolist(), batch.discount.tolist()) == ([1.0], [0.5]), "one of three rewards"


def test_it_draws_uniformly(tmp_path):
    ring = play(make_source(tmp_path), 40)
    drawn = Draws(ring, 1, steps=1, discount=1.0).draw(np.random.default_rng(0), 20_000)
    kinds, counts = np.unique(state(drawn.observation), axis=0, return_counts=True)
    expected = 20_000 / len(kinds)
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_the_oldest_frames_go_first_and_no_window_reaches_into_them(tmp_path):
    source = make_source(tmp_path, history=2, capacity=30, batch_size=64)
    for _ in range(8):
        batch = next(source)
        check(batch)
        for window in batch.observation.state.long().tolist():
            assert window[0] == [window[1][0], max(window[1][1] - 1, 0)]
    ring = source._ring
    assert (ring.written > 10).all()
    assert (ring.oldest == ring.written - 10).all()
    seeds = set(state(batch.observation)[:, 0])
    assert len(seeds) < len(source.made[0].played), "the first episodes are gone"


def test_a_crash_cuts_the_episodes_where_they_were_whole(tmp_path):
    source = make_source(tmp_path, options={"fails": {2}})
    source.player._first_seed = 0
    ring = play(source, 4)
    assert source.player.figures()["crashes"] == 1
    # One step, then the crash: [seed, 0], the last frame [seed, 1] truncated; then seeds 3, 4, 5.
    last = ring.places(np.arange(ROWS), np.ones(ROWS, int))
    assert ring.arrays["state"][last].astype(int).tolist() == [[0, 1], [1, 1], [2, 1]]
    assert ring.arrays["truncated"][last].all()
    drawn = Draws(ring, 1, steps=1, discount=0.5).draw(np.random.default_rng(0), 200)
    after, seen = state(drawn.next_observation), state(drawn.observation)
    assert (after - seen == [0, 1]).all()
    assert drawn.truncated[(seen[:, 0] < 3)].all()


def test_stopped_in_the_middle_of_episodes_it_goes_on_to_the_bit(tmp_path):
    source = make_source(tmp_path, history=2, capacity=60, n_step=2)
    for stop in range(5):  # the ring is full after the third
        next(source)
        tree, tensors = encode(source.state_dict())
        random = torch.get_rng_state()
        resumed = make_source(tmp_path, history=2, capacity=60, n_step=2)
        resumed.load_state_dict(decode(tree, tensors))
        expected, ours = [next(source) for _ in range(2)], []
        torch.set_rng_state(random)
        ours = [next(resumed) for _ in range(2)]
        assert all(equal(one, other) for one, other in zip(ours, expected, strict=True)), stop
        assert resumed.figures() == source.figures()
        assert resumed.env_steps == source.env_steps
        for name, array in source._ring.arrays.items():
            assert np.array_equal(array, resumed._ring.arrays[name]), name


def test_what_is_saved_is_only_added_to_and_what_is_overwritten_goes(tmp_path):
    source = make_source(tmp_path, capacity=60, steps=5)
    kept, seen = {}, set()
    for _ in range(12):
        next(source)
        source.state_dict()
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert all(files[name] == content for name, content in kept.items() if name in files)
        kept, seen = files, seen | set(files)
    assert len(seen) == 12
    assert len(kept) < 10, "three or four saves fill the ring, two more are kept for the checkpoints before"
    source.state_dict()
    assert {path.name for path in tmp_path.iterdir()} <= set(kept), "nothing new, nothing written"


def test_large_buffers_are_saved_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr("vla_train.sources.segments.LARGEST", 10 * frame_bytes(make_processor()))
    source = make_source(tmp_path)
    next(source)
    state = source.state_dict()
    assert len(state["segments"]["files"]) > 1
    resumed = make_source(tmp_path)
    resumed.load_state_dict(state)
    assert all(np.array_equal(array, resumed._ring.arrays[name]) for name, array in source._ring.arrays.items())


def test_rows_that_come_back_otherwise_leave_no_false_transition(tmp_path):
    source = make_source(tmp_path)
    next(source)
    resumed = make_source(tmp_path, options={"drift": 0.5})
    with pytest.warns(Notice, match="1 of 3 episodes under way begin anew"):
        resumed.load_state_dict(source.state_dict())
    for _ in range(4):
        check(next(resumed))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "is not the file that was saved"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_a_file_that_is_gone_or_altered_is_told(tmp_path, damage, message):
    source = make_source(tmp_path)
    next(source)
    state = source.state_dict()
    damage(next(tmp_path.iterdir()))
    with pytest.raises(CheckpointError, match=message):
        make_source(tmp_path).load_state_dict(state)


def test_the_state_of_other_rows_is_refused(tmp_path):
    source = make_source(tmp_path)
    next(source)
    with pytest.raises(ValueError, match=r"source\.ring\.written is not that of 2 rows"):
        make_source(tmp_path, num_envs=2).load_state_dict(source.state_dict())


def test_its_memory_is_told_and_bounded(tmp_path, monkeypatch):
    # state 2 x 4, tokens 8 x 4, how many 4, age 4, action 8, reward 4, two flags
    assert frame_bytes(make_processor()) == 62
    with pytest.warns(Notice, match=r"the replay buffer holds 300 frames in 18\.6 kB"):
        make_source(tmp_path).prepare()
    assert sum(array.nbytes for array in Ring(make_processor(), 100, 3).arrays.values()) == 300 * 62
    monkeypatch.setattr(replay, "_memory", lambda: 10_000)
    with pytest.raises(UsageError, match=r"frames take 18\.6 kB, and the memory is 10\.0 kB: lower it, to 79"):
        make_source(tmp_path)


def test_a_buffer_too_small_for_its_windows_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"gives each of 3 rows 4 frames, and a window with its rewards takes 6: set it to 18"):
        make_source(tmp_path, capacity=10, history=3, n_step=2)
