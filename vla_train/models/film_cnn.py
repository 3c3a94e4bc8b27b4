"""The ``film_cnn`` model: a convolutional network that knows the instruction, and a recurrent layer over the window."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vla_train.models import leading
from vla_train.models.language import LanguageEncoder, crop
from vla_train.models.vision import film_stem, grid_of
from vla_train.spec import ImageSpec, Spec
from vla_train.types import Features, Observation

LARGEST_GRID = 8  # cells a side: what a linear layer can still read whole


class FilmCNNEncoder(nn.Module):
    """FiLM'd residual convolutions on a coarse grid, read whole by a linear layer (of a cloud the largest of each
    feature); a gated recurrent unit (Cho et al. 2014) runs over the window and skips steps that are absent. The recipe of the
    BabyAI paper (Chevalier-Boisvert et al. 2019).
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
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.language = LanguageEncoder(vocabulary_size, max_tokens, width, num_heads=4, dropout=dropout)
        self.stems = nn.ModuleDict(
            {
                name: film_stem(image, width, width, blocks=blocks, largest_grid=LARGEST_GRID)
                for name, image in image_specs.items()
            }
        )
        self.clouds = {name for name, image in image_specs.items() if image.kind == "points"}
        cells = {name: 1 if name in self.clouds else math.prod(grid_of(stem)) for name, stem in self.stems.items()}
        self.readers = nn.ModuleDict({name: nn.Linear(width * count, 2 * width) for name, count in cells.items()})
        self.state = nn.Linear(spec.state_size, width) if spec.state_size else None
        inputs = 2 * width * len(image_specs) + width * bool(spec.state_size) + width
        self.dropout = nn.Dropout(dropout)
        self.memory = nn.GRUCell(inputs, 2 * width) if spec.history > 1 else None
        self.feature_size = inputs + (2 * width if spec.history > 1 else 0)

    def forward(self, observation: Observation) -> Features:
        """``observation.state`` is normalized already; any leading dimensions."""
        flat, lead = leading.flatten(observation)
        return leading.restore(self._forward(flat), lead)

    def _forward(self, observation: Observation) -> Features:
        batch, history = observation.present.shape
        tokens, mask = crop(observation.tokens, observation.token_mask)
        words, sentence = self.language(tokens, mask)
        asked = sentence.repeat_interleave(history, 0)
        grids = {name: stem(observation.images[name].flatten(0, 1), asked) for name, stem in self.stems.items()}
        whole = {name: grid.amax((2, 3)) if name in self.clouds else grid.flatten(1) for name, grid in grids.items()}
        parts = [functional.relu(self.readers[name](read)) for name, read in whole.items()]
        if self.state is not None:
            parts.append(functional.relu(self.state(observation.state.flatten(0, 1))))
        frames = self.dropout(torch.cat([*parts, asked], -1)).unflatten(0, (batch, history))
        cells = [grid.flatten(2).transpose(1, 2).unflatten(0, (batch, history))[:, -1] for grid in grids.values()]
        return Features(
            fused=self._remember(frames, observation.present),
            vision=torch.cat(cells, 1) if cells else None,
            language=functional.pad(words, (0, 0, 0, observation.tokens.shape[1] - words.shape[1])),
        )

    def _remember(self, frames: Float[Tensor, "b k d"], present: Bool[Tensor, "b k"]) -> Float[Tensor, "b f"]:
        """The newest frame, and with a window the memory of all present ones beside it."""
        if self.memory is None:
            return frames[:, -1]
        state = frames.new_zeros(len(frames), self.memory.hidden_size)
        for step in range(frames.shape[1]):
            state = torch.where(present[:, step, None], self.memory(frames[:, step], state), state)
        return torch.cat((frames[:, -1], state), -1)
