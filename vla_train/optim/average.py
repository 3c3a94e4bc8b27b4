"""The average of a policy's weights over a run."""

import copy

import torch
from torch import Tensor, nn

from vla_train.spec import StateDict


class Average:
    """Exponential moving average of a policy's weights (Polyak averaging); with decay 0 the policy itself.

    The average warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that early weights are soon forgotten.
    """

    def __init__(self, policy: nn.Module, decay: float):
        self._source, self._decay, self._updates = policy, decay, 0
        self.policy = copy.deepcopy(policy).requires_grad_(False) if decay else policy

    @property
    def on(self) -> bool:
        return self._decay > 0

    @torch.no_grad()
    def update(self) -> None:
        if not self.on:
            return
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        averages: list[Tensor] = list(self.policy.parameters())
        sources: list[Tensor] = list(self._source.parameters())
        torch._foreach_lerp_(averages, sources, 1.0 - decay)
        for average, source in zip(self.policy.buffers(), self._source.buffers(), strict=True):
            average.copy_(source)

    def state_dict(self) -> StateDict:
        return {"updates": self._updates}

    def load_state_dict(self, state: StateDict) -> None:
        if type(state["updates"]) is not int:
            raise ValueError(f"the average's updates are {state['updates']!r}")
        self._updates = state["updates"]
