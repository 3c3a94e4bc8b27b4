"""Conservative Q-learning: its term by hand, and what it does to values."""

import copy
import math

import pytest
import torch

from tests.unit.test_paradigms_dqn import make_batch, with_table
from tests.unit.test_paradigms_ppo import CONTINUOUS, make_encoder, make_policy, observe
from vla_train import config as configuration
from vla_train.errors import UsageError
from vla_train.models.heads.action_values import ActionValuesHead
from vla_train.models.heads.categorical import CategoricalHead
from vla_train.models.heads.gaussian import GaussianHead
from vla_train.models.heads.squashed_gaussian import SquashedGaussianHead
from vla_train.optim import Optimizer, Progress
from vla_train.paradigms.conservative import over_choices, over_samples, uniform_actions
from vla_train.paradigms.cql import CQL, ContinuousCQL, DiscreteCQL, Proposed
from vla_train.paradigms.dqn import action_values
from vla_train.paradigms.off_policy import Aimed
from vla_train.types import Transition


def make_cql(policy=None, lr=1e-2, **changes) -> CQL:
    node = configuration.load_choice("paradigm", "cql")
    keys = {key: value for key, value in node.items() if key not in ("_target_", "heads", "steps", "chunk")} | changes

    def make_optimizer(parameters):
        return Optimizer(parameters, lr=lr, progress=Progress())

    return CQL(policy or make_policy(head=ActionValuesHead), make_optimizer=make_optimizer, make_encoder=make_encoder, **keys)


class TestTheTerm:
    def test_over_numbered_actions_it_is_the_log_of_the_sum(self):
        # log(e^1 + e^3) = 3 + log(1 + e^-2) = 3.126928; minus Q(s, 0) = 1, and minus Q(s, 1) = 3.
        values = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
        found = over_choices(values, torch.tensor([0, 1]))
        assert found.tolist() == pytest.approx([2.126928, 0.126928], abs=1e-5)

    def test_over_samples_each_counts_by_what_its_density_lacks(self):
        # Values 1 and 3 at densities 0.5 and 0.25: the mean of e / 0.5 and e^3 / 0.25, its log, minus the recorded value 2.
        found = over_samples(torch.tensor([[[1.0, 3.0]]]), torch.tensor([[0.5, 0.25]]).log(), torch.tensor([[2.0]]))
        assert float(found) == pytest.approx(math.log((math.e / 0.5 + math.e**3 / 0.25) / 2) - 2.0, rel=1e-5)

    def test_sampled_from_whatever_density_it_is_the_same_integral(self):
        """Q(a) = 2 a over a in [-1, 1]: the integral of exp(2 a) is sinh(2)."""
        torch.manual_seed(0)
        anything, density = uniform_actions(1, 40_000, (1, 1), torch.zeros(1))
        assert density[0, 0] == pytest.approx(math.log(0.5))
        uniform = over_samples(2 * anything[..., 0, 0][None], density, torch.zeros(1, 1))
        rising = 2 * torch.rand(1, 40_000).sqrt() - 1  # density (1 + a) / 2
        other = over_samples(2 * rising[None], ((1 + rising) / 2).log(), torch.zeros(1, 1))
        assert float(uniform) == pytest.approx(math.log(math.sinh(2)), abs=0.02)
        assert float(other) == pytest.approx(math.log(math.sinh(2)), abs=0.02)


