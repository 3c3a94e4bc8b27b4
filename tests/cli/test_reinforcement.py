"""Runs that learn in their environment, without a dataset: made, resumed, evaluated, started from a cloned policy, refused."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests import broken_worlds  # registers its environments
from tests.cli.conftest import run_folder

assert broken_worlds
SMALL = ["source.num_envs=4", "source.steps=16", "every.evaluate=0", "evaluation.held_out_frames=0"]
RUNNING = ["paradigm.normalize_states=true", "paradigm.normalize_rewards=true"]
RECORDED = "model.words=0"  # without words losses are recorded
CARTPOLE = ["paradigm=ppo", "dataset=gym", "dataset.env_id=CartPole-v1", "model=feature_mlp", RECORDED, *RUNNING, *SMALL]
TABLE = ["paradigm=ppo", "environment.cameras=[]", "model=feature_mlp", *SMALL]
FAULTY = {  # a user's package, as pip would leave it, with an environment that goes wrong
    "faulty_worlds-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: faulty_worlds\nVersion: 1.0\n",
    "faulty_worlds-1.0.dist-info/entry_points.txt": "[vla_train.plugins]\nown = faulty_worlds\n",
    "faulty_worlds/__init__.py": "",
    "faulty_worlds/configs/environment/faulty.yaml": "_target_: faulty_worlds.world.World\nfault: none\n",
    "faulty_worlds/world.py": """import numpy as np
from vla_train.envs.gym import GymVectorEnv

class World(GymVectorEnv):
    def __init__(self, num_envs: int, stage: str = "none", fault: str = "none") -> None:
        super().__init__(num_envs, stage, env_id="CartPole-v1", horizon=5)
        self.fault, self.begun = fault, False

    def reset(self, **how):
        shown, info = super().reset(**how)
        if self.fault == "change" and self.begun:
            shown["state"] = np.pad(shown["state"], ((0, 0), (0, 1)))
        self.begun = True
        return shown, info

    def step(self, actions):
        shown, reward, *others = super().step(actions)
        return shown, reward * (np.nan if self.fault == "nan reward" else 1.0), *others
