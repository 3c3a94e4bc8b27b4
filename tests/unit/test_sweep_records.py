"""Records of jobs, and the summary made from them."""

import csv
import io
import json
import math
import sys

import pytest
from rich.console import Console

from vla_train.cli.sweep_launcher import objective
from vla_train.errors import UsageError
from vla_train.sweeps.records import JobRecord, SweepFolder, job_key, read_records, settings
from vla_train.sweeps.show import print_summary, write_csv
from vla_train.sweeps.summary import summarize, t_interval, varied


def job(number, *overrides, value=None, state="finished", mode="max", metric="success", **facts):
    return JobRecord(number, list(overrides), state, value=value, metric=metric, mode=mode, **facts)


@pytest.fixture
def folder(tmp_path):
    sweep = SweepFolder(tmp_path / "outputs/sweeps/first")
    sweep.start("vla-train", ["-m", "seed=0,1"])
    return sweep


def test_the_interval_is_students():
    # 0.5, 0.7, 0.9: mean 0.7, deviation 0.2, standard error 0.2 / sqrt(3) = 0.11547; t(2 degrees, 97.5 %) = 4.30265
    mean, half = t_interval([0.5, 0.7, 0.9])
    assert mean == pytest.approx(0.7)
    assert half == pytest.approx(4.30265 * 0.11547, rel=1e-4)
    # two values: t(1 degree) = 12.7062, error of 0.2 and 0.4 is 0.1
    assert t_interval([0.2, 0.4])[1] == pytest.approx(1.27062, rel=1e-4)
    assert t_interval([0.2]) == (0.2, None)


def test_one_row_for_each_setting_the_best_first():
    jobs = [
        job(0, "model=a", "seed=0", "steps=2", value=0.2),
        job(1, "model=a", "seed=1", "steps=2", value=0.4),
        job(2, "model=b", "seed=0", "steps=2", value=0.9),
        job(3, "model=b", "seed=1", "steps=2", state="failed"),
        job(4, "model=c", "seed=0", "steps=2", state="failed"),
    ]
    assert varied(jobs) == ["model", "seed"]
    rows = summarize(jobs)
    assert [row.columns for row in rows] == [{"model": "b"}, {"model": "a"}, {"model": "c"}]
    assert [(row.mean, row.half is None, row.lacking) for row in rows] == [
        (0.9, True, 1),
        (pytest.approx(0.3), False, 0),
        (None, True, 1),
    ]


def test_seeds_that_agree_are_not_taken_for_certainty(folder):
    def seeds(name, value, metric="success", **metrics):
        words = [["model=" + name, f"seed={seed}"] for seed in (0, 1)]
        return [
            job(sum(map(ord, name)) * 2 + i, *word, value=value, metric=metric, metrics=metrics) for i, word in enumerate(words)
        ]

    # Wilson, 0 of 4: upper end z^2 / (4 + z^2) with z^2 = 3.84146 is 0.48990; 4 of 4 is its mirror image
    none, all_of = seeds("a", 0.0, episodes=4.0), seeds("b", 1.0, "pick/success", **{"pick/episodes": 4.0})
    task = seeds("c", 0.0, "success/pick", **{"episodes/pick": 4.0, "episodes": 40.0})
    rows = {row.columns["model"]: row for row in summarize([*none, *all_of, *task])}
    assert rows["a"].interval == rows["c"].interval == (0.0, pytest.approx(0.48990, abs=1e-5))
    assert rows["b"].interval == (pytest.approx(0.51010, abs=1e-5), 1.0)
    # no episodes known, a share that those episodes cannot give, no rate, a single seed: no interval
    others = [*seeds("d", 0.0), *seeds("e", 0.3, episodes=4.0), *seeds("f", 2.0, "held_out/loss", episodes=4.0), none[0]]
    assert [row.interval for row in summarize(others)] == [None] * 4
    assert "a      0.0 %    0.0 % to 49.0 %  2\n" in printed(folder, [*none, *seeds("d", 0.5)])
    assert "d      50.0 %   all equal        2\n" in printed(folder, [*none, *seeds("d", 0.5)])
    assert "all equal" not in printed(folder, [*none[:1], *seeds("d", 0.5)[:1]])
    write_csv(folder, [*none, *seeds("d", 0.5)])
    loss, rate = csv.DictReader((folder.path / "summary.csv").open())
    assert (loss["interval_low"], loss["interval_high"], rate["interval_low"]) == ("", "", "0.0")
    assert float(rate["interval_high"]) == pytest.approx(0.48990, abs=1e-5)


def test_a_sweep_without_a_value_yet_names_no_metric(folder):
    jobs = [job(i, f"seed={i}", state=state, metric=None, mode=None) for i, state in enumerate(("interrupted", "waiting"))]
    text = printed(folder, jobs)
    assert text.startswith("\njobs:\njob  seed  outcome\n0    0     interrupted\n")
    assert "best" not in text


def test_of_a_loss_the_least_is_the_best():
    jobs = [job(i, f"model={name}", value=value, mode="min") for i, (name, value) in enumerate([("a", 2.0), ("b", 1.0)])]
    assert [row.columns["model"] for row in summarize(jobs)] == ["b", "a"]


