"""Data of mixed quality: who plays, what is recorded, and what stays as it was where the expert plays alone."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fakes import Corridor
from vla_train.collection.behaviour import KINDS, LAPSES, Behaviour
from vla_train.collection.demonstrations import Demonstrations
from vla_train.collection.expert import ExpertRun
from vla_train.collection.noise import perturb
from vla_train.data.reader import read_metadata
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.errors import UsageError
from vla_train.spec import ActionSpec

ARM = ActionSpec("continuous", 2, low=(-1.0, 0.0), high=(1.0, 4.0))
KEYS = ActionSpec("discrete", 1, choices=5)
SEEDS = np.arange(2000)


def make(output, make_environment=Corridor, **keys):
    return Demonstrations(**{"episodes": 40} | keys).ensure(make_environment, {"size": 4}, output=output, name="walks")


def test_episodes_are_shared_out_by_their_seeds():
    kinds = Behaviour(mediocre=0.5, random=0.2).kinds(SEEDS)
    shares = [np.mean(kinds == index) for index in range(3)]
    np.testing.assert_allclose(shares, [0.3, 0.5, 0.2], atol=0.03)  # 3 standard deviations of 2,000 draws
    np.testing.assert_array_equal(Behaviour(mediocre=0.5, random=0.2).kinds(SEEDS[::-1])[::-1], kinds)
    assert set(Behaviour(random=1.0).kinds(SEEDS)) == {KINDS.index("random")}


def test_alone_the_expert_is_disturbed_as_ever():
    clean = np.zeros((2000, 2), np.float32)
    steps = np.full(2000, 3)
    executed = Behaviour(noise=0.3).execute(clean, SEEDS, steps, ARM)
    np.testing.assert_array_equal(executed, perturb(clean, SEEDS, steps, 0.3, ARM))
    assert not Behaviour(noise=0.3).mixed


@pytest.mark.parametrize("size", [1, 3])
def test_without_bounds_noise_is_in_units_of_one(size):
    free, bounded = (
        ActionSpec("continuous", size, low=low, high=high) for low, high in (((), ()), ((-1.0,) * size, (1.0,) * size))
    )
    clean = np.full((2000, size), 5.0, np.float32)  # beyond any bounds that one might assume
    pushed = perturb(clean, SEEDS, np.full(2000, 3), 0.01, free)
    assert pushed.shape == clean.shape
    np.testing.assert_allclose(pushed - 5, perturb(clean * 0, SEEDS, np.full(2000, 3), 0.01, bounded), atol=1e-6)
    assert np.mean(pushed != clean) == pytest.approx(0.5, abs=0.05)


def test_a_mediocre_player_lapses_in_whole_bursts():
    clean = np.full((2000, 2), 0.5, np.float32)
    play = [Behaviour(mediocre=1.0).execute(clean, SEEDS, np.full(2000, step), ARM) for step in range(8)]
    lapsed = (play[0] != clean).all(axis=1)
    assert np.mean(lapsed) == pytest.approx(LAPSES, abs=0.03)
    for step in (1, 2, 3):
        np.testing.assert_array_equal(play[step], play[0])
    assert not np.array_equal(play[4], play[0])
    thrown = play[0][lapsed]
    np.testing.assert_allclose(thrown.min(0), [-1, 0], atol=0.02)
    np.testing.assert_allclose(thrown.max(0), [1, 4], atol=0.02)


def test_a_random_player_takes_any_action_at_each_step():
    clean = np.full((2000, 1), 2)
    executed = Behaviour(random=1.0).execute(clean, SEEDS, np.zeros(2000, np.int64), KEYS)
    assert executed.dtype == clean.dtype
    np.testing.assert_allclose(np.bincount(executed[:, 0], minlength=5) / 2000, 0.2, atol=0.03)
    later = Behaviour(random=1.0).execute(clean, SEEDS, np.ones(2000, np.int64), KEYS)
    assert np.mean(later != executed) == pytest.approx(0.8, abs=0.03)


def test_mixed_data_keep_failures_and_what_was_executed(tmp_path):
    folder = make(tmp_path, mediocre=0.3, random=0.4)
    episodes = read_metadata(folder).episodes
    assert len(episodes) == 40
    assert [row["player"] for row in episodes] == [KINDS[kind] for kind in Behaviour(0.0, 0.3, 0.4).kinds(np.arange(40))]
    assert {row["outcome"] for row in episodes} == {"success", "failure"}
    assert all(row["outcome"] == "failure" for row in episodes if row["seed"] % 5 == 4)  # place 5 is out of reach
    rows = pq.read_table(sorted((folder / "data").rglob("*.parquet"))).to_pylist()
    last = {row["episode_index"]: row for row in rows}
    for number, episode in enumerate(episodes):
        assert last[number]["next.success"] == (episode["outcome"] == "success")
        assert last[number]["next.done"]
    before = [row for row in rows if not row["next.done"]]
    after = [rows[index + 1] for index, row in enumerate(rows) if not row["next.done"]]
    moved = [right["observation.state"] - left["observation.state"] for left, right in zip(before, after, strict=True)]
    # The corridor moves by what is executed: that is what is recorded.
    np.testing.assert_allclose(moved, [row["action"] for row in before], atol=1e-6)


def test_the_experts_own_data_stay_what_they_were(tmp_path):
    recipe = Demonstrations(40, mediocre=0.0, random=0.0, noise=0.3).recipe(Corridor(1), {"size": 4})
    assert sorted(recipe) == ["environment", "episodes", "noise", "recipe", "settings", "stage", "start", "version"]
    mixed = Demonstrations(40, random=0.1).recipe(Corridor(1), {"size": 4})
    assert (mixed["mediocre"], mixed["random"]) == (0.0, 0.1)
    folder = make(tmp_path)
    assert "player" not in read_metadata(folder).episodes[0]
    assert json.loads((folder / "meta/info.json").read_text())["vla_train"]["dropped_seeds"]


@pytest.mark.parametrize("shares", [{"mediocre": 0.7, "random": 0.4}, {"random": -0.1}])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(UsageError, match="their sum at most 1"):
        Demonstrations(40, **shares)


def test_players_of_the_tabletop_differ_in_how_often_they_succeed():
    env, seeds = TabletopVectorEnv(150, cameras=()), np.arange(150)
    rates = []
    for keys in ({}, {"mediocre": 1.0}, {"random": 1.0}):
        behaviour = Behaviour(**keys)
        env.reset(seed=seeds)
        for step in range(env.io_spec.horizon):
            env.step(behaviour.execute(env.expert_action(), seeds, np.full(150, step), env.io_spec.action))
        rates.append(env.success.mean())
    assert rates[0] == 1.0
    assert 0.4 < rates[1] < 0.9
    assert rates[2] < 0.1


def test_the_expert_lapses_in_some_bursts_and_its_clean_action_is_recorded(tmp_path):
    clean = np.full((2000, 2), 0.5, np.float32)
    play = [Behaviour(lapses=0.15).execute(clean, SEEDS, np.full(2000, step), ARM) for step in range(5)]
    lapsed = (play[0] != clean).all(axis=1)
    assert np.mean(lapsed) == pytest.approx(0.15, abs=0.025)
    np.testing.assert_array_equal(play[3], play[0])
    assert not np.array_equal(play[4], play[0])
    assert not Behaviour(lapses=0.15).mixed

    recipes = [make(tmp_path, **keys) / "meta" / "info.json" for keys in ({"lapses": 0.3}, {})]
    lapsing, straight = (json.loads(path.read_text())["vla_train"]["recipe"] for path in recipes)
    assert lapsing.pop("lapses") == 0.3
    assert lapsing == straight, "without lapses a dataset has the recipe, and so the name, that it always had"


@pytest.mark.parametrize(("lapses", "lost"), [(0.0, False), (0.3, True)])
def test_only_a_lapsing_expert_loses_what_it_holds_and_takes_it_again(lapses, lost):
    environment = TabletopVectorEnv(64, "complex_tasks", cameras=[])
    episodes = [episode for episode in ExpertRun(environment, range(64), Behaviour(0.3, lapses=lapses)) if episode.success]
    assert len(episodes) > 60
    opened = 0
    for episode in episodes:
        seen = np.stack([step[1] for step in episode.steps])
        closing = np.stack([step[2] for step in episode.steps])[:-1, 3] < -0.9
        opened += int(np.sum((seen[:-1, 4] == 1) & closing & (seen[1:, 4] == 0)))
    assert (opened > 0) == lost


def test_what_disturbs_an_expert_in_words():
    assert Behaviour(0.3, lapses=0.15).disturbances == "noise 0.3 and lapses 0.15"
    assert Behaviour(lapses=0.15).disturbances == "lapses 0.15"
    assert Behaviour(0.3, mediocre=0.5).disturbances == "", "what is executed is what is recorded"


def test_lapses_are_a_share():
    with pytest.raises(UsageError, match="lapses=1 is a share"):
        Behaviour(lapses=1.0)
