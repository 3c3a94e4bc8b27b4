"""A choice among numbered actions for every step of the chunk."""

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution, constraints, register_kl

from vla_train.models.heads.common import begin_small, masked_mean, mlp
from vla_train.spec import ActionSpec


class Choices(Distribution):
    """Over chunks int64 [h, 1]; batch shape *b. It is ``Independent(Categorical(logits), 2)`` in fewer and smaller steps."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.nonnegative_integer

    def __init__(self, logits: Float[Tensor, "*b h 1 choices"]) -> None:
        self.log_probabilities = logits.log_softmax(-1)
        super().__init__(logits.shape[:-3], logits.shape[-3:-1], validate_args=False)

    @property
    def probs(self) -> Float[Tensor, "*b h 1 choices"]:
        return self.log_probabilities.exp()

    def sample(self, sample_shape: Any = ()) -> Int[Tensor, "*n h 1"]:
        return _noisy(self.log_probabilities.detach().expand(*sample_shape, *self.log_probabilities.shape)).argmax(-1)

    def log_prob(self, value: Int[Tensor, "*b h 1"]) -> Float[Tensor, "*b"]:
        return self.log_probabilities.gather(-1, value[..., None]).sum((-3, -2, -1))

    def entropy(self) -> Float[Tensor, "*b"]:
        return -(self.probs * self.log_probabilities).sum((-3, -2, -1))


@register_kl(Choices, Choices)  # type: ignore[no-untyped-call, untyped-decorator]
def _kl(one: Choices, other: Choices) -> Tensor:
    return (one.probs * (one.log_probabilities - other.log_probabilities)).sum((-3, -2, -1))


class CategoricalHead(nn.Module):
    """Logits for ``action.choices`` discrete actions; a chunk is int64 [h, 1]. ``begin``: see ``begin_small``."""

    def __init__(
        self, feature_size: int, action: ActionSpec, chunk: int, *, hidden: int = 256, begin: float | None = None
    ) -> None:
        super().__init__()
        self.shape = (chunk, 1, action.choices)
        self.layers = mlp(feature_size, hidden, chunk * action.choices)
        if begin is not None:
            begin_small(self.layers, begin)

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return action.kind == "discrete"

    def forward(self, fused: Float[Tensor, "*b f"]) -> Float[Tensor, "*b h 1 choices"]:
        """Logits."""
        return self.layers(fused).float().unflatten(-1, self.shape)  # type: ignore[no-any-return]

    def distribution(self, fused: Float[Tensor, "*b f"]) -> Choices:
        """Over chunks int64 [h, 1]; batch shape *b."""
        return Choices(self(fused))

    def loss(
        self, fused: Float[Tensor, "*b f"], action: Int[Tensor, "*b h 1"], valid: Bool[Tensor, "*b h 1"]
    ) -> Float[Tensor, "*b"]:
        """Cross-entropy, a mean over each sample's valid steps."""
        log_probability = self(fused).log_softmax(-1)
        chosen = action.clamp(min=0)  # entries that are not valid may hold anything, such as -1
        return masked_mean(-log_probability.gather(-1, chosen[..., None])[..., 0], valid)

    def act(self, fused: Float[Tensor, "*b f"], explore: bool = False) -> Int[Tensor, "*b h 1"]:
        """The likeliest action of each step, or with ``explore`` a sample."""
        logits: Tensor = self(fused)
        return _noisy(logits).argmax(-1) if explore else logits.argmax(-1)


def _noisy(logits: Tensor) -> Tensor:
    """Their largest is a sample (Gumbel 1954, "Statistical theory of extreme values")."""
    return logits - torch.empty_like(logits).exponential_().log()
