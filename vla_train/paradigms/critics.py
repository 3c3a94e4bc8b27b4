"""Networks that say what an action is worth in a state, for paradigms whose actions are continuous."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vla_train.models.policy import Policy
from vla_train.types import Observation


class Critics(nn.Module):
    """``number`` networks Q(observation, action), computed together; their smallest value is the one to trust (Fujimoto et al.
    2018, "Addressing function approximation error in actor-critic methods", equation 10).

    Each has an encoder of its own, or all read one (``shared``: pictures are then looked at once).
    """

    def __init__(
        self, make_encoder: Callable[[], Any], action_size: int, *, hidden: int, number: int = 2, shared: bool = False
    ) -> None:
        super().__init__()
        encoders = [make_encoder() for _ in range(1 if shared else number)]
        self.encoders, self.number = nn.ModuleList(encoders), number
        bound = (encoders[0].feature_size + action_size) ** -0.5
        self.first = _Layers(number, encoders[0].feature_size, hidden, bound)
        self.first_of_action = nn.Parameter(torch.empty(number, action_size, hidden).uniform_(-bound, bound))
        self.last = _Layers(number, hidden, 1, hidden**-0.5)

    def encode(self, policy: Policy, observation: Observation) -> Float[Tensor, "q *b f"]:
        """What each critic reads of the observations, in the policy's units."""
        seen = replace(observation, state=policy.normalizer.state(observation.state, observation.domain))
        features = torch.stack([encoder(seen).fused.float() for encoder in self.encoders])
        return features.expand(self.number, *features.shape[1:])

    def judge(self, features: Float[Tensor, "q *b f"], action: Float[Tensor, "*b h a"]) -> Float[Tensor, "q *b"]:
        """The value of chunks in the head's units."""
        chunk = action.flatten(-2).expand(self.number, *(-1,) * (action.ndim - 1)).flatten(1, -2)
        # The first layer reads both, with weights apart: a policy asks for the gradient of the action alone.
        of_features = self.first(features.flatten(1, -2))
        hidden = torch.baddbmm(of_features, chunk.to(of_features.dtype), self.first_of_action.to(of_features.dtype))
        return self.last(functional.relu_(hidden)).view(features.shape[:-1])  # type: ignore[no-any-return]

    def forward(self, policy: Policy, observation: Observation, action: Float[Tensor, "*b h a"]) -> Float[Tensor, "q *b"]:
        return self.judge(self.encode(policy, observation), action)


class _Layers(nn.Module):
    """A linear layer for each of ``number`` networks, whose weights begin within ``bound`` as those of ``nn.Linear``."""

    def __init__(self, number: int, inputs: int, outputs: int, bound: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(number, 1, outputs).uniform_(-bound, bound))

    def forward(self, inputs: Float[Tensor, "q n i"]) -> Float[Tensor, "q n o"]:
        return torch.baddbmm(self.bias.to(inputs.dtype), inputs, self.weight.to(inputs.dtype))
