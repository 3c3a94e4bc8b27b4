"""The words: templates for each kind of task, some of them held out from training for ever.

A task in several steps has a template that joins them; the steps ({first}, {second}, {third} in the order in which they are to be
done, wherever they stand in the sentence) are worded by the first, short templates of their own kinds, so that no instruction has
more than 31 words and commas: with the begin token they fit the models' 32. What is held out there is how steps are joined.
"""

from collections.abc import Sequence
from enum import IntEnum

from vla_train.envs.tabletop.world import COLOURS, DIRECTIONS, REGIONS, SHAPES

SHORT = 3  # templates of each kind that are used for a step among several
STEP_NAMES = ("first", "second", "third")


class Noun(IntEnum):
    """How an object is referred to: by its name, or as the nearest to another one among those of its shape or colour."""

    NAME = 0
    SHAPE = 1
    COLOUR = 2


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
    **{
        f"put {words}": (
            f"put the {{object}} {words} the {{reference}}",
            f"place the {{object}} {words} the {{reference}}",
            f"set the {{object}} {words} the {{reference}}",
            f"take the {{object}} and put it {words} the {{reference}}",
        )
        for words in ("next to", "left of", "right of", "on")
    },
    "put on tray": (
        "put the {object} on the {reference}",
        "place the {object} on the {reference}",
        "set the {object} on the {reference}",
        "take the {object} and put it on the {reference}",
    ),
    "two steps": (
        "{first}, then {second}",
        "first {first}, and then {second}",
        "after you {first}, {second}",
        "before you {second}, {first}",
    ),
    "three steps": (
        "{first}, then {second}, then {third}",
        "first {first}, then {second}, and then {third}",
        "after you {first}, {second}, then {third}",
    ),
}
TRAIN_TEMPLATES["two steps by relation"] = TRAIN_TEMPLATES["two steps"]
HELD_OUT_TEMPLATES: dict[str, tuple[str, ...]] = {
    "go to object": ("navigate over to the {object}", "take the gripper to the {object}"),
    "go to region": ("navigate over to the {place}", "take the gripper to the {place}"),
    "pick up": ("lift the {object} up", "take the {object} up"),
    "grasp": ("grasp hold of the {object}", "take the {object} with the gripper"),
    "push": ("give the {object} a push to the {side}", "push {place} the {object}"),
    **{
        f"put {words}": (
            f"take the {{object}} and place it {words} the {{reference}}",
            f"lift the {{object}} and set it {words} the {{reference}}",
        )
        for words in ("next to", "left of", "right of", "on")
    },
    "put on tray": (
        "take the {object} and place it on the {reference}",
        "lift the {object} and set it on the {reference}",
    ),
    "two steps": ("{second} after you {first}", "{first} before you {second}"),
    "three steps": ("first {first}, and after you {second}, {third}", "{first}, and then {second}, and then {third}"),
}
HELD_OUT_TEMPLATES["two steps by relation"] = HELD_OUT_TEMPLATES["two steps"]
assert list(TRAIN_TEMPLATES) == list(HELD_OUT_TEMPLATES)


def templates(split: str) -> dict[str, tuple[str, ...]]:
    """The templates of each task in a split."""
    return HELD_OUT_TEMPLATES if split == "templates" else TRAIN_TEMPLATES


def write(template: str, object_name: str, place: str, reference: str = "") -> str:
    """The words of one step: a template with its blanks filled. ``place`` is a region, a direction or ""."""
    return template.format(object=object_name, place=place, side=SIDES.get(place, ""), reference=reference)


def join(template: str, steps: Sequence[str]) -> str:
    """The words of several steps, each in its blank."""
    return template.format(**dict(zip(STEP_NAMES, steps, strict=False)))


def noun_phrase(noun: Noun, name: str, anchor: str) -> str:
    """An object in words: "red cup", "cup nearest to the blue box", "red object nearest to the blue box"."""
    if noun == Noun.NAME:
        return name
    colour, _, shape = name.partition(" ")
    return f"{shape if noun == Noun.SHAPE else f'{colour} object'} nearest to the {anchor}"


def longest_instruction() -> int:
    """No instruction of the grammar has more characters."""
    name = max((f"{colour} {shape}" for colour in COLOURS for shape in SHAPES), key=len)
    phrase = max((noun_phrase(noun, name, name) for noun in Noun), key=len)
    every = [t for table in (TRAIN_TEMPLATES, HELD_OUT_TEMPLATES) for lines in table.values() for t in lines]
    joints = [template for template in every if "{first}" in template]
    steps = [template for template in every if template not in joints]
    step = max((write(t, phrase, place, name) for t in steps for place in (*REGIONS, *DIRECTIONS)), key=len)
    return max(len(join(template, [step] * len(STEP_NAMES))) for template in joints)
