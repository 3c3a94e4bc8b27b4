"""Words to vectors."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from vla_train.models.attention import SelfAttentionBlock


def crop(tokens: Int[Tensor, "n l"], mask: Bool[Tensor, "n l"]) -> tuple[Int[Tensor, "n _m"], Bool[Tensor, "n _m"]]:
    """Drop the padding that no row needs. Not on an accelerator, where asking for the length would make the host wait."""
    if tokens.device.type != "cpu":
        return tokens, mask
    length = int(mask.any(0).nonzero().max()) + 1 if len(mask) else 1
    return tokens[:, :length], mask[:, :length]


class WordEmbedding(nn.Module):
    """One vector for each token, plus one for its position."""

    def __init__(self, vocabulary_size: int, max_tokens: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, width)
        self.positions = nn.Parameter(0.1 * torch.randn(max_tokens, width))

    def forward(self, tokens: Int[Tensor, "n l"]) -> Float[Tensor, "n l d"]:
        return self.words(tokens) + self.positions[: tokens.shape[1]]  # type: ignore[no-any-return]


class LanguageEncoder(nn.Module):
    """Word embeddings through one transformer block; the sentence is the mean over its words."""

    def __init__(self, vocabulary_size: int, max_tokens: int, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = WordEmbedding(vocabulary_size, max_tokens, width)
        self.block = SelfAttentionBlock(width, num_heads, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Int[Tensor, "n l"], mask: Bool[Tensor, "n l"]
    ) -> tuple[Float[Tensor, "n l d"], Float[Tensor, "n d"]]:
        """Each word in its context, and the sentence."""
        words = self.norm(self.block(self.embedding(tokens), mask))
        weight = mask[..., None].to(words.dtype)
        return words, (words * weight).sum(1) / weight.sum(1)


class Reading(nn.Module):
    """Cross-attention to the words (Vaswani et al. 2017, equation 1), its queries from what is known so far.

    The mean over a sentence has little room for which of several things is meant, and when; one can look it up instead.
    """

    def __init__(self, known: int, width: int, queries: int) -> None:
        super().__init__()
        self.ask = nn.Linear(known, queries * width)
        self.keys = nn.Linear(width, width)
        self.size = queries * width

    def forward(
        self, known: Float[Tensor, "n f"], words: Float[Tensor, "n l d"], mask: Bool[Tensor, "n l"]
    ) -> Float[Tensor, "n {self.size}"]:
        """The answers, one behind the other. Words whose mask is False are not looked at; one of each row must be True."""
        query = self.ask(known).view(len(words), -1, words.shape[-1])
        read = functional.scaled_dot_product_attention(query, self.keys(words), words, attn_mask=mask[:, None])
        return read.flatten(1)
