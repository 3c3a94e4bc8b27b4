"""What a report reads of runs, and how it tells them apart."""

import math
import os

import pytest

from tests import toy_runs
from vla_train.errors import DataError, UsageError
from vla_train.reporting import tables
from vla_train.reporting.runs import Run, find, read
from vla_train.reporting.settings import differing, groups, settings
from vla_train.sweeps.records import JobRecord, SweepFolder


def runs(folder, **named):
    return [read(toy_runs.write(folder / name, **changes)) for name, changes in named.items()]


def test_the_half_line_of_a_run_that_goes_on_is_left_out(tmp_path):
    run = toy_runs.write(tmp_path / "run", record={"outcome": "running"})
    whole = len(read(run).rows)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50, "train/lo')
    assert len(read(run).rows) == whole == 4
    assert read(run).outcome == "running, or killed"


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", '{"loss": 1}', '{"step": -1}', '{"step": "nan"}', '{"step": 1, "x": null}', '{"step": 1, "x": [1]}', "", "9"],
)
def test_a_damaged_line_is_named(tmp_path, line):
    run = toy_runs.write(tmp_path / "run")
    text = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([*text[:2], line, *text[2:], ""]))
    with pytest.raises(DataError, match=r"metrics\.jsonl: line 3 is damaged; remove it"):
        read(run)


def test_deep_and_long_json_is_damage_not_a_crash(tmp_path):
    run = toy_runs.write(tmp_path / "run")
    for text in ("[" * 100_000, '{"step": ' + "9" * 10_000 + "}", '{"step": 1e999}'):
        (run / "metrics.jsonl").write_text(f"{text}\n")
        with pytest.raises(DataError, match="line 1"):
            read(run)
    (run / "run.json").write_text("{" * 10)
    with pytest.raises(DataError, match=r"run\.json is damaged"):
        read(run)


def test_a_run_without_rows_says_so(tmp_path):
    with pytest.raises(DataError, match="nothing was logged"):
        read(toy_runs.write(tmp_path / "run", metrics=[]))


def test_numbers_that_are_not_finite_make_a_gap_and_a_note(tmp_path):
    rows = [{"step": 10, "train/loss": 1.0}, {"step": 20, "train/loss": "nan"}, {"step": 30, "train/loss": 1e300}]
    run = read(toy_runs.write(tmp_path / "run", metrics=rows))
    assert run.series("train/loss") == ([10.0], [1.0])
    assert run.notes == ["the training loss was not finite in 2 rows, first at update 20"]


def test_an_evaluation_between_two_rows_has_samples_between_theirs(tmp_path):
    rows = [{"step": 10.0, "samples": 100.0}, {"step": 15.0, "success": 0.5}, {"step": 20.0, "samples": 200.0}]
    run = Run(folder=tmp_path, rows=rows, record={})
    assert run.series("success", "samples") == ([150.0], [0.5])
    x, _ = run.series("success", "minutes")
    assert len(x) == 1
    assert math.isnan(x[0])


def test_why_something_was_not_logged(tmp_path):
    recorded, never, early = runs(
        tmp_path,
        recorded={"metrics": toy_runs.rows(1), "choices__environment": "none", "evaluation__held_out_frames": 0},
        never={"metrics": toy_runs.rows(1), "every__evaluate": 0},
        early={"metrics": toy_runs.rows(1)},
    )
    assert "recorded data without an environment" in recorded.why_not("evaluation/success")
    assert recorded.why_not("evaluation/held_out/loss") == "switched off (evaluation.held_out_frames=0)"
    assert never.why_not("evaluation/success") == "never evaluated (every.evaluate=0)"
    assert early.why_not("evaluation/success") == "no evaluation yet"


def test_runs_are_found_by_folder_checkpoint_parent_and_sweep(tmp_path):
    first, second = (toy_runs.write(tmp_path / "outputs" / name) for name in ("first", "second"))
    step = first / "checkpoints" / "step_000040"
    step.mkdir(parents=True)
    os.symlink("step_000040", first / "checkpoints" / "last")
    for path in (first, first / "checkpoints" / "last", step, first / "checkpoints"):
        assert find([path]) == ([first], [])
    assert find([tmp_path / "outputs", second, first]) == ([first, second], [])
    sweep = SweepFolder(tmp_path / "sweep")
    sweep.start("vla-train", ["-m", "seed=0,1,2"])
    for number, run in enumerate(("../outputs/second", "../outputs/first", None)):  # the last failed before it had one
        sweep.write(JobRecord(number, [f"seed={number}"], run=run))
    found, errors = find([tmp_path / "sweep"])
    assert ([path.resolve() for path in found], errors) == ([second, first], [])


