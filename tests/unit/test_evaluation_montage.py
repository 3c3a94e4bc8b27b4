"""The rollout picture frames every outcome in a colour of its own."""

from typing import get_args, get_type_hints

import numpy as np
import pytest

from vla_train.evaluation.montage import BACKGROUND, montage
from vla_train.rollouts import Episode

OUTCOMES = get_args(get_type_hints(Episode)["outcome"])


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_is_seen_once_it_is_there(outcome):
    frames = [np.zeros((64, 64, 3), np.uint8)] * 3
    film = montage([Episode(0, 5, "go", outcome=outcome, length=2, frames=frames)])
    assert tuple(film[0, 0, 0]) == BACKGROUND
    assert tuple(film[-1, 0, 0]) != BACKGROUND


def test_outcomes_differ():
    frames = [np.zeros((64, 64, 3), np.uint8)]
    films = [montage([Episode(0, 5, "go", outcome=outcome, frames=frames)]) for outcome in OUTCOMES]
    assert len({tuple(film[-1, 0, 0]) for film in films}) == len(OUTCOMES)