def test_what_only_shows_or_places_a_run_does_not_change_the_job():
    one = ["seed=0", "model=a", "tracker.console=none", "sweep=joblib", "debug=true", "output=elsewhere"]
    assert settings(one) == ["model=a", "seed=0"]
    assert job_key(one) == job_key(["model=a", "seed=0"]) != job_key(["model=a", "seed=1"])


def test_records_outlive_their_process(folder):
    written = job(3, "seed=0", value=0.5, run="../../run", metrics={"success": 0.5})
    folder.write(written)
    assert read_records(folder.path) == [written]
    assert folder.read(written.key) == written
    assert folder.read(job_key(["seed=7"])) is None
    assert [file.name for file in (folder.path / "jobs").iterdir()] == [f"{written.key}.json"]


def test_a_result_that_is_no_number_is_no_value():
    record = job(0, "seed=0")
    record.result({"best": math.nan, "best_metric": "success", "mode": "max", "metrics": {"success": math.nan, "length": 3}})
    assert (record.value, record.metric, record.metrics) == (None, "success", {"length": 3.0})


@pytest.mark.parametrize(
    "change",
    [
        *({"number": "x"}, {"state": "asleep"}, {"overrides": "seed=0"}, {"overrides": ["seed=1"]}, {"run": 3}, {"schema": 2}),
        *({"value": "high"}, {"metrics": [1]}, {"metrics": {"success": "all"}}, {"exit_code": "0"}, None, "torn"),
        *({"process": {"pid": pid, "host": "here"}} for pid in (-1, 0, 1, True, "7")),
    ],
)
def test_a_damaged_record_is_named(folder, change):
    record = job(0, "seed=0")
    folder.write(record)
    file = folder.path / "jobs" / f"{record.key}.json"
    content = json.loads(file.read_text())
    text = "{" if change == "torn" else json.dumps(change and content | change)
    file.write_text(text)
    with pytest.raises(UsageError, match=f"{record.key}.json is not the record of a job"):
        folder.records()


def test_a_folder_that_is_no_sweeps(tmp_path, folder):
    with pytest.raises(UsageError, match="is not the folder of a sweep"):
        read_records(tmp_path)
    (folder.path / "sweep.json").write_text('{"schema": 1, "words": 3}')
    with pytest.raises(UsageError, match="not written by this version"):
        read_records(folder.path)


def printed(folder, jobs):
    console = Console(file=io.StringIO())
    print_summary(folder, jobs, console)
    return console.file.getvalue()


def test_the_tables_of_a_sweep_with_a_failure(folder, monkeypatch):
    monkeypatch.chdir(folder.path.parents[2])
    jobs = [
        job(0, "model=a", "seed=0", value=0.5, run="../../run-a0"),
        job(1, "model=a", "seed=1", value=0.7, run="../../run-a1"),
        job(2, "model=b", "seed=0", state="failed", exit_code=3, message="no [bold]data", metric=None),
    ]
    text = printed(folder, jobs)
    assert "a      60.0 %   ± 127.1 %      2\n" in text  # 12.7062 * 0.1414 / sqrt(2)
    assert "2    b      0              failed (exit code 3): no [bold]data\n" in text
    assert "0    a      0     50.0 %   outputs/run-a0\n" in text
    write_csv(folder, jobs)
    rows = list(csv.DictReader((folder.path / "summary.csv").open()))
    assert [row["model"] for row in rows] == ["a", "b"]
    assert (float(rows[0]["mean"]), rows[0]["n"], rows[1]["not_finished"]) == (pytest.approx(0.6), "2", "1")
    assert float(rows[0]["interval_low"]) == pytest.approx(0.6 - 1.27062, rel=1e-4)
    rows = list(csv.DictReader((folder.path / "jobs.csv").open()))
    assert [(row["job"], row["seed"], row["state"], row["exit_code"]) for row in rows][2] == ("2", "0", "failed", "3")


def test_on_a_terminal_a_path_is_never_cut(folder):
    console = Console(file=io.StringIO(), force_terminal=True, width=40)
    print_summary(folder, [job(0, "seed=0", value=0.5, run="../../" + "path" * 20)], console)
    assert "…" not in console.file.getvalue()


def test_jobs_that_are_settings_stand_once_best_first(folder):
    jobs = [job(i, f"optimizer.lr={value}", value=value) for i, value in enumerate([0.123456789, 0.5])]
    text = printed(folder, jobs)
    assert "settings:" not in text
    assert text.index("0.5") < text.index("0.1235")


@pytest.mark.parametrize(
    ("mode", "direction", "value", "told"),
    [
        ("max", "maximize", 0.4, 0.4),
        ("min", "minimize", 0.4, 0.4),
        ("min", "maximize", 0.4, -0.4),
        ("max", "minimize", 0.4, -0.4),
        (None, "maximize", None, -sys.float_info.max),
        (None, "minimize", None, sys.float_info.max),
    ],
)
def test_a_search_is_told_a_finite_number_that_is_better_in_its_direction(mode, direction, value, told):
    assert objective(job(0, "seed=0", value=value, mode=mode), direction) == told
