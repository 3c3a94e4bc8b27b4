"""Agent, play and the executors of chunks, on a fake environment whose every number can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.fakes import Corridor, CountingAgent, corridor_policy
from vla_train.errors import DataError, Interrupted, WorldError
from vla_train.rollouts import Agent, RecedingHorizon, TemporalEnsemble, play
from vla_train.rollouts.window import Window

ROW = np.array([0])


def test_receding_horizon_executes_two_of_three_then_plans_again():
    executor = RecedingHorizon(num_rows=1, execute=2)
    taken = []
    for plan in ([10.0, 11.0, 12.0], [20.0, 21.0, 22.0]):
        assert executor.due(ROW).tolist() == [0]
        executor.add(ROW, np.array(plan)[None, :, None])
        taken.append(executor.next(ROW).item())
        assert executor.due(ROW).tolist() == []
        taken.append(executor.next(ROW).item())
    assert taken == [10.0, 11.0, 20.0, 21.0]


def test_receding_horizon_refuses_more_actions_than_a_chunk_has():
    executor = RecedingHorizon(num_rows=1, execute=3)
    with pytest.raises(ValueError, match="3 actions cannot be executed from chunks of 2"):
        executor.add(ROW, np.zeros((1, 2, 1)))


def test_ensemble_weights_the_oldest_prediction_most():
    executor = TemporalEnsemble(num_rows=1, decay=np.log(2.0))  # weights 1, 1/2, 1/4 from the oldest on
    for chunk in ([9.0, 8.0, 4.0], [9.0, 2.0, 9.0], [1.0, 9.0, 9.0]):
        executor.add(ROW, np.array(chunk)[None, :, None])
        action = executor.next(ROW).item()
    # For now: 4 was said two steps ago, 2 one step ago, 1 now: (1 * 4 + 1/2 * 2 + 1/4 * 1) / (1 + 1/2 + 1/4) = 3
    assert action == pytest.approx(3.0)


def test_ensemble_starts_with_the_only_prediction_and_forgets_at_reset():
    executor = TemporalEnsemble(num_rows=2)
    executor.add(np.array([0, 1]), np.array([[[5.0], [7.0]], [[np.nan], [np.nan]]]))
    assert executor.next(ROW).item() == 5.0
    executor.reset(np.array([1]))
    executor.add(np.array([1]), np.array([[[2.0], [3.0]]]))
    assert executor.next(np.array([1])).item() == 2.0


def test_ensemble_refuses_categories():
    with pytest.raises(ValueError, match="no average"):
        TemporalEnsemble(1).add(ROW, np.zeros((1, 2, 1), np.int64))


def test_play_gives_lengths_rewards_and_outcomes_by_seed():
    # Corridor: the goal of seed s lies at s % 5 + 1; steps of 1 reach it after as many steps; horizon 4.
    episodes = play(CountingAgent(chunk=1), Corridor(2), [0, 1, 2, 3, 4])
    assert [episode.length for episode in episodes] == [1, 2, 3, 4, 4]
    assert [episode.outcome for episode in episodes] == ["success"] * 4 + ["failure"]
    assert [episode.reward for episode in episodes] == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert [episode.seed for episode in episodes] == [0, 1, 2, 3, 4]
    assert [episode.goal.key for episode in episodes] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("num_envs", [1, 3, 8])
def test_idle_rows_are_never_asked_and_others_plan_on_their_own_clock(num_envs):
    agent = CountingAgent(chunk=3)
    episodes = play(agent, Corridor(num_envs), range(5), execute=2)
    # plans at steps 0 and 2 of each episode: lengths 1, 2, 3, 4, 4 plan 1, 1, 2, 2, 2 times; the other 6 steps are observed
    assert agent.planned == 8
    assert agent.observed == 6
    assert [episode.length for episode in episodes] == [1, 2, 3, 4, 4]


def test_an_ended_row_goes_on_at_once_with_the_next_seed():
    environment = Corridor(2)
    play(CountingAgent(chunk=1), environment, range(5))
    # lengths 1, 2, 3, 4, 4. Row 0 plays episodes 0, 2 and 4 in 1 + 3 + 4 steps, row 1 episodes 1 and 3 in 2 + 4
    assert environment.calls == 8


def test_told_words_replace_the_instruction_but_not_the_goal():
    agent = CountingAgent(chunk=1)
    episodes = play(agent, Corridor(2), [1, 2], instructions=["", "sing"])
    assert agent.heard == {"", "sing"}
    assert [(episode.instruction, episode.goal.key) for episode in episodes] == [("", "2"), ("sing", "3")]


def test_prepare_may_set_goals_that_the_episode_is_judged_by():
    environment = Corridor(2)

    def prepare(rows, seeds):
        return environment.set_goals(rows, [environment.alternatives()[row][0] for row in rows])

    episodes = play(CountingAgent(chunk=1), environment, [2, 3], prepare=prepare)
    assert [episode.goal.key for episode in episodes] == ["1", "1"]
    assert [episode.instruction for episode in episodes] == ["walk 1", "walk 1"]
    assert [episode.length for episode in episodes] == [1, 1]


def test_a_broken_row_is_one_crash_and_the_others_are_played():
    episodes = play(CountingAgent(chunk=1), Corridor(3, broken_seed=2), [0, 1, 2, 3])
    assert [episode.outcome for episode in episodes] == ["success", "success", "crash", "success"]
    assert "row is broken" in episodes[2].error
    assert [episode.length for episode in episodes[:2]] == [1, 2]


def test_a_reset_that_fails_is_a_crash_too():
    episodes = play(CountingAgent(chunk=1), Corridor(2, broken_reset=1), [0, 1, 2])
    assert [episode.outcome for episode in episodes] == ["success", "crash", "success"]


def test_an_action_that_is_not_finite_is_a_crash_of_its_row():
    episodes = play(CountingAgent(chunk=1, nan_at_goal="walk 2"), Corridor(2), [0, 1, 2])
    assert [episode.outcome for episode in episodes] == ["success", "crash", "success"]


def test_frames_are_kept_for_the_first_episodes_only():
    episodes = play(CountingAgent(chunk=1), Corridor(3), [0, 1, 2], record=2)
    assert [len(episode.frames) for episode in episodes] == [2, 3, 0]  # the first one, and one after each step
    assert [int(frame[0, 0, 0]) for frame in episodes[1].frames] == [0, 1, 2]  # the corridor draws the place


def filmed(seeds, rows=2, **options):
    episodes = play(CountingAgent(chunk=1), Corridor(rows), seeds, failures_first=True, **options)
    return [episode.seed for episode in episodes if episode.frames]


def test_failures_are_filmed_first_and_a_quarter_of_the_others():
    """Place 5 is too far for 4 steps: seeds 4, 9, 14, ... fail."""
    assert filmed(range(20), record=2) == [4, 9]
    assert filmed(range(20), record=4) == [0, 4, 9, 14]  # one of four is a success
    assert filmed(range(6), record=4) == [0, 1, 2, 4]  # few failures leave their places to others
    assert filmed([4, 9, 14], record=4) == [4, 9, 14]
    assert filmed(range(20), rows=7, record=4) == [0, 4, 9, 14]  # whatever the number of rows
    assert filmed(range(20), record=0) == []


def test_a_crash_is_filmed_as_a_failure():
    broken = Corridor(2, broken_seed=2)
    episodes = play(CountingAgent(chunk=1), broken, range(4), failures_first=True, record=1)
    assert [(episode.seed, episode.outcome) for episode in episodes if episode.frames] == [(2, "crash")]


def test_films_under_way_are_limited_by_memory(monkeypatch):
    """An episode of 4 steps has 5 frames of 48 bytes. With room for one film, row 1 is not filmed while row 0 is."""
    monkeypatch.setattr("vla_train.rollouts.reel.MEMORY", 5 * 48)
    assert filmed([0, 4], record=2) == [0]
    assert filmed([0, 3, 4], record=2) == [0, 4]
    monkeypatch.setattr("vla_train.rollouts.reel.MEMORY", 1)  # not even one: then there is one all the same
    assert filmed([0, 3, 4], record=2) == [0, 4]


def test_a_stop_ends_play_between_steps(monkeypatch):
    def stop():
        raise Interrupted("stopped by SIGTERM", 75)

    monkeypatch.setattr("vla_train.stopping.check", stop)
    with pytest.raises(Interrupted):
        play(CountingAgent(chunk=1), Corridor(1), [0])


def test_a_wrong_action_shape_names_both():
    with pytest.raises(ValueError, match=r"shape \(1, 1, 2\).*\[1, horizon, 1\]"):
        play(CountingAgent(chunk=1, size=2), Corridor(1), [0])


def observation(place, rows=1):
    image = np.full((rows, 4, 4, 3), place, np.uint8)
    return {"top": image}, ["walk 1"] * rows, np.full((rows, 1), place, np.float32)


def test_agent_keeps_a_window_for_each_row():
    policy, processor = corridor_policy(history=3)
    agent = Agent(policy, processor)
    agent.act(*observation(1, rows=2))
    seen = policy.seen[-1]
    assert seen.present.tolist() == [[False, False, True]] * 2
    assert seen.state[0, :, 0].tolist() == [1, 1, 1]  # the first frame stands where nothing was
    agent.observe(*observation(2), rows=[1])
    agent.act(*observation(3), rows=[1])
    seen = policy.seen[-1]
    assert seen.state[0, :, 0].tolist() == [1, 2, 3]
    assert seen.images["top"][0, :, 0, 0, 0].tolist() == [1, 2, 3]
    assert seen.present.all()
    agent.reset([1])
    agent.act(*observation(5, rows=2))
    seen = policy.seen[-1]
    assert seen.state[:, :, 0].tolist() == [[1, 1, 5], [5, 5, 5]]
    assert seen.present.tolist() == [[False, True, True], [False, False, True]]


def test_agent_touches_neither_random_state_nor_modes():
    policy, processor = corridor_policy(history=1)
    policy.train()
    policy.dropout.eval()  # a frozen part
    agent = Agent(policy, processor)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = agent.act(*observation(1))
    second = agent.act(*observation(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert (policy.training, policy.dropout.training) == (True, False)
    assert policy.modes == [False, False]
    assert not np.array_equal(first, second)  # this policy samples: other noise at each call ...
    agent.reset()
    assert np.array_equal(agent.act(*observation(1)), first)  # ... and the same again after a reset
    assert first.shape == (1, 2, 1)
    assert first.dtype == np.float32


def test_agent_gives_int64_for_categories():
    policy, processor = corridor_policy(history=1)
    policy.forward_act = lambda batch: torch.ones(batch, 1, 1, dtype=torch.int64)
    assert Agent(policy, processor).act(*observation(1)).dtype == np.int64


def test_play_with_an_agent_is_independent_of_the_rows():
    policy, processor = corridor_policy(history=2, noise=0.0)
    results = []
    for num_envs in (1, 3, 8):
        episodes = play(Agent(policy, processor), Corridor(num_envs), range(7), execute=2)
        results.append([replace(episode, frames=[]) for episode in episodes])
    assert results[0] == results[1] == results[2]


def test_world_errors_of_single_episodes_do_not_hide_programming_errors():
    class Buggy(Corridor):
        def step(self, actions):
            raise KeyError("bug")

    with pytest.raises(KeyError):
        play(CountingAgent(chunk=1), Buggy(2), [0, 1])
    assert issubclass(WorldError, Exception)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction": ["walk 1"]}, "1 instructions for 2 rows"),
        ({"state": np.zeros((2, 5), np.float32)}, r"\[2, 5\]"),
    ],
)
def test_an_agent_says_what_it_was_given_wrong(change, said):
    policy, processor = corridor_policy(history=1)
    spec = processor.spec
    given = {
        "images": {
            name: np.zeros((2, image.height, image.width, image.channels), np.uint8) for name, image in spec.images.items()
        },
        "instruction": ["walk 1", "walk 2"],
        "state": np.zeros((2, spec.state_size), np.float32),
    }
    agent = Agent(policy, processor)
    assert len(agent.act(**given)) == 2
    with pytest.raises(DataError, match=said):
        agent.act(**given | change)


def test_a_world_that_shows_another_shape_than_before_is_told():
    window = Window(2)
    window.push(np.array([0, 1]), {}, np.zeros((2, 3)))
    with pytest.raises(WorldError, match=r"the state has the shape \[4\], and had \[3\] before: .* wrap it in one"):
        window.push(np.array([1]), {}, np.zeros((1, 4)))
