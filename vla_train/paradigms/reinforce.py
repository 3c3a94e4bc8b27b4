"""REINFORCE (Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning"), and
with a value network as baseline the advantage actor-critic. See docs/paradigms/reinforce.md."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from vla_train.models.policy import Policy
from vla_train.paradigms.base import MakeOptimizer, Paradigm
from vla_train.paradigms.on_policy import ValueNetwork, need_probabilities, values_after
from vla_train.paradigms.returns import discounted_returns, whole
from vla_train.rollouts import evaluating
from vla_train.spec import Metrics
from vla_train.types import Observation, Rollout, Struct

EVALUATED = 4096  # observations at once, where values are computed before learning


@dataclass(frozen=True, kw_only=True)
class Samples(Struct):
    """The steps of a rollout in a row."""

    observation: Observation
    action: Num[Tensor, "b h a"]  # in the head's units
    value_of: Float[Tensor, "b"]  # the return, which the value network learns
    advantage: Float[Tensor, "b"]  # the return minus the baseline
    weight: Float[Tensor, "b"]  # 0 where the return is not known


class Reinforce(Paradigm[Rollout]):
    """One gradient step for each batch. The keys are explained in ``configs/paradigm/reinforce.yaml``. Raises UsageError for a
    policy that has no probabilities.
    """

    batch_type = Rollout

    def __init__(
        self,
        policy: Policy,
        *,
        make_optimizer: MakeOptimizer,
        make_encoder: Callable[[], nn.Module],
        gamma: float,
        baseline: Literal["none", "mean", "value"],
        normalize_advantages: bool,
        entropy_weight: float,
        value_weight: float,
        value_network: Literal["separate", "shared"],
    ) -> None:
        super().__init__(policy)
        need_probabilities(policy, "reinforce")
        self._gamma, self._baseline, self._normalize = gamma, baseline, normalize_advantages
        self._entropy_weight, self._value_weight = entropy_weight, value_weight
        self.value: ValueNetwork | None = None
        if baseline == "value":
            encoder = make_encoder() if value_network == "separate" else None
            self.value = ValueNetwork(encoder, policy.encoder.feature_size).to(policy.low.device)
        parameters = [*policy.parameters(), *(self.value.parameters() if self.value is not None else [])]
        self.optimizers = {"policy": make_optimizer(parameters)}

    @property
    def needs_whole_episodes(self) -> bool:
        """Whether a batch must be long enough for every episode to end in it: nothing else stands for what comes after it."""
        return self._baseline != "value"

    def update(self, batch: Rollout) -> Metrics:
        samples = self._samples(batch)
        metrics = self.optimizers["policy"].step(self._loss, samples)
        return metrics | {"known": samples.weight.mean()}

    def _samples(self, batch: Rollout) -> Samples:
        """Returns, and by how much they are above the baseline."""
        observation = batch.observation.map(lambda tensor: tensor.flatten(0, 1))
        value, final = self._values(observation).view_as(batch.reward), self._values(batch.final)
        after = values_after(batch, value, final)
        returned = discounted_returns(batch.reward, after, batch.terminated, batch.truncated, gamma=self._gamma)
        ended = batch.terminated | batch.truncated
        known = whole(ended) if self.needs_whole_episodes else torch.ones_like(ended)
        counted = known if known.any() else torch.ones_like(known)  # without any the step is a step by 0
        baseline = returned[counted].mean() if self._baseline == "mean" else value
        advantage = returned - baseline
        if self._normalize:
            spread, mean = torch.std_mean(advantage[counted], correction=0)
            advantage = (advantage - mean) / (spread + 1e-8)
        return Samples(
            observation=observation,
            action=self.policy.in_head_units(batch.action.flatten(0, 1), observation),
            value_of=returned.flatten(),
            advantage=advantage.flatten(),
            weight=known.float().flatten(),
        )

    def _values(self, observation: Observation) -> Float[Tensor, "b"]:
        """What the value network thinks before this update; without one 0."""
        count = len(observation)
        if self.value is None or not count:
            return self.policy.low.new_zeros(count)
        found = []
        with evaluating(self.policy), evaluating(self.value), self.optimizers["policy"].autocast():
            for start in range(0, count, EVALUATED):
                part = observation[start : start + EVALUATED]
                found.append(self.value(self.policy, part, self.policy.encode(part)))
        return torch.cat(found).clone()

    def _loss(self, part: Samples) -> tuple[Tensor, Tensor, Metrics]:
        """Minus Williams' equation 11 with r - b for every step; and the baseline's own error."""
        features = self.policy.encode(part.observation)
        distribution = self.policy.distribution(features)
        policy_loss, entropy = -part.advantage * distribution.log_prob(part.action), distribution.entropy()
        loss = policy_loss - self._entropy_weight * entropy
        metrics = {"policy_loss": policy_loss, "entropy": entropy, "return_to_go": part.value_of}
        if self.value is not None:
            value = self.value(self.policy, part.observation, features)
            metrics |= {"value_loss": (value - part.value_of).square(), "value": value}
            loss = loss + self._value_weight * metrics["value_loss"]
        return loss, part.weight, {"loss": loss} | metrics
