"""Which goals are swapped in, which words are foreign, and what 'chance' goes for."""

import time
from collections import Counter

from tests.fakes import Corridor, walk
from vla_train.envs.contract import Goal
from vla_train.evaluation.scenes import Scene, chance_goals, foreign_instructions, survey, swapped_goals, words


def goal(instruction, key):
    return Goal(instruction, key, "task", "", "template")


def test_survey_is_the_same_for_any_number_of_rows():
    surveys = [survey(Corridor(num_envs), range(10, 17)) for num_envs in (1, 3, 8)]
    assert surveys[0] == surveys[1] == surveys[2]
    assert [scene.goal.key for scene in surveys[0]] == ["1", "2", "3", "4", "5", "1", "2"]
    assert [other.key for other in surveys[0][0].alternatives] == ["2", "3"]


def test_survey_asks_for_no_alternatives_where_there_are_none():
    class Single(Corridor):
        def alternatives(self):
            raise AssertionError

    environment = Single(2)
    environment.not_applicable = {"alternatives": "one mission only"}
    assert [scene.alternatives for scene in survey(environment, [0, 1])] == [(), ()]


def test_swapped_goals_are_uniform_over_the_others_and_never_the_own():
    scenes = [Scene(seed, walk(1), (walk(2), walk(3), walk(4))) for seed in range(3000)]
    counts = Counter(goal.key for goal in swapped_goals(scenes).values())
    assert set(counts) == {"2", "3", "4"}
    assert all(900 < count < 1100 for count in counts.values())
    assert swapped_goals([Scene(1, walk(1), ())]) == {}


def test_chance_is_uniform_over_the_own_goal_and_the_others():
    scenes = [Scene(seed, walk(1), (walk(2), walk(3), walk(4))) for seed in range(4000)]
    counts = Counter(goal.key for goal in chance_goals(scenes).values())
    assert all(900 < counts[key] < 1100 for key in "1234")
    assert chance_goals([Scene(1, walk(1), ())]) == {1: walk(1)}


def test_foreign_words_differ_in_goal_and_in_words():
    scenes = [
        Scene(1, goal("put the cup on the box", "cup on box"), ()),
        Scene(2, goal("Put the box on the cup.", "box on cup"), ()),  # the same words in another order
        Scene(3, goal("set the cup on the box", "cup on box"), ()),  # the same goal in other words
        Scene(4, goal("go to the ball", "ball"), ()),
    ]
    found = foreign_instructions(scenes)
    assert found[1] == found[3] == "go to the ball" or found[3] == "Put the box on the cup."
    assert found[1] == "go to the ball"
    assert found[4] != "go to the ball"


def test_foreign_words_may_not_exist():
    assert foreign_instructions([Scene(seed, goal("go to the red ball", "red ball"), ()) for seed in range(5)]) == {}


def test_foreign_words_of_thousands_of_equal_episodes_do_not_take_minutes():
    started = time.process_time()
    assert foreign_instructions([Scene(seed, walk(1), ()) for seed in range(4000)]) == {}
    assert time.process_time() - started < 1.0


def test_words_ignore_order_case_and_punctuation():
    assert words("Put A, next to B.") == words("put b next to a")
    assert words("the red cup") != words("the red red cup")
