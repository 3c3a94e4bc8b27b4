"""The transformer block."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vla_train.errors import UsageError


def feed_forward(width: int, dropout: float, expansion: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width), nn.Dropout(dropout))


class SelfAttentionBlock(nn.Module):
    """Pre-norm transformer block (Xiong et al. 2020).

    Fused attention has no second derivative: who needs one (MAML) runs it under ``sdpa_kernel(SDPBackend.MATH)``.
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % num_heads:
            raise UsageError(f"model.width={width} cannot be shared by {num_heads} attention heads: make it a multiple of them")
        self.num_heads = num_heads
        self.dropout = dropout
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = feed_forward(width, dropout)

    def forward(self, tokens: Float[Tensor, "n l d"], mask: Bool[Tensor, "n l"]) -> Float[Tensor, "n l d"]:
        """Tokens whose mask is False are not looked at; at least one of each row must be True."""
        q, k, v = self.to_qkv(self.norm(tokens)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        read = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None], dropout_p=dropout)
        tokens = tokens + self.out(read.transpose(1, 2).flatten(2))
        return tokens + self.feed(self.feed_norm(tokens))  # type: ignore[no-any-return]