""",
}


@pytest.fixture(scope="module")
def train(workplace):
    return lambda *words, expect=0: workplace.here("vla-train", *words, expect=expect)


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, bytes]:
    tensors = load_file(run / "checkpoints" / "last" / "policy.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def whole(train) -> Path:
    return run_folder(train("name=ppo", *CARTPOLE, "steps=6", "optimizer.schedule=constant"))


def test_a_run_learns_in_its_world_alone(workplace, whole):
    facts = json.loads((whole / "run.json").read_text())
    assert facts["outcome"] == "finished"
    last = rows(whole)[-1]
    assert last["samples"] == 6 * 4 * 16
    assert {f"train/{name}" for name in ("return", "length", "kl", "clip_fraction", "explained_variance", "entropy")} <= set(last)
    assert json.loads((whole / "report.json").read_text())["metrics"]["length"] > 0
    policy = load_file(whole / "checkpoints" / "last" / "policy.safetensors")
    assert policy["normalizer.state_limit"].item() == 10.0
    assert (policy["normalizer.state_scale"] < 1.0).any(), "the poles' angles are small"
    data = json.loads((whole / "checkpoints" / "last" / "data.json").read_text())
    assert data["fingerprint"] == facts["dataset"]
    assert data["parts"] == {}


def test_stopped_in_the_middle_of_episodes_and_resumed_it_is_the_same_to_the_bit(workplace, train, whole):
    run = run_folder(train("name=ppo-stopped", *CARTPOLE, "steps=3", "optimizer.schedule=constant"))
    printed = train(f"resume={run}", "steps=6")
    assert "begin anew" not in printed
    assert weights(run) == weights(whole)
    names = [name for name in rows(whole)[-1] if name.startswith("train/")]
    assert [[row.get(name) for name in names] for row in rows(run)] == [[row.get(name) for name in names] for row in rows(whole)]


REPLAY = [
    "model=feature_mlp",
    RECORDED,
    "every.evaluate=0",
    "evaluation.held_out_frames=0",
    "source.steps=3",
    "source.num_envs=2",
]
REPLAY += ["source.batch_size=8", "source.capacity=40", "source.learning_starts=30", "source.n_step=2"]
CONSTANT = ["paradigm.epsilon=0.5", "paradigm.epsilon_final=0.5"]  # whatever the length of the run
OFF_POLICY = {
    "dqn": ["paradigm=dqn", "dataset=gym", "dataset.env_id=CartPole-v1", "paradigm.target_every=2", *CONSTANT, *REPLAY],
    "sac": ["paradigm=sac", "environment.cameras=[]", "safety=limits", "safety.state={0: [-0.05, 0.05]}", *REPLAY],
}


@pytest.mark.parametrize("name", OFF_POLICY)
def test_with_a_replay_buffer_too(train, name):
    """Stopped with a full buffer, in the middle of episodes: a foreign world for DQN, our own for SAC."""
    whole = run_folder(train(f"name={name}", *OFF_POLICY[name], "steps=12"))
    run = run_folder(train(f"name={name}-stopped", *OFF_POLICY[name], "steps=7"))
    printed = train(f"resume={run}", "steps=12")
    assert "begin anew" not in printed
    assert weights(run) == weights(whole)
    assert any(path.name.startswith("segment_") for path in (run / "replay").rglob("*"))
    if name == "sac":
        counted = [json.loads((each / "report.json").read_text())["safety"] for each in (run, whole)]
        assert counted[0] == counted[1]
        assert counted[0]["steps"] == 30 + 11 * 6
        assert counted[0]["aborted"] > 0


STAGES = ["curriculum=progressive", "curriculum.stages=[basic_navigation,simple_manipulation]", "curriculum.max_steps=2"]


def test_what_was_not_safe_is_counted_over_all_stages_and_evaluated(workplace, train, tmp_path):
    """Stopped in the second stage, in which the count of the first goes on."""
    limits = ["safety=limits", "safety.state={0: [-0.2, 0.2]}", "safety.effort=0.01", "curriculum.rehearsal=0", *STAGES]
    run = run_folder(train("name=guarded", *TABLE, *limits, "steps=3", "optimizer.schedule=constant"))
    train(f"resume={run}", "steps=4")
    counted = json.loads((run / "report.json").read_text())["safety"]
    assert counted["steps"] == 4 * 4 * 16
    assert rows(run)[-1]["train/aborted"] == counted["aborted"] > rows(run)[1]["train/aborted"] > 0
    assert {"train/return_environment", "train/return_safety", "train/return_effort"} <= {
        name for row in rows(run) for name in row
    }
    words = ["stage=basic_navigation", "episodes=4", "num_envs=4", "conditions=[plain]", "video_episodes=0"]
    printed = workplace.here("vla-eval", f"checkpoint={run}", *words, f"output={tmp_path / 'judged'}")
    assert "episodes aborted by safety" in printed
    metrics = json.loads((tmp_path / "judged" / "report.json").read_text())["metrics"]
    assert metrics["aborted"] > 0
    assert "episodes aborted by safety" in (tmp_path / "judged" / "report.html").read_text()
    workplace.here("vla-report", str(run), f"output={tmp_path / 'page'}")
    assert f"safety: {counted['aborted']} of {counted['episodes']} episodes" in (tmp_path / "page" / "index.html").read_text()


def test_it_is_evaluated_like_any_other(workplace, whole, tmp_path):
    printed = workplace.here("vla-eval", f"checkpoint={whole}", "episodes=2", "num_envs=2", f"output={tmp_path}")
    assert "the run learned in its environment, without demonstrations" in printed
    assert json.loads((tmp_path / "report.json").read_text())["metrics"]["success"] == 0.0


@pytest.fixture(scope="module")
def cloned(train) -> dict[int, Path]:
    """Cloned policies that decide one and four actions at once."""
    settings = ["environment.cameras=[]", "model=feature_mlp", "head=gaussian", "steps=1", "every.evaluate=0"]
    return {chunk: run_folder(train(f"name=chunk{chunk}", *settings, f"dataset.chunk={chunk}")) for chunk in (1, 4)}


def test_a_cloned_policy_goes_on_by_trying(train, cloned):
    tuned = ["paradigm.reference=0.1", "paradigm.value_warmup=1", "paradigm.freeze_encoder=true"]
    run = run_folder(train("name=tuned", f"init={cloned[1]}", *TABLE, "steps=2", *tuned))
    before, after = weights(cloned[1]), weights(run)
    assert {name.split(".")[0] for name in before if before[name] != after[name]} == {"head"}
    assert "train/reference_kl" in rows(run)[-1]
    again = run_folder(train("name=tuned-stopped", f"init={cloned[1]}", *TABLE, "steps=1", "optimizer.schedule=constant", *tuned))
    train(f"resume={again}", "steps=2")
    straight = run_folder(train("name=tuned", f"init={cloned[1]}", *TABLE, "steps=2", "optimizer.schedule=constant", *tuned))
    assert weights(again) == weights(straight), "the reference is the policy that the run began with, not the one resumed"


def test_values_beside_a_cloned_policy_begin_with_what_it_sees(train, cloned):
    words = ["steps=1", "paradigm.value_network=separate", "optimizer.lr=1e-30"]
    run = run_folder(train("name=seeing", f"init={cloned[1]}", *TABLE, *words))
    state = load_file(run / "checkpoints" / "last" / "training" / "state.safetensors")
    policy = load_file(run / "checkpoints" / "last" / "policy.safetensors")
    begun = {name.removeprefix("paradigm/value."): tensor for name, tensor in state.items() if "/value.encoder." in name}
    assert begun
    assert all(torch.equal(tensor, policy[name]) for name, tensor in begun.items())


def test_what_is_said_beside_init_has_an_effect(train, cloned):
    """The head's own settings do; its weights and what is seen stay those of the checkpoint."""
    words = [f"init={cloned[1]}", "environment.cameras=[]", "steps=1", "every.evaluate=0"]
    run = run_folder(train("name=anew", *words, "head=gaussian", "head.min_std=0.3"))
    config = yaml.safe_load((run / "checkpoints" / "last" / "config.yaml").read_text())
    assert (config["head"]["min_std"], config["choices"]["head"], config["choices"]["model"]) == (0.3, "gaussian", "feature_mlp")
    printed = train(*TABLE, f"init={cloned[1]}", "model.dropout=0.1", "steps=1", "model=film_cnn", expect=2)
    assert "model=film_cnn: the policy that init= begins with has model=feature_mlp, and keeps it" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["head=regression", "head.loss=l2"], "head=regression: the policy that init= begins with has head=gaussian"),
        (
            ["head=gaussian", "head.begin=0.01"],
            "head.begin=0.01: the policy that init= begins with was made with head.begin=None",
        ),
        (["head=gaussian", "head.hidden=8"], "head.hidden=8: the weights of the policy that init= begins with do not fit that"),
        (
            ["model=feature_mlp", "model.layers=3"],
            "model.layers=3: the policy that init= begins with was made with model.layers=2",
        ),
        (["model=feature_mlp", "model.max_tokens=9"], "which cannot be changed any more: leave it out"),
        (["dataset.history=3"], "dataset.history=3: the policy that init= begins with has dataset.history=1"),
        (["normalization.state=none"], "normalization.state: a policy under init= keeps its own units"),
    ],
)
def test_what_cannot_have_an_effect_beside_init_is_refused(train, cloned, words, message):
    printed = train("name=refused", f"init={cloned[1]}", "environment.cameras=[]", "steps=1", *words, expect=2)
    assert message in printed
    assert "run folder:" not in printed


