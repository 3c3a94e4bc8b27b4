"""References by relation: "the cup nearest to the red box"."""

import numpy as np

from vla_train.envs.tabletop.grammar import Noun
from vla_train.envs.tabletop.state import State

MARGIN = 0.06  # metres by which the nearest is nearer than the next: a person sees which is meant


def same_kind(state: State, slot: np.ndarray, noun: np.ndarray) -> np.ndarray:
    """bool [n, m]: the objects that share the shape (or the colour) of each row's object, itself among them."""
    rows = np.arange(len(slot))
    attribute = np.where((noun == Noun.SHAPE)[:, None], state.shape, state.colour)
    alike: np.ndarray = (attribute == attribute[rows, slot][:, None]) & state.present
    return alike


def is_nearest(state: State, slot: np.ndarray, noun: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """bool [n]: of two or more objects of a kind, that in ``slot`` is clearly the nearest to the anchor, which is of another."""
    rows, alike = np.arange(len(slot)), same_kind(state, slot, noun)
    dx, dy = state.x - state.x[rows, anchor][:, None], state.y - state.y[rows, anchor][:, None]
    away = np.sqrt(dx * dx + dy * dy)
    own = away[rows, slot]
    away = np.where(alike, away, np.inf)
    away[rows, slot] = np.inf
    next_one = away.min(axis=1)
    outside = ~alike[rows, anchor] & state.present[rows, anchor]
    nearest: np.ndarray = outside & np.isfinite(next_one) & (own + MARGIN <= next_one)
    return nearest
