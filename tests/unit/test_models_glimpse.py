"""A glimpse says where something is and what it is."""

import pytest
import torch

from vla_train.models.glimpse import Glimpse, GridPositions, cell_centres


def test_cell_centres_go_row_by_row():
    assert cell_centres((2, 3)).tolist() == [[-1, -1], [0, -1], [1, -1], [-1, 1], [0, 1], [1, 1]]


def colour_glimpse() -> Glimpse:
    """Asks for whatever is known: one query, two features."""
    glimpse = Glimpse(2, 2, (4, 4), queries=1)
    with torch.no_grad():
        glimpse.ask.weight.copy_(torch.eye(2))
        glimpse.ask.bias.zero_()
        glimpse.gain.fill_(4.0)
    return glimpse


def test_it_finds_the_cell_that_it_is_asked_for():
    cells = torch.zeros(2, 16, 2)
    cells[:, 6, 0] = 0.01  # something faint of the first kind in row 1, column 2
    cells[:, 12, 1] = 0.01  # and of the second kind in row 3, column 0
    seen = colour_glimpse()(torch.eye(2), cells)
    # one cell of 16 stands sqrt(15) deviations above the mean of all: attention e^(4 (sqrt(15) + 1 / sqrt(15))) to 1
    assert seen[0].tolist() == pytest.approx([1 / 3, -1 / 3, 0.01, 0.0], abs=1e-3)
    assert seen[1].tolist() == pytest.approx([-1.0, 1.0, 0.0, 0.01], abs=1e-3)


def test_the_deviation_of_the_scores_does_not_depend_on_contrast_or_background():
    glimpse, cells = colour_glimpse(), torch.rand(1, 16, 2)
    known = torch.tensor([[1.0, 2.0]])
    place = glimpse(known, cells)[:, :2]
    torch.testing.assert_close(glimpse(10 * known, cells)[:, :2], place, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(glimpse(known, cells + 5)[:, :2], place, rtol=1e-3, atol=1e-4)


def test_an_empty_picture_gives_its_centre_and_finite_gradients():
    cells = torch.full((1, 16, 2), 0.5, requires_grad=True)
    seen = colour_glimpse()(torch.ones(1, 2), cells)
    assert seen[0].tolist() == pytest.approx([0, 0, 0.5, 0.5], abs=1e-5)
    seen.sum().backward()
    assert torch.isfinite(cells.grad).all()


def test_grid_positions_tell_every_cell_apart():
    positions = GridPositions((5, 4), 8)().detach()
    assert positions.shape == (20, 8)
    assert torch.cdist(positions, positions).add(10 * torch.eye(20)).min() > 0.01
