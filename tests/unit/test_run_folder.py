"""Run folders that are never shared, the lock of a run, and run.json."""

import json
import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import vla_train
from vla_train import run_folder
from vla_train.errors import CheckpointError, Interrupted, UsageError

CONFIG: dict[str, Any] = {"seed": 3, "minutes": None, "output": "outputs"}


def record(run: Path, **changes: Any) -> run_folder.Record:
    return run_folder.Record(run, overrides=["seed=3"], config=CONFIG | changes, runtime="cpu, 1 thread, fp32", dataset="abc")


def read(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text(), parse_constant=pytest.fail))  # NaN is not JSON


def test_runs_of_the_same_second_do_not_share(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(lambda _: run_folder.create(tmp_path / "outputs", "bc_tabletop"), range(40)))
    assert len(set(folders)) == 40
    assert all(folder.is_dir() and "bc_tabletop" in folder.name for folder in folders)


def test_a_name_becomes_one_folder_name(tmp_path: Path) -> None:
    for name in ("../../etc/x y", "", "..", "a/b"):
        assert run_folder.create(tmp_path, name).parent == tmp_path


@pytest.mark.parametrize(
    "name", ["lr=1e-3", "a b", "x,y", "größe", "{a:1}", "[a]", "a'b", 'a"b', "a\\b", "$x", "a+b.c-d_e", "(é)"]
)
def test_resume_takes_every_run_folder_without_quotes(tmp_path: Path, name: str) -> None:
    folder = run_folder.create(tmp_path, name)
    (override,) = OverridesParser.create().parse_overrides([f"resume=outputs/{folder.name}"])
    assert override.value() == f"outputs/{folder.name}"
    assert shlex.quote(folder.name) == folder.name or "+" in name


def test_a_run_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run folder"), run_folder.lock(tmp_path / "typo"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="output="):
        run_folder.create(tmp_path / "file" / "outputs", "x")


HOLDER = """
import sys
from pathlib import Path
from vla_train import run_folder
with run_folder.lock(Path(sys.argv[1])):
    run_folder.Record(Path(sys.argv[1]), overrides=[], config={}, runtime="cpu")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_is_locked_until_its_process_ends_even_by_kill_9(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=rf"in use by another process \(pid {holder.pid} on "), run_folder.lock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with run_folder.lock(tmp_path):
        pass
    with run_folder.lock(tmp_path):  # and again after it was released
        pass


def test_run_json_says_what_ran_and_how_it_ended(tmp_path: Path) -> None:
    with record(tmp_path) as session:
        begun = read(tmp_path)
        assert (begun["outcome"], begun["exit_status"], begun["ended"]) == ("running", None, None)
        session.finish("finished", metrics={"success": np.float32(0.5), "loss": float("nan")}, folder=tmp_path)
    ended = read(tmp_path)
    assert (ended["outcome"], ended["exit_status"]) == ("finished", 0)
    assert ended["started"] <= ended["ended"]
    assert ended["metrics"] == {"success": 0.5, "loss": "nan"}
    assert ended["overrides"] == ["seed=3"]
    assert (ended["seed"], ended["runtime"], ended["dataset"], ended["reproducible"]) == (3, "cpu, 1 thread, fp32", "abc", True)
    assert {"python", "torch", "numpy", "hydra-core", "vla-train"} <= set(ended["versions"])
    assert ended["hardware"]["cores"] == os.cpu_count()
    assert ended["hardware"]["cpu"]
    assert ended["process"]["pid"] == os.getpid()
    assert not list(tmp_path.glob("*.new"))


def test_minutes_make_a_run_not_reproducible(tmp_path: Path) -> None:
    record(tmp_path, minutes=5.0)
    assert read(tmp_path)["reproducible"] is False


@pytest.mark.parametrize(
    ("error", "status"),
    [(Interrupted("stopped by SIGTERM", 75), 75), (UsageError("wrong"), 2), (KeyboardInterrupt(), 130), (RuntimeError("bug"), 1)],
)
def test_an_exception_is_an_outcome(tmp_path: Path, error: BaseException, status: int) -> None:
    with pytest.raises(type(error)), record(tmp_path):
        raise error
    ended = read(tmp_path)
    assert ended["exit_status"] == status
    assert str(error) in ended["outcome"]


def test_each_resume_is_one_more_session(tmp_path: Path) -> None:
    record(tmp_path).finish("stopped", 75)
    record(tmp_path)  # killed: it never said how it ended
    record(tmp_path).finish("finished")
    document = read(tmp_path)
    assert document["outcome"] == "finished"
    assert [session["outcome"] for session in document["earlier_sessions"]] == ["stopped", "running"]


def test_a_run_json_that_is_not_ours_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[1, 2")
    record(tmp_path).finish("finished")
    assert read(tmp_path)["earlier_sessions"] == []


def test_commit_and_dirtiness_of_a_real_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert run_folder.source_state(tmp_path) is None
    git("init")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/code.py").write_text("a = 1\n")
    git("add", ".")
    git("commit", "-m", "first")
    assert run_folder.source_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "package/code.py").write_text("a = 2\n")
    assert run_folder.source_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    assert run_folder.source_state(tmp_path / "package") is None  # a package installed below someone else's checkout
    assert Path(vla_train.__file__).exists()
