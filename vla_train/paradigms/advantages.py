"""How much better an action turned out than was expected (Schulman et al. 2016, "High-dimensional continuous control using
generalized advantage estimation")."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def generalized_advantages(
    reward: Float[Tensor, "t n"],
    value: Float[Tensor, "t n"],
    next_value: Float[Tensor, "t n"],
    terminated: Bool[Tensor, "t n"],
    truncated: Bool[Tensor, "t n"],
    *,
    gamma: float,
    gae_lambda: float,
) -> Float[Tensor, "t n"]:
    """Equation 16: A_t = delta_t + gamma lambda A_t+1 with delta_t = r_t + gamma V(s_t+1) - V(s_t), equation 10.

    ``next_value`` is that of the state that a step led to, also where the episode was truncated there (Pardo et al. 2018, "Time
    limits in reinforcement learning"); after a termination nothing follows. Both end the sum over later steps.
    """
    delta = reward + gamma * torch.where(terminated, 0.0, next_value) - value
    decay = gamma * gae_lambda * (~(terminated | truncated)).float()
    later, found = torch.zeros_like(delta[0]), []
    for own, kept in zip(reversed(delta.unbind()), reversed(decay.unbind()), strict=True):
        later = own + kept * later
        found.append(later)
    return torch.stack(found[::-1])
