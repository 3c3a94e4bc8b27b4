"""What keeps values low for actions that no data show (Kumar et al. 2020, "Conservative Q-learning for offline reinforcement
learning"), equation 4: log of the sum over all actions a of exp Q(s, a), minus Q(s, a) of the recorded one."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def over_choices(values: Float[Tensor, "b choices"], action: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
    """Over numbered actions, whose sum is exact."""
    return values.logsumexp(-1) - values.gather(-1, action[:, None]).squeeze(-1)


def over_samples(
    sampled: Float[Tensor, "q b n"], log_density: Float[Tensor, "b n"], recorded: Float[Tensor, "q b"]
) -> Float[Tensor, "q b"]:
    """Over n sampled actions for each state: the sum becomes an integral, estimated by the mean of exp Q / density over them
    (importance sampling: appendix F), whatever n is."""
    return (sampled - log_density).logsumexp(-1) - math.log(sampled.shape[-1]) - recorded


def uniform_actions(rows: int, count: int, shape: tuple[int, ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """Any actions in [-1, 1], [b, n, h, a], and the logarithm of their density [b, n]."""
    actions = torch.empty(rows, count, *shape, device=like.device).uniform_(-1.0, 1.0)
    return actions, torch.full((rows, count), -math.log(2.0) * math.prod(shape), device=like.device)
