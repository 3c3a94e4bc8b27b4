"""``source=dagger`` in runs: rounds are played by the policy that is evaluated, and what cannot be is told before learning."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import run_folder
from vla_train.build import rounds
from vla_train.build.objects import load_agent
from vla_train.data.reader import open_reader

DAGGER = [
    "source=dagger",
    "source.rounds=2",
    "source.every=3",
    "source.episodes=4",
    "environment.image_size=16",
    "every.evaluate=0",
]


def recipe(folder):
    return json.loads((folder / "meta/info.json").read_text())["vla_train"]["collections"][0]["recipe"]


def test_training_with_rounds_resumes_to_the_bit(workplace):
    words = [*DAGGER, "every.save=2", "steps=8", "dataset.episodes=12"]
    whole = run_folder(workplace.here("vla-train", *words, "name=whole"))
    played = sorted((whole / "dagger").iterdir())
    assert [folder.name for folder in played] == ["round_001", "round_002"]
    assert [row["seed"] for row in open_reader(played[1]).metadata.episodes] == [16, 17, 18, 19]
    run, code, _ = workplace.interrupt(
        *words, "name=stopped", when=lambda run: (run / "dagger/round_001/meta/info.json").exists()
    )
    assert code == 75
    workplace.here("vla-train", f"resume={run}")
    ours, theirs = (load_file(folder / "checkpoints/last/policy.safetensors") for folder in (whole, run))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours | theirs)


def test_the_policy_that_is_evaluated_plays_as_it_is_evaluated(workplace, monkeypatch):
    played, executor = [], rounds.chunk_executor
    monkeypatch.setattr(
        rounds, "chunk_executor", lambda *args, ensemble: played.append(ensemble) or executor(*args, ensemble=ensemble)
    )
    words = [*DAGGER, "source.rounds=1", "steps=4", "every.save=3", "optimizer.ema=0.9", "evaluation.ensemble=true"]
    run = run_folder(workplace.here("vla-train", *words, "dataset.episodes=12", "name=averaged"))
    assert played == [True]
    evaluated = load_agent(run / "checkpoints/step_000003").policy
    assert recipe(run / "dagger/round_001")["policy"] == rounds._digest(evaluated)


@pytest.fixture(scope="module")
def demonstrations(workplace):
    """Seen by one camera."""
    folder = workplace.output / "one_camera"
    workplace.here("vla-collect", f"output={folder}", "environment=tabletop", "environment.image_size=16", "episodes=12")
    return [
        "dataset=lerobot",
        f"dataset.path={folder}",
        "environment=tabletop",
        "curriculum=basic_navigation",
        "environment.cameras=[top,gripper]",
    ]


def test_rounds_are_seen_by_the_cameras_of_the_demonstrations(workplace, demonstrations):
    run = run_folder(workplace.here("vla-train", *demonstrations, *DAGGER, "source.rounds=1", "steps=4", "name=narrow"))
    assert sorted(open_reader(run / "dagger/round_001").metadata.spec.images) == ["gripper", "top"]


def test_demonstrations_that_tell_less_than_the_world_are_refused_before_anything_is_learned(workplace, demonstrations, tmp_path):
    words = [*demonstrations, *DAGGER, "dataset.state=[]", f"output={tmp_path}"]
    told = workplace.here("vla-train", *words, expect=3)
    assert "the demonstrations and rounds of source=dagger cannot be learned together" in told
    assert "state: 0 numbers, not" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["source.every=7", "steps=7"], "source.every=7: the run is over after steps=7, before its first round"),
        (["environment=none"], "source=dagger plays in the run's environment"),
        (["environment=gym", "curriculum=none"], "source=dagger needs an expert"),
    ],
)
def test_rounds_that_nobody_can_play_are_refused_before_there_is_a_run(workplace, tmp_path, words, message):
    assert message in workplace.here("vla-train", "source=dagger", *words, f"output={tmp_path}", expect=2)
    assert not list(tmp_path.iterdir())
