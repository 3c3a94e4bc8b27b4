"""The words: templates for each kind of task, some of them held out from training for ever."""

from vla_train.envs.tabletop.world import COLOURS, DIRECTIONS, REGIONS, SHAPES

SIDES = {"left": "left side", "right": "right side", "forward": "far side", "back": "near side"}

TRAIN_TEMPLATES: dict[str, tuple[str, ...]] = {
    "go to object": (
        "go to the {object}",
        "move to the {object}",
        "navigate to the {object}",
        "go over to the {object}",
        "move the gripper to the {object}",
    ),
    "go to region": (
        "go to the {place}",
        "move to the {place}",
        "navigate to the {place}",
        "go over to the {place}",
        "move the gripper to the {place}",
    ),
    "pick up": ("pick up the {object}", "pick the {object} up", "take the {object}", "lift the {object}"),
    "grasp": ("grasp the {object}", "take hold of the {object}", "close the gripper on the {object}"),
    "push": (
        "push the {object} {place}",
        "push the {object} to the {side}",
        "give the {object} a push {place}",
    ),
}
HELD_OUT_TEMPLATES: dict[str, tuple[str, ...]] = {
    "go to object": ("navigate over to the {object}", "take the gripper to the {object}"),
    "go to region": ("navigate over to the {place}", "take the gripper to the {place}"),
    "pick up": ("lift the {object} up", "take the {object} up"),
    "grasp": ("grasp hold of the {object}", "take the {object} with the gripper"),
    "push": ("give the {object} a push to the {side}", "push {place} the {object}"),
}
assert list(TRAIN_TEMPLATES) == list(HELD_OUT_TEMPLATES)


def templates(split: str) -> dict[str, tuple[str, ...]]:
    """The templates of each task in a split."""
    return HELD_OUT_TEMPLATES if split == "templates" else TRAIN_TEMPLATES


def write(template: str, object_name: str, place: str) -> str:
    """The instruction: a template with its blanks filled. ``place`` is a region, a direction or ""."""
    return template.format(object=object_name, place=place, side=SIDES.get(place, ""))


def longest_instruction() -> int:
    """No instruction of the grammar has more characters."""
    name = max((f"{colour} {shape}" for colour in COLOURS for shape in SHAPES), key=len)
    every = [t for table in (TRAIN_TEMPLATES, HELD_OUT_TEMPLATES) for lines in table.values() for t in lines]
    return max(len(write(template, name, place)) for template in every for place in (*REGIONS, *DIRECTIONS))
