"""The rollout source against a world in which everything is foretold."""

import numpy as np
import pytest
import torch

from tests.scripted import SCRIPTED, Scripted
from vla_train.checkpoint.nested import decode, encode
from vla_train.errors import Notice, NumericError, WorldError
from vla_train.processor import Processor, train_tokenizer
from vla_train.seeds import RANGES
from vla_train.sources.player import MOST_CRASHES
from vla_train.sources.rollout import RolloutSource

ROWS, STEPS = 3, 4


def make_source(world=Scripted, history=1, seed=0, explore=None, **options):
    made = []

    def make_environment(num_envs):
        made.append(world(num_envs, **options))
        return made[-1]

    processor = Processor(
        SCRIPTED.with_window(history, 1), train_tokenizer(["count"], 300), cameras=None, image_size=None, max_tokens=8
    )
    source = RolloutSource(
        num_envs=ROWS,
        steps=STEPS,
        make_environment=make_environment,
        processor=processor,
        explore=explore or (lambda observation: torch.randint(0, 2, (ROWS, 1, 1)).numpy()),
        seed=seed,
    )
    source.made = made
    return source


def state(observation):
    """The newest [seed, step] as integers."""
    return observation.state[..., -1, :].long().numpy()


def equal(one, other):
    assert len(one.tensors()) == len(other.tensors())
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one.tensors(), other.tensors(), strict=True))


def test_every_step_leads_to_its_true_next_observation():
    source, ends = make_source(), {"terminated": 0, "truncated": 0, "running": 0}
    for _ in range(3):
        batch = next(source)
        assert batch.reward.shape == (STEPS, ROWS)
        assert len(batch) == STEPS * ROWS
        seen, finals, index = state(batch.observation), state(batch.final), batch.final_index.numpy()
        for step in range(STEPS):
            for row in range(ROWS):
                seed, count = seen[step, row]
                assert batch.reward[step, row] == count + 1
                assert batch.terminated[step, row] == (seed % 2 == 0 and count == 2)
                assert batch.truncated[step, row] == (seed % 2 == 1 and count == 1)
                if batch.terminated[step, row]:
                    ends["terminated"] += 1
                    assert index[step, row] == -1, "what a termination leads to counts nothing"
                    continue
                led_to = seen[step + 1, row] if index[step, row] < 0 else finals[index[step, row]]
                assert led_to.tolist() == [seed, count + 1]
                ends["truncated" if batch.truncated[step, row] else "running"] += 1
        assert sorted(index[index >= 0]) == list(range(len(batch.final))), "each is kept once"
    assert all(ends.values())


def test_every_episode_has_the_next_training_seed():
    source = make_source()
    for _ in range(5):
        next(source)
    played = source.made[0].played
    assert played == list(range(played[0], played[0] + len(played)))
    assert all(seed in RANGES["train"] for seed in played)
    assert make_source(seed=1).player._first_seed != source.player._first_seed
    assert source.env_steps == 5 * STEPS * ROWS


def test_seeds_that_run_out_begin_again():
    source = make_source()
    source.player._first_seed = len(RANGES["train"]) - 2
    next(source)
    assert source.made[0].played[:3] == [len(RANGES["train"]) - 2, len(RANGES["train"]) - 1, 0]


def test_stopped_in_the_middle_of_episodes_it_goes_on_to_the_bit():
    source = make_source(history=3)
    for _ in range(2):
        next(source)
    assert source.made[0].steps.any(), "some episode is under way"
    tree, tensors = encode(source.state_dict())
    random = torch.get_rng_state()
    expected = [next(source) for _ in range(2)]
    resumed = make_source(history=3)
    resumed.load_state_dict(decode(tree, tensors))
    torch.set_rng_state(random)
    resumed.prepare()
    assert all(equal(next(resumed), batch) for batch in expected)
    assert resumed.figures() == source.figures()
    assert resumed.env_steps == source.env_steps


def test_a_window_holds_the_last_frames_of_its_episode_alone():
    batch = next(make_source(history=2))
    for step in range(STEPS):
        for row in range(ROWS):
            (old_seed, old), (seed, new) = batch.observation.state[step, row].tolist()
            assert (old_seed, old) == (seed, max(new - 1, 0))
            assert batch.observation.present[step, row].tolist() == [new > 0, True]


