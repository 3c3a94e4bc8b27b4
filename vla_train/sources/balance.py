"""Frames in which something happens that seldom does, drawn more often than they come."""

from collections.abc import Sequence

import numpy as np

MOVED = 0.05  # of its range: an action number this far from its median moves
SELDOM = 0.1  # of the frames: what moves, or is chosen, in fewer of them is rare


def rare_frames(actions: np.ndarray) -> np.ndarray:
    """bool [n]: whether any number of an action, float32 [n, a], moves that rests in most of the others; or, int64 [n, 1],
    whether the choice itself is rare. A number moves where it is more than ``MOVED`` of its range from its median."""
    if np.issubdtype(actions.dtype, np.integer):
        _, kinds, counts = np.unique(actions[:, 0], return_inverse=True, return_counts=True)
        chosen: np.ndarray = counts[kinds] < SELDOM * len(actions)
        return chosen
    moved = np.abs(actions - np.median(actions, axis=0)) > MOVED * np.ptp(actions, axis=0)
    found: np.ndarray = moved[:, moved.mean(axis=0) < SELDOM].any(axis=1)
    return found


def balanced(
    parts: Sequence[np.ndarray], weights: Sequence[float] | None, actions: np.ndarray, share: float
) -> tuple[list[np.ndarray], list[float]]:
    """Each part, int64 [n], as its rare frames and its others, with weights by which at least ``share`` of it is rare.

    A part without rare frames, or with as many anyway, is drawn as it is. ``weights`` of the parts: None is by their sizes.
    ``actions`` are those of all frames.
    """
    found: list[np.ndarray] = []
    turns: list[float] = []
    for part, weight in zip(parts, [len(part) for part in parts] if weights is None else weights, strict=True):
        rare = rare_frames(actions[part]) if len(part) else np.zeros(0, dtype=bool)
        if 0 < rare.sum() < share * len(part):
            found += [part[rare], part[~rare]]
            turns += [weight * share, weight * (1.0 - share)]
        else:
            found.append(part)
            turns.append(float(weight))
    return found, turns
