"""The state of n tabletop worlds as arrays with a leading environment axis.

m is the number of object slots, t of trays and w of walls (both 0 in the first two stages).
"""

from dataclasses import dataclass, fields

import numpy as np

FAR = 10.0  # where the slots without an object are: out of reach of everything


@dataclass
class State:
    """Empty slots have shape and colour 0 and lie ``FAR`` away. Angles in radians, lengths in metres."""

    seed: np.ndarray  # int64 [n]
    count: np.ndarray  # int64 [n], objects in the scene; they fill the first slots
    colour: np.ndarray  # int64 [n, m]
    shape: np.ndarray  # int64 [n, m]
    x: np.ndarray  # float64 [n, m]
    y: np.ndarray  # float64 [n, m]
    angle: np.ndarray  # float64 [n, m]
    start_x: np.ndarray  # float64 [n, m], where the objects were when the episode began
    start_y: np.ndarray  # float64 [n, m]
    layer: np.ndarray  # int64 [n, m], 0 on the table; an object put down over others lies in a higher layer than all before
    tray_x: np.ndarray  # float64 [n, t], centres
    tray_y: np.ndarray  # float64 [n, t]
    wall_x: np.ndarray  # float64 [n, w], centres
    wall_y: np.ndarray  # float64 [n, w]
    wall_upright: np.ndarray  # int64 [n, w], 1 for a wall along y, 0 for one along x
    tip_x: np.ndarray  # float64 [n]
    tip_y: np.ndarray  # float64 [n]
    yaw: np.ndarray  # float64 [n]
    opening: np.ndarray  # float64 [n], 0 closed to 1 open
    held: np.ndarray  # int64 [n], slot of the object in the gripper, or -1
    still: np.ndarray  # int64 [n], slow steps in a row
    touched: np.ndarray  # int64 [n], slot of the object first touched, or -1
    steps: np.ndarray  # int64 [n]

    @classmethod
    def empty(cls, num_envs: int, slots: int, trays: int = 0, walls: int = 0) -> "State":
        def integers(*shape: int, value: int = 0) -> np.ndarray:
            return np.full(shape, value, np.int64)

        def floats(*shape: int, value: float = 0.0) -> np.ndarray:
            return np.full(shape, value, np.float64)

        n, m, t, w = num_envs, slots, trays, walls
        return cls(
            seed=integers(n), count=integers(n), colour=integers(n, m), shape=integers(n, m),
            x=floats(n, m, value=FAR), y=floats(n, m, value=FAR), angle=floats(n, m),
            start_x=floats(n, m, value=FAR), start_y=floats(n, m, value=FAR),
            layer=integers(n, m), tray_x=floats(n, t), tray_y=floats(n, t),
            wall_x=floats(n, w), wall_y=floats(n, w), wall_upright=integers(n, w),
            tip_x=floats(n), tip_y=floats(n), yaw=floats(n), opening=floats(n, value=1.0), held=integers(n, value=-1),
            still=integers(n), touched=integers(n, value=-1), steps=integers(n),
        )  # fmt: skip

    @property
    def num_slots(self) -> int:
        return int(self.colour.shape[1])

    @property
    def furnished(self) -> bool:
        """Whether there are trays or walls."""
        return bool(self.tray_x.shape[1] + self.wall_x.shape[1])

    @property
    def present(self) -> np.ndarray:
        """bool [n, m]: the slots with an object."""
        return np.arange(self.num_slots) < self.count[:, None]

    def rows(self, index: np.ndarray) -> "State":
        """A copy of some rows."""
        return State(**{field.name: getattr(self, field.name)[index].copy() for field in fields(self)})

    def assign(self, index: np.ndarray, other: "State") -> None:
        """Put the rows of ``other`` at ``index``."""
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(other, field.name)

    def vector(self) -> np.ndarray:
        """What the policy is told of its robot, float32 [n, 5]; ``STATE_NAMES`` has the names and units."""
        out = np.empty((len(self.tip_x), 5), np.float32)
        out[:, 0], out[:, 1], out[:, 2], out[:, 3] = self.tip_x, self.tip_y, self.yaw, self.opening
        out[:, 4] = self.held >= 0
        return out


STATE_NAMES = ("x (m)", "y (m)", "yaw (rad)", "opening (0 closed, 1 open)", "holding (0 or 1)")
