"""A run that was stopped and resumed equals one that was not, to the bit, however it was stopped."""

import json
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.cli.conftest import run_folder

LENGTH = ["steps=24", "every.save=5", "every.evaluate=12"]


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def learned(run: Path) -> list[tuple]:
    """What does not depend on the clock: step, loss, gradient, success and held-out loss of each row."""
    names = ("step", "train/loss", "train/gradient_norm", "train/learning_rate", "evaluation/success", "evaluation/held_out/loss")
    return [tuple(row.get(name) for name in names) for row in rows(run)]


def weights(run: Path) -> dict[str, bytes]:
    """Every tensor's bytes. (The file's header lists its metadata in no fixed order.)"""
    tensors = load_file(run / "checkpoints" / "last" / "policy.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def report(run: Path) -> dict:
    """What report.json says, but for how long things took."""
    content = json.loads((run / "report.json").read_text())
    metrics = {name: value for name, value in content["metrics"].items() if "latency" not in name}
    return {"metrics": metrics, "not_applicable": content["not_applicable"], "diagnostics": content["diagnostics"]}


def reached(step: int):
    def when(run: Path) -> bool:
        path = run / "metrics.jsonl"
        return path.exists() and len(path.read_text().splitlines()) >= step

    return when


@pytest.fixture(scope="module")
def uninterrupted(workplace) -> Path:
    return workplace.train("name=whole", *LENGTH)


@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["SIGTERM", "SIGINT", "SIGKILL"]
)
def test_stopped_and_resumed_equals_uninterrupted(workplace, uninterrupted, sign, code):
    run, exit_code, printed = workplace.interrupt("name=stopped", *LENGTH, when=reached(8), sign=sign)
    assert exit_code == code, printed
    if sign != signal.SIGKILL:
        last = json.loads((run / "checkpoints" / "last" / "manifest.json").read_text())["step"]
        assert last >= rows(run)[-1]["step"], "everything up to the stop is saved"
    workplace.run("vla-train", f"resume={run}")
    assert weights(run) == weights(uninterrupted)
    assert learned(run) == learned(uninterrupted)
    assert report(run) == report(uninterrupted)
    assert [row["step"] for row in rows(run)] == list(range(1, 25)), "each step stands once"


def test_a_run_that_nobody_watches_learns_the_same(workplace, uninterrupted):
    assert weights(run_folder(workplace.here("vla-train", "name=unwatched", "diagnostics=false", *LENGTH))) == weights(
        uninterrupted
    )


def test_a_stop_during_evaluation_is_saved_too(workplace, uninterrupted):
    def evaluating(run: Path) -> bool:  # row 12 is written before its evaluation, which takes seconds
        return reached(12)(run)

    run, exit_code, printed = workplace.interrupt(
        "name=evaluating", *LENGTH, "evaluation.episodes=64", "evaluation.num_envs=2", when=evaluating
    )
    assert exit_code == 75, printed
    assert json.loads((run / "checkpoints" / "last" / "manifest.json").read_text())["step"] in (12, 13)
    workplace.here("vla-train", f"resume={run}")
    assert weights(run) == weights(uninterrupted)


def test_a_finished_run_exits_0_and_can_be_lengthened(workplace, uninterrupted):
    before = weights(uninterrupted)
    assert "is finished" in workplace.here("vla-train", f"resume={uninterrupted}")
    assert weights(uninterrupted) == before
    longer = run_folder(workplace.here("vla-train", "name=longer", "steps=6"))
    workplace.here("vla-train", f"resume={longer}", "steps=9")
    assert rows(longer)[-1]["step"] == 9


def test_an_average_survives_a_stop(workplace):
    settings = ["optimizer.ema=0.9", "steps=12", "every.save=5", "every.evaluate=0"]
    whole = run_folder(workplace.here("vla-train", "name=average", *settings))
    run, _, _ = workplace.interrupt("name=average-stopped", *settings, when=reached(6))
    workplace.here("vla-train", f"resume={run}")
    assert weights(run) == weights(whole)


def test_resume_refuses_other_settings(workplace, uninterrupted):
    printed = workplace.here("vla-train", f"resume={uninterrupted}", "optimizer.lr=0.1", expect=2)
    assert "optimizer.lr" in printed
    assert "Traceback" not in printed
