"""``torch.optim.AdamW``, to the same bits in less time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vla_train.spec import StateDict


class AdamW:
    """AdamW (Loshchilov and Hutter 2019, "Decoupled weight decay regularization"). Weight decay applies to matrices only: not to
    biases, norms and other vectors.

    What torch looks up and checks anew in each step takes longer than the step of a small network: it is done once, when all
    parameters have moments.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], *, lr: float, weight_decay: float, betas: Sequence[float], eps: float
    ) -> None:
        self._parameters = parameters
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self._torch = torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)
        self._groups: list[_Group] = []

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move what has a gradient."""
        for group in self._torch.param_groups:
            group["lr"] = lr
        if self._groups and all(parameter.grad is not None for parameter in self._parameters):
            for known in self._groups:
                known.step(lr)
            return
        self._torch.step()
        state = self._torch.state
        if all(state.get(parameter) for parameter in self._parameters):
            self._groups = [_Group.of(group, state) for group in self._torch.param_groups]

    def state_dict(self) -> StateDict:
        return self._torch.state_dict()

    def load_state_dict(self, state: StateDict) -> None:
        """Raises ``ValueError`` or ``LookupError`` for the state of other parameters."""
        self._torch.load_state_dict(state)
        self._groups = []
        for parameter in self._parameters:
            moments = self._torch.state.get(parameter, {})
            if moments and {moments[name].shape for name in ("exp_avg", "exp_avg_sq")} != {parameter.shape}:
                raise ValueError(f"the optimizer's moments of a parameter {list(parameter.shape)} have another shape")


@dataclass(frozen=True)
class _Group:
    """What the fused step takes: parameters, their moments and settings."""

    parameters: list[nn.Parameter]
    moments: tuple[list[Tensor], list[Tensor]]
    steps: list[Tensor]
    settings: dict[str, float]

    @classmethod
    def of(cls, group: dict[str, Any], states: Mapping[Any, dict[str, Tensor]]) -> "_Group":
        found = [states[parameter] for parameter in group["params"]]
        first, second, steps = ([state[name] for state in found] for name in ("exp_avg", "exp_avg_sq", "step"))
        beta1, beta2 = group["betas"]
        settings = {"beta1": beta1, "beta2": beta2, "eps": group["eps"], "weight_decay": group["weight_decay"]}
        return cls(group["params"], (first, second), steps, settings)

    def step(self, lr: float) -> None:
        torch._foreach_add_(self.steps, 1)
        gradients = [parameter.grad for parameter in self.parameters]
        torch._fused_adamw_(  # type: ignore[call-overload]
            *(self.parameters, gradients, *self.moments, [], self.steps), lr=lr, amsgrad=False, maximize=False, **self.settings
        )
