"""What every head shares: its layers, and how a chunk's errors become one loss for each sample."""

from jaxtyping import Bool, Float
from torch import Tensor, nn


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """One hidden layer, or with ``hidden`` 0 none."""
    if not hidden:
        return nn.Sequential(nn.Linear(inputs, outputs))
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def begin_small(layers: nn.Sequential, share: float) -> None:
    """Last layer orthogonal, ``share`` as large as usual, biases 0: a policy that begins so prefers nothing yet (Andrychowicz et
    al. 2021, "What matters for on-policy deep actor-critic methods?", section 3.2)."""
    last = layers[-1]
    assert isinstance(last, nn.Linear), "mlp ends with one"
    nn.init.orthogonal_(last.weight, share)
    nn.init.zeros_(last.bias)


def masked_mean(values: Float[Tensor, "*b h a"], valid: Bool[Tensor, "*b h a"]) -> Float[Tensor, "*b"]:
    """Mean over each sample's valid entries; 0 for a sample without any."""
    return (values * valid).sum((-2, -1)) / valid.sum((-2, -1)).clamp(min=1)
