"""``stem=film_conv``: convolutions that know the instruction, and a few queries that read their cells."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vla_train.models.attention import CrossAttentionBlock
from vla_train.models.language import LanguageEncoder, crop
from vla_train.models.vision import FilmConvStem, GridPositions, grid_of
from vla_train.spec import ImageSpec, Spec
from vla_train.types import Features, Observation


class FilmReader(nn.Module):
    """Queries, started by the state, read the words, then in ``layers`` steps the cells of their frame's pictures.

    With a window, the queries of the present frame then read those of all frames.
    """

    vision_sees_language = True

    def __init__(
        self,
        spec: Spec,
        image_specs: Mapping[str, ImageSpec],
        vocabulary_size: int,
        max_tokens: int,
        *,
        width: int,
        layers: int,
        num_heads: int,
        queries: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.language = LanguageEncoder(vocabulary_size, max_tokens, width, num_heads, dropout)
        self.stems = nn.ModuleDict(
            {name: FilmConvStem(image, width, width, blocks=blocks) for name, image in image_specs.items()}
        )
        self.positions = nn.ModuleDict({name: GridPositions(grid_of(stem), width) for name, stem in self.stems.items()})
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in image_specs})
        self.state = nn.Linear(spec.state_size, width) if spec.state_size else None
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.listen = CrossAttentionBlock(width, num_heads, dropout)
        self.look = nn.ModuleList(CrossAttentionBlock(width, num_heads, dropout) for _ in range(layers if image_specs else 0))
        self.ages = nn.Parameter(0.5 * torch.randn(spec.history, 1, width)) if spec.history > 1 else None
        self.recall = CrossAttentionBlock(width, num_heads, dropout) if spec.history > 1 else None
        self.norm = nn.LayerNorm(width)
        self.feature_size = queries * width

    def forward(self, observation: Observation) -> Features:
        """Leading dimension: b only."""
        batch, history = observation.present.shape
        tokens, mask = crop(observation.tokens, observation.token_mask)
        words, sentence = self.language(tokens, mask)
        queries = self.listen(self.queries.expand(batch, -1, -1), words, mask).repeat_interleave(history, 0)
        if self.state is not None:
            queries = queries + self.state(observation.state.flatten(0, 1))[:, None]
        vision = None
        if self.stems:
            asked = sentence.repeat_interleave(history, 0)
            cells = [self._cells(name, observation.images[name].flatten(0, 1), asked) for name in self.stems]
            vision = torch.cat(cells, 1) if len(cells) > 1 else cells[0]
            for block in self.look:
                queries = block(queries, vision)
            vision = vision[history - 1 :: history]
        fused = self._recall(queries.unflatten(0, (batch, history)), observation.present)
        language = functional.pad(words, (0, 0, 0, observation.tokens.shape[1] - words.shape[1]))
        return Features(fused=fused, vision=vision, language=language)

    def _cells(self, name: str, image: Tensor, sentence: Tensor) -> Float[Tensor, "n p d"]:
        cells = self.stems[name](image, sentence).flatten(2).transpose(1, 2)
        return self.norms[name](cells) + self.positions[name]()  # type: ignore[no-any-return]

    def _recall(self, queries: Float[Tensor, "b k q d"], present: Bool[Tensor, "b k"]) -> Float[Tensor, "b f"]:
        """What the newest frame's queries make of the window; absent frames are not looked at."""
        now: Tensor = queries[:, -1]
        if self.recall is not None and self.ages is not None:
            memory = (queries + self.ages).flatten(1, 2)
            seen = torch.cat((present[:, :-1], torch.ones_like(present[:, -1:])), 1)
            now = self.recall(now, memory, seen.repeat_interleave(queries.shape[2], 1))
        return self.norm(now).flatten(1)  # type: ignore[no-any-return]
