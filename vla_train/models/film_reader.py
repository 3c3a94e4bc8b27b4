"""``stem=film_conv``: convolutions that know the instruction, and glimpses at them, each directed by the one before."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vla_train.models.attention import SelfAttentionBlock
from vla_train.models.glimpse import Glimpse, GridPositions
from vla_train.models.language import LanguageEncoder, Reading, crop
from vla_train.models.points import coordinates
from vla_train.models.vision import film_stem, grid_of
from vla_train.spec import ImageSpec, Spec
from vla_train.types import Features, Observation


class Layer(nn.Module):
    """One glimpse at every camera, and at the words if ``words`` is not 0; and what is known after it."""

    def __init__(self, known: int, width: int, grids: Mapping[str, tuple[int, int] | None], queries: int, words: int) -> None:
        super().__init__()
        glimpses = {name: Glimpse(known, width, grid, queries) for name, grid in grids.items()}
        self.glimpses = nn.ModuleDict(glimpses)
        self.reading = Reading(known, width, words) if words else None
        self.learn = nn.Linear(known + sum(glimpse.size for glimpse in glimpses.values()) + words * width, known)

    def forward(
        self,
        known: Float[Tensor, "n f"],
        cells: Mapping[str, Tensor],
        points: Mapping[str, Tensor],
        words: Float[Tensor, "n l d"],
        mask: Bool[Tensor, "n l"],
    ) -> Float[Tensor, "n f"]:
        seen = [glimpse(known, cells[name], points.get(name)) for name, glimpse in self.glimpses.items()]
        if self.reading is not None:
            seen.append(self.reading(known, words, mask))
        return functional.relu(self.learn(torch.cat((known, *seen), -1)))


class FilmReader(nn.Module):
    """Sentence and state direct the first of ``layers`` glimpses at the frame; the head reads what was known at every step.

    With a window, a transformer block over its frames adds what the newest one makes of those before it.
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
        words: int,
        fusion: int | None,
        places: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        known = fusion or 2 * width
        self.language = LanguageEncoder(vocabulary_size, max_tokens, width, num_heads, dropout)
        self.stems = nn.ModuleDict({name: film_stem(image, width, width, blocks=blocks) for name, image in image_specs.items()})
        self.clouds = [name for name, image in image_specs.items() if image.kind == "points"]
        grids = {name: None if name in self.clouds else grid_of(stem) for name, stem in self.stems.items()}
        # What lies ahead of a walker in a grid world is a matter of place; in pictures places only slow learning down.
        self.places = nn.ModuleDict(
            {
                name: GridPositions(grid, width)
                for name, grid in grids.items()
                if places and grid is not None and image_specs[name].kind == "symbols"
            }
        )
        self.begin = nn.Linear(width + spec.state_size, known)
        self.layers = nn.ModuleList(Layer(known, width, grids, queries, words) for _ in range(layers if grids else 1))
        self.dropout = nn.Dropout(dropout)
        size = (len(self.layers) + 1) * known
        self.window = FrameWindow(size, known, spec.history, num_heads, dropout) if spec.history > 1 else None
        self.feature_size = size + (known if spec.history > 1 else 0)

    def forward(self, observation: Observation) -> Features:
        """Leading dimension: b only."""
        batch, history = observation.present.shape
        tokens, mask = crop(observation.tokens, observation.token_mask)
        words, sentence = self.language(tokens, mask)
        asked, said, spoken = (part.repeat_interleave(history, 0) for part in (sentence, words, mask))
        cells = {
            name: stem(observation.images[name].flatten(0, 1), asked).flatten(2).transpose(1, 2)
            for name, stem in self.stems.items()
        }
        cells |= {name: cells[name] + places() for name, places in self.places.items()}
        points = {name: coordinates(observation.images[name].flatten(0, 1)) for name in self.clouds}
        known = [functional.relu(self.begin(torch.cat((asked, observation.state.flatten(0, 1)), -1)))]
        for layer in self.layers:
            known.append(layer(known[-1], cells, points, said, spoken))
        frames = self.dropout(torch.cat(known, -1)).view(batch, history, -1)
        return Features(
            fused=frames[:, -1] if self.window is None else self.window(frames, observation.present),
            vision=torch.cat([cell[history - 1 :: history] for cell in cells.values()], 1) if cells else None,
            language=functional.pad(words, (0, 0, 0, observation.tokens.shape[1] - words.shape[1])),
        )


class FrameWindow(nn.Module):
    """The newest frame's features, and beside them what attention over the window's present frames makes of it."""

    def __init__(self, size: int, width: int, history: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(size, width)
        self.ages = nn.Parameter(0.1 * torch.randn(history, width))
        self.block = SelfAttentionBlock(width, num_heads, dropout)

    def forward(self, frames: Float[Tensor, "b k f"], present: Bool[Tensor, "b k"]) -> Float[Tensor, "b g"]:
        seen = torch.cat((present[:, :-1], torch.ones_like(present[:, -1:])), 1)
        read = self.block(self.enter(frames) + self.ages, seen)
        return torch.cat((frames[:, -1], read[:, -1]), -1)