def test_what_is_no_run_is_told_and_the_rest_found(tmp_path):
    run = toy_runs.write(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    found, errors = find([tmp_path / "nowhere", run, tmp_path / "empty", run / "pictures"])
    assert found == [run]
    assert [str(error).partition(": ")[2].partition(";")[0] for error in errors] == [
        "there is no such folder",
        "it has neither run.json nor metrics.jsonl, nor runs in it",
        "there is no such folder",
    ]
    assert all(isinstance(error, UsageError) for error in errors)


def test_settings_that_differ_a_worked_example():
    """The names of runs and what is the same everywhere are left out; so is what only one of two models has and has once."""
    transformer = {"model": "transformer", "steps": "40", "model.width": "16", "model.layers": "2", "optimizer.lr": "0.001"}
    wide = {**transformer, "model.width": "32"}
    film = {"model": "film_cnn", "steps": "40", "model.width": "16", "optimizer.lr": "0.002", "optimizer.betas": "[0.9]"}
    assert differing([transformer, wide, film]) == {
        "model": ["transformer", "transformer", "film_cnn"],
        "model.width": ["16", "32", "16"],
        "optimizer.lr": ["0.001", "0.001", "0.002"],
        "optimizer.betas": ["-", "-", "[0.9]"],  # no choice of an optimizer differs, so nothing else says it
    }
    assert differing([transformer, transformer]) == {}


def test_settings_of_a_run_leave_out_what_changes_nothing(tmp_path):
    (run,) = runs(tmp_path, run={"record": {"source": {"commit": "0123456789abcdef", "dirty": True}}})
    assert settings(run) == {
        "model": "transformer",
        "environment": "tabletop",
        "seed": "0",
        "steps": "40",
        "every.log": "10",
        "every.evaluate": "20",
        "evaluation.held_out_frames": "16",
        "model.width": "16",
        "optimizer.lr": "0.001",
        "commit": "0123456789",
    }


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path):
    found = groups(
        runs(
            tmp_path,
            a={"seed": 0},
            b={"seed": 0, "optimizer__lr": 0.01, "steps": 80},
            c={"seed": 1, "name": "other"},
            d={"seed": 0, "optimizer__lr": 0.01, "steps": 40},
        )
    )
    assert [([run.name for run in group.runs], group.label, group.seeds) for group in found] == [
        (["a", "c"], "steps=40  lr=0.001", "0, 1"),
        (["b"], "steps=80  lr=0.01", "0"),
        (["d"], "steps=40  lr=0.01", "0"),
    ]


def test_other_source_is_another_group(tmp_path):
    found = groups(runs(tmp_path, **{name: {"record": {"source": {"commit": name * 10}}} for name in "ab"}))
    assert [group.label for group in found] == ["commit=aaaaaaaaaa", "commit=bbbbbbbbbb"]


def test_a_label_takes_as_few_settings_as_tell_the_groups_apart(tmp_path):
    changes = {"model__width": 32, "optimizer__lr": 0.01, "every__log": 5}  # all three change together
    assert [group.label for group in groups(runs(tmp_path, a={}, b=changes))] == ["width=16", "width=32"]


def test_the_table_of_final_metrics(tmp_path):
    table = tables.standing(groups(runs(tmp_path, a={}, b={"seed": 1, "metrics": toy_runs.rows(1)}, c={"steps": 80})))
    assert table.header == ["run", "setting", "seed", "state", "updates", "minutes", "loss", "held-out loss", "success"]
    assert table.rows[0] == ["a", "steps=40", "0", "finished", "40", "0.4", "0.25", "0.5", "50.0 % (40.0 to 60.0)"]
    assert table.rows[1] == ["b", "steps=40", "1", "finished", "10", "0.1", "1", "-", "-"]
    assert table.row_marks == [0, 0, 1]


def test_the_table_of_differences_has_a_column_for_each_group(tmp_path):
    table = tables.differences(groups(runs(tmp_path, a={}, b={"seed": 1}, c={"steps": 80})))
    assert table.header == ["setting", "steps=40", "steps=80"]
    assert table.rows == [["steps", "40", "80"], ["seed", "0, 1", "0"]]
