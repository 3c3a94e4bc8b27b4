"""The constants of the tabletop world: names, sizes and speeds.

The table is the square [-0.5, 0.5] x [-0.5, 0.5] in metres, seen from above: x to the right, y away from the viewer (up in the
picture). Angles are in radians, counter-clockwise, and stay within [-pi/2, pi/2]: the gripper's joint stops there, so that
turning towards an object never has two equally good ways round.
"""

import math

COLOURS = ("red", "blue", "green", "yellow")
SHAPES = ("cup", "box", "ball", "bottle")
BOTTLE = SHAPES.index("bottle")
MAX_OBJECTS = 8

HALF = 0.5  # half of the table's width
YAW_LIMIT = math.pi / 2

# The largest change in one step; an action of 1 asks for it. (dx, dy) is limited in length, not by axis.
MOVE = 0.05  # metres: 5 % of the table's width
TURN = 0.3  # radians
GRIP = 0.5  # of the opening, which runs from 0 (closed) to 1 (open)

DOWN = 0.5  # below this opening the fingers are at table level and closed; above it they pass over everything
SLOW = MOVE / 2  # a step shorter than this counts as keeping still
BODY = 0.05  # metres from an object's centre within which the gripper's tip is in contact with it
GRASP_RADIUS = 0.035  # metres between tip and centre within which closing takes hold of an object
GRASP_ANGLE = 0.35  # radians between gripper and bottle within which it can be grasped
OBJECT_LIMIT = 0.46  # an object's centre cannot be pushed past this coordinate

RADIUS = 0.05  # success radius of going somewhere: 5 % of the table's width
PUSH = 0.10  # metres that a pushed object must have moved in its direction
DWELL = 3  # steps in a row for which a goal's condition must hold
DISCOUNT = 0.99  # of the potential-based shaping (Ng et al. 1999, "Policy invariance under reward transformations")

# Putting A beside B or on it: where the centre of A may be, seen from that of B (metres).
BESIDE = 0.13  # from B to the place at which the expert puts A
NEXT_TO = (0.08, 0.16)  # least and largest distance of "next to"; objects begin farther apart
SIDE = (0.08, 0.19)  # of "left of" and "right of": least and largest distance to that side
SIDE_WIDTH = 0.05  # and the largest distance across it
ON = 0.04  # largest distance of "on" a box
ON_TRAY = 0.055  # largest distance of "on" a tray, in x and in y

TRAYS = ("white tray", "grey tray")
TRAY_HALF = 0.075  # half of a tray's width
WALL_HALF = (0.12, 0.012)  # half of a wall's length and thickness
WALL_CLEARANCE = 0.03  # metres that a closed gripper keeps from a wall's surface

RATE = 10.0  # control steps per second

REGIONS: dict[str, tuple[float, float]] = {
    "top left corner": (-0.36, 0.36),
    "top right corner": (0.36, 0.36),
    "centre": (0.0, 0.0),
    "bottom left corner": (-0.36, -0.36),
    "bottom right corner": (0.36, -0.36),
}
DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "forward": (0.0, 1.0),
    "back": (0.0, -1.0),
}


def object_name(colour: int, shape: int) -> str:
    """ "red cup" for the indices of red and cup."""
    return f"{COLOURS[colour]} {SHAPES[shape]}"
