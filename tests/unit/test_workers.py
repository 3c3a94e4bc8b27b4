"""Rows in worker processes: the same as here, and what hangs, dies or raises is counted, once, and ends nothing else."""

import functools
import time

import numpy as np
import pytest

from tests import broken_worlds
from tests.fakes import Corridor, CountingAgent
from vla_train.collection.behaviour import Behaviour
from vla_train.collection.expert import ExpertRun
from vla_train.envs.babyai import BabyAIVectorEnv
from vla_train.envs.workers import WorkersVectorEnv, spread
from vla_train.errors import UsageError, WorldError
from vla_train.rollouts import play
from vla_train.seeds import seeds


class Push:
    """Always the second action."""

    def act(self, images, instruction, state, rows=None):
        return np.ones((len(state), 1, 1), np.int64)

    def observe(self, images, instruction, state, rows=None):
        pass

    def reset(self, rows=None):
        pass


def outcomes(environment, chosen=range(8)):
    played = play(Push(), environment, chosen)
    environment.close()
    return [episode.outcome for episode in played], played


def equal(one, two):
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    return one == two if isinstance(one, list) else bool(np.array_equal(one, two))


def test_rows_in_processes_are_those_that_would_be_here():
    make = functools.partial(BabyAIVectorEnv, level="PutNextLocal", view="symbolic")
    here, there = make(3), WorkersVectorEnv(make, 3, 2, 60.0)
    assert there.kind is BabyAIVectorEnv
    for name in ("io_spec", "stage", "name", "not_applicable", "version", "action_space"):
        assert getattr(here, name) == getattr(there, name), name
    both = (here, there)
    assert equal(*(world.reset(seed=seeds("train", 3)) for world in both))
    goals = [others[-1] for others in here.alternatives()]
    for ask in (
        lambda world: world.alternatives(),
        lambda world: world.expert_action(goals),
        lambda world: world.set_goals([0, 2], [goals[0], goals[2]]),  # of both workers
        lambda world: world.goals,
        lambda world: world.step(world.expert_action()),
        lambda world: world.reset(seed=[7, 8, 9], options={"reset_mask": np.array([False, True, False])}),
        lambda world: world.step(np.array([[2], [0], [1]])),
        lambda world: (world.describe(), world.first_touched, list(world.success)),
        lambda world: world.get_scenes(),
        lambda world: world.set_scenes([2], here.get_scenes()[:1]),
        lambda world: world.sample_instructions([5, 6]),
    ):
        assert equal(*(ask(world) for world in both))
    with pytest.raises(WorldError, match="action 9 in row 0") as caught:
        there.step(np.array([[0], [0], [9]]))
    assert caught.value.rows == [2]  # as we number it; the words are those of its worker, where it is the first
    there.close()


def test_no_processes_means_here():
    assert isinstance(spread(functools.partial(broken_worlds.make, how="raise"), 2), broken_worlds.GymVectorEnv)


def test_what_cannot_be_made_there_is_said_here():
    with pytest.raises(UsageError, match="did you mean"):
        WorkersVectorEnv(functools.partial(broken_worlds.make, how="nothing"), 2, 2, 60.0)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "LookupError: lost an object"),
        ("raise-in-reset", "the reset from seed 3: OSError: no such scene"),
        ("nan", "observation 1 as not finite"),
    ],
)
def test_a_broken_episode_is_a_crash_and_ends_no_other(how, words):
    found, played = outcomes(broken_worlds.make(4, how))
    assert found == ["crash" if seed % 3 == 0 else "success" for seed in range(8)]
    assert words in played[3].error
    assert [episode.length for episode in played if episode.outcome == "success"] == [5] * 5


def test_an_environment_without_an_end_is_truncated():
    found, played = outcomes(broken_worlds.make(4, "never-end"))
    assert found == ["failure"] * 8
    assert [episode.length for episode in played] == [20, 5, 5, 20, 5, 5, 20, 5]


class Endless(Corridor):
    """A corridor in which the episodes of even seeds neither end nor are truncated."""

    def step(self, actions):
        seen, reward, terminated, truncated, info = super().step(actions)
        odd = self.seeds % 2 == 1
        self.ended &= odd
        return seen, reward, terminated & odd, truncated & odd, info


def test_one_that_does_not_keep_its_own_horizon_is_a_crash_there():
    played = play(CountingAgent(1), Endless(2), range(4))
    assert [(episode.outcome, episode.length) for episode in played] == [
        ("crash", 4),
        ("success", 2),
        ("crash", 4),
        ("success", 4),
    ]
    assert "did not end the episode within its 4 steps" in played[0].error


def test_the_expert_of_one_that_never_ends_is_left_out():
    episodes = list(ExpertRun(Endless(2), range(4), Behaviour()))
    assert [(episode.seed, len(episode.columns()["reward"])) for episode in episodes if episode.success] == [(1, 2), (3, 4)]


@pytest.mark.parametrize("how", ["hang", "die"])
def test_a_step_that_never_returns_or_kills_its_process_is_a_crash(how):
    began = time.monotonic()
    found, played = outcomes(WorkersVectorEnv(functools.partial(broken_worlds.make, how=how), 4, 2, 1.5), range(1, 6))
    assert found == ["success", "success", "crash", "success", "success"]
    assert ("did not step in time" if how == "hang" else "exit code 7") in played[2].error
    assert time.monotonic() - began < 60
