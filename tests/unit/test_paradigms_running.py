"""Units that follow from experience: worked numbers, what is cut, and what a checkpoint keeps."""

import copy

import numpy as np
import pytest
import torch

from tests.unit.test_paradigms_ppo import make_policy, make_ppo, make_rollout
from vla_train.checkpoint import load_into
from vla_train.errors import UsageError
from vla_train.models.normalizer import Normalizer
from vla_train.paradigms.running import AS_IF_SEEN, RunningMoments, RunningRewards, RunningStates
from vla_train.spec import ActionSpec


def fresh() -> RunningMoments:
    return RunningMoments(torch.zeros(2), torch.ones(2), count=0.0)


def test_moments_of_parts_are_those_of_the_whole():
    rows = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) * 3.0 + 100.0
    moments = fresh()
    for part in rows.split([1, 7, 50, 42]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, rows.double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std.square(), rows.double().var(0, correction=0), rtol=1e-6)


def test_moments_begin_where_they_are_told_to():
    moments = RunningMoments(torch.tensor([4.0]), torch.tensor([2.0]), count=3.0)
    moments.add(torch.tensor([[8.0]]))
    # as of three rows with mean 4 and variance 4, then 8: mean 5, variance (3 * 4 + 3 * 1 + 9) / 4
    assert moments.mean.item() == pytest.approx(5.0)
    assert moments.std.item() == pytest.approx(6.0**0.5)


def test_rewards_are_in_units_of_their_discounted_sums():
    rewards = RunningRewards(2, torch.device("cpu"))
    reward = torch.tensor([[1.0, 0.0], [1.0, 4.0], [1.0, 0.0]])
    ended = torch.tensor([[False, False], [True, False], [False, False]])
    found, unit = rewards(reward, ended, 0.5)
    sums = [1.0, 1.5, 1.0, 0.0, 4.0, 2.0]  # the first row begins again after its second step
    assert unit.item() == pytest.approx(np.std(sums), rel=1e-3)
    torch.testing.assert_close(found, reward / unit)
    assert rewards.so_far.tolist() == [1.0, 2.0], "the episodes go on in the next batch"


def test_what_is_far_off_is_cut():
    normalizer = Normalizer(1, ActionSpec("discrete", 1, choices=2))
    states = RunningStates(normalizer)
    states.learn(normalizer, torch.tensor([-1.0, 1.0])[:, None, None])
    seen = normalizer.state(torch.tensor([0.5, 1e6, -1e6])[:, None])
    assert seen.flatten().tolist() == pytest.approx([0.5, 10.0, -10.0], rel=1e-3)
    rewards = RunningRewards(1, torch.device("cpu"))
    found, _ = rewards(torch.tensor([[0.0]] * 400 + [[1.0]]), torch.zeros(401, 1, dtype=torch.bool), 0.9)
    assert found.max().item() == 10.0


def test_a_policy_s_own_units_count_as_many_steps():
    normalizer = Normalizer(1, ActionSpec("discrete", 1, choices=2))
    normalizer.state_offset += 5.0
    states = RunningStates(normalizer)
    states.learn(normalizer, torch.full((1, 1, 1), 6.0))
    assert normalizer.state_offset.item() == pytest.approx(5.0 + 1.0 / (AS_IF_SEEN + 1.0))
    with pytest.raises(UsageError, match="normalize_states"):
        RunningStates(Normalizer(1, ActionSpec("discrete", 1, choices=2), domains=2))


def test_ppo_learns_in_the_units_in_which_was_played_and_then_takes_new_ones():
    ppo = make_ppo(normalize_states=True, normalize_rewards=True, num_envs=4)
    batch, seen = make_rollout(), []
    judge = ppo._judge
    ppo._judge = lambda observation: (seen.append(ppo.policy.normalizer.state_offset.item()), judge(observation))[1]
    metrics = ppo.update(batch)
    assert set(seen) == {0.0}
    assert ppo.policy.normalizer.state_offset.item() == pytest.approx(batch.observation.state.mean().item(), abs=1e-3)
    assert metrics["reward_unit"] > 0


def test_a_checkpoint_has_the_units_and_goes_on_to_the_bit():
    keys = {"normalize_states": True, "normalize_rewards": True, "num_envs": 4}
    one, other = make_ppo(**keys), make_ppo(make_policy(), **keys)
    one.update(make_rollout())
    load_into(other, one.state_dict(), "here")
    other.load_optimizer_state(copy.deepcopy(one.optimizer_state()))
    for ppo in (one, other):
        torch.manual_seed(5)
        ppo.update(make_rollout())
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert one.policy.state_dict()["normalizer.state_limit"].item() == 10.0
