"""An independent normal distribution for every entry of the chunk."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn import functional

from vla_train.models.heads.common import begin_small, masked_mean, mlp
from vla_train.spec import ActionSpec


class GaussianHead(nn.Module):
    """Mean and standard deviation from the features; ``min_std`` (normalized units) keeps the likelihood bounded.

    With ``std="constant"`` each number of the chunk has one learned standard deviation, 1 at first, whatever is seen: what a
    policy that learns by trying wants, as it then tries as much in places that it has not learned yet. ``begin``: see
    ``begin_small``.
    """

    def __init__(
        self,
        feature_size: int,
        action: ActionSpec,
        chunk: int,
        *,
        hidden: int = 256,
        min_std: float = 0.01,
        std: Literal["features", "constant"] = "features",
        begin: float | None = None,
    ) -> None:
        super().__init__()
        self.shape = (chunk, action.size)
        self.min_std = min_std
        constant = std == "constant"
        self.layers = mlp(feature_size, hidden, (1 if constant else 2) * chunk * action.size)
        if begin is not None:
            begin_small(self.layers, begin)
        one = math.log(math.expm1(max(1.0 - min_std, 1e-3)))  # softplus of it, and min_std, are 1
        self.spread = nn.Parameter(torch.full(self.shape, one)) if constant else None

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return action.kind == "continuous"

    def _normal(self, fused: Tensor) -> Normal:
        if self.spread is None:
            mean, spread = self.layers(fused).float().unflatten(-1, (2, *self.shape)).unbind(-3)
        else:
            mean = self.layers(fused).float().unflatten(-1, self.shape)
            spread = self.spread.expand_as(mean)
        return Normal(mean, functional.softplus(spread) + self.min_std, validate_args=False)

    def distribution(self, fused: Float[Tensor, "*b f"]) -> Independent[Normal]:
        """Over chunks [h, a] in normalized units (subtract log(scale) from log_prob for physical ones); batch shape *b."""
        return Independent(self._normal(fused), 2, validate_args=False)

    def loss(
        self, fused: Float[Tensor, "*b f"], action: Float[Tensor, "*b h a"], valid: Bool[Tensor, "*b h a"]
    ) -> Float[Tensor, "*b"]:
        """Negative log-likelihood, a mean over each sample's valid entries: log(std) + error^2 / (2 std^2) + log(2 pi) / 2."""
        return masked_mean(-self._normal(fused).log_prob(action), valid)  # type: ignore[no-untyped-call]

    def act(self, fused: Float[Tensor, "*b f"], explore: bool = False) -> Float[Tensor, "*b h a"]:
        """The mean, or with ``explore`` a sample (reparametrized, so gradients pass)."""
        normal = self._normal(fused)
        return normal.rsample() if explore else normal.mean
