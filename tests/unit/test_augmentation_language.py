"""Instructions said otherwise keep what they mean, and never become what is held out for tests."""

import re

import numpy as np
import pytest

from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.language import DROPPED, SYNONYMS, VARIANTS, Language, reworded, vocabulary
from vla_train.envs.tabletop import TabletopVectorEnv, grammar, world
from vla_train.processor import clean, train_tokenizer

FIRST = {phrase: group[0] for group in SYNONYMS for phrase in group}
STAGES = ("basic_navigation", "simple_manipulation", "complex_tasks", "multi_step_reasoning")


def meaning(text):
    """A text without articles and fillers, every synonym as the first of its group."""
    told = " ".join(word for word in text.split() if word not in DROPPED)
    phrases = sorted((phrase.removesuffix(" the") for phrase in FIRST), key=len, reverse=True)
    short = {phrase.removesuffix(" the"): first.removesuffix(" the") for phrase, first in FIRST.items()}
    return re.sub(r"\b(" + "|".join(phrases) + r")\b", lambda match: short[match[0]], told)


PLACES = "left right forward back top bottom corner centre far near side nearest on then after before first and you it"
THINGS = "cup box ball bottle object tray white of hold close take grasp gripper"
KEPT = {*PLACES.split(), *THINGS.split()}


def kept(text):
    """The words for what and where and when, in their order; those that have synonyms are not among them."""
    return [word for word in text.replace(",", " ").split() if word in KEPT]


@pytest.fixture(scope="module")
def instructions():
    """A few hundred of every stage."""
    return {text for stage in STAGES for text in TabletopVectorEnv(1, stage, cameras=[]).sample_instructions(range(150))}


def test_no_variant_loses_or_gains_meaning(instructions):
    variants = {text: {reworded(text, True, True, True, variant) for variant in range(VARIANTS)} for text in instructions}
    for text, others in variants.items():
        assert all(kept(other) == kept(text) for other in others)
        assert {meaning(other) for other in others} == {meaning(text)}
        assert len(others) >= 8


def test_held_out_wordings_do_not_come_about(instructions):
    held_out = [template for task, lines in grammar.HELD_OUT_TEMPLATES.items() if "steps" not in task for template in lines]
    place, thing = f"({'|'.join([*world.DIRECTIONS, *world.REGIONS])})", r"[a-z]+ [a-z]+"
    blanks = {"object": thing, "reference": thing, "place": place, "side": "[a-z]+ side"}
    patterns = [re.compile(template.format(**blanks)) for template in held_out]
    for text in instructions:
        for variant in range(VARIANTS):
            told = reworded(text, True, False, False, variant)
            assert not any(pattern.fullmatch(told) for pattern in patterns), told


def test_worked_texts():
    found = {reworded("pick up the red cup", True, False, False, variant) for variant in range(VARIANTS)}
    verbs, colours = ("pick up", "grab", "lift"), ("red", "crimson", "scarlet")
    assert found == {f"{verb} the {colour} cup" for verb in verbs for colour in colours}
    assert {reworded("lift the cup", False, False, True, variant) for variant in range(VARIANTS)} == {"lift cup"}
    added = {reworded("lift the cup", False, True, False, variant) for variant in range(VARIANTS)}
    assert {"please lift the cup", "lift the cup now"} <= {*added, "please lift the cup"}
    assert all(sorted({*text.split()} - {"lift", "the", "cup"})[0] in DROPPED for text in added)
    assert reworded("", True, True, True, 3) == ""
    assert reworded("reduce the predicate", True, False, False, 1) == "reduce the predicate", "whole words only"


def test_a_verb_is_one_where_a_clause_begins():
    for told in ("turn the head to the left", "stand on the lift", "close the set the table came with"):
        assert {reworded(told, True, False, False, variant) for variant in range(VARIANTS)} == {told}
    told = "after you lift the cup, grab the box and please put the ball on the lift"
    found = {reworded(told, True, False, False, variant) for variant in range(VARIANTS)}
    assert all(text.endswith("the ball on the lift") for text in found)
    assert {text.split()[2] for text in found} == {"lift", "grab", "pick"}
    assert {re.search("please ([a-z]+)", text)[1] for text in found} == {"put", "place", "set", "lay"}


def test_each_happens_with_its_probability():
    texts = [["pick up the red cup"] * 6000]
    batch = Batch({}, np.zeros((6000, 1, 0), np.float32), np.zeros((6000, 1, 1), np.float32), texts, np.zeros(6000, np.int64))
    Language(synonyms=0.0, insertion=0.0, deletion=0.25)(batch, np.arange(6000))
    assert abs(np.mean([text == "pick up red cup" for text in texts[0]]) - 0.25) < 0.02
    before = list(texts[0])
    Language(synonyms=0.0, insertion=0.0, deletion=0.0)(batch, np.arange(6000))
    assert texts[0] == before


def test_the_tokenizer_knows_the_words_that_may_come():
    tokenizer = train_tokenizer(["go to the cup", *vocabulary()], 1000)
    assert len(tokenizer.encode("please crimson azure").ids) == 3


def test_cleaning_is_the_same_for_all_who_write():
    assert clean("  Pick\tup\u00a0the \u201cRed\u201d cup \u2013 now\u200b\n") == 'pick up the "red" cup - now'
    assert clean("pick up the \ufb01rst cup") == "pick up the first cup"
    assert clean("go to the red cup") == "go to the red cup"
    once = clean("\uff27o to \u0130t\u2026")
    assert clean(once) == once
