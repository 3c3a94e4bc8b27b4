"""Sweeps as a user meets them: grids, failures, kills, stops, resuming, launchers, a search."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from safetensors.numpy import load_file
from sweep_program import work as stand_in

from vla_train.cli import command
from vla_train.cli.sweep_launcher import RecordingLauncher
from vla_train.sweeps.records import job_key, read_records

PROGRAM = Path(__file__).with_name("sweep_program.py")
SETTINGS = ["model=transformer,film_cnn", "seed=0,1", "steps=2", "diagnostics=false"]


@pytest.fixture
def sweep(monkeypatch, tmp_path):
    """Runs a sweep in this process, in an empty folder, with stand-in jobs (see ``sweep_program``). Returns the exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*words, work=stand_in):
        monkeypatch.setattr(sys, "argv", ["vla-train", *words])
        GlobalHydra.instance().clear()
        return command.run("train", work)

    return run


def start(*words, cwd):
    """A sweep of stand-in jobs as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, PROGRAM, *words], cwd=cwd, env=environment, start_new_session=True, **pipes)


def finish(process, expect):
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == expect, printed
    return printed


def folder_of(where):
    (found,) = (where / "outputs/sweeps").iterdir()
    return found


def states(where):
    return {" ".join(record.overrides): record.state for record in read_records(folder_of(where))}


def sessions(where, run):
    return (where / f"outputs/run-{run}/sessions").read_text().split()


def rows(file):
    with file.open() as stream:
        return list(csv.DictReader(stream))


def test_a_failed_job_is_a_row_and_the_sweep_goes_on(sweep, capsys, tmp_path):
    assert sweep("-m", "name=fails,exits,fine", "seed=0,1") == 1
    printed = capsys.readouterr().out
    assert "failed (exit code 3): no data\n" in printed
    assert "failed (exit code 7): SystemExit: 7\n" in printed
    assert printed.index("fine ") < printed.index("fails  ")  # of the settings the best stands first
    (fine, *_) = rows(folder_of(tmp_path) / "summary.csv")
    # 0.1 and 0.3: mean 0.2, standard error 0.1, t of one degree of freedom 12.7062
    assert (fine["name"], fine["n"]) == ("fine", "2")
    assert float(fine["interval_high"]) == pytest.approx(0.2 + 1.27062, rel=1e-4)
    jobs = rows(folder_of(tmp_path) / "jobs.csv")
    assert [job["state"] for job in jobs] == ["failed"] * 4 + ["finished"] * 2
    assert jobs[4]["run"] == "outputs/run-fine-0"


def test_resuming_runs_only_what_is_missing(sweep, capsys, tmp_path):
    assert sweep("-m", "name=fine,fails", "seed=0,1") == 1
    where = folder_of(tmp_path)
    again = ["-m", "name=fine,fails", "seed=0,1", f"sweep.resume={os.path.relpath(where)}"]
    assert f"vla-train {shlex.join(again)}\n" in capsys.readouterr().out
    ran = []

    def mended(config, overrides, opened):
        ran.append((config["name"], config["seed"], config["sweep"]["resume"]))
        return {"best": 0.5, "best_metric": "success", "mode": "max"}

    assert sweep(*again, work=mended) == 0
    assert ran == [("fails", 0, None), ("fails", 1, None)]
    assert set(states(tmp_path).values()) == {"finished"}
    capsys.readouterr()
    assert sweep(*again, "tracker.console=none", work=lambda *_: pytest.fail("ran again")) == 0
    assert "fine " in capsys.readouterr().out
    assert sweep("-m", "name=fine", "seed=1,2", again[-1], work=mended) == 0
    assert "new in this sweep: [job 4] seed=2\n" in capsys.readouterr().out
    assert len(rows(where / "jobs.csv")) == 5


@pytest.mark.parametrize(
    ("words", "runs", "said"),
    [
        (["model=transformer,film_cnn", "model.layers=3"], "transformer", "model.layers: model=film_cnn has no such key."),
        (["head=gaussian,regression", "head.loss=l2"], "regression", "head.loss: head=gaussian has no such key."),
    ],
)
def test_a_key_that_one_of_the_choices_lacks_is_its_own_row(sweep, capsys, words, runs, said):
    ran = []
    group = words[0].partition("=")[0]
    assert sweep("-m", *words, work=lambda config, *_: ran.append(config["choices"][group])) == 1
    assert ran == [runs]
    assert f"failed (exit code 2): {said}" in capsys.readouterr().out


def test_a_value_that_is_wrong_in_every_job_fails_each(sweep, capsys, tmp_path):
    assert sweep("-m", "model=film_nn,transformer", "seed=-1,-2", work=lambda *_: pytest.fail("ran")) == 1
    captured = capsys.readouterr()
    assert captured.out.count("failed (exit code 2): model=film_nn: there is no such model. Did you mean film_cnn?") == 2
    assert captured.out.count("must be int >= 0") == 2
    assert "to run what is missing" not in captured.out  # they have to be written otherwise
    assert captured.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m"], "give a key several values, as in vla-train -m model=transformer,film_cnn seed=0,1"),
        (["-m", "seed=1"], "nothing is to be swept over"),
        (["-m", "sweep=optuna", "seed=1"], "nothing is to be swept over"),
        (["-m", "seed=range(3,3)"], "seed=range(3,3): no value is in it, so there is nothing to sweep over. range(a,b) begins"),
        (["-m", "name=a,b", "seed=range(3,0)", "sweep=joblib"], "seed=range(3,0): no value is in it"),
        (["-m", "seed=range(3,3)", "sweep=optuna"], "seed=range(3,3): no value is in it"),
        (["-m", "model=glob(zz*)"], "model=glob(zz*): no value is in it"),
        (["-m", "seed=0,1", "sweep=optuna", "hydra.sweeper.n_trials=0"], "a search needs at least one trial"),
        (["-m", "seed=0,1", "sweep.resume=nowhere"], "nowhere is not the folder of a sweep"),
        (["-m", "seed=0,1", "sweep.resume=."], "is not the folder of a sweep"),
        (["-m", "seed=0,1", "sweep.resme=x"], "Did you mean sweep.resume?"),
        (["sweep.resume=outputs"], "give it with -m"),
        (["sweep=joblib"], "add -m"),
        (["-m", "seed=0,1", "sweep=joblb"], "Did you mean joblib?"),
        (["-m", "seed=0,1", "sed=3"], "Did you mean seed?"),
        (["-m", "seed=0,1", "--cfg", "job"], "leave out -m"),
        (["-m", "seed=0,1", "sweep=slurm"], "could not start the jobs: Could not detect"),
    ],
)
def test_what_a_mistake_says(sweep, capsys, tmp_path, words, said):
    assert sweep(*words, work=lambda *_: pytest.fail("ran")) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [] or "could not start" in said  # no folder of a sweep that never was


def test_a_sweep_is_not_gone_on_with_over_nothing(sweep, capsys, tmp_path):
    assert sweep("-m", "seed=0,1") == 0
    before = (folder_of(tmp_path) / "sweep.json").read_text()
    assert sweep("-m", "seed=range(3,3)", f"sweep.resume={folder_of(tmp_path)}") == 2
    assert "seed=range(3,3): no value is in it" in capsys.readouterr().err
    assert (folder_of(tmp_path) / "sweep.json").read_text() == before


def test_a_sweep_resumed_without_its_grid_is_told_it(sweep, capsys, tmp_path):
    assert sweep("-m", "seed=0,1") == 0
    assert sweep("-m", f"sweep.resume={folder_of(tmp_path)}") == 2
    assert "as in vla-train -m seed=0,1 sweep.resume=" in capsys.readouterr().err


@pytest.mark.parametrize(("choice", "group"), [("joblib", "launcher"), ("submitit_local", "launcher"), ("optuna", "sweeper")])
def test_without_the_extra_it_says_how_to_install_it(sweep, capsys, monkeypatch, choice, group):
    sweep("-m", "seed=0,1")  # lets Hydra find its plug-ins
    store = ConfigStore.instance().repo["hydra"][group]
    monkeypatch.delitem(store, f"{choice}.yaml")
    capsys.readouterr()
    assert sweep("-m", f"sweep={choice}", "seed=0,1") == 2
    assert "pip install 'vla-train[sweep]'" in capsys.readouterr().err


def test_a_sweep_file_of_ones_own(sweep, tmp_path):
    (tmp_path / "mine/sweep").mkdir(parents=True)
    (tmp_path / "mine/sweep/widths.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {model.width: '16,32'}}}\nsteps: 7\n"
    )
    seen = []
    words = ["-m", "--config-dir=mine", "sweep=widths"]
    assert sweep(*words, work=lambda config, *_: seen.append((config["model"]["width"], config["steps"]))) == 0
    assert seen == [(16, 7), (32, 7)]
    assert sweep(*words, "model.width=range(2,2)", work=lambda *_: pytest.fail("ran")) == 2  # beats the file's


def test_two_sweeps_of_the_same_second_do_not_meet(sweep, tmp_path):
    for _ in range(2):
        assert sweep("-m", "seed=0,1", "hydra.sweep.dir=outputs/sweeps/now") == 0
    assert sorted(os.listdir(tmp_path / "outputs/sweeps")) == ["now", "now_2"]


def test_a_job_that_dies_does_not_take_the_others_of_its_pool_along(tmp_path):
    words = ["-m", "sweep=joblib", "hydra.launcher.n_jobs=2", "name=brief,dies,fine", "seed=0"]
    printed = finish(start(*words, cwd=tmp_path), 1)
    assert "its process was lost" in printed
    assert list(states(tmp_path).values()) == ["finished", "interrupted", "finished"]


def test_a_job_whose_process_is_killed_is_a_row_and_goes_on_when_resumed(tmp_path):
    grid = ["-m", "name=fine,killed", "seed=0"]
    printed = finish(start(*grid, "sweep=submitit_local", cwd=tmp_path), 1)
    assert "its process was lost" in printed
    assert list(states(tmp_path).values()) == ["finished", "interrupted"]
    finish(start(*grid, f"sweep.resume={folder_of(tmp_path)}", cwd=tmp_path), 0)  # here, in its own process
    assert list(states(tmp_path).values()) == ["finished", "finished"]
    assert sessions(tmp_path, "fine-0") == ["began"]
    assert sessions(tmp_path, "killed-0") == ["began", "resumed"]


@pytest.mark.parametrize(
    ("launcher", "sign", "code"),
    [(None, signal.SIGINT, 130), ("joblib", signal.SIGTERM, 75), ("joblib", signal.SIGINT, 130)],
)
def test_a_stopped_sweep_saves_what_runs_begins_no_other_and_shows_what_is_done(tmp_path, launcher, sign, code):
    launched = ["sweep=joblib", "hydra.launcher.n_jobs=2"] if launcher else []
    process = start("-m", *launched, "name=waits", "seed=0,1,2", cwd=tmp_path)
    deadline, at_once = time.monotonic() + 60, 2 if launcher else 1
    while len(list(tmp_path.glob("outputs/run-waits-*"))) < at_once and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, sign) if sign == signal.SIGINT else os.kill(process.pid, sign)  # a terminal tells the whole group
    printed = finish(process, code)
    found = list(states(tmp_path).values())
    assert set(found) == {"interrupted", "waiting"}
    assert "to run what is missing: vla-train -m" in printed
    assert "Traceback" not in printed


def test_a_stop_that_ends_a_process_before_its_job_leaves_no_job_running(sweep, monkeypatch, tmp_path):
    """Ctrl-C reaches every process of a terminal, also one that still starts; joblib then ends the others too."""

    def ended(self, overrides, number):
        for words in overrides[:1]:
            record = self._folder.read(job_key(words))
            record.begin()
            self._folder.write(record)
        os.kill(os.getpid(), signal.SIGTERM)
        return RuntimeError("a worker process was terminated")

    monkeypatch.setattr(RecordingLauncher, "_attempt", ended)
    assert sweep("-m", "name=fine", "seed=0,1") == 75
    assert states(tmp_path) == {"name=fine seed=0": "interrupted", "name=fine seed=1": "waiting"}


def test_a_search_survives_nan_and_failures(sweep, capsys, tmp_path):
    words = ["-m", "sweep=optuna", "name=fine,undefined,fails", "seed=int(interval(0,3))", "hydra.sweeper.n_trials=16"]
    assert sweep(*words) == 1
    found = read_records(folder_of(tmp_path))
    assert {record.state for record in found} == {"finished", "failed"}
    values = {tuple(record.overrides): record.value for record in found}
    best = max((value for value in values.values() if value is not None), default=None)
    result = (folder_of(tmp_path) / "optimization_results.yaml").read_text()
    assert f"best_value: {best}" in result


def test_of_optunas_log_only_warnings_are_shown_and_without_colours(tmp_path):
    printed = finish(start("-m", "sweep=optuna", "name=fine", "seed=0,1", "hydra.sweeper.n_trials=1", cwd=tmp_path), 0)
    assert "study" not in printed
    words = "import logging, optuna; from vla_train.cli.sweep import _quieten_optuna; _quieten_optuna(); "
    words += "[logging.getLogger('optuna.study').log(level, 'told') for level in (20, 30, 40)]"
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stderr
    assert told == "note: optuna: told\n" * 2


def test_a_real_sweep_ends_with_its_table_and_its_jobs_are_what_the_command_alone_gives(workplace):
    printed = workplace.run("vla-train", "-m", *SETTINGS)
    assert "\nsettings:\nmodel " in printed
    where = workplace.output / "sweeps" / max(os.listdir(workplace.output / "sweeps"))
    records = read_records(where)
    assert [record.number for record in records] == [0, 1, 2, 3]
    alone = workplace.train("model=film_cnn", "seed=1", "steps=2", "diagnostics=false")
    assert learned(where / records[3].run) == learned(alone)
    assert learned(where / records[2].run) != learned(alone)  # another seed
    weights = [load_file(run / "checkpoints/last/policy.safetensors") for run in (where / records[3].run, alone)]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(value, weights[1][name]) for name, value in weights[0].items())


def learned(run):
    """What a run measured, without its clocks."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    clocks = ("time", "minutes", "memory_gb", "data_wait", "per_s", "latency")
    return [{key: value for key, value in line.items() if not any(clock in key for clock in clocks)} for line in lines]


def test_submitit_trains_in_processes_of_its_own(workplace):
    words = ["-m", "sweep=submitit_local", "model=film_cnn", "seed=3", "steps=2", "diagnostics=false"]
    printed = workplace.run("vla-train", *words)
    assert "1 job goes to submitit" in printed
    where = workplace.output / "sweeps" / max(os.listdir(workplace.output / "sweeps"))
    assert [record.state for record in read_records(where)] == ["finished"]
