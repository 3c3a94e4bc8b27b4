"""What is held out from training, fixed for ever: colour x shape pairs, and wordings (see ``grammar``).

Layouts are held out by their seeds (``vla_train.seeds``). The four held-out pairs form a Latin transversal: each colour and each
shape is missing from training once and seen three times.
"""

import numpy as np

from vla_train.envs.tabletop.world import COLOURS, SHAPES

SPLITS = ("train", "templates", "pairs")
HELD_OUT_PAIRS = (("red", "bottle"), ("blue", "ball"), ("green", "cup"), ("yellow", "box"))

_held_out = {COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape) for colour, shape in HELD_OUT_PAIRS}
ALL_PAIRS = np.arange(len(COLOURS) * len(SHAPES))  # a pair is colour * 4 + shape
IS_HELD_OUT = np.isin(ALL_PAIRS, sorted(_held_out))


def target_pairs(split: str) -> np.ndarray:
    """The pairs that can be the target of a split, int64 [k]."""
    return ALL_PAIRS[IS_HELD_OUT] if split == "pairs" else ALL_PAIRS[~IS_HELD_OUT]


def scene_pairs(split: str) -> np.ndarray:
    """bool [16]: the pairs that can stand in a scene of a split at all."""
    return np.ones(len(ALL_PAIRS), bool) if split == "pairs" else ~IS_HELD_OUT
