"""Transformer blocks: self-attention over a sequence, and a few queries that read a long memory."""

from jaxtyping import Bool, Float
from torch import Tensor, einsum, nn
from torch.nn import functional


def feed_forward(width: int, dropout: float, expansion: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width), nn.Dropout(dropout))


class SelfAttentionBlock(nn.Module):
    """Pre-norm transformer block (Xiong et al. 2020)."""

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
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


class CrossAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) of q queries over m memory tokens, for q much smaller than m.

    Keys and values are never formed: (W_q x)^T (W_k y) = (W_k^T W_q x)^T y, so each query is taken to the memory's space and
    the average over the memory is taken back. The function is the same; the cost for each memory token falls from
    2 d^2 to 2 q heads d multiplications.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is no multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.to_query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a key bias would cancel in the softmax
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, queries: Float[Tensor, "n q d"], memory: Float[Tensor, "n m d"], mask: Bool[Tensor, "n m"] | None = None
    ) -> Float[Tensor, "n q d"]:
        query: Tensor = self.to_query(queries)
        query = query.reshape(*queries.shape[:2], self.num_heads, -1)
        key, value = (layer.weight.reshape(self.num_heads, -1, queries.shape[-1]) for layer in (self.key, self.value))
        scale = query.shape[-1] ** -0.5
        asked = einsum("nqhe,hed->nqhd", query, key).flatten(1, 2) * scale
        scores = asked @ memory.transpose(1, 2)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], float("-inf"))
        read = (scores.softmax(-1).to(memory.dtype) @ memory).unflatten(1, (-1, self.num_heads))
        taken = einsum("nqhd,hed->nqhe", read, value).flatten(2) + self.value.bias
        return self.out(taken)  # type: ignore[no-any-return]


class CrossAttentionBlock(nn.Module):
    """Queries read the memory, then think alone (pre-norm)."""

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, num_heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = feed_forward(width, dropout)

    def forward(
        self, queries: Float[Tensor, "n q d"], memory: Float[Tensor, "n m d"], mask: Bool[Tensor, "n m"] | None = None
    ) -> Float[Tensor, "n q d"]:
        queries = queries + self.attention(self.norm(queries), memory, mask)
        return queries + self.feed(self.feed_norm(queries))  # type: ignore[no-any-return]
