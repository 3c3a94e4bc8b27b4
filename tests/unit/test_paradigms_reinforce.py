"""REINFORCE: returns and losses by hand, with each of its baselines."""

import math

import pytest
import torch
from torch import nn

from tests.unit.test_paradigms_ppo import CONTINUOUS, make_encoder, make_policy, observe
from vla_train import config as configuration
from vla_train.errors import UsageError
from vla_train.models.heads.gaussian import GaussianHead
from vla_train.models.heads.regression import RegressionHead
from vla_train.optim import Optimizer, Progress
from vla_train.paradigms.reinforce import Reinforce
from vla_train.paradigms.returns import discounted_returns, whole
from vla_train.types import Rollout

NO = [False, False, False]


def column(*values, kind=torch.float32):
    return torch.tensor(values, dtype=kind)[:, None]


def flags(*values):
    return column(*values, kind=torch.bool)


def make_reinforce(policy=None, lr=1e-2, **changes) -> Reinforce:
    node = configuration.load_choice("paradigm", "reinforce")
    keys = {key: value for key, value in node.items() if key not in ("_target_", "heads", "steps", "chunk")} | changes

    def make_optimizer(parameters):
        return Optimizer(parameters, lr=lr, progress=Progress())

    return Reinforce(policy or make_policy(), make_optimizer=make_optimizer, make_encoder=make_encoder, **keys)


def rollout(reward, terminated, truncated=None, action=None) -> Rollout:
    """One row; the state of step t is t, and what the last step led to is 9."""
    steps, ended = len(reward), torch.tensor(terminated) | torch.tensor(truncated or [False] * len(reward))
    index = torch.full((steps, 1), -1)
    kept = [step for step in range(steps) if (truncated or [False] * steps)[step] or (step == steps - 1 and not ended[step])]
    index[kept, 0] = torch.arange(len(kept))
    return Rollout(
        observation=observe([[float(step)] for step in range(steps)]),
        action=torch.zeros(steps, 1, 1, 1, dtype=torch.long) if action is None else action,
        reward=column(*reward),
        terminated=flags(*terminated),
        truncated=flags(*(truncated or [False] * steps)),
        final=observe([9.0] * len(kept)),
        final_index=index,
    )


class TestReturns:
    def test_they_are_discounted_to_the_end_of_the_episode(self):
        # The second step ends an episode: 1 + 0.5 x 2 = 2, 2; then 4 + 0.5 x 8 (what is assumed of the state after it) = 8.
        found = discounted_returns(
            column(1, 2, 4), column(100, 100, 8), flags(False, True, False), flags(False, False, False), gamma=0.5
        )
        assert found.flatten().tolist() == [2, 2, 8]

    def test_a_truncation_goes_on_with_the_value_of_the_state_it_led_to(self):
        # 2 + 0.5 x 6 = 5; 1 + 0.5 x 5 = 3.5; the last step terminates: 4.
        found = discounted_returns(
            column(1, 2, 4), column(100, 6, 100), flags(False, False, True), flags(False, True, False), gamma=0.5
        )
        assert found.flatten().tolist() == [3.5, 5, 4]

    def test_whole_are_the_steps_whose_episode_ends(self):
        ended = torch.tensor([[False, False], [True, False], [False, False]])
        assert whole(ended).tolist() == [[True, False], [True, False], [False, False]]


def test_the_loss_is_williams():
    """Both actions are equally likely (log 0.5). Returns 1 + 0.5 x 3 = 2.5 and 3; the third step's episode does not end."""
    policy = make_policy()
    for parameter in policy.head.layers[-1].parameters():
        nn.init.zeros_(parameter)
    paradigm = make_reinforce(policy, gamma=0.5, baseline="none", normalize_advantages=False, entropy_weight=0.1)
    metrics = paradigm.update(rollout([1.0, 3.0, 7.0], [False, True, False]))
    log = math.log(0.5)
    assert float(metrics["policy_loss"]) == pytest.approx(-log * (2.5 + 3) / 2)
    assert float(metrics["entropy"]) == pytest.approx(-log)
    assert float(metrics["loss"]) == pytest.approx(-log * (2.5 + 3) / 2 + 0.1 * log)
    assert float(metrics["return_to_go"]) == pytest.approx(2.75)
    assert float(metrics["known"]) == pytest.approx(2 / 3)
    assert "value_loss" not in metrics


