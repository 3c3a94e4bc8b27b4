"""A linear head."""

from torch import Tensor, nn

from vla_train.models.heads.common import masked_mean
from vla_train.spec import ActionSpec


class LinearHead(nn.Module):
    def __init__(self, feature_size: int, action: ActionSpec, chunk: int) -> None:
        super().__init__()
        self.shape = (chunk, action.size)
        self.layer = nn.Linear(feature_size, chunk * action.size)

    @classmethod
    def fits(cls, action: ActionSpec) -> bool:
        return action.kind == "continuous"

    def loss(self, fused: Tensor, action: Tensor, valid: Tensor) -> Tensor:
        return masked_mean((self.act(fused) - action).abs(), valid)

    def act(self, fused: Tensor, explore: bool = False) -> Tensor:
        return self.layer(fused).unflatten(-1, self.shape)
