"""The small language in which a key's type and range are declared."""

import pytest

from vla_train.config import rules, words


@pytest.mark.parametrize(
    ("rule", "value", "converted"),
    [
        ("int >= 1", 1, 1),
        ("float > 0", 3, 3.0),
        ("null | int >= 1", None, None),
        ("auto | int >= 1", "auto", "auto"),
        ("auto | int >= 1", 2, 2),
        ("bool", True, True),
        ("list of float >= 0 < 1", [0, 0.5], [0.0, 0.5]),
        ("null | list of top | gripper", ["gripper"], ["gripper"]),
        ("list of top | gripper", [], []),
        ("list of 1+ top | gripper", ["top", "gripper"], ["top", "gripper"]),
        ("list of 2 float", [1, 2.5], [1.0, 2.5]),
        ("int", 2**63 - 1, 2**63 - 1),
    ],
)
def test_a_fitting_value_passes_in_the_declared_type(rule, value, converted):
    result = rules.convert(rules.parse(rule), value)
    assert result == converted
    assert type(result) is type(converted)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("int >= 1", 0),
        ("int", 1.0),
        ("int", True),  # bool is an int in Python, but not to a person
        ("bool", 1),
        ("float", "1"),
        ("float", True),
        ("float > 0", 0.0),
        ("float >= 0 < 1", 1.0),
        ("float", float("nan")),
        ("float > 0", float("inf")),
        ("str", 3),
        ("str", None),
        ("l1 | l2", "l3"),
        ("list of top | gripper", "top"),
        ("list of top | gripper", ["top", "side"]),
        ("list of int", [1, None]),
        ("list of 1+ int", []),
        ("list of 2 int", [1]),
        ("list of 2 int", [1, 2, 3]),
        ("int", 2**63),
        ("float", 10**400),
    ],
)
def test_a_value_that_does_not_fit_is_refused(rule, value):
    with pytest.raises(ValueError, match="fits none"):
        rules.convert(rules.parse(rule), value)


@pytest.mark.parametrize(
    ("shipped", "rule"),
    [
        (True, "bool"),
        (3, "int"),
        (0.5, "float"),
        ("l1", "str"),
        ([1, 2], "list of int"),
        ([0, 0.5], "list of float"),
        (["a"], "list of str"),
        ([], "list"),
        ({}, "dict"),
        (None, "any"),
        ("${dataset.view}", "any"),
    ],
)
def test_a_shipped_value_tells_its_type(shipped, rule):
    assert rules.from_default(shipped) == rule


def test_every_declared_rule_can_be_read():
    for rule in rules.RULES.values():
        assert rules.parse(rule)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr", "optimizer.lr"),  # the last part alone
        ("model.widht", "model.width"),
        ("optimiser.lr", "optimizer.lr"),
        ("stpes", "steps"),
        ("batchsize", "dataset.batch_size"),
        ("zebra", None),
    ],
)
def test_the_nearest_word_is_what_was_meant(word, meant):
    assert words.nearest(word, ["steps", "model.width", "optimizer.lr", "dataset.batch_size"]) == meant
