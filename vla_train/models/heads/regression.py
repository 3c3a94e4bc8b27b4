"""One deterministic chunk."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from vla_train.models.heads.common import masked_mean, mlp
from vla_train.spec import ActionSpec


class RegressionHead(nn.Module):
    """Predicts the chunk itself. ``l1`` (Zhao et al. 2023, "ACT", section IV-C) is exacter than ``l2`` on precise motions."""

    def __init__(
        self, feature_size: int, action: ActionSpec, chunk: int, *, loss: Literal["l1", "l2"] = "l1", hidden: int = 256
    ) -> None:
        super().__init__()
        self.shape = (chunk, action.size)
        self.squared = loss == "l2"
        self.layers = mlp(feature_size, hidden, chunk * action.size)

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return action.kind == "continuous"

    def forward(self, fused: Float[Tensor, "*b f"]) -> Float[Tensor, "*b h a"]:
        return self.layers(fused).float().unflatten(-1, self.shape)  # type: ignore[no-any-return]

    def loss(
        self, fused: Float[Tensor, "*b f"], action: Float[Tensor, "*b h a"], valid: Bool[Tensor, "*b h a"]
    ) -> Float[Tensor, "*b"]:
        """Mean of |error| (l1) or error^2 (l2) over each sample's valid entries, in normalized units."""
        error = self(fused) - action
        return masked_mean(error.square() if self.squared else error.abs(), valid)

    def act(self, fused: Float[Tensor, "*b f"], explore: bool = False) -> Float[Tensor, "*b h a"]:
        """The predicted chunk; this head has nothing to sample from, so ``explore`` changes nothing."""
        return self(fused)  # type: ignore[no-any-return]
