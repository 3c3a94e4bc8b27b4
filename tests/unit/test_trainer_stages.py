"""The loop from stage to stage: what is over is left, what is best is judged anew, and a stop anywhere loses nothing."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tests.unit.test_trainer import Counting, make_trainer
from vla_train import checkpoint, stopping
from vla_train.curricula import Progressive
from vla_train.errors import CheckpointError, Interrupted
from vla_train.spec import Report
from vla_train.trainer import Limits
from vla_train.types import Features

SCORES = {"walk": [0.5, 0.9, 0.7, 0.7, 0.6, 0.6], "carry": [0.0, 0.0, 0.4, 0.5, 0.45, 0.85]}  # in the evaluations of a run


class Drawing(Counting):
    """Numbers that depend on the stage, and whether it was closed."""

    made: list["Drawing"] = []  # noqa: RUF012

    def __init__(self, stage):
        super().__init__()
        self.stage, self.closed = stage, False
        self.made.append(self)

    @property
    def env_steps(self):
        return 10 * self.count

    def __next__(self):
        self.count += 1
        return Features(fused=torch.full((4, 1), 1.0 + self.count % 3 + 0.5 * self.stage.index))

    def close(self):
        self.closed = True


def staged(run: Path, steps: int = 12, **settings):
    """A run of 12 updates, evaluated after every second one."""
    trainer = make_trainer(run, scores=[0.0], limits=Limits(steps=steps), evaluate=2, log=1)
    curriculum = Progressive(["walk", "carry"], **settings)

    def evaluator(agent):
        number = trainer.counters.step // 2 - 1
        names = ["walk", "carry"][: curriculum.reached()]
        values = {name: SCORES[name][number] for name in names}
        mean = sum(values.values()) / len(values)
        return Report(metrics={"score": mean, **{f"{name}/success": value for name, value in values.items()}})

    trainer.curriculum, trainer.sources, trainer.evaluators = curriculum, Drawing, [evaluator]
    return trainer


def altered(state, path, value):
    """A copy of a nested state with another value at a path; None takes it away."""
    key, *rest = path
    changed = dict(state)
    if rest:
        changed[key] = altered(state[key], rest, value)
    elif value is None:
        del changed[key]
    else:
        changed[key] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["curriculum", "stage"], 99, "at stage 99"),
        *(
            ([key], None, f"no '{key}'")
            for key in ("paradigm", "optimizers", "average", "counters", "source", "curriculum", "random")
        ),
        (["counters", "step"], None, "missing, or that nobody knows: step"),
        (["counters", "step"], "4", "counter step is '4'"),
        (["counters", "stage_step"], -1, "counter stage_step is -1"),
        (["counters", "best"], True, "counter best is True"),
        (["counters"], 5, "not iterable"),
        (["optimizers", "policy"], None, "no 'policy'"),
        (["optimizers", "policy", "adamw", "state", 0, "exp_avg"], torch.zeros(3), "another shape"),
        (["optimizers", "policy", "gradient_steps"], "4", "gradient steps are '4'"),
        (["average", "updates"], "4", "updates are '4'"),
        (["report"], [1], "unpack"),
        (["random", "torch"], torch.zeros(3), "not one that this run saved"),
        (["random", "python"], (), "not one that this run saved"),
    ],
    ids=str,
)
def test_an_altered_training_state_is_a_checkpoint_error(tmp_path, path, value, words):
    staged(tmp_path, steps=4).train()
    saved = checkpoint.read(tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoint 4 is not one.*Take another checkpoint.*init=checkpoint 4") as told:
        staged(tmp_path).load_state_dict(saved.policy(), altered(saved.training(), path, value), "checkpoint 4")
    assert words in str(told.value)


def test_an_altered_place_in_the_data_is_a_checkpoint_error(tmp_path):
    staged(tmp_path, steps=4).train()
    saved = checkpoint.read(tmp_path)
    again = staged(tmp_path)
    again.load_state_dict(saved.policy(), saved.training() | {"source": {}}, "checkpoint 4")
    with pytest.raises(CheckpointError, match="no 'count'"):
        again.train()


def rows(run: Path):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing takes longer than all the rest."""
    monkeypatch.setattr(Progressive, "picture", lambda self: None)


