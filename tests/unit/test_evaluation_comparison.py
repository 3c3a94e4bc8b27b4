"""Unseen beside seen, and several policies in one table."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from tests.fakes import Corridor, CountingAgent
from tests.unit.test_evaluation_paired import result
from vla_train.evaluation.comparison import comparison, comparison_metrics, print_comparison
from vla_train.evaluation.table import table_rows
from vla_train.evaluation.zero_shot import ZeroShot, ratios, same_episodes
from vla_train.spec import Report


def test_ratios_by_hand():
    metrics = {"success": 0.8, "zero_shot/pairs/success": 0.6, "zero_shot/pairs/success_low": 0.5, "far/success": 0.0}
    metrics |= {"far/zero_shot/pairs/success": 0.1, "other/success": 0.5}
    found = ratios(metrics)
    assert found["zero_shot/pairs/ratio"] == pytest.approx(0.75)
    assert math.isnan(found["far/zero_shot/pairs/ratio"])


def test_a_ratio_is_of_the_same_tasks():
    # Seen: 30 of 40 that go to things, all 60 that go to places; the split asks for things alone: 0.6 / 0.75, not 0.6 / 0.9.
    metrics = {"success": 0.9, "episodes": 100.0, "success/thing": 0.75, "episodes/thing": 40.0, "success/place": 1.0}
    metrics |= {"episodes/place": 60.0, "zero_shot/pairs/success": 0.6, "zero_shot/pairs/success_low": 0.5}
    metrics |= {"zero_shot/pairs/success_high": 0.7, "zero_shot/pairs/episodes": 100.0}
    found = ratios(metrics | {"zero_shot/pairs/episodes/thing": 100.0})
    same = {"zero_shot/pairs/ratio": 0.8, "zero_shot/pairs/seen_success": 0.75, "zero_shot/pairs/seen_episodes": 40.0}
    assert found == pytest.approx(same)
    assert math.isnan(ratios(metrics | {"zero_shot/pairs/episodes/push": 100.0})["zero_shot/pairs/ratio"])  # none was seen
    split = {name: value for name, value in (metrics | found).items() if name.startswith("zero_shot/")}
    shown = [row.detail for row in table_rows(Report(split)) if "of the success" in row.name]
    assert shown == ["75.0 % in 40 episodes of the same tasks"]


def test_splits_are_played_under_their_names():
    evaluator = ZeroShot({"far": [lambda num: Corridor(num)]}, stages=["none"], split="test", episodes=10, num_envs=4)
    report = evaluator(CountingAgent(chunk=4))
    assert report.metrics["zero_shot/far/success"] == 0.8  # places 1 to 4 of 5 are reached in time
    assert {episode.condition for episode in report.episodes} == {"zero_shot/far"}
    assert not any("latency" in name for name in report.metrics)
    shown = {row.name: row.value for row in table_rows(report.merged(Report({"zero_shot/far/ratio": 1.6})))}
    assert shown["zero-shot: far"] == "80.0 %"
    assert shown["  of the success on what was seen"] == "160.0 %"


OUTCOMES = {"A": "ssff", "B": "sssf", "C": "ffff"}  # of the seeds 0 to 3; the last two in another stage


def played():
    outcome = {"s": "success", "f": "failure"}
    return {
        name: [result(seed, outcome[letter], "near" if seed < 2 else "far") for seed, letter in enumerate(letters)]
        for name, letters in OUTCOMES.items()
    }


def test_policies_are_compared_with_the_first_one():
    section = comparison(played())
    everywhere = section["parts"]["all stages"]
    assert [figures["success"] for figures in everywhere["policies"].values()] == [0.5, 0.75, 0.0]
    assert list(everywhere["differences"]) == ["B", "C"]
    better = everywhere["differences"]["B"]
    assert (better["difference"], better["better"], better["worse"], better["p"]) == (0.25, 1, 0, 1.0)
    worse = everywhere["differences"]["C"]
    assert (worse["difference"], worse["better"], worse["worse"], worse["p"]) == (-0.5, 0, 2, 0.5)  # 2 * 1 / 2^2
    assert section["parts"]["near"]["differences"]["B"]["difference"] == 0.0
    assert section["parts"]["far"]["differences"]["B"]["difference"] == 0.5
    assert comparison_metrics(section)["B/difference"] == 0.25


def test_the_table_of_a_comparison():
    file = io.StringIO()
    print_comparison(comparison(played()), Console(file=file))
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert lines[0] == "all stages"
    assert lines[2].startswith("B 75.0 %")
    assert lines[3].startswith("minus A +25.0 %")
    assert "p = 0.5 (McNemar), better in 0 episodes, worse in 2" in lines[5]
    assert {"near", "far"} <= set(lines)


def test_names_in_brackets_are_no_markup_on_a_terminal():
    file = io.StringIO()
    won = {"run[/b]": [result(0, "success")], "[old]run": [result(0, "failure")]}
    print_comparison(comparison(won), Console(file=file, force_terminal=True, width=150))
    assert "run[/b]" in file.getvalue()
    assert "[old]run" in file.getvalue()


def test_a_split_that_is_another_condition_once_more_is_told():
    paraphrase = [result(seed, "success", condition="paraphrase") for seed in (1, 2)]
    once_more = [result(seed, "failure", condition="zero_shot/templates") for seed in (2, 1)]
    others = [replace(result(seed, "success", condition="zero_shot/pairs"), instruction="go there") for seed in (1, 2)]
    assert same_episodes([*paraphrase, *once_more, *others]) == {"templates": "the same episodes as paraphrase"}
    assert same_episodes([*once_more, *others]) == {}