class TestNumberedActions:
    def test_the_loss_is_the_error_and_the_weighted_term(self):
        cql = with_table(make_cql(conservative=0.5), policy=(1.0, 3.0), target=(1.0, 3.0))
        aimed = Aimed(observation=observe([1.0]), action=torch.tensor([0]), target=torch.tensor([1.5]))
        loss, weight, metrics = cql._loss(aimed)
        metrics = {name: value.detach() for name, value in metrics.items()}
        assert float(metrics["td_loss"]) == pytest.approx(0.125)  # 0.5 x 0.5^2
        assert float(metrics["conservative"]) == pytest.approx(2.126928, abs=1e-5)
        assert float(loss) == pytest.approx(0.125 + 0.5 * 2.126928, abs=1e-5)
        assert float(metrics["value_gap"]) == pytest.approx(1.0 - 2.0)
        assert weight is None

    def test_its_targets_are_those_of_double_dqn(self):
        cql = with_table(make_cql(), policy=(1.0, 3.0), target=(5.0, 2.0))
        batch = make_batch([1.0, 1.0], [0, 1], [1.0, 1.0], [0.5, 0.5], [1.0, 1.0], [False, True])
        assert cql._targets(batch).tolist() == [1 + 0.5 * 2.0, 1.0]

    def test_what_the_data_show_is_worth_more_than_what_they_do_not(self):
        """Both actions bring nothing; only action 1 is recorded."""
        torch.manual_seed(0)
        gaps = {}
        for weight in (0.0, 1.0):
            cql = make_cql(conservative=weight, tau=1.0)
            batch = make_batch([0.0, 1.0], [1, 1], [0.0, 0.0], [0.9, 0.9], [1.0, 0.0], [True, True])
            for _ in range(60):
                metrics = cql.update(batch)
            gaps[weight] = float(metrics["value_gap"])
        assert abs(gaps[0.0]) < 0.6 < gaps[1.0]
        assert "epsilon" not in metrics

    def test_from_steps_by_chance_it_learns_the_way(self):
        """Places 0, 1 and 2 in a row; action 1 goes right, action 0 left (not beyond 0), and right of 2 there is 1 to be had. All
        steps are recorded alike often, so that an imitator would toss a coin."""
        places = [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
        after = [0.0, 1.0, 0.0, 2.0, 1.0, 3.0]
        batch = make_batch(places, [0, 1] * 3, [0.0] * 5 + [1.0], [0.5] * 6, after, [False] * 5 + [True])
        cql = make_cql(conservative=0.1, tau=0.2)
        for _ in range(200):
            cql.update(batch)
        values = action_values(cql.policy, observe([0.0, 1.0, 2.0]))
        assert values.argmax(-1).tolist() == [1, 1, 1]
        assert values[:, 1].tolist() == pytest.approx([0.25, 0.5, 1.0], abs=0.25)

    def test_other_heads_are_refused(self):
        with pytest.raises(UsageError, match=r"paradigm=cql .* head=action_values"):
            make_cql(make_policy(head=CategoricalHead))


def make_continuous(**changes) -> ContinuousCQL:
    torch.manual_seed(0)
    cql = make_cql(make_policy(CONTINUOUS, SquashedGaussianHead), critic_hidden=8, **changes)
    assert isinstance(cql, ContinuousCQL)
    return cql


def transitions(actions, rewards, terminated) -> Transition:
    """At states 0, 1, ...; each leads to the next number. Actions in physical units: -2 to 2, -1 to 3."""
    size = len(rewards)
    action = torch.tensor(actions)[:, None]
    return Transition(
        observation=observe([float(state) for state in range(size)]),
        action=action,
        valid=torch.ones(action.shape, dtype=torch.bool),
        reward=torch.tensor(rewards),
        discount=torch.full((size,), 0.5),
        next_observation=observe([state + 1.0 for state in range(size)]),
        terminated=torch.tensor(terminated),
        truncated=torch.zeros(size, dtype=torch.bool),
    )


def foretold(cql, monkeypatch):
    """Critics that add the state and the first number of the action."""
    for critics in (cql.critics, cql.targets):
        monkeypatch.setattr(critics, "encode", lambda policy, observation: observation.state[None, :, -1].expand(2, -1, -1))
        monkeypatch.setattr(critics, "judge", lambda features, action: features[..., 0] + action[..., 0, 0])
    return cql


class TestContinuousActions:
    def test_the_loss_is_the_error_and_the_weighted_term_of_both_critics(self, monkeypatch):
        cql = foretold(make_continuous(conservative=2.0, samples=1), monkeypatch)
        part = Proposed(
            observation=observe([1.0]),
            action=torch.tensor([[[0.5, 0.0]]]),
            target=torch.tensor([1.0]),
            proposed=torch.tensor([-0.5, 0.0, 0.5])[None, :, None, None].repeat(1, 1, 1, 2),
            log_density=torch.tensor([[0.5, 0.5, 0.25]]).log(),
        )
        # Values 0.5, 1 and 1.5 of the proposed ones, 1.5 of the recorded one, whose error is 0.5.
        term = math.log((math.exp(0.5) / 0.5 + math.exp(1.0) / 0.5 + math.exp(1.5) / 0.25) / 3) - 1.5
        loss, _, metrics = cql._critic_loss(part)
        assert float(metrics["td_loss"]) == pytest.approx(2 * 0.5 * 0.25)
        assert float(metrics["conservative"]) == pytest.approx(2 * term, rel=1e-5)
        assert float(loss) == pytest.approx(0.25 + 2.0 * 2 * term, rel=1e-5)
        assert float(metrics["value_gap"]) == pytest.approx(1.5 - 1.0)

    def test_targets_have_no_entropy(self, monkeypatch):
        cql = foretold(make_continuous(), monkeypatch)
        monkeypatch.setattr(cql.policy.head, "sample", lambda fused: (torch.full((2, 1, 2), 0.25), torch.full((2,), 100.0)))
        found = cql._targets(transitions([[0.0, 0.0], [0.0, 0.0]], [3.0, 3.0], [False, True]))
        assert found.tolist() == [3 + 0.5 * (1 + 0.25), 3.0]

    def test_proposed_are_actions_of_the_policy_here_and_there_and_any(self):
        cql = make_continuous(samples=4)
        batch = transitions([[2.0, 1.0], [0.0, 3.0]], [0.0, 0.0], [True, True])
        aimed = cql._aim(batch)
        assert aimed.action.tolist() == [[[1.0, 0.0]], [[0.0, 1.0]]], "in units of the bounds"
        assert aimed.proposed.shape == (2, 12, 1, 2)
        assert aimed.proposed.abs().max() <= 1
        for first, observation in ((0, batch.observation), (4, batch.next_observation)):
            distribution = cql.policy.head.distribution(cql.policy.encode(observation).fused[:, None])
            density = distribution.log_prob(aimed.proposed[:, first : first + 4])
            assert torch.allclose(density, aimed.log_density[:, first : first + 4], atol=1e-3)
        assert torch.allclose(aimed.log_density[:, 8:], torch.tensor(2 * math.log(0.5)))

    def test_what_the_data_show_is_worth_more_than_what_they_do_not(self):
        gaps = {}
        for weight in (0.0, 5.0):
            cql = make_continuous(conservative=weight)
            batch = transitions([[2.0, 3.0], [2.0, 3.0]], [0.0, 0.0], [True, True])
            for _ in range(50):
                metrics = cql.update(batch)
            gaps[weight] = float(metrics["value_gap"])
        assert abs(gaps[0.0]) < 0.5 < gaps[5.0]
        assert {"policy_loss", "entropy", "temperature", "td_loss", "conservative", "value", "target"} <= set(metrics)

    def test_saved_and_loaded_the_next_update_is_the_same_to_the_bit(self):
        first, second = make_continuous(), make_continuous()
        one, other = (transitions([[x, 1.0], [0.0, 2.0]], [x, 1.0], [False, True]) for x in (1.0, -1.0))
        first.update(one)
        weights, moments = copy.deepcopy(first.state_dict()), copy.deepcopy(first.optimizer_state())
        second.update(other)
        second.load_state_dict(weights)
        second.load_optimizer_state(moments)
        for cql in (first, second):
            torch.manual_seed(3)
            cql.update(other)
        assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))

    def test_other_heads_are_refused(self):
        with pytest.raises(UsageError, match=r"paradigm=cql .* head=squashed_gaussian"):
            make_cql(make_policy(CONTINUOUS, GaussianHead))


def test_what_is_made_depends_on_the_actions():
    assert isinstance(make_cql(), DiscreteCQL)
