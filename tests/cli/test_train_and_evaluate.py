"""The two programs as a user runs them, and what they say when something is wrong."""

import csv
import json
import shutil
from pathlib import Path

import pytest

LENGTH = ["steps=6", "every.evaluate=6"]


@pytest.fixture(scope="module")
def trained(workplace) -> Path:
    return workplace.train("name=trained", *LENGTH)


def test_a_run_leaves_what_it_promises(trained):
    facts = json.loads((trained / "run.json").read_text())
    assert facts["outcome"] == "finished"
    assert facts["exit_status"] == 0
    assert {"command", "overrides", "versions", "hardware", "dataset"} <= set(facts)
    steps = [json.loads(line)["step"] for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 7))
    with (trained / "metrics.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == steps
    assert list((trained / "pictures").iterdir())
    assert (trained / "checkpoints" / "best").is_symlink()
    report = json.loads((trained / "report.json").read_text())
    assert "held_out/loss" in report["metrics"]
    found = report["diagnostics"]
    assert {finding["where"] for finding in found["findings"] if finding["kind"] == "constant_action"} == {"dyaw", "gripper"}
    assert "6 logged updates" in found["not_applicable"]["gradients"]


def test_vla_eval_measures_a_checkpoint(workplace, trained, tmp_path):
    printed = workplace.run(
        "vla-eval", f"checkpoint={trained}", "episodes=6", "num_envs=6", "threads=1", "video_episodes=2", f"output={tmp_path}"
    )
    assert "success" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    for name in ("success", "swapped/success", "foreign/success", "empty/success", "chance/success", "held_out/alignment"):
        assert name in report["metrics"], name
    assert report["diagnostics"]["training"] == json.loads((trained / "report.json").read_text())["diagnostics"]
    assert "gradients" in report["diagnostics"]["not_applicable"]
    assert "diagnostics: " in printed
    with (tmp_path / "episodes.csv").open() as file:
        conditions = [row["condition"] for row in csv.DictReader(file)]
    assert conditions.count("plain") == 6
    assert (tmp_path / "rollouts.mp4").stat().st_size > 1000


def test_a_loaded_agent_acts(trained):
    import numpy as np

    import vla_train

    agent = vla_train.load(trained)
    spec = agent.processor.spec
    images = {name: np.zeros((2, image.height, image.width, image.channels), np.uint8) for name, image in spec.images.items()}
    chunk = agent.act(images, ["go to the red cup", ""], np.zeros((2, spec.state_size), np.float32))
    assert chunk.shape == (2, spec.chunk, spec.action.size)
    assert np.isfinite(chunk).all()


def test_init_starts_from_the_weights_of_another_run(workplace, trained):
    still = ["optimizer.lr=1e-12", "optimizer.warmup=0"]
    run = workplace.train("name=init", f"init={trained}", "steps=1", "every.evaluate=0", *still)
    from safetensors.torch import load_file

    before, after = (load_file(folder / "checkpoints/last/policy.safetensors") for folder in (trained, run))
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before if before[name].is_floating_point())
    workplace.run("vla-train", f"resume={run}", "steps=2")
    assert "exclude each other" in workplace.run("vla-train", f"resume={run}", f"init={trained}", expect=2)


def test_a_sweep_runs_every_combination(workplace):
    grid = ["-m", "model=transformer,film_cnn", "seed=0,1"]
    printed = workplace.run("vla-train", *grid, "steps=1", "every.evaluate=0", "name=sweep")
    folders = [line for line in printed.splitlines() if "run folder: " in line]
    assert len(folders) == 4
    assert len(set(folders)) == 4


def broken(trained: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(trained / "checkpoints" / "last", copy)
    return copy


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["dataset.path=nowhere"], 3, "nowhere"),
        (["runtime.device=cuda:7"], 2, "cuda:7"),
        (["resume=nowhere"], 4, "nowhere"),
        (["init=nowhere"], 4, "nowhere"),
        (["head=categorical"], 2, "regression"),
        (["evaluation.best=sucess"], 2, "Did you mean success"),
        (["evaluation.execute=100"], 2, "dataset.chunk"),
    ],
    ids=["no dataset", "no device", "nothing to resume", "nothing to start from", "head", "metric", "execution"],
)
def test_mistakes_get_one_message_and_their_exit_code(workplace, words, code, said):
    printed = workplace.run("vla-train", "name=mistake", *words, expect=code)
    assert said in printed
    assert "Traceback" not in printed


def test_output_that_cannot_be_written(workplace, tmp_path):
    (tmp_path / "file").write_text("")
    printed = workplace.run("vla-train", f"output={tmp_path / 'file' / 'outputs'}", expect=2)
    assert "Traceback" not in printed


def test_a_flipped_bit_is_found(workplace, trained, tmp_path):
    copy = broken(trained, tmp_path)
    flip(copy / "policy.safetensors")
    printed = workplace.run("vla-eval", f"checkpoint={copy}", expect=4)
    assert "policy.safetensors" in printed
    assert "Traceback" not in printed


def test_a_bad_batch_is_kept(workplace):
    words = ["optimizer.lr=1e30", "steps=40", "every.evaluate=0", "every.save=1"]
    printed = workplace.run("vla-train", "name=diverged", *words, expect=5)
    run = Path(next(line.split("run folder: ")[1] for line in printed.splitlines() if "run folder: " in line))
    assert "bad_batch" in printed
    assert list((run / "bad_batch").iterdir())
    assert (run / "checkpoints" / "last" / "policy.safetensors").exists()


def test_recorded_data_needs_its_own_environment_or_none(workplace, tmp_path):
    """A small dataset that LeRobot itself wrote."""
    shutil.copytree(Path(__file__).parents[1] / "data" / "lerobot_0_4_4", tmp_path / "recorded")
    recorded = f"dataset.path={tmp_path / 'recorded'}"
    printed = workplace.run("vla-train", recorded, expect=2)
    assert "environment=none" in printed
    run = workplace.train(recorded, "environment=none", "curriculum=none", "steps=3", "every.evaluate=3", "name=recorded")
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert "evaluation/held_out/loss" in row


def test_without_its_demonstrations_an_evaluation_says_so(workplace, tmp_path):
    other = type(workplace)(tmp_path / "outputs")
    run = other.train("name=alone", "steps=1", "every.evaluate=0")
    shutil.rmtree(tmp_path / "outputs" / "datasets")
    words = ["episodes=2", "num_envs=2", "conditions=[plain]", "threads=1", f"output={tmp_path / 'report'}"]
    other.run("vla-eval", f"checkpoint={run}", *words)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert "dataset=" in report["not_applicable"]["held_out"]
    assert "held_out/loss" not in report["metrics"]
