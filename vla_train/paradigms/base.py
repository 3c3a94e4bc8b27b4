"""What every learning paradigm is: a module with optimizers that turns a batch into an update."""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from vla_train.models.policy import Policy
from vla_train.optim import Optimizer, TracedCall
from vla_train.spec import Metrics, StateDict
from vla_train.types import Observation, Struct

B = TypeVar("B", bound=Struct)
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]


class Paradigm(nn.Module, Generic[B]):
    """The one base class. ``nn.Module`` gives the state of networks, targets and temperatures; optimizers are kept beside it.

    A subclass sets ``batch_type`` (checked against the source's at start), fills ``optimizers`` and writes ``update``.
    """

    batch_type: ClassVar[type[Struct]]
    splittable: ClassVar[bool] = True  # False where the loss is over the whole batch: micro-batches are then refused

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy = policy
        self._exploring = TracedCall(lambda observation: self.policy.act(observation, explore=True), policy)
        self._acting = TracedCall(lambda observation: self.policy.act(observation), policy)
        self.optimizers: dict[str, Optimizer] = {}

    def update(self, batch: B) -> Metrics:
        """Learn from a batch. Returns floats or 0-d tensors; nothing here waits for the device only to log."""
        raise AssertionError(f"{type(self).__name__} has no update")

    def explore(self, observation: Observation) -> Tensor:
        """Actions [*b, h, a] for gathering experience."""
        return self._exploring(observation)

    def optimizer_state(self) -> StateDict:
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}

    def load_optimizer_state(self, state: StateDict) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])


def average(rows: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over several gradient steps."""
    if len(rows) == 1:
        return rows[0]
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _mean(values: Sequence[Tensor | float]) -> Tensor | float:
    if isinstance(values[0], Tensor):
        return torch.stack(list(values)).mean()  # type: ignore[arg-type]
    return sum(values) / len(values)


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, tau: float) -> None:
    """A target network takes over a share ``tau`` of another's weights (Lillicrap et al. 2016, "Continuous control with deep
    reinforcement learning", algorithm 1)."""
    theirs: list[Tensor] = list(target.parameters())
    ours: list[Tensor] = list(source.parameters())
    torch._foreach_lerp_(theirs, ours, tau)
