"""Conservative Q-learning (Kumar et al. 2020, "Conservative Q-learning for offline reinforcement learning"). See
docs/paradigms/cql.md."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vla_train.errors import UsageError
from vla_train.models.heads.action_values import ActionValuesHead
from vla_train.models.heads.squashed_gaussian import SquashedGaussianHead
from vla_train.models.policy import Policy
from vla_train.optim import Progress
from vla_train.paradigms.base import MakeOptimizer, Paradigm
from vla_train.paradigms.conservative import over_choices, over_samples, uniform_actions
from vla_train.paradigms.dqn import DQN, action_values
from vla_train.paradigms.off_policy import Aimed
from vla_train.paradigms.sac import SAC
from vla_train.spec import Metrics
from vla_train.types import Observation, Transition


class CQL(Paradigm[Transition]):
    """Over numbered actions this makes a ``DiscreteCQL``, over continuous ones a ``ContinuousCQL``. The keys, of which each takes
    its own, are explained in ``configs/paradigm/cql.yaml``. Raises UsageError for a head that does not serve."""

    batch_type = Transition

    def __new__(cls, policy: Policy, *, make_optimizer: MakeOptimizer, make_encoder: Callable[[], Any], **keys: Any) -> "CQL":
        return super().__new__(DiscreteCQL if policy.discrete else ContinuousCQL)


class DiscreteCQL(CQL, DQN):
    """Double DQN with a loss that keeps the values of other actions than the recorded ones low."""

    def __init__(
        self,
        policy: Policy,
        *,
        make_optimizer: MakeOptimizer,
        make_encoder: Callable[[], Any],
        conservative: float,
        tau: float,
        huber: float,
        **continuous: Any,
    ) -> None:
        _need(policy, ActionValuesHead, "action_values")
        never = {"epsilon": 0.0, "epsilon_final": 0.0, "exploration": 1.0}  # nothing is tried
        DQN.__init__(
            self,
            policy,
            make_optimizer=make_optimizer,
            progress=Progress(),
            minibatches=1,
            double=True,
            huber=huber,
            target_every=1,
            tau=tau,
            **never,
        )
        self._weight = conservative

    def update(self, batch: Transition) -> Metrics:
        metrics = DQN.update(self, batch)
        return {name: value for name, value in metrics.items() if name != "epsilon"}

    def _loss(self, part: Aimed) -> tuple[Tensor, None, Metrics]:
        """Equation 4 with CQL(H): the weighted term and the error of DQN."""
        values = action_values(self.policy, part.observation)
        error, weight, metrics = self._error(values, part)
        term = over_choices(values, part.action)
        gap = metrics["value"] - values.mean(-1)
        loss = error + self._weight * term
        return loss, weight, metrics | {"loss": loss, "td_loss": error, "conservative": term, "value_gap": gap}


@dataclass(frozen=True, kw_only=True)
class Proposed(Aimed):
    """With n actions for each state whose values are to be kept low, and the logarithm of the density that each came by."""

    proposed: Float[Tensor, "b n h a"]
    log_density: Float[Tensor, "b n"]


class ContinuousCQL(CQL, SAC):
    """SAC with a critics' loss that keeps the values of other actions than the recorded ones low."""

    soft_targets = False  # as in the authors' code

    def __init__(
        self,
        policy: Policy,
        *,
        make_optimizer: MakeOptimizer,
        make_encoder: Callable[[], Any],
        conservative: float,
        samples: int,
        huber: float,
        **keys: Any,
    ) -> None:
        _need(policy, SquashedGaussianHead, "squashed_gaussian")
        SAC.__init__(
            self,
            policy,
            make_optimizer=make_optimizer,
            make_encoder=make_encoder,
            minibatches=1,
            random_start=False,  # nothing is tried
            **keys,
        )
        self._weight, self._samples = conservative, samples

    def _aim(self, batch: Transition) -> Proposed:
        aimed = SAC._aim(self, batch)
        with torch.no_grad(), self.optimizers["critics"].autocast():
            parts = [self._of_policy(batch.observation), self._of_policy(batch.next_observation)]
        parts.append(uniform_actions(len(batch), self._samples, aimed.action.shape[-2:], aimed.action))
        proposed, log_density = (torch.cat(kind, dim=1) for kind in zip(*parts, strict=True))
        return Proposed(**vars(aimed), proposed=proposed, log_density=log_density)

    def _of_policy(self, observation: Observation) -> tuple[Float[Tensor, "b n h a"], Float[Tensor, "b n"]]:
        distribution = self.policy.head.distribution(self.policy.encode(observation).fused)
        action, log_density = distribution.rsample_with_log_prob((self._samples,))
        return action.transpose(0, 1), log_density.transpose(0, 1)

    def _critic_loss(self, part: Aimed) -> tuple[Tensor, None, Metrics]:
        """Equation 4 with CQL(H), of both critics: the weighted term and SAC's error."""
        assert isinstance(part, Proposed), "_aim makes it"
        features = self.critics.encode(self.policy, part.observation)
        recorded = self.critics.judge(features, part.action).float()
        spread = features[:, :, None].expand(-1, -1, self._samples * 3, -1)
        sampled = self.critics.judge(spread, part.proposed).float()
        error = 0.5 * (recorded - part.target).square().sum(0)
        term = over_samples(sampled, part.log_density, recorded).sum(0)
        loss = error + self._weight * term
        value = recorded.mean(0)
        metrics = {"td_loss": error, "conservative": term, "value": value, "value_gap": value - sampled.mean((0, 2))}
        return loss, None, {"critic_loss": loss} | metrics


def _need(policy: Policy, head: type, name: str) -> None:
    if not isinstance(policy.head, head):
        raise UsageError(
            f"paradigm=cql learns what actions are worth, which does not go with {type(policy.head).__name__} for these actions: "
            f"train with head={name} (a checkpoint under init= brings its own head)"
        )
