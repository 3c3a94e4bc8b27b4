"""Words under moves and renaming: against the tabletop's own grammar, for every template, place and thing."""

import itertools
import re

import numpy as np
import pytest

from tests.moved_scenes import CORNERS, DIRECTIONS, moved_goal, moved_word
from vla_train.data.augmentation.directions import moved_words
from vla_train.data.augmentation.moves import FLIPS, MOVES, _after, closed
from vla_train.data.augmentation.renaming import Renaming, renamed
from vla_train.envs.tabletop import TabletopVectorEnv, grammar, splits, world
from vla_train.errors import UsageError
from vla_train.symmetry import Names, Paint

TABLES = (grammar.TRAIN_TEMPLATES, grammar.HELD_OUT_TEMPLATES)


def wordings(task):
    return [template for table in TABLES for template in table[task]]


@pytest.mark.parametrize("move", range(8))
def test_directions_and_corners_move_in_every_template(move):
    for place in DIRECTIONS:
        for template in wordings("push"):
            told = grammar.write(template, "red cup", place)
            assert moved_words(told, *MOVES[move]) == grammar.write(template, "red cup", moved_word(place, *MOVES[move]))
    for place in (*CORNERS, "centre"):
        for template in wordings("go to region"):
            told = grammar.write(template, "", place)
            assert moved_words(told, *MOVES[move]) == grammar.write(template, "", moved_word(place, *MOVES[move]))


def test_sides_change_and_have_no_word_across():
    left, right = (grammar.write("put the {object} WORDS the {reference}".replace("WORDS", words), "red cup", "", "blue box")
                   for words in ("left of", "right of"))  # fmt: skip
    assert moved_words(left, 1, 0) == right, "mirrored"
    assert moved_words(left, 0, 2) == right, "turned by half"
    assert moved_words(left, 1, 2) == left, "far and near exchanged"
    assert moved_words(left, 0, 1) is None
    assert moved_words(f"push the red cup left, then {left}", 1, 1) is None, "the whole instruction is not moved"


@pytest.mark.parametrize("stage", ["basic_navigation", "simple_manipulation", "complex_tasks", "multi_step_reasoning"])
def test_no_other_instruction_of_the_simulator_says_where(stage):
    """What moves in words moves in the goal, and only then."""
    env = TabletopVectorEnv(200, stage, cameras=[])
    env.reset(seed=range(200))
    for goal in env.goals:
        for move in MOVES:
            moved = moved_goal(goal.data, *move)
            words = moved_words(goal.instruction, *move)
            assert (words is None) == (moved is None)
            assert (words == goal.instruction) == (moved == goal.data) or moved is None


def test_words_for_people():
    assert moved_words("turn the lid clockwise", 1, 0) == "turn the lid counter-clockwise"
    assert moved_words("turn the lid counter-clockwise", 0, 1) == "turn the lid counter-clockwise"
    assert moved_words("take the leftmost cup in front of the box", 1, 2) == "take the leftmost cup behind the box"
    assert moved_words("", 1, 1) == ""
    assert moved_words("lefties and bright things", 1, 1) == "lefties and bright things", "whole words only"


@pytest.mark.parametrize(
    "told",
    ["put it back", "go back to the box", "bring the cup back", "right now go left", "to the north", "move up", "move upward",
     "lower the arm", "the upside down cup", "the one on the right hand side", "the left-hand tray", "at 3 o'clock", "leftward",
     "the cup left on the table", "with the left arm", "put it right next to the box", "the front", "go north-east",
     "push the cup away from you", "pull the cup towards you", "move it closer to the camera", "pick up the far cup",
     "pick up the nearest cup", "go straight ahead", "move it in the positive x direction", "push the box away",
     "in the first row", "empuja a la izquierda", "nach links schieben", "pousse \u00e0 gauche", "\u5411\u5de6\u63a8"],
)  # fmt: skip
def test_what_may_be_a_direction_or_something_else_is_not_moved(told):
    assert {moved_words(told, *move) for move in MOVES} == {told, None}
    assert [moved_words(told, *move) for move in MOVES].count(told) == 1, "staying as it is can always be"


@pytest.mark.parametrize(
    "told",
    ["the cup nearest to the red box", "go near the cup", "move closer to the ball", "take the cup far from the box",
     "after you pick up the key, go to the door", "put the camera next to the box", "pick up the cup for me"],
)  # fmt: skip
def test_from_one_thing_to_another_is_no_direction(told):
    assert {moved_words(told, *move) for move in MOVES} == {told}


def test_turns_have_several_spellings_and_up_from_the_table_is_no_direction():
    for other in ("counterclockwise", "counter clockwise", "counter-clockwise", "anticlockwise", "anti-clockwise"):
        assert moved_words(f"turn it {other}", 1, 0) == "turn it clockwise"
        assert moved_words(f"turn it {other}", 0, 1) == f"turn it {other}"
    assert (
        moved_words("pick the left cup up and put it on top of the box", 1, 2)
        == "pick the left cup up and put it on top of the box"
    )
    assert moved_words("pick the left cup up and push it back", 0, 2) == "pick the right cup up and push it forward"
    assert (
        moved_words("go to the ball on your right after you pick up a key", 1, 0)
        == "go to the ball on your left after you pick up a key"
    )


