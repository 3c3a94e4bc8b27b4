"""The three ranges of seeds: disjoint, and kept apart by everything that draws from them, in every environment."""

import itertools

import numpy as np
import pytest

from tests.fakes import Corridor
from vla_train.collection.demonstrations import Demonstrations
from vla_train.conditions import CONDITIONS
from vla_train.data.reader import read_metadata
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.evaluation.baselines import RandomAgent
from vla_train.evaluation.success import Success
from vla_train.seeds import RANGES, seeds


def test_the_ranges_are_disjoint_and_fit_32_bits():
    for one, other in itertools.combinations(RANGES.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start
    assert all(0 <= span.start < span.stop <= 2**32 for span in RANGES.values())


@pytest.mark.parametrize("split", RANGES)
def test_seeds_are_those_of_their_range(split):
    span = RANGES[split]
    assert seeds(split, 3, 4).tolist() == [span.start + 4, span.start + 5, span.start + 6]
    assert seeds(split, 1, len(span) - 1)[0] == span.stop - 1
    for count, start in ((2, len(span) - 1), (1, -1)):
        with pytest.raises(ValueError, match=f"{split} seeds"):
            seeds(split, count, start)


def babyai(num_envs):
    pytest.importorskip("minigrid")
    from vla_train.envs.babyai import BabyAIVectorEnv

    return BabyAIVectorEnv(num_envs, level="GoToLocal")


def tabletop(num_envs):
    return TabletopVectorEnv(num_envs, "basic_navigation", image_size=16)


def watched(make, used):
    """The environments of ``make``, which note every seed that a row was reset from."""

    def maker(num_envs):
        environment = make(num_envs)
        reset = environment.reset

        def noting(*, seed, options=None):
            mask = np.ones(num_envs, bool) if options is None else options["reset_mask"]
            used.update(np.asarray(seed)[mask].tolist())
            return reset(seed=seed, options=options)

        environment.reset = noting
        return environment

    return maker


@pytest.mark.parametrize("make", [Corridor, tabletop, babyai])
def test_demonstrations_are_made_from_training_seeds(tmp_path, make):
    used = set()
    folder = Demonstrations(episodes=6, start=3).ensure(watched(make, used), {}, output=tmp_path, name="x")
    assert used == set(seeds("train", 6, 3).tolist())
    assert {row["seed"] for row in read_metadata(folder).episodes} <= used


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("make", [Corridor, tabletop, babyai])
def test_evaluation_keeps_to_its_range(make, split):
    used = set()
    success = Success(watched(make, used), split=split, episodes=5, num_envs=3, conditions=CONDITIONS, single_row_calls=1)
    agent = RandomAgent(make(3))
    act = agent.act
    agent.act = lambda images, told, state, rows=None: act(images, told, state, np.arange(len(state)))
    report = success(agent)
    assert used == set(seeds(split, 5).tolist())
    assert {episode.seed for episode in report.episodes} == used
