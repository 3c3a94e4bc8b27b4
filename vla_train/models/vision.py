"""Pictures to grids of features."""

import itertools
import math

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional

from vla_train.errors import UsageError
from vla_train.models.points import PointStem, PointTokens
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


class Conv2d(nn.Conv2d):
    """Pictures come with their channels last; weights in that order spare the CPU a copy of them, a sixth of an update.

    Stored they stay as they are everywhere else, and so do the optimizer's averages of them.
    """

    def forward(self, image: Float[Tensor, "n c y x"]) -> Float[Tensor, "n d _y _x"]:
        weight = self.weight.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(image, weight, self.bias, self.stride, self.padding)


class Halvings(nn.Module):
    """Convolutions of stride 2."""

    def __init__(self, channels: int, width: int, halvings: int) -> None:
        super().__init__()
        sizes = [channels, width // 2, *[width] * (halvings - 1)] if halvings > 1 else [channels, width]
        self.layers = nn.ModuleList(Conv2d(*pair, 4, 2, padding=1) for pair in itertools.pairwise(sizes))

    def forward(self, image: Num[Tensor, "n c y x"]) -> Float[Tensor, "n d _y _x"]:
        features = to_float(image)
        for layer in self.layers:
            features = functional.relu(layer(features))
        return features


class FilmConv(nn.Module):
    """A residual 3 x 3 convolution whose channels the sentence scales and shifts (Perez et al. 2018, "FiLM", equation 2)."""

    def __init__(self, width: int, sentence: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(sentence, 2 * width)

    def forward(self, image: Float[Tensor, "n c y x"], sentence: Float[Tensor, "n s"]) -> Float[Tensor, "n c y x"]:
        scale, shift = self.film(sentence)[:, :, None, None].chunk(2, 1)
        return image + functional.relu(torch.addcmul(shift, self.conv(image), 1 + scale))


class FilmConvStem(nn.Module):
    """Halving convolutions (at least two) down to a grid of at most ``largest_grid`` cells a side, then ``blocks`` FiLM blocks.

    The first convolution has half the channels: its map is the largest and costs the most. Symbols are embedded, not halved.
    """

    def __init__(self, image: ImageSpec, width: int, sentence: int, *, blocks: int, largest_grid: int = 24) -> None:
        super().__init__()
        self.enter: nn.Module
        if image.kind == "symbols":
            self.enter = SymbolEmbedding(image, width)
            self.grid = (image.height, image.width)
        else:
            wanted = max(2, math.ceil(math.log2(max(image.height, image.width) / largest_grid)))
            halvings = min(wanted, int(math.log2(min(image.height, image.width))))  # of a tiny picture something must remain
            self.enter = Halvings(image.channels, width, halvings)
            self.grid = (image.height >> halvings, image.width >> halvings)
        self.blocks = nn.ModuleList(FilmConv(width, sentence) for _ in range(blocks))

    def forward(self, image: Num[Tensor, "n c y x"], sentence: Float[Tensor, "n s"]) -> Float[Tensor, "n d _y _x"]:
        features = self.enter(image)
        for block in self.blocks:
            features = block(features, sentence)
        return features  # type: ignore[no-any-return]


def film_stem(image: ImageSpec, width: int, sentence: int, *, blocks: int, largest_grid: int = 24) -> nn.Module:
    """The stem that knows the sentence, of pictures or of point clouds."""
    if image.kind == "points":
        return PointStem(image, width, sentence, blocks=blocks)
    return FilmConvStem(image, width, sentence, blocks=blocks, largest_grid=largest_grid)


def patch_stem(image: ImageSpec, width: int, patch: int) -> nn.Module:
    """The stem of tokens, of pictures or of point clouds."""
    return PointTokens(image, width) if image.kind == "points" else PatchStem(image, width, patch)


def grid_of(stem: nn.Module) -> tuple[int, int]:
    """Cells (y, x) that a stem gives; ModuleDict forgets the class."""
    grid: tuple[int, int] = stem.grid  # type: ignore[assignment]
    return grid


class PatchStem(nn.Module):
    """Each patch through one linear layer (Dosovitskiy et al. 2021, equation 1); each symbol is a patch of its own."""

    def __init__(self, image: ImageSpec, width: int, patch: int) -> None:
        super().__init__()
        symbols = image.kind == "symbols"
        self.symbols = SymbolEmbedding(image, width) if symbols else None
        self.patches = None if symbols else nn.Conv2d(image.channels, width, patch, stride=patch)
        size = 1 if symbols else patch
        if min(image.height, image.width) < size:
            raise UsageError(f"model.patch={patch} is larger than the picture ({image.height} x {image.width}): make it smaller")
        self.grid = (image.height // size, image.width // size)

    def forward(self, image: Num[Tensor, "n c y x"]) -> Float[Tensor, "n d _y _x"]:
        return self.symbols(image) if self.symbols is not None else self.patches(to_float(image))  # type: ignore[no-any-return, misc]
