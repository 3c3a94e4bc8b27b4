"""Proximal policy optimization (Schulman et al. 2017, "Proximal policy optimization algorithms"). See docs/paradigms/ppo.md."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from vla_train.models.policy import Policy
from vla_train.optim import traceable
from vla_train.paradigms.advantages import generalized_advantages
from vla_train.paradigms.base import MakeOptimizer, Paradigm, average
from vla_train.paradigms.on_policy import ValueNetwork, need_probabilities, values_after
from vla_train.paradigms.running import RunningRewards, RunningStates
from vla_train.rollouts import evaluating
from vla_train.spec import Metrics
from vla_train.types import Observation, Rollout, Struct

LARGEST = 20.0  # logarithm of a ratio of probabilities: beyond, its exponential would soon be infinite
EVALUATED = 4096  # observations at once, where values and probabilities are computed before learning


@dataclass(frozen=True, kw_only=True)
class Samples(Struct):
    """The steps of a rollout in a row, with what the policy that played thought of them."""

    observation: Observation
    action: Num[Tensor, "b h a"]  # in the head's units
    log_probability: Float[Tensor, "b"]
    value: Float[Tensor, "b"]
    advantage: Float[Tensor, "b"]
    target: Float[Tensor, "b"]  # of the value


class PPO(Paradigm[Rollout]):
    """Each update makes ``epochs`` passes over a rollout in ``minibatches`` steps each. The keys are explained in
    ``configs/paradigm/ppo.yaml``; ``num_envs`` are the rows of a rollout.

    Raises UsageError for a policy that has no probabilities.
    """

    batch_type = Rollout
    updates: Tensor

    def __init__(
        self,
        policy: Policy,
        *,
        make_optimizer: MakeOptimizer,
        make_encoder: Callable[[], nn.Module],
        gamma: float,
        gae_lambda: float,
        epochs: int,
        minibatches: int,
        clip: float,
        value_clip: float,
        value_weight: float,
        entropy_weight: float,
        normalize_advantages: bool,
        normalize_states: bool,
        normalize_rewards: bool,
        target_kl: float | None,
        value_network: Literal["separate", "shared"],
        value_warmup: int,
        reference: float,
        freeze_encoder: bool,
        num_envs: int = 1,
    ) -> None:
        super().__init__(policy)
        need_probabilities(policy, "ppo")
        self._gamma, self._gae_lambda = gamma, gae_lambda
        self._epochs, self._minibatches = epochs, minibatches
        self._clip, self._value_clip, self._target_kl = clip, value_clip, target_kl
        self._value_weight, self._entropy_weight, self._reference_weight = value_weight, entropy_weight, reference
        self._normalize, self._value_warmup = normalize_advantages, value_warmup
        self.states = RunningStates(policy.normalizer) if normalize_states else None
        self.rewards = RunningRewards(num_envs, policy.low.device) if normalize_rewards else None
        self.reference = copy.deepcopy(policy).requires_grad_(False).eval() if reference else None
        encoder = make_encoder() if value_network == "separate" else None
        policy.encoder.requires_grad_(not freeze_encoder)
        self.value = ValueNetwork(encoder, policy.encoder.feature_size).to(policy.low.device)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.optimizers = {"policy": make_optimizer([*policy.parameters(), *self.value.parameters()])}

    def update(self, batch: Rollout) -> Metrics:
        extra: Metrics = {}
        if self.rewards is not None:
            reward, extra["reward_unit"] = self.rewards(batch.reward, batch.terminated | batch.truncated, self._gamma)
            batch = replace(batch, reward=reward)
        samples = self._samples(batch)
        loss_of = self._warmup_loss if int(self.updates) < self._value_warmup else self._loss
        epochs: list[Metrics] = []
        while len(epochs) < self._epochs:
            epochs.append(self._pass(loss_of, samples))
            if self._target_kl is not None and float(epochs[-1].get("kl", 0.0)) > self._target_kl:
                break
        self.updates += 1
        if self.states is not None:  # only now: what was played is learned in the units in which it was played
            self.states.learn(self.policy.normalizer, batch.observation.state)
        metrics = extra | average(epochs) | {"learning_rate": epochs[-1]["learning_rate"], "epochs": float(len(epochs))}
        unexplained = (samples.target - samples.value).var(correction=0)
        explained = 1.0 - unexplained / samples.target.var(correction=0).clamp(min=1e-8)
        return metrics | {"explained_variance": explained, "value": samples.value.mean()}

    def _samples(self, batch: Rollout) -> Samples:
        """Values, probabilities and advantages under the policy as it is now, which is the one that played."""
        steps, rows = batch.reward.shape
        observation = batch.observation.map(lambda tensor: tensor.flatten(0, 1))
        action = self.policy.in_head_units(batch.action.flatten(0, 1), observation)
        with evaluating(self.policy), evaluating(self.value), self.optimizers["policy"].autocast():
            values, likelihoods = [], []
            for start in range(0, len(action), EVALUATED):
                part = observation[start : start + EVALUATED]
                distribution, value = self._judge(part)
                values.append(value)
                likelihoods.append(distribution.log_prob(action[start : start + EVALUATED]))
            final = [self._judge(batch.final)[1]] if len(batch.final) else []
        value = torch.cat(values).view(steps, rows)
        after = values_after(batch, value, torch.cat(final) if final else value.new_zeros(0))
        settings = {"gamma": self._gamma, "gae_lambda": self._gae_lambda}
        advantage = generalized_advantages(batch.reward, value, after, batch.terminated, batch.truncated, **settings)
        return Samples(
            observation=observation,
            action=action,
            log_probability=torch.cat(likelihoods).clone(),
            value=value.flatten().clone(),
            advantage=advantage.flatten().clone(),
            target=(advantage + value).flatten().clone(),
        )

    def _judge(self, observation: Observation) -> tuple[Distribution, Float[Tensor, "b"]]:
        """What the policy would do, and how much reward is still to come."""
        features = self.policy.encode(observation)
        return self.policy.distribution(features), self.value(self.policy, observation, features)

    def _pass(self, loss_of: Callable[[Samples], tuple[Tensor, None, Metrics]], samples: Samples) -> Metrics:
        """One step for each minibatch, in a new order."""
        steps = []
        if self._minibatches > 1:
            samples = samples[torch.randperm(len(samples)).to(samples.value.device)]
        for part in samples.split(self._minibatches):
            if self._normalize:
                spread, mean = torch.std_mean(part.advantage, correction=0)
                part = replace(part, advantage=(part.advantage - mean) / (spread + 1e-8))
            steps.append(self.optimizers["policy"].step(loss_of, part))
        return average(steps)

    @traceable
    def _loss(self, part: Samples) -> tuple[Tensor, None, Metrics]:
        """Equation 9, and the divergence from the reference."""
        distribution, value = self._judge(part.observation)
        change = distribution.log_prob(part.action) - part.log_probability
        ratio = change.clamp(max=LARGEST).exp()
        within = ratio.clamp(1.0 - self._clip, 1.0 + self._clip)
        policy_loss = -torch.minimum(ratio * part.advantage, within * part.advantage)
        value_loss = self._value_loss(value, part)
        loss = policy_loss + self._value_weight * value_loss
        with torch.set_grad_enabled(self._entropy_weight > 0.0):
            entropy = distribution.entropy()
        if self._entropy_weight:
            loss = loss - self._entropy_weight * entropy
        terms = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
        if self.reference is not None:
            with torch.no_grad():
                theirs = self.reference.distribution(self.reference.encode(part.observation))
            terms["reference_kl"] = kl_divergence(distribution, theirs)
            loss = loss + self._reference_weight * terms["reference_kl"]
        with torch.no_grad():
            terms["kl"] = ratio - 1.0 - change
            terms["clip_fraction"] = ((ratio - 1.0).abs() > self._clip).float()
        return loss, None, {"loss": loss} | terms

    @traceable
    def _warmup_loss(self, part: Samples) -> tuple[Tensor, None, Metrics]:
        """That of the values alone, which must not move the policy: what it has learned is kept from values that know nothing."""
        features = self.policy.encode(part.observation).map(torch.Tensor.detach)
        value_loss = self._value_loss(self.value(self.policy, part.observation, features), part)
        loss = self._value_weight * value_loss
        return loss, None, {"loss": loss, "value_loss": value_loss}

    def _value_loss(self, value: Float[Tensor, "b"], part: Samples) -> Float[Tensor, "b"]:
        error = (value - part.target).square()
        if not self._value_clip:
            return error
        near = part.value + (value - part.value).clamp(-self._value_clip, self._value_clip)
        return torch.maximum(error, (near - part.target).square())
