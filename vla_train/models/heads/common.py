"""What every head shares: its layers, and how a chunk's errors become one loss for each sample."""

from jaxtyping import Bool, Float
from torch import Tensor, nn


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def masked_mean(values: Float[Tensor, "*b h a"], valid: Bool[Tensor, "*b h a"]) -> Float[Tensor, "*b"]:
    """Mean over each sample's valid entries; 0 for a sample without any."""
    return (values * valid).sum((-2, -1)) / valid.sum((-2, -1)).clamp(min=1)
