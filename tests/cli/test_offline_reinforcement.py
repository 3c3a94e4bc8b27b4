"""Learning from recorded rewards by command: over both kinds of actions, the same after a stop, refused without rewards."""

import json

import pytest
from safetensors.torch import load_file

from tests.cli.conftest import run_folder
from tests.recordings import write_v30

MIXED = ["dataset.mediocre=0.5", "dataset.random=0.3", "environment.cameras=[]", "model=feature_mlp", "every.evaluate=0"]
CQL = ["paradigm=cql", *MIXED]


@pytest.fixture(scope="module")
def train(workplace):
    return lambda *words, expect=0: workplace.here("vla-train", *words, expect=expect)


def state(run) -> dict[str, bytes]:
    """Everything that learns: critics, targets and temperature too."""
    last = run / "checkpoints" / "last"
    files = [last / "policy.safetensors", *sorted((last / "training").glob("*.safetensors"))]
    return {f"{file.name} {name}": tensor.numpy().tobytes() for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize(
    ("kind", "logged"),
    [
        ("continuous", ("critic_loss", "policy_loss", "temperature", "entropy")),
        ("discrete", ("loss",)),
    ],
)
def test_a_run_stopped_in_the_middle_is_the_same_to_the_bit(train, kind, logged):
    words = [*CQL, f"environment.actions={kind}"]
    whole = run_folder(train(f"name=cql-{kind}", *words, "steps=6"))
    last = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert {f"train/{name}" for name in (*logged, "td_loss", "conservative", "value", "value_gap", "target")} <= set(last)
    stopped = run_folder(train(f"name=cql-{kind}-stopped", *words, "steps=3"))
    train(f"resume={stopped}", "steps=6")
    mine, theirs = state(stopped), state(whole)
    assert len(mine) > 10
    assert mine == theirs


def test_it_acts_within_the_bounds_whatever_the_data(train):
    """The policy's units are those of the bounds, where behavioural cloning takes those of the data."""
    run = run_folder(train("name=cql-units", *CQL, "steps=1"))
    policy = load_file(run / "checkpoints" / "last" / "policy.safetensors")
    assert policy["normalizer.action_offset"].tolist() == [0, 0, 0, 0]
    assert policy["normalizer.action_scale"].tolist() == [1, 1, 1, 1]


def test_data_without_rewards_are_refused_with_the_way_out(train, tmp_path):
    write_v30(tmp_path / "data")
    columns = ["dataset.state=[state.arm]", "dataset.action=[action.arm]", "dataset.cameras=[]", "model=feature_mlp"]
    words = ["paradigm=cql", "dataset=lerobot", f"dataset.path={tmp_path / 'data'}", *columns]
    printed = train("name=refused", *words, "steps=1", expect=3)
    assert "has no rewards" in printed
    assert "record episodes with vla-collect" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["head=categorical", "environment.actions=discrete"], "paradigm=cql learns what actions are worth"),
        (["head=gaussian"], "train with head=squashed_gaussian"),
        (["source=rollout"], "paradigm=cql learns from Transition, but source=rollout yields Rollout"),
    ],
)
def test_what_does_not_fit_is_refused(train, words, told):
    assert told in train("name=refused", *CQL, "steps=1", *words, expect=2)
