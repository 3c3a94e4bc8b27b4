"""One's own recordings: train, resume on changed data, evaluate what was held out. In this process, which has torch already."""

import json

import pytest

from tests.cli.conftest import run_folder
from tests.recordings import REAL, encode, numbers_of, write_v21
from vla_train.data import recorded

SMALL = ["steps=4", "dataset.batch_size=8", "dataset.chunk=2", "model.layers=1", "every.save=2", "evaluation.held_out_frames=8"]
COLUMNS = ["dataset=lerobot", "dataset.action=[action.arm,action.grip]", "dataset.state=[state.arm]"]


def report(run):
    (path,) = (run / "evaluations").glob("*/report.json")
    return json.loads(path.read_text())


def test_train_and_resume(workplace, tmp_path):
    folder = write_v21(tmp_path / "recordings", version="v2.0")
    run = run_folder(workplace.here("vla-train", *COLUMNS, f"dataset.path={folder}", "dataset.held_out=[1]", *SMALL))
    assert not (folder / "cache").exists(), "nothing is written among recordings"
    words = json.loads((run / "checkpoints/last/tokenizer.json").read_text())["model"]["vocab"]
    assert {"Ġpush", "Ġlift", "Ġopen"} & set(words) == {"Ġpush", "Ġopen"}, "the tokenizer knows nothing of the episode held out"
    encode(folder / "videos/chunk-000/observation.images.top/episode_000002.mp4", numbers_of(3, 6))
    assert " has changed since " in workplace.here("vla-train", f"resume={run}", "steps=6", expect=4)
    workplace.here("vla-train", f"resume={run}", "steps=6", "force_dataset=true")


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings sim_pick_place are not on this machine")
def test_real_recordings(workplace):
    columns = ["dataset.action=[action.eef_position,action.gripper_close]", "dataset.state=[state.eef_position]"]
    run = run_folder(
        workplace.here("vla-train", "dataset=lerobot", f"dataset.path={REAL}", *columns, "dataset.held_out=[3]", *SMALL)
    )
    recorded._say.cache_clear()  # a process says each note once
    printed = workplace.here("vla-eval", f"checkpoint={run}")
    assert "base_view, base_view_2 without files: going on with ego_view" in printed
    assert report(run)["metrics"]["held_out/frames"] == 446
    processor = json.loads((run / "checkpoints/last/processor.json").read_text())
    assert processor["image_size"] == "auto"


def test_a_key_of_another_dataset_is_told(workplace, tmp_path):
    printed = workplace.here("vla-train", *COLUMNS, f"dataset.path={tmp_path}", "dataset.episodes=9", expect=2)
    assert "dataset.episodes: dataset=lerobot has no such key" in printed
