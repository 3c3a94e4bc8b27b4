"""What things look like from above: each is a handful of rounded boxes ("parts") in its own frame.

A part is (x, y, half length, half width, corner radius, shade): metres, and a factor on the object's colour. Later parts lie on
earlier ones. Objects can be told apart by outline alone: a ring with a handle, a square, a disc, a long neck.
"""

import numpy as np

from vla_train.envs.tabletop.world import COLOURS, SHAPES, TRAY_HALF, WALL_HALF

NUM_PARTS = 3
_NONE = (0.0, 0.0, -1.0, -1.0, 0.0, 1.0)  # a part that covers nothing

_PARTS: dict[str, tuple[tuple[float, ...], ...]] = {
    "cup": ((0.0, 0.0, 0.046, 0.046, 0.046, 1.0), (0.056, 0.0, 0.020, 0.013, 0.008, 1.0), (0.0, 0.0, 0.030, 0.030, 0.030, 0.35)),
    "box": ((0.0, 0.0, 0.048, 0.048, 0.002, 1.0), (0.0, 0.0, 0.048, 0.008, 0.002, 0.62), _NONE),
    "ball": ((0.0, 0.0, 0.046, 0.046, 0.046, 1.0), (-0.013, 0.013, 0.013, 0.013, 0.013, 1.25), _NONE),
    "bottle": (
        (-0.024, 0.0, 0.050, 0.027, 0.010, 1.0),
        (0.044, 0.0, 0.034, 0.012, 0.004, 1.0),
        (0.072, 0.0, 0.010, 0.014, 0.003, 0.45),
    ),
}
PARTS = np.array([_PARTS[shape] for shape in SHAPES], np.float32)  # [shape, part, 6]
REACH = 0.090  # metres: no object is larger than this from its centre

_RGB = {"red": (200, 36, 36), "blue": (40, 76, 200), "green": (34, 150, 52), "yellow": (204, 176, 20)}
RGB = np.array([_RGB[colour] for colour in COLOURS], np.int16)  # times the largest shade it stays within 255
TABLE_RGB, MARK_RGB, FLOOR_RGB = (196, 186, 168), (176, 164, 144), (92, 88, 84)
GRIPPER_RGB = np.array([36, 36, 42], np.int16)

# Trays: a rim and a floor. Walls: a long block with a ridge. Neither turns, but for walls by a right angle.
_TRAY = ((0.0, 0.0, TRAY_HALF, TRAY_HALF, 0.014, 0.55), (0.0, 0.0, TRAY_HALF - 0.012, TRAY_HALF - 0.012, 0.006, 1.0), _NONE)
_WALL = ((0.0, 0.0, *WALL_HALF, 0.003, 1.0), (0.0, 0.0, WALL_HALF[0], 0.003, 0.001, 1.6), _NONE)
TRAY_PARTS, WALL_PARTS = np.array([_TRAY], np.float32), np.array([_WALL], np.float32)
TRAY_REACH, WALL_REACH = 0.110, 0.125
TRAY_RGB = np.array([(238, 238, 234), (138, 142, 150)], np.int16)  # in the order of ``world.TRAYS``
WALL_RGB = np.array([108, 62, 40], np.int16)

SHADOW_OFFSET = 0.012  # metres to the right and towards the viewer, of an object that lies on another

FINGER = (0.036, 0.009)  # half length and width
FINGER_OFFSET = (0.026, 0.036)  # of a closed gripper, and what opening adds
GRIPPER_REACH = 0.080
MARK_HALF = 0.012  # of the painted square in the middle of each region
OPENINGS = 9  # of the gripper, as pictures can tell them apart


def gripper_parts(opening: np.ndarray) -> np.ndarray:
    """Two fingers along the gripper's yaw and the bar between them, float32 [n, part, 6]."""
    offset = (FINGER_OFFSET[0] + FINGER_OFFSET[1] * opening).astype(np.float32)
    parts = np.zeros((len(opening), NUM_PARTS, 6), np.float32)
    parts[:, :, 5] = 1.0
    for index, side in enumerate((1, -1)):
        parts[:, index, 1] = side * offset
        parts[:, index, 2:4] = FINGER
    parts[:, 2, 2], parts[:, 2, 3] = 0.006, offset
    return parts
