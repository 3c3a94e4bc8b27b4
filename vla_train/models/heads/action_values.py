"""What each numbered action is worth."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vla_train.models.heads.common import masked_mean, mlp
from vla_train.spec import ActionSpec

MARGIN = 0.8  # by which a demonstrated action is to be worth more than any other (as in Hester et al. 2018)


class ActionValuesHead(nn.Module):
    """Q(s, a) for each of ``action.choices`` discrete actions: the discounted rewards to come. It acts by the greatest one.

    With ``dueling`` they are V(s) + A(s, a) - mean over a of A(s, a) (Wang et al. 2016, "Dueling network architectures",
    equation 9), so that what a state is worth need not be learned for each action.
    """

    def __init__(self, feature_size: int, action: ActionSpec, chunk: int, *, hidden: int = 256, dueling: bool = False) -> None:
        super().__init__()
        self.shape = (chunk, 1, action.choices)
        self.layers = mlp(feature_size, hidden, chunk * action.choices)
        self.state_value = mlp(feature_size, hidden, chunk) if dueling else None

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return action.kind == "discrete"

    def forward(self, fused: Float[Tensor, "*b f"]) -> Float[Tensor, "*b h 1 choices"]:
        """The values."""
        values: Tensor = self.layers(fused).float().unflatten(-1, self.shape)
        if self.state_value is None:
            return values
        state_value: Tensor = self.state_value(fused).float()[..., None, None]
        return state_value + values - values.mean(-1, keepdim=True)

    def loss(
        self, fused: Float[Tensor, "*b f"], action: Int[Tensor, "*b h 1"], valid: Bool[Tensor, "*b h 1"]
    ) -> Float[Tensor, "*b"]:
        """Large-margin loss of demonstrated actions: max over a of (Q(s, a) + margin where a is another) - Q(s, demonstrated), a
        mean over each sample's valid steps. Source: Piot et al. 2014, "Boosted Bellman residual minimization", equation 8."""
        values, chosen = self(fused), action.clamp(min=0)[..., None]  # entries that are not valid may hold anything
        margin = torch.full_like(values, MARGIN).scatter(-1, chosen, 0.0)
        return masked_mean((values + margin).amax(-1) - values.gather(-1, chosen)[..., 0], valid)

    def act(self, fused: Float[Tensor, "*b f"], explore: bool = False) -> Int[Tensor, "*b h 1"]:
        """The most valuable action of each step. ``explore`` changes nothing: how much is tried is up to the paradigm."""
        return self(fused).argmax(-1)  # type: ignore[no-any-return]
