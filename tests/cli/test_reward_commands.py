"""Rewards by command: logged apart, the same after a stop, refused where they do not apply."""

import json

import pytest
from safetensors.torch import load_file

from tests.cli.conftest import run_folder

SMALL = ["source.num_envs=4", "source.steps=16", "every.evaluate=0", "every.log=1", "optimizer.schedule=constant"]
TABLE = ["paradigm=reinforce", "environment.cameras=[]", "model=feature_mlp", *SMALL]
LANGUAGE = ["reward=language", "reward.scorer=overlap", "reward.completion=1", "reward.progress=0.5", "reward.action=0.1"]


@pytest.fixture(scope="module")
def train(workplace):
    return lambda *words, expect=0: workplace.here("vla-train", *words, expect=expect)


def rows(run) -> list[dict]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name.startswith("train/")} for line in lines]


def weights(run) -> dict[str, bytes]:
    tensors = load_file(run / "checkpoints" / "last" / "policy.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_terms_are_logged_apart_and_a_stopped_run_is_the_same_to_the_bit(train):
    whole = run_folder(train("name=rewarded", *TABLE, *LANGUAGE, "steps=6"))
    ended = next(row for row in rows(whole) if "train/return" in row)
    parts = [ended[f"train/return_{name}"] for name in ("completion", "progress", "action", "language")]
    assert sum(parts) == pytest.approx(ended["train/return"], abs=1e-5)
    assert ended["train/return_action"] < 0
    stopped = run_folder(train("name=rewarded-stopped", *TABLE, *LANGUAGE, "steps=3"))
    train(f"resume={stopped}", "steps=6")
    assert weights(stopped) == weights(whole)
    assert rows(stopped) == rows(whole)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reward=shaped"], "source=dataset plays nothing"),
        ([*TABLE, "reward=language", "reward.encoder=."], "reward.encoder=.: no sentence encoder can be read there"),
        ([*TABLE, "reward=sparse", "environment.actions=discrete", "reward.action=1"], "set it to 0"),
        ([*TABLE, "paradigm.baseline=mean"], "source.steps=16 is shorter than the longest episode"),
        ([*TABLE, "reward=sparse", "environment.shaping=1"], "leave out environment.shaping"),
        (
            [*TABLE, "reward=sparse", "reward.action=1", "safety=limits", "safety.effort=1"],
            "safety.effort and reward.action are the same penalty, which would be taken twice: set one of them to 0",
        ),
        ([*TABLE, "reward.completion=2"], "reward=language, reward=shaped, reward=sparse"),
        ([*TABLE, "reward=dense"], "Choices: environment, language, shaped, sparse"),
    ],
)
def test_what_does_not_fit_is_refused_before_there_is_a_run(train, words, told):
    assert told in train("name=refused", *words, "steps=1", expect=2)
