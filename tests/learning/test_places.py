"""In a grid of symbols the reader finds out what stands in one certain cell, such as the one ahead of a walker."""

import torch
from torch.nn import functional

from vla_train.models.film_reader import FilmReader
from vla_train.spec import ActionSpec, ImageSpec, Spec
from vla_train.types import Observation

VIEW = ImageSpec(7, 7, 2, "symbols", (6, 6))
THINGS = 8  # among 49 cells


def views(number: int) -> tuple[Observation, torch.Tensor]:
    """Things of random kinds in random cells, one of them ahead (row 5, column 3) in every second view; and whether one is."""
    order = torch.rand(number, 48).argsort(1)[:, :THINGS]
    cells = order + (order >= 38).long()  # all but cell 38, which is the one ahead
    ahead = torch.arange(number) % 2 == 0
    cells[ahead, 0] = 38
    image = torch.zeros(number, 2, 49, dtype=torch.uint8)
    kinds = torch.randint(1, 6, (number, 2, THINGS), dtype=torch.uint8)
    image.scatter_(2, cells[:, None].expand(-1, 2, -1), kinds)
    tokens = torch.ones(number, 1, dtype=torch.long)
    observation = Observation(
        images={"view": image.unflatten(2, (7, 7))[:, None]},
        tokens=tokens,
        token_mask=tokens.bool(),
        state=torch.zeros(number, 1, 0),
        present=torch.ones(number, 1, dtype=torch.bool),
        task=torch.zeros(number, dtype=torch.long),
        domain=torch.zeros(number, dtype=torch.long),
    )
    return observation, ahead.float()


def test_what_stands_ahead_is_learned():
    torch.manual_seed(0)
    spec = Spec(images={"view": VIEW}, state_size=0, action=ActionSpec("discrete", 1, choices=2), history=1, chunk=1)
    reader = FilmReader(
        spec,
        {"view": VIEW},
        2,
        1,
        queries=4,
        blocks=1,
        words=0,
        fusion=None,
        places=True,
        dropout=0.0,
        width=32,
        layers=1,
        num_heads=1,
    )
    answer = torch.nn.Linear(reader.feature_size, 1)
    optimizer = torch.optim.Adam([*reader.parameters(), *answer.parameters()], 3e-3)
    for _ in range(200):
        observation, ahead = views(64)
        loss = functional.binary_cross_entropy_with_logits(answer(reader(observation).fused)[:, 0], ahead)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        observation, ahead = views(500)
        right = ((answer(reader(observation).fused)[:, 0] > 0) == ahead.bool()).float().mean().item()
    assert right > 0.95, right