def test_a_cloned_policy_that_decides_several_actions_is_refused_with_the_way_out(train, cloned):
    printed = train(f"init={cloned[4]}", *TABLE, "steps=1", expect=4)
    assert "predicts 4 actions at once, but paradigm=ppo decides 1 at a time: train it with dataset.chunk=1" in printed


def test_no_demonstrations_are_made(train, tmp_path):
    run = run_folder(train(*TABLE, "steps=1", f"output={tmp_path}"))
    assert [path.name for path in tmp_path.iterdir()] == [run.name]
    assert json.loads((run / "checkpoints/last/spec.json").read_text())["chunk"] == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([*TABLE, "head=regression"], 2, "RegressionHead does not give: train with head=gaussian_constant"),
        ([*TABLE, "head=categorical"], 2, "head=categorical does not fit continuous actions; these do: gaussian_constant"),
        ([*CARTPOLE[:4], "source=dataset"], 2, "paradigm=ppo learns from Rollout, but source=dataset yields Transition"),
        (["source=rollout"], 2, "paradigm=bc learns from Demonstration, but source=rollout yields Rollout"),
        ([*TABLE[:1], "environment=none"], 2, "source=rollout plays in the run's environment, and there is none"),
        ([*TABLE, "dataset.path=x"], 2, "leave out dataset.path"),
        ([*TABLE, "augmentation=language"], 2, "augmentation=language changes recorded samples"),
        (
            [*TABLE, "curriculum=progressive", "curriculum.max_steps=9"],
            2,
            "plays one stage at a time: set curriculum.rehearsal=0",
        ),
        ([*TABLE, "curriculum=mixed"], 2, "source=rollout plays one stage at a time"),
        (["paradigm=dqn", *TABLE[1:3], *REPLAY], 2, "fits continuous actions: choose another one, paradigm=bc or"),
        (["paradigm=sac", *CARTPOLE[1:4], *REPLAY], 2, "fits discrete actions: choose another one, paradigm=bc or"),
        (["paradigm=ppo", "source=replay", *CARTPOLE[1:4]], 2, "learns from Rollout, but source=replay yields Transition"),
        (["paradigm=dqn", *CARTPOLE[1:4], *REPLAY, "source.capacity=1000000000000000"], 2, "lower it, to"),
        (["paradigm=dqn", *CARTPOLE[1:4], *REPLAY, "paradigm.minibatches=3"], 2, "must be a multiple of paradigm.minibatches=3"),
        ([*TABLE, "safety=limits", "safety.state={speed: [0, 1]}"], 2, "there is no 'speed' in the state"),
        ([*CARTPOLE, "dataset.env_id=Broken-change-v0"], 6, "an environment whose spaces change cannot be learned in"),
        ([*TABLE, "paradigm.reference=1"], 2, "give a checkpoint to start from with init="),
        ([*TABLE, "paradigm.freeze_encoder=true"], 2, "give a checkpoint to start from with init="),
        ([*TABLE, "paradigm.minibatches=33"], 2, "lower paradigm.minibatches"),
        ([*CARTPOLE[:2], "dataset.observation=pixels", "model=feature_mlp"], 2, "there are only pictures (pixels)"),
        (
            [*CARTPOLE, "dataset.env_id=Broken-nan-reward-v0"],
            6,
            "mend the environment's reward, nothing can be learned",
        ),
    ],
)
def test_what_does_not_go_is_told_in_one_message(train, words, code, message):
    printed = train(*words, "steps=1", "name=refused", expect=code)
    assert message in printed
    assert "Traceback" not in printed
    assert "demonstrations;" not in printed, "nothing is made before"


def test_a_plugins_environment_that_goes_wrong_ends_the_process_with_one_message(workplace, tmp_path, monkeypatch):
    for name, text in FAULTY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ["paradigm=ppo", "dataset=gym", "environment=faulty", "model=feature_mlp", *SMALL, "steps=1"]
    told = {
        "change": "an environment whose spaces change cannot be learned in; wrap it in one that always shows the same",
        "nan reward": "mend the environment's reward, nothing can be learned from that",
    }
    named = {fault: [f"environment.fault={fault}", f"name=faulty-{fault[:3]}"] for fault in told}
    started = {fault: workplace.start("vla-train", *words, *own) for fault, own in named.items()}
    for fault, process in started.items():
        printed, _ = process.communicate(timeout=240)
        assert process.returncode == 6, printed
        (message,) = [line for line in printed.splitlines() if line.startswith("error: ")]
        assert message.endswith(told[fault])
        assert "Traceback" not in printed
