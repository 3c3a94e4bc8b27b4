"""The eight symmetries of a square, and what becomes of directions under them.

Move 4 m + q mirrors (m = 1: left and right change sides), then turns by q quarters counter-clockwise.
"""

import re

from vla_train.data.augmentation.directions import moved

MOVES = [divmod(move, 4) for move in range(8)]  # (mirrored, quarters)
FLIPS = {"horizontal": 4, "vertical": 6}
COORDINATES = {"x": 0, "y": 1, "dx": 0, "dy": 1}  # which axis each lies along
SIGNED = re.compile(r"[+-](yaw|x|y)")


def moved_tag(tag: str, mirrored: int, quarters: int) -> str:
    """A signed direction ("+x-y", "+yaw") after a move."""
    parts = {match[1]: 1 if match[0][0] == "+" else -1 for match in SIGNED.finditer(tag)}
    if "yaw" in parts:
        sign = -parts["yaw"] if mirrored else parts["yaw"]
        return f"{'+' if sign > 0 else '-'}yaw"
    direction = moved((parts.get("x", 0), parts.get("y", 0)), mirrored, quarters)
    return "".join(f"{'+' if sign > 0 else '-'}{axis}" for sign, axis in zip(direction, "xy", strict=True) if sign)


def closed(moves: set[int]) -> list[int]:
    """All that follows from doing these moves one after the other, staying among them."""
    found = {0}
    while more := {_after(first, second) for first in found | moves for second in found | moves} - found:
        found |= more
    return sorted(found)


def _after(first: int, second: int) -> int:
    """The one move that does what two do."""
    x_axis, y_axis = (moved(moved(axis, *MOVES[first]), *MOVES[second]) for axis in ((1, 0), (0, 1)))
    return next(number for number, move in enumerate(MOVES) if (moved((1, 0), *move), moved((0, 1), *move)) == (x_axis, y_axis))
