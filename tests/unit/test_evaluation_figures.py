"""From episodes to figures, and from a report to its files and its table."""

import csv
import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from tests.fakes import CountingAgent
from vla_train.errors import UsageError
from vla_train.evaluation.figures import figures
from vla_train.evaluation.latency import WARM_UP, Timed
from vla_train.evaluation.report import write_report
from vla_train.evaluation.table import print_report, table_rows
from vla_train.metrics import wilson_interval
from vla_train.spec import EpisodeResult, Report


def result(outcome, condition="plain", task="go", length=10, **changes):
    values = {"stage": "walking", "seed": 7, "instruction": "go, now", "goal": "go", "reward": float(outcome == "success")}
    return EpisodeResult(condition=condition, task=task, outcome=outcome, length=length, **values | changes)


RESULTS = [
    result("success", length=4, named="red cup", first_touched="red cup"),
    result("success", length=6, named="red cup", first_touched="blue box"),
    result("failure", length=20, named="red cup", first_touched=""),  # touched nothing: counted among all that name one
    result("failure", length=30, task="push", named="", first_touched="red cup"),  # names nothing: not counted
    result("crash", length=3, task="push"),
    result("success", "swapped"),
    result("failure", "swapped"),
]


def test_figures_by_hand():
    found = figures(RESULTS)
    assert found["success"] == pytest.approx(2 / 5)  # a crash is no success
    assert (found["success_low"], found["success_high"]) == wilson_interval(2, 5)
    assert (found["episodes"], found["crashes"]) == (5, 1)
    assert found["length"] == pytest.approx((4 + 6 + 20 + 30) / 4)  # without the crash
    assert found["reward"] == pytest.approx(2 / 4)
    assert found["success/go"] == pytest.approx(2 / 3)
    assert found["success/push"] == 0.0
    assert found["episodes/push"] == 2
    assert found["swapped/success"] == 0.5
    assert found["first_touched"] == 0.5
    assert found["first_touched_episodes"] == 2
    assert found["named_touched_first"] == pytest.approx(1 / 3)  # of all that name an object
    assert (found["named_touched_first_low"], found["named_touched_first_high"]) == wilson_interval(1, 3)
    assert found["named_touched_first_episodes"] == 3
    assert "foreign/success" not in found


def test_what_was_not_safe_is_counted_where_there_are_limits():
    guarded = [
        result("failure", aborted=True, limited=3),
        result("success", aborted=False, limited=2),
        result("failure", "swapped", aborted=False, limited=0),
    ]
    found = figures(guarded)
    assert (found["aborted"], found["limited"]) == (1, 5)
    assert (found["swapped/aborted"], found["swapped/limited"]) == (0, 0)
    assert not any(name.endswith(("aborted", "limited")) for name in figures(RESULTS))
    rows = {row.name: row.value for row in table_rows(Report(metrics=found, episodes=guarded))}
    assert (rows["episodes aborted by safety"], rows["steps whose action was cut"]) == ("1", "5")


def test_figures_without_touches_or_without_whole_episodes():
    found = figures([result("crash")])
    assert found["success"] == 0.0
    assert "length" not in found
    assert not any("touched" in name for name in found)
    unknown = figures([result("failure", named="red cup")])  # nothing is touched, or the environment does not tell
    assert not any("touched" in name for name in unknown)


@pytest.fixture
def report():
    metrics = figures(RESULTS) | {"held_out/cosine": math.nan, "swapped/excluded": 3.0}
    frames = np.zeros((5, 64, 64, 3), np.uint8)
    return Report(metrics=metrics, episodes=RESULTS, not_applicable={"foreign": "all ask for the same"}, frames=frames)


