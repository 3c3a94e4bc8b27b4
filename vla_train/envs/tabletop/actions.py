"""The continuous action and the discrete set of actions, and the checks that both pass."""

import numpy as np

from vla_train.envs.tabletop import world
from vla_train.errors import WorldError
from vla_train.spec import ActionSpec

STRIDE = 0.6  # of the largest step or turn, in every discrete action: a lattice fine enough to grasp on
_CLEAR = 0.22  # a wish above this is worth a stride; with less the lattice comes no nearer

DISCRETE: dict[str, tuple[float, float, float, float]] = {
    "stay": (0, 0, 0, 0),
    "right": (STRIDE, 0, 0, 0),
    "forward right": (STRIDE, STRIDE, 0, 0),
    "forward": (0, STRIDE, 0, 0),
    "forward left": (-STRIDE, STRIDE, 0, 0),
    "left": (-STRIDE, 0, 0, 0),
    "back left": (-STRIDE, -STRIDE, 0, 0),
    "back": (0, -STRIDE, 0, 0),
    "back right": (STRIDE, -STRIDE, 0, 0),
    "turn left": (0, 0, STRIDE, 0),
    "turn right": (0, 0, -STRIDE, 0),
    "open": (0, 0, 0, 1),
    "close": (0, 0, 0, -1),
}
_TABLE = np.array(list(DISCRETE.values()), np.float64)
_NAMES = list(DISCRETE)
_COMPASS = np.array(  # action for a step of -1, 0, 1 in x (first axis) and y
    [["back left", "left", "forward left"], ["back", "stay", "forward"], ["back right", "right", "forward right"]]
)
_MOVES = np.vectorize(_NAMES.index)(_COMPASS)

ACTIONS: dict[str, ActionSpec] = {
    "continuous": ActionSpec(
        kind="continuous",
        size=4,
        low=(-1.0,) * 4,
        high=(1.0,) * 4,
        names=("dx", "dy", "dyaw", "gripper"),
        units=(f"{world.MOVE} m", f"{world.MOVE} m", f"{world.TURN} rad", f"{world.GRIP} of the opening"),
    ),
    "discrete": ActionSpec(kind="discrete", size=1, choices=len(DISCRETE), names=tuple(DISCRETE)),
}


def to_motion(actions: np.ndarray, spec: ActionSpec, num_envs: int) -> np.ndarray:
    """Checked actions as (dx, dy, dyaw, gripper), float64 [n, 4] within [-1, 1]."""
    actions = np.asarray(actions)
    expected = (num_envs, spec.size)
    if actions.shape != expected:
        raise WorldError(f"tabletop: actions have the shape {list(actions.shape)}; it must be {list(expected)}")
    if spec.kind == "discrete":
        chosen: np.ndarray = _TABLE[_checked_choices(actions[:, 0])]
        return chosen
    motion = actions.astype(np.float64)
    if not np.isfinite(motion).all():
        row, column = np.argwhere(~np.isfinite(motion))[0]
        raise WorldError(f"tabletop: action {spec.names[column]} of row {row} is {motion[row, column]}; actions must be finite")
    clipped: np.ndarray = np.minimum(np.maximum(motion, -1.0), 1.0)
    return clipped


def _checked_choices(choices: np.ndarray) -> np.ndarray:
    if not np.issubdtype(choices.dtype, np.integer):
        raise WorldError(f"tabletop: discrete actions must be integers, not {choices.dtype}")
    wrong = (choices < 0) | (choices >= len(_TABLE))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise WorldError(f"tabletop: action {choices[row]} of row {row} is none of 0 to {len(_TABLE) - 1}")
    return choices


def discretise(motion: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """Discrete actions int64 [n, 1] nearest in purpose to the expert's wishes [n, 4]: open, else move, else turn, else close."""
    step = np.sign(motion[:, :2]) * (np.abs(motion[:, :2]) > _CLEAR)
    move = _MOVES[step[:, 0].astype(np.int64) + 1, step[:, 1].astype(np.int64) + 1]
    turn = np.where(motion[:, 2] > 0, _NAMES.index("turn left"), _NAMES.index("turn right"))
    choice = np.where(motion[:, 3] < 0.5, _NAMES.index("close"), _NAMES.index("stay"))
    choice = np.where(np.abs(motion[:, 2]) > _CLEAR, turn, choice)
    choice = np.where(move != _NAMES.index("stay"), move, choice)
    opens = (motion[:, 3] > 0.5) & (opening < 1)
    return np.where(opens, _NAMES.index("open"), choice)[:, None]
