"""``stem=patch``: the textbook vision transformer, where patches, words and states attend to each other."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vla_train.models.attention import SelfAttentionBlock
from vla_train.models.glimpse import GridPositions
from vla_train.models.language import WordEmbedding, crop
from vla_train.models.vision import grid_of, patch_stem
from vla_train.spec import ImageSpec, Spec
from vla_train.types import Features, Observation


class PatchReader(nn.Module):
    """``layers`` pre-norm blocks (Dosovitskiy et al. 2021) over one sequence: readout token, words, and for each frame of the
    window its patches and state, told apart by the frame's age. The readout token is what the head reads.

    ``Features.vision`` are the newest frame's patches before they meet the words.
    """

    vision_sees_language = False

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
        patch: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.words = WordEmbedding(vocabulary_size, max_tokens, width)
        self.stems = nn.ModuleDict({name: patch_stem(image, width, patch) for name, image in image_specs.items()})
        self.positions = nn.ModuleDict({name: GridPositions(grid_of(stem), width) for name, stem in self.stems.items()})
        self.state = nn.Linear(spec.state_size, width) if spec.state_size else None
        self.ages = nn.Parameter(0.1 * torch.randn(spec.history, 1, width)) if spec.history > 1 else None
        self.readout = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.blocks = nn.ModuleList(SelfAttentionBlock(width, num_heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.feature_size = width

    def forward(self, observation: Observation) -> Features:
        """Leading dimension: b only."""
        batch = len(observation.present)
        tokens, mask = crop(observation.tokens, observation.token_mask)
        words = self.words(tokens)
        cells = [self._cells(name, observation.images[name]) for name in self.stems]
        parts = [self.readout.expand(batch, -1, -1), words]
        masks = [torch.ones_like(mask[:, :1]), mask]
        frames = [*cells, *([self.state(observation.state)[:, :, None]] if self.state is not None else [])]
        if frames:
            frame = torch.cat(frames, 2)
            parts.append((frame if self.ages is None else frame + self.ages).flatten(1, 2))
            masks.append(self._seen(observation.present).repeat_interleave(frame.shape[2], 1))
        sequence, seen = torch.cat(parts, 1), torch.cat(masks, 1)
        for block in self.blocks:
            sequence = block(sequence, seen)
        sequence = self.norm(sequence)
        language = sequence[:, 1 : 1 + words.shape[1]]
        return Features(
            fused=sequence[:, 0],
            vision=torch.cat([cell[:, -1] for cell in cells], 1) if cells else None,
            language=functional.pad(language, (0, 0, 0, observation.tokens.shape[1] - words.shape[1])),
        )

    def _cells(self, name: str, image: Tensor) -> Float[Tensor, "b k p d"]:
        cells = self.stems[name](image.flatten(0, 1)).flatten(2).transpose(1, 2) + self.positions[name]()
        return cells.unflatten(0, image.shape[:2])  # type: ignore[no-any-return]

    @staticmethod
    def _seen(present: Bool[Tensor, "b k"]) -> Bool[Tensor, "b k"]:
        """The newest frame is always looked at."""
        return torch.cat((present[:, :-1], torch.ones_like(present[:, -1:])), 1)
