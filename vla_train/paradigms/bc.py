"""Behavioural cloning: make the recorded actions likely (Pomerleau 1989, "ALVINN"; chunks: Zhao et al. 2023, "ACT")."""

from torch import Tensor

from vla_train.models.policy import Policy
from vla_train.paradigms.base import MakeOptimizer, Paradigm
from vla_train.spec import Metrics
from vla_train.types import Demonstration


class BehaviouralCloning(Paradigm[Demonstration]):
    """Supervised learning on demonstrations. The head decides the loss: L1 or L2, negative log-likelihood, cross-entropy.

    Each sample counts by the mean over its valid entries of the chunk; a sample without any valid entry counts nothing.
    """

    batch_type = Demonstration

    def __init__(self, policy: Policy, *, make_optimizer: MakeOptimizer):
        super().__init__(policy)
        self.optimizers = {"policy": make_optimizer(policy.parameters())}

    def update(self, batch: Demonstration) -> Metrics:
        return self.optimizers["policy"].step(self._loss, batch)

    def _loss(self, batch: Demonstration) -> tuple[Tensor, Tensor, Metrics]:
        loss = self.policy(batch)
        weight = batch.valid.flatten(1).any(-1).float()
        return loss, weight, {"loss": loss}
