"""Tabletop scenes and goals mirrored and turned, written apart from the augmentation that is tested with them."""

import math
from dataclasses import replace

LEFT_RIGHT = {"left": "right", "right": "left"}


def moved_place(x, y, mirrored, quarters):
    """(x, y) with left and right exchanged, then turned counter-clockwise."""
    x = -x if mirrored else x
    for _ in range(quarters):
        x, y = -y, x
    return x, y


def moved_angle(angle, mirrored, quarters):
    return math.remainder((math.pi - angle if mirrored else angle) + quarters * math.pi / 2, 2 * math.pi)


def within(angle):
    """The same axis between -90 and 90 degrees."""
    return angle - math.pi * round(angle / math.pi) if abs(angle) > math.pi / 2 else angle


def moved_scene(scene, mirrored, quarters):
    """A scene as ``get_scenes`` gives it, with its goal."""
    move = (mirrored, quarters)
    new = dict(scene)
    new["tip_x"], new["tip_y"] = moved_place(scene["tip_x"], scene["tip_y"], *move)
    new["yaw"] = within(moved_angle(scene["yaw"], *move))
    new["objects"] = [_moved_object(item, move) for item in scene["objects"]]
    if "trays" in scene:
        new["trays"] = [dict(zip("xy", moved_place(tray["x"], tray["y"], *move), strict=True)) for tray in scene["trays"]]
        new["walls"] = [
            dict(zip("xy", moved_place(wall["x"], wall["y"], *move), strict=True)) | {"upright": (wall["upright"] + quarters) % 2}
            for wall in scene["walls"]
        ]
    data = scene["goal"]["data"]
    new["goal"] = scene["goal"] | {"data": moved_goal(data, *move)}
    return new


def _moved_object(item, move):
    x, y = moved_place(item["x"], item["y"], *move)
    start_x, start_y = moved_place(item["start_x"], item["start_y"], *move)
    return item | {"x": x, "y": y, "start_x": start_x, "start_y": start_y, "angle": moved_angle(item["angle"], *move)}


def moved_goal(data, mirrored, quarters):
    """The goal's data; None where the stage has no such goal."""
    if "steps" in data:
        steps = [moved_goal(step, mirrored, quarters) for step in data["steps"]]
        return None if None in steps else {"steps": steps}
    kind = data["kind"]
    if kind in ("left_of", "right_of"):
        if quarters % 2:
            return None
        other = {"left_of": "right_of", "right_of": "left_of"}[kind]
        return data | {"kind": other if mirrored != (quarters == 2) else kind}
    return data | {"place": moved_word(data["place"], mirrored, quarters)}


DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "forward": (0, 1), "back": (0, -1)}
CORNERS = {
    "top left corner": (-1, 1),
    "top right corner": (1, 1),
    "bottom left corner": (-1, -1),
    "bottom right corner": (1, -1),
}


def moved_word(place, mirrored, quarters):
    for words in (DIRECTIONS, CORNERS):
        if place in words:
            new = moved_place(*words[place], mirrored, quarters)
            return next(word for word, direction in words.items() if direction == new)
    return place


def reworded(goal, **changes):
    return replace(goal, **changes)
