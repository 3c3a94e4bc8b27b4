"""Looking at a picture: a few questions, each answered by a place and by what is there."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

FIRST_GAIN = 1.5  # a cell 4 deviations above the mean then weighs e^6 = 400 times as much as an average one


def cell_centres(grid: tuple[int, int]) -> Float[Tensor, "p 2"]:
    """Where the cells (y, x) of a grid lie, row by row, as (x, y) in [-1, 1]."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in grid), indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), -1)


class Glimpse(nn.Module):
    """Cross-attention whose queries come from what is known so far, and whose answers are not mixed.

    For each query: the mean position of the cells that it attends to (spatial softmax, Levine et al. 2016, section 5.1) and
    their mean features. The scores of a query over the cells are brought to mean 0 and a learned deviation. The few cells that
    hold something are outliers among many of background, so attention falls on things from the first update on; with plain
    dot products it begins uniform, and learning which thing the words mean hardly starts. The cells of a cloud
    (``grid`` None) are its points, and lie where these do: in space, not on a grid.
    """

    centres: Tensor | None

    def __init__(self, known: int, width: int, grid: tuple[int, int] | None, queries: int) -> None:
        super().__init__()
        self.ask = nn.Linear(known, queries * width)
        self.gain = nn.Parameter(torch.full((queries, 1), FIRST_GAIN))
        self.register_buffer("centres", None if grid is None else cell_centres(grid), persistent=False)
        self.size = queries * (width + (3 if grid is None else 2))

    def forward(
        self, known: Float[Tensor, "n f"], cells: Float[Tensor, "n p d"], points: Float[Tensor, "n p 3"] | None = None
    ) -> Float[Tensor, "n {self.size}"]:
        query = self.ask(known).view(len(cells), -1, cells.shape[-1])
        score = (query @ cells.transpose(1, 2)).float()
        score = score - score.mean(-1, keepdim=True)
        # the epsilon keeps the gradient finite where all cells are alike
        score = score * self.gain * torch.rsqrt(score.square().mean(-1, keepdim=True) + 1e-6)
        weight = score.softmax(-1).to(cells.dtype)
        places = self.centres if points is None else points.to(cells.dtype)
        assert places is not None, "the points of a cloud are given"
        return torch.cat((weight @ places, weight @ cells), -1).flatten(1)


class GridPositions(nn.Module):
    """A vector for each cell: its coordinates and their waves of 1 to 8 half periods, through a linear layer."""

    waves: Tensor

    def __init__(self, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        centres = cell_centres(grid)
        phases = torch.cat([centres * math.pi / 2 * 2**octave for octave in range(4)], -1)
        self.register_buffer("waves", torch.cat((centres, phases.sin(), phases.cos()), -1), persistent=False)
        self.project = nn.Linear(self.waves.shape[1], width)

    def forward(self) -> Float[Tensor, "p d"]:
        return self.project(self.waves)  # type: ignore[no-any-return]