def test_a_crash_cuts_episodes_where_they_were_whole_and_begins_others():
    source = make_source(fails={3})
    batch = next(source)
    seen, index = state(batch.observation), batch.final_index.numpy()
    assert batch.truncated[1].logical_or(batch.terminated[1]).all(), "two whole steps, then the crash"
    assert (seen[2, :, 1] == 0).all(), "all rows begin anew"
    assert set(seen[2, :, 0]).isdisjoint(seen[:2, :, 0].flatten())
    for row in range(ROWS):
        assert state(batch.final)[index[1, row]].tolist() == [seen[1, row, 0], 2]
    assert source.figures()["crashes"] == 1


def test_a_crash_at_the_first_step_of_a_batch_leaves_the_batch_before_alone():
    source = make_source(fails={STEPS + 1})
    before, batch = next(source), next(source)
    assert (before.final_index[-1] >= 0).any()
    assert (state(batch.observation)[0, :, 1] == 0).all()


def test_a_reset_that_fails_takes_other_seeds():
    source = make_source(bad_seeds=lambda seed: seed % 5 == 0)
    for _ in range(3):
        batch = next(source)
        assert (state(batch.observation)[:, :, 0] % 5 != 0).all()
    assert source.figures()["crashes"] >= 1


def test_a_world_that_only_fails_is_told():
    with pytest.raises(WorldError, match=f"failed {MOST_CRASHES + 1} times without a step between: a row is broken"):
        next(make_source(fails=range(100)))
    with pytest.raises(WorldError, match="without a step between: the reset is broken"):
        next(make_source(bad_seeds=lambda seed: True))


def test_a_reward_that_is_no_number_is_told():
    with pytest.raises(WorldError, match=r"the reward is nan in step \d of the episode with seed \d+: mend"):
        next(make_source(nan_at=2))


def test_an_action_that_is_no_number_is_told():
    source = make_source(explore=lambda observation: np.full((ROWS, 1, 1), np.nan))
    with pytest.raises(NumericError, match="go on from an earlier checkpoint"):
        next(source)


def test_figures_are_means_over_the_episodes_that_ended():
    source = make_source()
    source.player._first_seed = 0  # seeds 0, 1, 2
    next(source)
    # Rows 0 and 2 (even seeds) end after 3 steps with 1 + 2 + 3 = 6 and succeed. Row 1 plays seed 1 (2 steps, 1 + 2 = 3, no
    # success) and, as row 1 ended first, seed 3 for its steps 3 and 4: another 3.
    assert source.figures() == {"episodes": 4.0, "return": 18 / 4, "length": 10 / 4, "success": 0.5}
    assert source.figures() == {"episodes": 0.0}


def test_without_success_there_is_no_such_figure():
    source = make_source(lacking=["success"])
    next(source)
    assert "success" not in source.figures()


def test_rows_that_come_back_otherwise_begin_anew_and_that_is_told():
    source = make_source()
    next(source)
    resumed = make_source(drift=0.5)
    with pytest.warns(Notice, match="shows something else after the same actions.*1 of 3 episodes under way begin anew"):
        resumed.load_state_dict(source.state_dict())
    seen = state(next(resumed).observation)[0]
    assert seen[:2].tolist() == [[source.made[0].seeds[row] % 1000, source.made[0].steps[row]] for row in (0, 1)]
    assert seen[2, 1] == 0


def test_a_world_without_scenes_begins_anew_and_that_is_told():
    source = make_source(lacking=["scene"])
    next(source)
    resumed = make_source(lacking=["scene"])
    with pytest.warns(Notice, match="cannot be put into the middle of an episode: 3 of 3 episodes"):
        resumed.load_state_dict(source.state_dict())
    assert resumed.made[0].played[0] == source.made[0].played[-1] + 1


@pytest.mark.parametrize(
    "change", [{"begun": -1}, {"env_steps": "many"}, {"rows": {"scenes": [], "seeds": np.zeros(0), "view": {}}}]
)
def test_the_state_of_another_source_is_refused(change):
    source = make_source()
    next(source)
    with pytest.raises(ValueError, match=r"source\.|rows"):
        make_source().load_state_dict(source.state_dict() | change)


def test_closing_ends_the_world():
    source = make_source()
    next(source)
    source.close()
    assert source.made[0].closed
    next(source)
    assert len(source.made) == 2
