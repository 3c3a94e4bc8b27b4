"""Stems: what the sentence does to a picture, and the grids that pictures become."""

import pytest
import torch

from vla_train.models.vision import FilmConv, FilmConvStem, PatchStem, SymbolEmbedding, to_float
from vla_train.spec import ImageSpec


def test_pixels_lie_in_minus_one_to_one_and_metres_stay():
    assert to_float(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).flatten().tolist() == pytest.approx([-1, 1])
    assert to_float(torch.full((1, 1, 1, 1), 2.5)).item() == 2.5


def test_film_scales_shifts_and_adds():
    block = FilmConv(2, 1)
    with torch.no_grad():
        block.conv.weight.zero_()
        block.conv.bias.copy_(torch.tensor([1.0, 2.0]))
        block.film.weight.copy_(torch.tensor([[1.0], [0.0], [0.0], [-10.0]]))  # scales [s, 0], shifts [0, -10 s]
        block.film.bias.zero_()
    image = torch.full((1, 2, 3, 3), 5.0)
    # channel 0: 5 + relu(1 x (1 + 2) + 0) = 8; channel 1: 5 + relu(2 x (1 + 0) - 20) = 5
    assert block(image, torch.tensor([[2.0]]))[0, :, 1, 1].tolist() == [8.0, 5.0]


def test_symbols_are_summed_over_channels():
    embedding = SymbolEmbedding(ImageSpec(1, 2, 2, "symbols", (3, 2)), 4)
    found = embedding(torch.tensor([[[[2, 0]], [[1, 1]]]], dtype=torch.uint8))
    first, second = (table.weight for table in embedding.tables)
    assert found.shape == (1, 4, 1, 2)
    assert found[0, :, 0, 0].equal(first[2] + second[1])
    assert found[0, :, 0, 1].equal(first[0] + second[1])


@pytest.mark.parametrize(
    ("size", "grid"),
    [((64, 64), (16, 16)), ((56, 56), (14, 14)), ((96, 96), (24, 24)), ((120, 200), (7, 12)), ((9, 8), (2, 2)), ((3, 3), (1, 1))],
)
def test_grids(size, grid):
    stem = FilmConvStem(ImageSpec(*size), 8, 4, blocks=1)
    assert stem.grid == grid
    assert stem(torch.zeros(1, 3, *size, dtype=torch.uint8), torch.zeros(1, 4)).shape == (1, 8, *grid)


def test_patches():
    stem = PatchStem(ImageSpec(20, 17), 8, patch=8)
    assert stem.grid == (2, 2)
    assert stem(torch.zeros(1, 3, 20, 17, dtype=torch.uint8)).shape == (1, 8, 2, 2)
