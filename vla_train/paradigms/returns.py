"""What a step was followed by: the sum of the rewards to come, each worth less the later it comes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def discounted_returns(
    reward: Float[Tensor, "t n"],
    next_value: Float[Tensor, "t n"],
    terminated: Bool[Tensor, "t n"],
    truncated: Bool[Tensor, "t n"],
    *,
    gamma: float,
) -> Float[Tensor, "t n"]:
    """G_t = r_t + gamma G_t+1 to the end of the episode (Sutton and Barto 2018, equation 3.9).

    Where what came later is not known, after a truncation and after the last step, ``next_value`` stands for it: that of the
    state which the step led to (0: nothing is assumed). A termination is followed by nothing.
    """
    found = torch.empty_like(reward)
    later = next_value[-1]
    for step in reversed(range(len(reward))):
        later = torch.where(truncated[step], next_value[step], later)
        later = reward[step] + gamma * torch.where(terminated[step], 0.0, later)
        found[step] = later
    return found


def whole(ended: Bool[Tensor, "t n"]) -> Bool[Tensor, "t n"]:
    """The steps whose episode ends among these steps, so that all that followed is known."""
    return ended.flip(0).cummax(0).values.flip(0)
