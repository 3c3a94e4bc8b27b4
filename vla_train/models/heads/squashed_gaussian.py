"""A normal distribution squashed into the bounds of the actions."""

import math
from typing import Any, ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, constraints, kl_divergence, register_kl
from torch.nn import functional

from vla_train.models.heads.common import masked_mean, mlp
from vla_train.spec import ActionSpec

MIN_STD, MAX_STD = 0.05, 7.4  # of the normal distribution, before it is squashed: near the bounds smaller ones diverge
INSIDE = 1.0 - 1e-6  # recorded actions that lie on the bounds are taken to lie so far inside: at 1 a probability ends


class SquashedNormal(Distribution):
    """tanh(u) for independent normal u: over chunks [h, a] with entries in (-1, 1); batch shape *b.

    Its density is that of u divided by the slope 1 - tanh(u)^2 (Haarnoja et al. 2018, "Soft actor-critic", appendix C).
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.interval(-1, 1)  # type: ignore[no-untyped-call]
    has_rsample = True

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        shape = normal.loc.shape
        super().__init__(shape[:-2], shape[-2:], validate_args=False)

    def rsample_with_log_prob(self, count: tuple[int, ...] = ()) -> tuple[Float[Tensor, "*n h a"], Float[Tensor, "*n"]]:
        """Samples [*count, *b, h, a], through which gradients pass, and the logarithm of their density [*count, *b]."""
        inner = self.normal.rsample(count)
        return inner.tanh(), (self.normal.log_prob(inner) - _log_slope(inner)).sum((-2, -1))  # type: ignore[no-untyped-call]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.normal.rsample(sample_shape).tanh()

    def log_prob(self, value: Float[Tensor, "*n h a"]) -> Float[Tensor, "*n"]:
        return self.log_prob_of_each(value).sum((-2, -1))

    def log_prob_of_each(self, value: Float[Tensor, "*n h a"]) -> Float[Tensor, "*n h a"]:
        """For each number of the chunk by itself."""
        inner = value.clamp(-INSIDE, INSIDE).atanh()
        return self.normal.log_prob(inner) - _log_slope(inner)  # type: ignore[no-any-return, no-untyped-call]

    def entropy(self) -> Float[Tensor, "*b"]:
        """Has no closed form: estimated by minus the log-density of one sample, through which gradients pass."""
        return -self.rsample_with_log_prob()[1]


def _log_slope(inner: Tensor) -> Tensor:
    """log(1 - tanh(u)^2), also where that is too small to be told from 0."""
    return 2.0 * (math.log(2.0) - inner - functional.softplus(-2.0 * inner))


@register_kl(SquashedNormal, SquashedNormal)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(one: SquashedNormal, other: SquashedNormal) -> Tensor:
    """What both are squashed by changes nothing about how they differ."""
    return kl_divergence(one.normal, other.normal).sum((-2, -1))


class SquashedGaussianHead(nn.Module):
    """Mean and standard deviation from the features, squashed to (-1, 1), the bounds of the actions: what SAC needs."""

    bounded = True  # the policy's units must be those of the bounds, whatever the statistics of the data

    def __init__(self, feature_size: int, action: ActionSpec, chunk: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.shape = (chunk, action.size)
        self.layers = mlp(feature_size, hidden, 2 * chunk * action.size)

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return action.kind == "continuous"

    def distribution(self, fused: Float[Tensor, "*b f"]) -> SquashedNormal:
        """Over chunks [h, a] in (-1, 1); batch shape *b."""
        mean, spread = self.layers(fused).float().unflatten(-1, (2, *self.shape)).unbind(-3)
        std = (functional.softplus(spread) + MIN_STD).clamp(max=MAX_STD)
        return SquashedNormal(Normal(mean, std, validate_args=False))

    def sample(self, fused: Float[Tensor, "*b f"]) -> tuple[Float[Tensor, "*b h a"], Float[Tensor, "*b"]]:
        """A chunk, through which gradients pass, and the logarithm of its density."""
        return self.distribution(fused).rsample_with_log_prob()

    def loss(
        self, fused: Float[Tensor, "*b f"], action: Float[Tensor, "*b h a"], valid: Bool[Tensor, "*b h a"]
    ) -> Float[Tensor, "*b"]:
        """Negative log-likelihood, a mean over each sample's valid entries."""
        return masked_mean(-self.distribution(fused).log_prob_of_each(action), valid)

    def act(self, fused: Float[Tensor, "*b f"], explore: bool = False) -> Float[Tensor, "*b h a"]:
        """tanh of the mean, or with ``explore`` a sample."""
        distribution = self.distribution(fused)
        return distribution.rsample() if explore else distribution.normal.mean.tanh()