def test_report_files(tmp_path, report):
    paths = write_report(tmp_path / "deep" / "report", report, {"checkpoint": "step_10", "seeds": "test"})
    content = json.loads(paths["report"].read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert content["metrics"]["success"] == 0.4
    assert content["metrics"]["held_out/cosine"] is None
    assert content["not_applicable"] == {"foreign": "all ask for the same"}
    assert content["settings"] == {"checkpoint": "step_10", "seeds": "test"}
    assert {"python", "torch", "numpy", "vla-train"} <= set(content["versions"])
    rows = list(csv.DictReader(io.StringIO(paths["episodes"].read_text())))
    assert len(rows) == 7
    assert (rows[0]["seed"], rows[0]["instruction"], rows[0]["outcome"], rows[0]["length"]) == ("7", "go, now", "success", "4")
    assert paths["video"].read_bytes()[4:8] == b"ftyp"
    assert sorted(path.name for path in paths["report"].parent.iterdir()) == ["episodes.csv", "report.json", "rollouts.mp4"]


def test_a_failed_write_leaves_the_old_report(tmp_path, report, monkeypatch):
    paths = write_report(tmp_path, report, {})
    before = paths["report"].read_bytes()

    def full(path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vla_train.evaluation.report.write_mp4", full)
    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(UsageError, match="No space left"):
        write_report(tmp_path, report, {"new": True})
    assert paths["report"].read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_table_is_plain_text_where_there_is_no_terminal(report):
    file = io.StringIO()
    print_report(report, Console(file=file))
    lines = file.getvalue().splitlines()
    assert "\x1b" not in file.getvalue()
    assert lines[0].split() == ["success", "40.0", "%", "11.8", "to", "76.9", "%,", "5", "episodes"]
    assert any(line.startswith("  push") and "2 episodes" in line for line in lines)
    touched = [line.split() for line in lines if "touched" in line or "of all that" in line]
    assert [(line[-2], line[-8]) for line in touched] == [("2", "50.0"), ("3", "33.3")]
    assert any(line.startswith("swapped instruction") and "3 excluded" in line for line in lines)
    assert any(line.startswith("foreign") and line.endswith("not applicable  all ask for the same") for line in lines)


@pytest.mark.parametrize("terminal", [False, True])
def test_an_empty_report_says_so(terminal):
    file = io.StringIO()
    print_report(Report(metrics={}), Console(file=file, force_terminal=terminal))
    assert file.getvalue() == "nothing was measured\n"


def test_table_is_drawn_on_a_terminal(report):
    file = io.StringIO()
    print_report(report, Console(file=file, force_terminal=True, width=120))
    assert "\x1b" in file.getvalue()
    assert "swapped instruction" in file.getvalue()


def test_table_has_a_part_for_each_stage():
    part = figures([result("success")])
    metrics = part | {f"{stage}/{name}": value for stage in ("one", "two") for name, value in part.items()}
    episodes = [result("success", stage="one"), result("success", stage="two")]
    report = Report(metrics=metrics, episodes=episodes, not_applicable={"two/foreign": "why"})
    names = [row.name for row in table_rows(report)]
    assert [name for name in names if not name.startswith(" ")] == [
        *("one", "success", "mean length", "crashes"),
        *("two", "success", "mean length", "crashes", "foreign instruction"),
        *("all stages", "success", "mean length", "crashes"),
    ]


def test_table_has_a_part_for_each_stage_also_without_plain_episodes():
    part = figures([result("success", "swapped")])
    metrics = part | {f"{stage}/{name}": value for stage in ("one", "two") for name, value in part.items()}
    episodes = [result("success", "swapped", stage="one"), result("success", "swapped", stage="two")]
    reasons = {f"{stage}/blind": "not given: baseline=" for stage in ("one", "two")}
    for report in (Report(metrics, episodes, reasons), Report({}, [], reasons)):
        rows = table_rows(report, ["one", "two"])
        assert [row.name for row in rows if not row.value] == ["one", "two", "all stages"]
        assert not any("/" in row.name for row in rows)


@pytest.mark.parametrize(("calls", "slow"), [(19, None), (20, "p99")])
def test_a_percentile_of_few_calls_is_not_told(calls, slow):
    timed = Timed(CountingAgent(chunk=1))
    timed.milliseconds, timed.rows = [1.0] * (WARM_UP + calls), [3] * WARM_UP + [2] * (calls - 1) + [1]
    metrics = timed.figures()
    assert ("latency_ms_p99" in metrics) == bool(slow)
    [row] = table_rows(Report(metrics))
    assert row.name == "planning, rows due"
    assert row.detail.split("; ")[1:] == ([] if slow is None else ["p99 1.00 ms"]) + ["1.9 rows a call", f"{calls} calls"]