def test_moves_close_to_groups_of_the_square():
    assert closed(set()) == [0]
    assert closed({FLIPS["horizontal"]}) == [0, 4]
    assert closed({FLIPS["horizontal"], FLIPS["vertical"]}) == [0, 2, 4, 6], "both flips are half a turn"
    assert closed({1}) == [0, 1, 2, 3]
    assert closed({1, FLIPS["vertical"]}) == list(range(8))
    assert _after(4, 1) == 5, "mirrored, then turned: that is how moves are numbered"
    assert _after(1, 4) == 7, "turned, then mirrored: the other diagonal"


def names(held_out=(), things=None):
    paint = Paint(dict.fromkeys(world.COLOURS, (0, 0, 0)), ((255, 255, 255),))
    return Names({"top": paint}, held_out=held_out, things=things)


def test_colours_change_places_in_words():
    order = next(k for k, p in enumerate(itertools.permutations(range(4))) if p == (1, 0, 3, 2))  # red and blue, green and yellow
    told = "put the red cup on the blue box, then push the white tray over the redder bluebird"
    expected = "put the blue cup on the red box, then push the white tray over the redder bluebird"
    assert renamed(told, world.COLOURS, order, (), 0) == expected


def test_legal_permutations_make_no_held_out_thing_and_are_all_of_those():
    """A scene with a red cup and a blue cup: of 24 permutations, 6 turn either into a green cup (3! for each of two)."""
    held_out = tuple(" ".join(pair) for pair in splits.HELD_OUT_PAIRS)
    renaming = Renaming(
        names(held_out, lambda scene: scene.split(",")), {}, ["red cup,blue cup", "yellow bottle"], colours="legal", shapes=False
    )
    assert renaming._allowed.sum(axis=1).tolist() == [24 - 12, 24 - 6]
    key = np.arange(4000)
    drawn, _ = renaming._drawn(np.zeros(4000, np.int64), key)
    found = {tuple(order) for order in renaming._of_colours[drawn].tolist()}
    green = world.COLOURS.index("green")
    assert found == {p for p in itertools.permutations(range(4)) if green not in (p[0], p[1])}
    counts = np.bincount(drawn)[np.unique(drawn)]
    assert counts.min() > 4000 / 12 * 0.75, "all equally likely"


@pytest.mark.parametrize("stage", ["basic_navigation", "complex_tasks"])
def test_legal_is_so_for_the_simulators_own_scenes(stage):
    import json

    env = TabletopVectorEnv(64, stage)
    env.reset(seed=range(64))
    scenes = [json.dumps(scene) for scene in env.get_scenes()]
    renaming = Renaming(env.symmetry.names, env.io_spec.images, scenes, colours="legal", shapes=False)
    colours, _ = renaming._drawn(np.arange(64), np.arange(64))
    assert len(set(colours.tolist())) > 5
    held_out = {" ".join(pair) for pair in splits.HELD_OUT_PAIRS}
    for scene, colour in zip(scenes, colours.tolist(), strict=True):
        things = {renamed(name, world.COLOURS, colour, (), 0) for name in env.symmetry.names.things(scene)}
        assert not things & held_out
    assert 2 < renaming._allowed.sum(axis=1).mean() < 5, "the held-out pairs leave few"


def test_what_is_not_known_is_refused():
    with pytest.raises(UsageError, match="episode 1 has no scene"):
        Renaming(names(("red cup",), str.split), {}, ["a", ""], colours="legal", shapes=False)
    with pytest.raises(UsageError, match=r"pictures of \['side'\] is not known"):
        Renaming(names(), {"side": TabletopVectorEnv(1).io_spec.images["top"]}, [], colours="all", shapes=False)
    with pytest.raises(UsageError, match="in symbols, not in pictures"):
        Renaming(names(), {}, [], colours="none", shapes=True)


def test_probability_leaves_the_rest_alone():
    renaming = Renaming(names(), {}, [], colours="all", shapes=False, probability=0.25)
    colour, _ = renaming._drawn(np.zeros(8000, np.int64), np.arange(8000))
    assert abs((colour > 0).mean() - 0.25 * 23 / 24) < 0.02


def test_colour_words_are_those_of_the_grammar():
    """Every colour of an object stands in the words as this, and white and grey trays are no objects."""
    for task, table in itertools.product(("put on tray", "pick up"), TABLES):
        for template in table[task]:
            told = grammar.write(template, "red cup", "", "white tray")
            assert re.findall(r"red|white", renamed(told, world.COLOURS, 0, (), 0)) == re.findall(r"red|white", told)