def test_the_mean_is_taken_off():
    paradigm = make_reinforce(gamma=0.5, baseline="mean", normalize_advantages=False)
    samples = paradigm._samples(rollout([1.0, 3.0, 7.0], [False, True, False]))
    assert samples.advantage[:2].tolist() == [-0.25, 0.25]
    assert samples.weight.tolist() == [1, 1, 0]


def test_normalized_advantages_have_mean_0_and_deviation_1_among_what_is_known():
    paradigm = make_reinforce(gamma=0.5, baseline="none", normalize_advantages=True)
    samples = paradigm._samples(rollout([1.0, 3.0, 7.0], [False, True, False]))
    assert samples.advantage[:2].tolist() == pytest.approx([-1, 1], abs=1e-4)


def test_with_a_value_network_every_step_counts(monkeypatch):
    paradigm = make_reinforce(gamma=0.5, baseline="value", normalize_advantages=False)
    monkeypatch.setattr(paradigm.value, "forward", lambda policy, observation, features: observation.state[:, 0, 0])
    samples = paradigm._samples(rollout([1.0, 3.0, 7.0], [False, False, False], [False, True, False]))
    # After the truncation and at the end stands the value of state 9: 3 + 4.5, and 7 + 4.5. Values of the states: 0, 1, 2.
    assert samples.value_of.tolist() == [1 + 0.5 * 7.5, 7.5, 11.5]
    assert samples.advantage.tolist() == [4.75, 6.5, 9.5]
    assert samples.weight.tolist() == [1, 1, 1]
    metrics = paradigm.update(rollout([1.0, 3.0, 7.0], [False, False, False], [False, True, False]))
    assert float(metrics["value_loss"]) == pytest.approx((4.75**2 + 6.5**2 + 9.5**2) / 3)
    assert float(metrics["value"]) == 1.0


def test_what_turned_out_well_becomes_likelier():
    """Action 1 is rewarded, action 0 is not."""
    for baseline in ("none", "mean", "value"):
        paradigm = make_reinforce(baseline=baseline, gamma=0.0, entropy_weight=0.0)
        action = torch.tensor([0, 1, 0, 1])[:, None, None, None]
        batch = rollout([0.0, 1.0, 0.0, 1.0], [True] * 4, action=action)
        for _ in range(40):
            paradigm.update(batch)
        assert (paradigm.policy.act(observe([0.0, 1.0, 2.0, 3.0])) == 1).all(), baseline


def test_where_no_episode_ends_nothing_is_learned():
    paradigm = make_reinforce(baseline="mean", entropy_weight=0.5)
    before = [parameter.clone() for parameter in paradigm.parameters()]
    metrics = paradigm.update(rollout([1.0, 3.0], [False, False]))
    assert float(metrics["known"]) == 0.0
    assert all(torch.equal(old, new) for old, new in zip(before, paradigm.parameters(), strict=True))


def test_continuous_actions_are_weighed_in_the_heads_units():
    policy = make_policy(CONTINUOUS, GaussianHead, std="constant")
    paradigm = make_reinforce(policy, baseline="none", normalize_advantages=False, entropy_weight=0.0, gamma=0.0)
    batch = rollout([2.0], [True], action=torch.tensor([1.0, 2.0]).view(1, 1, 1, 2))
    expected = policy.distribution(policy.encode(batch.observation[0])).log_prob(torch.tensor([[[0.5, 0.5]]]))
    assert float(paradigm.update(batch)["policy_loss"]) == pytest.approx(-2 * float(expected.detach()), rel=1e-5)


def test_a_head_without_probabilities_is_refused():
    with pytest.raises(UsageError, match=r"paradigm=reinforce .* head=gaussian_constant"):
        make_reinforce(make_policy(CONTINUOUS, RegressionHead))
