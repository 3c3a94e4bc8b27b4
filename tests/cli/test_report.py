"""``vla-report`` on two real runs, once as a process of its own."""

import shutil
import subprocess
import sys
import time

import pytest

from tests import toy_runs
from tests.cli.conftest import run_folder

TINY = ["model=film_cnn", "model.blocks=1", "steps=4", "every.evaluate=2"]


@pytest.fixture(scope="module")
def runs(workplace):
    words = (["name=first", "optimizer.lr=0.001"], ["name=second", "optimizer.lr=0.01", "seed=1"])
    return [run_folder(workplace.here("vla-train", *TINY, *more)) for more in words]


def test_two_runs_are_compared(workplace, runs, tmp_path):
    printed = workplace.run("vla-report", *map(str, runs), f"output={tmp_path / 'report'}", "x=samples")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"index.html", "curves.png"}
    assert (tmp_path / "report" / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report" / "index.html").read_text()
    for text in ("optimizer.lr", "success", runs[0].name, runs[1].name, "rollouts_000004.mp4", "vla-train"):
        assert text in page
    rows = [line.split() for line in printed.splitlines()]
    assert ["optimizer.lr", "0.001", "0.01"] in rows
    assert ["seed", "0", "1"] in rows
    assert f"page: {tmp_path / 'report' / 'index.html'}" in printed


def test_a_folder_of_runs_and_a_checkpoint_will_do(workplace, runs, tmp_path):
    """The folder holds a run that was refused too, as such folders do: that is a note, and no failure of the report."""
    folder = tmp_path / "outputs"
    for run in runs:
        shutil.copytree(run, folder / run.name, symlinks=True)
    toy_runs.write(folder / "refused", metrics=[], record={"outcome": "there is no GPU", "exit_status": 2})
    printed = workplace.here("vla-report", str(folder), f"output={tmp_path / 'all'}")
    assert runs[0].name in printed
    assert runs[1].name in printed
    assert "refused: nothing was logged before it ended (there is no GPU)" in printed
    printed = workplace.here("vla-report", str(runs[0] / "checkpoints" / "last"))
    assert f"page: {runs[0] / 'report' / 'index.html'}" in printed


def test_mistakes_have_their_exit_codes(workplace, runs, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "index.html").touch()
    assert "name at least one run folder" in workplace.here("vla-report", expect=2)
    assert "there is no such folder" in workplace.here("vla-report", str(tmp_path / "nowhere"), expect=2)
    assert "Did you mean output?" in workplace.here("vla-report", str(runs[0]), "ouput=x", expect=2)
    assert "choose one of updates" in workplace.here("vla-report", str(runs[0]), "x=hours", expect=2)
    assert "is there already" in workplace.here("vla-report", str(runs[0]), f"output={taken}", expect=2)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "metrics.jsonl").write_text("?\n{}\n")
    assert "line 1 is damaged" in workplace.here("vla-report", str(tmp_path / "damaged"), expect=3)
    printed = workplace.here("vla-report", str(tmp_path / "damaged"), str(runs[0]), f"output={tmp_path / 'rest'}", expect=3)
    assert "line 1 is damaged" in printed
    assert (tmp_path / "rest" / "index.html").is_file()


def test_help_is_quick_and_nothing_heavy_is_imported(workplace):
    began = time.perf_counter()
    assert "Usage: vla-report RUN" in workplace.run("vla-report", "--help")
    assert time.perf_counter() - began < 2  # 0.1 s on an idle machine
    code = (
        "import sys, vla_train.cli.report, vla_train.reporting.write; print({'torch', 'matplotlib', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