@pytest.mark.usefixtures("undrawn")
def test_a_mastered_stage_is_left_and_the_next_one_evaluated_too(tmp_path):
    Drawing.made.clear()
    trainer = staged(tmp_path)
    trainer.train()
    advances = trainer.curriculum.state_dict()["advances"]
    assert advances == [{"step": 4, "stage": "walk", "updates": 4, "mastered": True}]
    assert [source.stage.name for source in Drawing.made] == ["walk", "carry"]
    assert all(source.closed for source in Drawing.made)
    assert [source.count for source in Drawing.made] == [4, 8]
    assert [row["curriculum/stage"] for row in rows(tmp_path)] == [1.0] * 4 + [2.0] * 8
    assert ["evaluation/carry/success" in row for row in rows(tmp_path)[1::2]] == [False, False, True, True, True, True]
    assert trainer.counters.stage_step == 8
    assert trainer.counters.env_steps == 120, "of both sources"


@pytest.mark.usefixtures("undrawn")
def test_best_is_judged_anew_in_each_stage(tmp_path):
    trainer = staged(tmp_path)
    trainer.train()
    assert trainer.counters.best == pytest.approx((0.6 + 0.85) / 2), "0.9 of the first stage alone is no rival"
    assert trainer.counters.best_step == 12
    assert (tmp_path / "checkpoints" / "best").resolve().name == "step_000012"


@pytest.mark.usefixtures("undrawn")
def test_the_end_of_the_run_does_not_begin_another_stage(tmp_path):
    trainer = staged(tmp_path, steps=4)
    trainer.train()
    assert trainer.curriculum.stage().name == "walk"
    saved = checkpoint.read(tmp_path)
    longer = staged(tmp_path, steps=12)
    longer.load_state_dict(saved.policy(), saved.training(), "here")
    longer.train()
    assert longer.curriculum.state_dict()["advances"][0]["step"] == 4


def go_on(run: Path, **settings):
    saved = checkpoint.read(run)
    again = staged(run, **settings)
    again.load_state_dict(saved.policy(), saved.training(), "here")
    again.train()
    return saved.step, again


def assert_same(ours, theirs):
    assert torch.equal(ours.paradigm.policy.weight, theirs.paradigm.policy.weight)
    assert ours.curriculum.state_dict() == theirs.curriculum.state_dict()
    assert dataclasses.replace(ours.counters, seconds=0.0) == dataclasses.replace(theirs.counters, seconds=0.0)


SETTINGS = {"mastered": {}, "out of time": {"success": 1.0, "max_steps": 5}}  # the stage ends after update 4, or 5


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("updates", [3, 4, 5, 6])
def test_stopped_around_the_change_and_resumed_it_is_the_same_run(tmp_path, monkeypatch, updates, settings):
    whole = staged(tmp_path / "whole", **settings)
    whole.train()

    def stop():
        if stopped.counters.step == updates:
            raise Interrupted("stopped", 75)

    stopped = staged(tmp_path / "parts", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "check", stop)
        with pytest.raises(Interrupted):
            stopped.train()
    step, again = go_on(tmp_path / "parts", **settings)
    assert step == updates
    assert_same(again, whole)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_stop_while_the_next_stage_is_opened_does_not_begin_it_in_the_middle(tmp_path, settings):
    whole = staged(tmp_path / "whole", **settings)
    whole.train()

    def opened(stage):
        if stage.name == "carry":
            raise Interrupted("stopped", 75)
        return Drawing(stage)

    stopped = staged(tmp_path / "parts", **settings)
    stopped.sources = opened
    with pytest.raises(Interrupted):
        stopped.train()
    assert_same(go_on(tmp_path / "parts", **settings)[1], whole)
