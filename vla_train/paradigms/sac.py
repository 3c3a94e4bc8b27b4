"""Soft actor-critic (Haarnoja et al. 2018, "Soft actor-critic: off-policy maximum entropy deep reinforcement learning", and
"Soft actor-critic algorithms and applications", of which the equations are). See docs/paradigms/sac.md."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vla_train.errors import UsageError
from vla_train.models.heads.squashed_gaussian import SquashedGaussianHead
from vla_train.models.policy import Policy
from vla_train.optim import TracedCall, traceable
from vla_train.paradigms.base import MakeOptimizer, Paradigm, average, follow
from vla_train.paradigms.critics import Critics
from vla_train.paradigms.off_policy import Aimed, split
from vla_train.spec import Metrics
from vla_train.types import Observation, Transition


class SAC(Paradigm[Transition]):
    """Each update takes ``minibatches`` times a step of the critics, the policy and the temperature. The keys are explained in
    ``configs/paradigm/sac.yaml``.

    Raises UsageError for a policy whose actions are not squashed into their bounds.
    """

    batch_type = Transition
    soft_targets: ClassVar[bool] = True  # whether later entropy counts as reward
    updates: Tensor

    def __init__(
        self,
        policy: Policy,
        *,
        make_optimizer: MakeOptimizer,
        make_encoder: Callable[[], Any],
        minibatches: int,
        tau: float,
        critic_hidden: int,
        shared_critics: bool,
        temperature: float,
        learn_temperature: bool,
        target_entropy: float | None,
        random_start: bool,
    ) -> None:
        super().__init__(policy)
        if not isinstance(policy.head, SquashedGaussianHead):
            raise UsageError(
                f"paradigm=sac needs actions squashed into their bounds, which {type(policy.head).__name__} does not do: train "
                "with head=squashed_gaussian (a checkpoint under init= brings its own head)"
            )
        size = policy.spec.action.size * policy.spec.chunk
        self._minibatches, self._tau, self._random_start = minibatches, tau, random_start
        self._target_entropy = float(-size) if target_entropy is None else target_entropy
        self.critics = Critics(make_encoder, size, hidden=critic_hidden, shared=shared_critics).to(policy.low.device)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(temperature, device=policy.low.device).log())
        self._traced_targets = TracedCall(self._targets, self)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.optimizers = {"policy": make_optimizer(policy.parameters()), "critics": make_optimizer(self.critics.parameters())}
        if learn_temperature:
            self.optimizers["temperature"] = make_optimizer([self.log_temperature])

    def explore(self, observation: Observation) -> Float[Tensor, "*b h a"]:
        """A sample of the policy; before the first update any actions."""
        chosen: Tensor = super().explore(observation)
        if self.updates or not self._random_start:
            return chosen
        anything = torch.rand(chosen.shape).to(chosen.device) * 2.0 - 1.0
        return self.policy.normalizer.action_inverse(anything, observation.domain) + self.policy.origin(observation)

    def update(self, batch: Transition) -> Metrics:
        metrics = average([self._step(part) for part in split(batch, self._minibatches)])
        self.updates += 1
        return metrics

    def _step(self, batch: Transition) -> Metrics:
        """Algorithm 1: critics, policy, temperature, target networks."""
        aimed = self._aim(batch)
        critics = self.optimizers["critics"].step(self._critic_loss, aimed)
        policy = self.optimizers["policy"].step(self._policy_loss, batch.observation)
        metrics = {**critics, "critic_gradient_norm": critics["gradient_norm"], **policy}
        if "temperature" in self.optimizers:
            tempered = self.optimizers["temperature"].step(self._temperature_loss, policy["entropy"].view(1))
            metrics["temperature_loss"] = tempered["temperature_loss"]
        follow(self.targets, self.critics, self._tau)
        return metrics | {"target": aimed.target.mean(), "temperature": self.temperature}

    def _aim(self, batch: Transition) -> Aimed:
        action = self.policy.in_head_units(batch.action, batch.observation)
        return Aimed(observation=batch.observation, action=action, target=self._traced_targets(batch))

    @property
    def temperature(self) -> Float[Tensor, ""]:
        return self.log_temperature.detach().exp()

    @torch.no_grad()
    def _targets(self, batch: Transition) -> Float[Tensor, "b"]:
        """Equation 3 with the smaller of two values: y = r + discount (min Q_target(s', a') - temperature log pi(a' | s')), where
        a' is drawn from the policy as it is, and r where the episode terminated."""
        with self.optimizers["critics"].autocast():
            action, log_probability = self.policy.head.sample(self.policy.encode(batch.next_observation).fused)
            value = self.targets(self.policy, batch.next_observation, action).float().amin(0)
        if self.soft_targets:
            value = value - self.temperature * log_probability
        return batch.reward + batch.discount * torch.where(batch.terminated, 0.0, value)

    @traceable
    def _critic_loss(self, part: Aimed) -> tuple[Tensor, None, Metrics]:
        """Equation 5: half of the squared error, of both critics."""
        values = self.critics(self.policy, part.observation, part.action).float()
        loss = 0.5 * (values - part.target).square().sum(0)
        return loss, None, {"critic_loss": loss, "value": values.mean(0)}

    @traceable
    def _policy_loss(self, observation: Observation) -> tuple[Tensor, None, Metrics]:
        """Equation 9: temperature log pi(a | s) - min Q(s, a), through the sample a."""
        action, log_probability = self.policy.head.sample(self.policy.encode(observation).fused)
        with torch.no_grad():
            features = self.critics.encode(self.policy, observation)
        value = self.critics.judge(features, action).float().amin(0)
        loss = self.temperature * log_probability - value
        return loss, None, {"policy_loss": loss, "entropy": -log_probability}

    @traceable
    def _temperature_loss(self, entropy: Float[Tensor, "1"]) -> tuple[Tensor, None, Metrics]:
        """Equation 18, by the logarithm of the temperature: it rises while the entropy, a mean over the batch, is too small."""
        loss = self.log_temperature * (entropy - self._target_entropy)
        return loss, None, {"temperature_loss": loss}
