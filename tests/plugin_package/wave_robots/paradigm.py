"""Behavioural cloning in which samples count by how far the robot moves."""

from torch import Tensor

from vla_train.models.policy import Policy
from vla_train.paradigms.base import MakeOptimizer, Paradigm
from vla_train.spec import Metrics
from vla_train.types import Demonstration


class MotionWeighted(Paradigm[Demonstration]):
    batch_type = Demonstration

    def __init__(self, policy: Policy, *, make_optimizer: MakeOptimizer, floor: float):
        super().__init__(policy)
        self.floor = floor
        self.optimizers = {"policy": make_optimizer(policy.parameters())}

    def update(self, batch: Demonstration) -> Metrics:
        return self.optimizers["policy"].step(self._loss, batch)

    def _loss(self, batch: Demonstration) -> tuple[Tensor, Tensor, Metrics]:
        loss = self.policy(batch)
        motion = (batch.action * batch.valid).abs().mean((-2, -1))
        return loss, self.floor + motion, {"loss": loss, "motion": motion}
