"""The page of an evaluation, without a browser: what it takes from ``report.json``, and what it makes of a broken one."""

import json
import math

import pytest

from tests import toy_report, toy_runs
from tests.unit.test_reporting_page import Parsed
from vla_train.errors import UsageError
from vla_train.evaluation.comparison import comparison, comparison_metrics
from vla_train.evaluation.report import write_report
from vla_train.reporting import evaluation_page, figures, measured, tiles
from vla_train.spec import Report


def page(tmp_path, report, settings=toy_report.SETTINGS, runs=()):
    file = write_report(tmp_path, report, settings)["report"]
    return evaluation_page.write_page(file, report, runs).read_text()


def test_figures_of_several_stages_stand_apart():
    metrics = {"success": 0.5, "near/success": 0.9, "near/success_low": 0.8, "near/success/go": 0.9, "far/success": 0.1}
    whole, near, far = measured.scopes({"settings": {"stages": ["near", "far"]}, "metrics": metrics})
    assert [scope.name for scope in (whole, near, far)] == ["all stages", "near", "far"]
    assert whole.metrics == {"success": 0.5}
    assert [(rate.name, rate.value, rate.indent) for rate in measured.success(near)] == [
        ("this policy", 0.9, False),
        ("go", 0.9, True),
    ]
    assert far.metrics == {"success": 0.1}


def test_strengths_rise_whatever_their_order_in_the_file():
    (scope,) = measured.scopes({"metrics": toy_report.report().metrics})
    assert [rate.name for rate in measured.robustness(scope)["start_pose"]] == ["0.25", "1"]


def test_axes_are_marked_with_the_world_in_which_nothing_is_changed(tmp_path):
    """A policy of a randomized world plays its plain episodes there: that is not where the axes begin."""
    metrics = toy_report.rates("success", 0.4, 0.3, 0.5) | toy_report.rates("robustness/unchanged/success", 0.9, 0.8, 0.95)
    metrics |= toy_report.rates("robustness/light/1/success", 0.6, 0.5, 0.7)
    shown = page(tmp_path, Report(metrics))
    assert 'class="chance" style="left:90.00%"' in shown
    assert "left:40.00%" not in shown


def test_films_are_counted_and_those_too_large_left_out(monkeypatch):
    report = toy_report.report()
    _, words = tiles.tiles(report.films, report.episodes, 4.0)
    assert words == "3 of 8 episodes, failures first: 2 of 3 that failed, 1 of 5 successes."
    monkeypatch.setattr(tiles, "LARGEST", 10)
    grid, words = tiles.tiles(report.films, report.episodes, 4.0)
    assert grid == ""
    assert words.endswith("3 more would make this page too large.")


@pytest.mark.parametrize(
    "report",
    [
        Report({}, not_applicable={"success": "the run has no environment"}),
        Report({"held_out/loss": math.nan, "success": math.inf}),
        Report({"held_out/loss": 0.5}, sections={"new": {"parts": 3}, "compare": [], "diagnostics": {"findings": "x"}}),
        Report({"success": 0.5}, sections={"robustness": None, "compare": {"parts": {"all": {"policies": {"a": 1}}}}}),
    ],
    ids=["offline", "nan", "strange sections", "strange parts"],
)
def test_a_report_that_lacks_things_has_a_page(tmp_path, report):
    words = Parsed(page(tmp_path, report, {}, [tmp_path / "nowhere"])).words
    assert evaluation_page.NO_RUN in words
    assert "nan" not in words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_settings_are_written_as_they_are_typed(tmp_path):
    settings = {"execute": None, "ensemble": False, "conditions": ["plain", "chance"], "compare": {"a": None, "b": [1, 2]}}
    text = page(tmp_path, toy_report.report(), settings)
    for name, value in {"execute": "null", "ensemble": "false", "conditions": "[plain, chance]"}.items():
        assert f"<td>{name}</td><td>{value}</td>" in text
    assert "<td>{a: null, b: [1, 2]}</td>" in text


def test_nothing_of_a_report_is_markup(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_page, "draw", lambda *_, **options: b"picture")
    bad = toy_report.HOSTILE
    metrics = toy_report.rates(f"zero_shot/{bad.replace('/', ':')}/success", 0.5, 0.4, 0.6)
    metrics |= {"success": 0.5, f"success/{bad}": 0.5, bad: 1.0}
    films = [toy_report.film(1, "failure", instruction=bad, goal=bad + "!", task=bad, named=bad, first_touched=bad, stage=bad)]
    report = toy_report.report(metrics=metrics, films=films, episodes=[film.result for film in films], not_applicable={bad: bad})
    settings = {"checkpoint": bad, "suite": bad, "stages": [bad], bad: bad}
    parsed = Parsed(page(tmp_path, report, settings, [toy_runs.write(tmp_path / "run")]))
    assert "script" not in {tag for tag, _ in parsed.elements}
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    addresses = [attributes[key] for _, attributes in parsed.elements for key in ("src", "srcset", "href") if attributes.get(key)]
    assert all(address.startswith("data:") for address in addresses)


def test_compared_policies_and_their_difference(tmp_path):
    """A succeeds in 2 of 4, B in 3: one episode more."""
    won = {"A": (True, True, False, False), "B": (True, True, True, False)}
    played = {
        name: [toy_report.result(seed, "success" if good else "failure") for seed, good in enumerate(outcomes)]
        for name, outcomes in won.items()
    }
    section = comparison(played)
    report = Report(comparison_metrics(section), sections={"compare": section})
    words = Parsed(page(tmp_path, report, {"compare": {"A": "a", "B": "b"}})).words
    assert "Comparison of 2 policies" in words
    assert words.index("50.0 %") < words.index("75.0 %")
    (row,) = figures.differences(next(iter(section["parts"].values()))).rows
    assert row[:2] == ["B", "+25.0"]


def test_no_half_page_stands_under_its_name(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"metrics": {"success": 0.5}}))
    (tmp_path / "report.html").mkdir()  # so that the page cannot be put there
    with pytest.raises(UsageError, match=r"report.html cannot be written"):
        evaluation_page.write_page(file, Report({}), [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
