"""PPO: its losses by hand, and what each of its settings does and leaves alone."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from vla_train import config as configuration
from vla_train.errors import UsageError
from vla_train.models.feature_mlp import FeatureMLPEncoder
from vla_train.models.heads.categorical import CategoricalHead
from vla_train.models.heads.gaussian import GaussianHead
from vla_train.models.heads.regression import RegressionHead
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.optim import Optimizer, Progress
from vla_train.paradigms.ppo import PPO, Samples
from vla_train.spec import ActionSpec, Spec
from vla_train.types import Observation, Rollout

DISCRETE = Spec(images={}, state_size=1, action=ActionSpec("discrete", 1, choices=2))
CONTINUOUS = Spec(images={}, state_size=1, action=ActionSpec("continuous", 2, (-2.0, -1.0), (2.0, 3.0)))


def make_encoder() -> FeatureMLPEncoder:
    return FeatureMLPEncoder(DISCRETE, {}, 300, 4, width=8, layers=1, words=0)


def make_policy(spec: Spec = DISCRETE, head=CategoricalHead, **keys) -> Policy:
    torch.manual_seed(0)
    encoder = make_encoder()
    return Policy(encoder, head(8, spec.action, 1, hidden=8, **keys), Normalizer(1, spec.action), spec)


def make_ppo(policy: Policy | None = None, lr: float = 1e-2, **changes) -> PPO:
    node = configuration.load_choice("paradigm", "ppo")
    keys = {key: value for key, value in node.items() if key not in ("_target_", "heads", "steps", "chunk")} | changes

    def make_optimizer(parameters):
        return Optimizer(parameters, lr=lr, progress=Progress())

    return PPO(policy or make_policy(), make_optimizer=make_optimizer, make_encoder=make_encoder, **keys)


def observe(states) -> Observation:
    state = torch.as_tensor(states, dtype=torch.float32)[..., None, None]
    lead = state.shape[:-2]
    return Observation(
        images={},
        state=state,
        present=torch.ones(*lead, 1, dtype=torch.bool),
        tokens=torch.ones(*lead, 4, dtype=torch.long),
        token_mask=torch.tensor([True, False, False, False]).expand(*lead, 4),
        task=torch.zeros(lead, dtype=torch.long),
        domain=torch.zeros(lead, dtype=torch.long),
    )


def make_rollout(steps: int = 6, rows: int = 4) -> Rollout:
    generator = torch.Generator().manual_seed(1)
    none, index = torch.zeros(steps, rows, dtype=torch.bool), torch.full((steps, rows), -1)
    index[-1] = torch.arange(rows)
    action = torch.randint(0, 2, (steps, rows, 1, 1), generator=generator)
    return Rollout(
        observation=observe(torch.randn(steps, rows, generator=generator)),
        action=action,
        reward=action[..., 0, 0].float(),
        terminated=none,
        truncated=none,
        final=observe(torch.randn(rows, generator=generator)),
        final_index=index,
    )


def make_samples(ppo: PPO, ratio: list[float], advantage: list[float], **others) -> Samples:
    """Of a policy that found the first action less likely by these ratios."""
    size = len(ratio)
    observation, action = observe(torch.zeros(size)), torch.zeros(size, 1, 1, dtype=torch.long)
    with torch.no_grad():
        now = ppo.policy.distribution(ppo.policy.encode(observation)).log_prob(action)
    zeros = torch.zeros(size)
    made = {"value": zeros, "target": zeros} | {name: torch.tensor(values) for name, values in others.items()}
    old = now - torch.tensor(ratio).log()
    return Samples(observation=observation, action=action, log_probability=old, advantage=torch.tensor(advantage), **made)


class Known(nn.Module):
    """A value network that takes the state for the value."""

    def forward(self, policy, observation, features):
        return observation.state[..., -1, 0]


def test_the_objective_is_clipped_where_that_makes_it_worse():
    ppo = make_ppo(value_weight=0.0, entropy_weight=0.0)
    loss, weight, metrics = ppo._loss(make_samples(ppo, [1.5, 1.5, 0.5, 0.5, 1.1], [2.0, -2.0, 2.0, -2.0, 1.0]))
    # min(1.5 * 2, 1.2 * 2), min(-3, -2.4), min(1, 1.6), min(-1, -1.6), min(1.1, 1.1)
    assert loss.tolist() == pytest.approx([-2.4, 3.0, -1.0, 1.6, -1.1])
    assert weight is None
    assert metrics["clip_fraction"].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    divergence = [ratio - 1 - math.log(ratio) for ratio in (1.5, 1.5, 0.5, 0.5, 1.1)]
    assert metrics["kl"].tolist() == pytest.approx(divergence, abs=1e-6)


def test_values_and_entropy_have_their_weights_in_the_loss():
    ppo = make_ppo(value_weight=0.25, entropy_weight=3.0)
    ppo.value = Known()
    with torch.no_grad():
        ppo.policy.head.layers[-1].weight.zero_()
        ppo.policy.head.layers[-1].bias.zero_()
    loss, _, metrics = ppo._loss(make_samples(ppo, [1.0], [0.0], target=[2.0]))
    assert metrics["entropy"].item() == pytest.approx(math.log(2))
    assert loss.item() == pytest.approx(0.25 * 2.0**2 - 3.0 * math.log(2))


def test_a_value_is_held_near_what_it_was():
    ppo = make_ppo(value_clip=0.5)
    part = make_samples(ppo, [1.0, 1.0], [0.0, 0.0], value=[1.0, 1.0], target=[4.0, 0.0])
    # 3 was 1: held at 1.5, whose error to 4 is 2.5 and to 0 is 1.5; its own are 1 and 3. The larger one counts.
    assert ppo._value_loss(torch.tensor([3.0, 3.0]), part).tolist() == [6.25, 9.0]
    assert make_ppo()._value_loss(torch.tensor([3.0, 3.0]), part).tolist() == [1.0, 9.0]


def test_advantages_come_from_the_values_of_true_next_observations():
    """One row, three steps, truncated after the second: with Known values these are the numbers of test_paradigms_advantages."""
    ppo = make_ppo(gamma=0.5, gae_lambda=0.5)
    ppo.value = Known()
    rollout = Rollout(
        observation=observe([[4.0], [5.0], [6.0]]),
        action=torch.zeros(3, 1, 1, 1, dtype=torch.long),
        reward=torch.tensor([[1.0], [2.0], [3.0]]),
        terminated=torch.zeros(3, 1, dtype=torch.bool),
        truncated=torch.tensor([[False], [True], [False]]),
        final=observe([10.0, 8.0]),
        final_index=torch.tensor([[-1], [1], [0]]),
    )
    samples = ppo._samples(rollout)
    assert samples.advantage.tolist() == [-0.25, 1.0, 2.0]
    assert samples.target.tolist() == [3.75, 6.0, 8.0]
    ends = {"terminated": rollout.truncated, "truncated": rollout.terminated}
    ended = replace(rollout, final_index=torch.tensor([[-1], [-1], [0]]), **ends)
    assert ppo._samples(ended).advantage.tolist() == [-1.25, -3.0, 2.0]


def test_before_the_first_step_nothing_has_changed():
    ppo = make_ppo(epochs=1, minibatches=1)
    metrics = ppo.update(make_rollout())
    assert float(metrics["kl"]) == pytest.approx(0.0, abs=1e-7)
    assert float(metrics["clip_fraction"]) == 0.0


def test_probabilities_of_continuous_actions_are_taken_in_the_units_of_the_head():
    policy = make_policy(CONTINUOUS, GaussianHead, std="constant", min_std=0.01)
    ppo, rollout = make_ppo(policy), make_rollout(1, 1)
    mean = policy.act(rollout.observation)  # within the bounds, whose halves are 2 and 2
    samples = ppo._samples(replace(rollout, action=mean + torch.tensor([2.0, 0.0])))
    # Standard normal at 1 and at 0: -(1 + 0) / 2 - 2 log(sqrt(2 pi))
    assert samples.log_probability.item() == pytest.approx(-0.5 - math.log(2 * math.pi), abs=1e-4)


def test_explained_variance_is_1_where_values_are_right():
    ppo, rollout = make_ppo(gamma=0.0), make_rollout()
    ppo.value = Known()
    right = replace(rollout, reward=rollout.observation.state[..., 0, 0])
    assert float(ppo.update(right)["explained_variance"]) == pytest.approx(1.0)
    assert float(make_ppo().update(rollout)["explained_variance"]) < 0.9


@pytest.mark.parametrize(("target_kl", "epochs"), [(None, 4.0), (1e9, 4.0), (1e-6, 1.0)])
def test_passes_end_where_the_policy_has_moved_too_far(target_kl, epochs):
    assert make_ppo(target_kl=target_kl).update(make_rollout())["epochs"] == epochs


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[0] for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("value_network", ["separate", "shared"])
def test_while_values_warm_up_the_policy_stays(value_network):
    ppo = make_ppo(value_warmup=1, value_network=value_network)
    before = copy.deepcopy({"policy": ppo.policy.state_dict(), "value": ppo.value.state_dict()})
    ppo.update(make_rollout())
    assert changed(ppo.policy, before["policy"]) == set()
    assert changed(ppo.value, before["value"]) == ({"encoder", "layer"} if value_network == "separate" else {"layer"})
    ppo.update(make_rollout())
    assert changed(ppo.policy, before["policy"]) == {"encoder", "head"}


def test_a_frozen_encoder_stays():
    ppo = make_ppo(freeze_encoder=True)
    before = copy.deepcopy(ppo.policy.state_dict())
    ppo.update(make_rollout())
    assert changed(ppo.policy, before) == {"head"}


def test_the_reference_stays_and_holds_the_policy_back():
    moved = {}
    for weight in (1e-9, 100.0):
        ppo = make_ppo(reference=weight, epochs=20)
        before = copy.deepcopy(ppo.reference.state_dict())
        first = ppo._loss(make_samples(ppo, [1.0], [1.0]))[2]["reference_kl"]
        assert first.item() == pytest.approx(0.0, abs=1e-7)
        moved[weight] = float(ppo.update(make_rollout())["reference_kl"])
        assert changed(ppo.reference, before) == set()
    assert moved[100.0] < 0.2 * moved[1e-9]


def test_divergence_from_the_reference_by_hand():
    """From log-odds 0 to log-odds log 3: 3/4 log(3/2) + 1/4 log(1/2)."""
    ppo = make_ppo(reference=2.0, value_weight=0.0, entropy_weight=0.0)
    last = [policy.head.layers[-1] for policy in (ppo.policy, ppo.reference)]
    with torch.no_grad():
        for layer in last:
            layer.weight.zero_()
            layer.bias.zero_()
        last[0].bias.copy_(torch.tensor([math.log(3.0), 0.0]))
    loss, _, metrics = ppo._loss(make_samples(ppo, [1.0], [0.0]))
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert metrics["reference_kl"].item() == pytest.approx(expected, abs=1e-6)
    assert loss.item() == pytest.approx(2.0 * expected, abs=1e-6)


def test_a_policy_without_probabilities_is_refused():
    with pytest.raises(UsageError, match=r"RegressionHead does not give: train with head=gaussian_constant"):
        make_ppo(make_policy(CONTINUOUS, RegressionHead))
