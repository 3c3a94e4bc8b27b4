"""A choice among numbered actions for every step of the chunk."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Categorical, Independent

from vla_train.models.heads.common import masked_mean, mlp
from vla_train.spec import ActionSpec


class CategoricalHead(nn.Module):
    """Logits for ``action.choices`` discrete actions; a chunk is int64 [h, 1]."""

    def __init__(self, feature_size: int, action: ActionSpec, chunk: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.shape = (chunk, 1, action.choices)
        self.layers = mlp(feature_size, hidden, chunk * action.choices)

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return action.kind == "discrete"

    def forward(self, fused: Float[Tensor, "*b f"]) -> Float[Tensor, "*b h 1 choices"]:
        """Logits."""
        return self.layers(fused).float().unflatten(-1, self.shape)  # type: ignore[no-any-return]

    def distribution(self, fused: Float[Tensor, "*b f"]) -> Independent[Categorical]:
        """Over chunks int64 [h, 1]; batch shape *b."""
        return Independent(Categorical(logits=self(fused), validate_args=False), 2, validate_args=False)

    def loss(
        self, fused: Float[Tensor, "*b f"], action: Int[Tensor, "*b h 1"], valid: Bool[Tensor, "*b h 1"]
    ) -> Float[Tensor, "*b"]:
        """Cross-entropy, a mean over each sample's valid steps."""
        log_probability = self(fused).log_softmax(-1)
        chosen = action.clamp(min=0)  # entries that are not valid may hold anything, such as -1
        return masked_mean(-log_probability.gather(-1, chosen[..., None])[..., 0], valid)

    def act(self, fused: Float[Tensor, "*b f"], explore: bool = False) -> Int[Tensor, "*b h 1"]:
        """The likeliest action of each step, or with ``explore`` a sample (Gumbel 1954: the largest of logits with noise)."""
        logits: Tensor = self(fused)
        return (logits - torch.empty_like(logits).exponential_().log() if explore else logits).argmax(-1)
