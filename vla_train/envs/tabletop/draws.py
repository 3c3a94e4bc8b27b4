"""The number of each kind of random draw. A number never changes its meaning, so that scenes once fixed stay fixed."""

from enum import IntEnum


class Draw(IntEnum):
    """Passed to ``seeds.counter_uniform`` as the number of the draw."""

    COUNT = 0  # how many objects
    TARGET = 1  # colour and shape of the object in slot 0
    QUARTET = 2  # the three pairs that go with it
    POSITIONS = 3
    ANGLES = 4
    START = 5  # the gripper's pose
    TASK = 6
    PLACE = 7  # region or direction
    TEMPLATE = 8
    ALTERNATIVES = 9  # templates of the alternatives
    DISTRACTORS = 10  # order of preference of the pairs in further slots
    WALLS = 16
    TRAYS = 17
    SUBGOALS = 18  # proposals of a goal in several steps
    OTHER_SUBGOALS = 19  # proposals of its alternatives
    # Kept for what comes later: one number for each axis of domain randomization.
    LIGHT = 32
    TEXTURE = 33
    OBJECT_LOOK = 34
    CAMERA = 35
    NOISE = 36
    EXTRA_DISTRACTORS = 37
    START_POSE = 38
