"""Pictures to grids of features."""

import math

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional

from vla_train.spec import ImageSpec


def to_float(image: Num[Tensor, "n c y x"]) -> Float[Tensor, "n c y x"]:
    """Integer pixels to [-1, 1]; floats (depth in metres) stay."""
    if image.dtype.is_floating_point:
        return image.float()
    return image.float() * (2.0 / torch.iinfo(image.dtype).max) - 1.0


class SymbolEmbedding(nn.Module):
    """Integer codes to features: one table for each channel, summed over channels."""

    def __init__(self, image: ImageSpec, width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(count, width) for count in image.symbols)

    def forward(self, image: Num[Tensor, "n c y x"]) -> Float[Tensor, "n d y x"]:
        embedded = [table(image[:, channel].long()) for channel, table in enumerate(self.tables)]
        return torch.stack(embedded).sum(0).permute(0, 3, 1, 2)


class FilmConv(nn.Module):
    """A residual 3 x 3 convolution whose channels the sentence scales and shifts (Perez et al. 2018, "FiLM", equation 2)."""

    def __init__(self, width: int, sentence: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(sentence, 2 * width)

    def forward(self, image: Float[Tensor, "n c y x"], sentence: Float[Tensor, "n s"]) -> Float[Tensor, "n c y x"]:
        scale, shift = self.film(sentence)[:, :, None, None].chunk(2, 1)
        return image + functional.relu(torch.addcmul(shift, self.conv(image), 1 + scale))


class FilmConvStem(nn.Module):
    """One strided convolution with overlapping windows down to a grid, then ``blocks`` convolutions that know the sentence.

    A stride of 4 (8 where a side exceeds 96 pixels, and so on) keeps small things apart and the grid small; one wide window
    costs a CPU less than a pyramid of thin ones, whose first maps are the largest. Symbols are embedded instead.
    """

    def __init__(self, image: ImageSpec, width: int, sentence: int, *, blocks: int, largest_grid: int = 24) -> None:
        super().__init__()
        self.symbols = image.kind == "symbols"
        longest = max(image.height, image.width)
        stride = 1 if self.symbols else 2 ** max(2, math.ceil(math.log2(longest / largest_grid)))
        self.enter: nn.Module = (
            SymbolEmbedding(image, width)
            if self.symbols
            else nn.Conv2d(image.channels, width, 2 * stride, stride, padding=stride // 2)
        )
        self.blocks = nn.ModuleList(FilmConv(width, sentence) for _ in range(blocks))
        self.grid = (image.height // stride, image.width // stride)

    def forward(self, image: Num[Tensor, "n c y x"], sentence: Float[Tensor, "n s"]) -> Float[Tensor, "n d _y _x"]:
        features = self.enter(image) if self.symbols else functional.relu(self.enter(to_float(image)))
        for block in self.blocks:
            features = block(features, sentence)
        return features


def grid_of(stem: nn.Module) -> tuple[int, int]:
    """Cells (y, x) that a stem gives; ModuleDict forgets the class."""
    grid: tuple[int, int] = stem.grid  # type: ignore[assignment]
    return grid


class GridPositions(nn.Module):
    """Where each cell lies: its coordinates and their waves of 1 to 8 half periods, through a linear layer.

    The coordinates themselves are among them, so a soft maximum over cells reads out a position (spatial softmax, Finn et
    al. 2016) from the first update on.
    """

    coordinates: Tensor

    def __init__(self, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in grid), indexing="ij")
        plain = torch.stack((x.flatten(), y.flatten()), -1)
        waves = torch.cat([plain * math.pi / 2 * 2**octave for octave in range(4)], -1)
        self.register_buffer("coordinates", torch.cat((plain, waves.sin(), waves.cos()), -1), persistent=False)
        self.project = nn.Linear(self.coordinates.shape[1], width)

    def forward(self) -> Float[Tensor, "p d"]:
        return self.project(self.coordinates)  # type: ignore[no-any-return]


class PatchStem(nn.Module):
    """Each patch through one linear layer (Dosovitskiy et al. 2021, equation 1); each symbol is a patch of its own."""

    def __init__(self, image: ImageSpec, width: int, patch: int) -> None:
        super().__init__()
        self.symbols = image.kind == "symbols"
        self.enter: nn.Module = (
            SymbolEmbedding(image, width) if self.symbols else nn.Conv2d(image.channels, width, patch, stride=patch)
        )
        size = 1 if self.symbols else patch
        self.grid = (image.height // size, image.width // size)

    def forward(self, image: Num[Tensor, "n c y x"]) -> Float[Tensor, "n d _y _x"]:
        return self.enter(image if self.symbols else to_float(image))  # type: ignore[no-any-return]
