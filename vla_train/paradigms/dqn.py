"""Deep Q-learning (Mnih et al. 2015, "Human-level control through deep reinforcement learning"). See docs/paradigms/dqn.md."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from vla_train.errors import UsageError
from vla_train.models.heads.action_values import ActionValuesHead
from vla_train.models.policy import Policy
from vla_train.optim import Progress, traceable
from vla_train.paradigms.base import MakeOptimizer, Paradigm, average, follow
from vla_train.paradigms.off_policy import Aimed, split
from vla_train.spec import Metrics
from vla_train.types import Observation, Transition


class DQN(Paradigm[Transition]):
    """Each update takes ``minibatches`` gradient steps. The keys are explained in ``configs/paradigm/dqn.yaml``.

    Raises UsageError for a policy whose head gives no values.
    """

    batch_type = Transition
    updates: Tensor

    def __init__(
        self,
        policy: Policy,
        *,
        make_optimizer: MakeOptimizer,
        progress: Progress,
        minibatches: int,
        double: bool,
        huber: float,
        target_every: int,
        tau: float,
        epsilon: float,
        epsilon_final: float,
        exploration: float,
    ) -> None:
        super().__init__(policy)
        if not isinstance(policy.head, ActionValuesHead):
            raise UsageError(
                f"paradigm=dqn learns what actions are worth, and {type(policy.head).__name__} does not say that: train with "
                "head=action_values (a checkpoint under init= brings its own head)"
            )
        self._progress, self._minibatches, self._double, self._huber = progress, minibatches, double, huber
        self._target_every, self._tau = target_every, tau
        self._epsilons, self._exploration = (epsilon, epsilon_final), exploration
        self.target = copy.deepcopy(policy).requires_grad_(False).eval()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.optimizers = {"policy": make_optimizer(policy.parameters())}

    @property
    def epsilon(self) -> float:
        """The share of actions that are tried at random: a line over the first part of the run, then constant."""
        first, last = self._epsilons
        return first + (last - first) * min(self._progress.value / self._exploration, 1.0)

    def explore(self, observation: Observation) -> Int[Tensor, "*b h a"]:
        """The most valuable actions, or with probability epsilon any (before the first update always)."""
        epsilon = self.epsilon if self.updates else 1.0
        rows = observation.state.shape[:-2]
        tried = torch.rand(rows) < epsilon
        if not tried.any():
            return self._acting(observation)
        anything = torch.randint(self.policy.spec.action.choices, (*rows, 1, 1))
        if tried.all():
            return anything.to(observation.state.device)
        best = self._acting(observation)
        return torch.where(tried[..., None, None].to(best.device), anything.to(best.device), best)

    def update(self, batch: Transition) -> Metrics:
        target = self._targets(batch)
        aimed = Aimed(observation=batch.observation, action=batch.action[:, 0, 0], target=target)
        metrics = average([self.optimizers["policy"].step(self._loss, part) for part in split(aimed, self._minibatches)])
        self.updates += 1
        if int(self.updates) % self._target_every == 0:
            follow(self.target, self.policy, self._tau)
        return metrics | {"target": target.mean(), "epsilon": self.epsilon}

    @torch.no_grad()
    def _targets(self, batch: Transition) -> Float[Tensor, "b"]:
        """y = r + discount max_a Q_target(s', a), and r where the episode terminated. Double: the action is the one that the
        policy prefers (van Hasselt et al. 2016, "Deep reinforcement learning with double Q-learning", equation 4)."""
        with self.optimizers["policy"].autocast():
            after = action_values(self.target, batch.next_observation)
            judge = action_values(self.policy, batch.next_observation) if self._double else after
        best = after.gather(-1, judge.argmax(-1, keepdim=True)).squeeze(-1)
        return batch.reward + batch.discount * torch.where(batch.terminated, 0.0, best)

    @traceable
    def _loss(self, part: Aimed) -> tuple[Tensor, None, Metrics]:
        """The error is squared near 0 and linear beyond ``huber`` (Huber 1964; Mnih et al. clip its gradient)."""
        return self._error(action_values(self.policy, part.observation), part)

    def _error(self, values: Float[Tensor, "b choices"], part: Aimed) -> tuple[Tensor, None, Metrics]:
        value = values.gather(-1, part.action[:, None]).squeeze(-1)
        loss = functional.huber_loss(value, part.target, reduction="none", delta=self._huber)
        return loss, None, {"loss": loss, "value": value, "td_error": (value - part.target).abs()}


def action_values(policy: Policy, observation: Observation) -> Float[Tensor, "b choices"]:
    """What each action is worth."""
    return policy.head(policy.encode(observation).fused)[:, 0, 0]  # type: ignore[no-any-return]
