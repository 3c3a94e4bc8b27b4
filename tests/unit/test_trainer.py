"""The loop by itself: limits, progress, early stopping, best, and what it saves."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vla_train import checkpoint
from vla_train.continual.finetune import FineTune
from vla_train.curricula import SingleStage
from vla_train.diagnostics import NoDiagnostics
from vla_train.errors import NumericError, UsageError
from vla_train.optim import Average, Optimizer, Progress
from vla_train.paradigms.base import Paradigm
from vla_train.spec import Report
from vla_train.tracking.console import Console
from vla_train.tracking.tracker import Tracker
from vla_train.trainer import Choice, Counters, Every, Limits, Trainer
from vla_train.types import Features


class Line(Paradigm):
    """Learns y = 2 x, without a real policy."""

    def __init__(self, progress: Progress):
        nn.Module.__init__(self)
        self.policy = nn.Linear(1, 1, bias=False)
        self.optimizers = {"policy": Optimizer(self.policy.parameters(), lr=0.05, progress=progress)}

    def update(self, batch):
        def loss_of(part):
            loss = (self.policy(part.fused) - 2 * part.fused).square().squeeze(-1)
            return loss, torch.ones_like(loss), {"loss": loss}

        return self.optimizers["policy"].step(loss_of, batch)


class Counting:
    """A source of the numbers 1, 2, 3, ...; ``bad_at`` makes one of them NaN."""

    env_steps, collects = 0, False
    preparing = 0.0  # seconds before each batch

    def __init__(self, bad_at: int = -1):
        self.count, self.bad_at = 0, bad_at

    def prepare(self):
        time.sleep(self.preparing)

    def figures(self):
        return {}

    def __next__(self):
        self.count += 1
        value = float("nan") if self.count == self.bad_at else 1.0 + self.count % 3
        return Features(fused=torch.full((4, 1), value))

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]

    def close(self):
        pass


def make_trainer(run: Path, *, scores=(), limits=Limits(steps=10), patience=0, evaluate=2, bad_at=-1, log=1) -> Trainer:  # noqa: B008
    run.mkdir(exist_ok=True)
    progress = Progress()
    torch.manual_seed(0)
    line = Line(progress)
    remaining = iter(scores)
    return Trainer(
        run=run,
        paradigm=line,
        average=Average(line.policy, 0.0),
        sources=lambda stage: Counting(bad_at),
        curriculum=SingleStage("none"),
        continual=FineTune(),
        evaluators=[lambda agent: Report(metrics={"score": next(remaining)})] if scores else [],
        make_agent=lambda policy: SimpleNamespace(policy=policy),
        tracker=Tracker(run, tensorboard=False, console=Console("none")),
        progress=progress,
        limits=limits,
        every=Every(log=log, evaluate=evaluate, save=3),
        choice=Choice("score", "max", patience),
        watcher=NoDiagnostics(),
        texts={},
        keep=2,
        device=torch.device("cpu"),
    )


def test_progress_is_the_largest_share_and_minutes_count_only_alone():
    counters = Counters(step=5, env_steps=30, seconds=54.0)
    assert Limits(steps=10).progress(counters) == 0.5
    assert Limits(steps=10, env_steps=40).progress(counters) == 0.75
    assert Limits(steps=10, minutes=1.0).progress(counters) == 0.5
    assert Limits(minutes=1.0).progress(counters) == pytest.approx(0.9)
    assert not Limits(steps=10, minutes=1.0).reached(counters)
    assert Limits(steps=10, minutes=0.9).reached(counters)
    assert not Limits(steps=10, minutes=1.0).reproducible


def test_the_run_ends_after_its_steps_and_keeps_the_newest_checkpoints(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    assert trainer.counters.step == 10
    assert trainer.counters.samples == 40
    saved = sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir() and not path.is_symlink())
    assert saved == ["step_000009", "step_000010"]


def test_what_a_source_prepares_is_no_training_time(tmp_path, monkeypatch):
    monkeypatch.setattr(Counting, "preparing", 0.02)
    trainer = make_trainer(tmp_path, limits=Limits(steps=10), evaluate=0)
    began = time.perf_counter()
    trainer.train()
    assert time.perf_counter() - began > 0.2 > trainer.counters.seconds > 0


def test_best_is_the_best_evaluation_and_stays(tmp_path):
    trainer = make_trainer(tmp_path, scores=[0.1, 0.9, 0.3, 0.2, 0.5])
    trainer.train()
    assert (trainer.counters.best, trainer.counters.best_step) == (0.9, 4)
    assert (tmp_path / "checkpoints" / "best").resolve().name == "step_000004"


def test_patience_stops_early(tmp_path):
    trainer = make_trainer(tmp_path, scores=[0.5, 0.4, 0.3, 0.9, 0.9], patience=2)
    trainer.train()
    assert trainer.counters.step == 6
    assert trainer.counters.stopped_early


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    make_trainer(tmp_path, scores=[0.5, 0.4, 0.3], patience=2, log=50).train()
    saved = checkpoint.read(tmp_path)
    again = make_trainer(tmp_path, scores=[0.9], patience=2, log=50)
    again.load_state_dict(saved.policy(), saved.training(), "here")
    again.train()
    assert again.counters.step == 6


def test_an_unknown_metric_is_told_with_those_there_are_and_nothing_is_lost(tmp_path):
    trainer = make_trainer(tmp_path, scores=[0.5])
    trainer.choice = Choice("sucess", "max", 0)
    with pytest.raises(UsageError, match="score"):
        trainer.train()
    assert checkpoint.read(tmp_path).step == 2


def test_a_nan_keeps_the_last_good_checkpoint_and_the_batch(tmp_path):
    trainer = make_trainer(tmp_path, bad_at=5)
    with pytest.raises(NumericError, match="update 5"):
        trainer.train()
    assert checkpoint.read(tmp_path).step == 3
    kept = checkpoint.load_nested(tmp_path / "bad_batch", "batch")
    assert torch.isnan(kept["batch"]["fused"]).all()


def test_restored_it_goes_on_to_the_same_bits(tmp_path):
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    first = make_trainer(tmp_path / "parts", limits=Limits(steps=10))
    first.limits = Limits(steps=4)
    first.train()
    saved = checkpoint.read(tmp_path / "parts")
    second = make_trainer(tmp_path / "parts")
    second.load_state_dict(saved.policy(), saved.training(), "here")
    second.train()
    assert torch.equal(whole.paradigm.policy.weight, second.paradigm.policy.weight)
    assert second.counters.step == 10
