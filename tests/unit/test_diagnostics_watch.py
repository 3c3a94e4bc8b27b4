"""``Diagnostics`` as the trainer tells it: when it speaks, what it remembers, and what it does without demonstrations."""

import json
import math

import pytest
import torch
from torch import nn

from vla_train.diagnostics import Diagnostics, FromCheckpoint, lines
from vla_train.optim import Optimizer, Progress
from vla_train.paradigms.base import Paradigm
from vla_train.types import Demonstration, Transition


class Still(Paradigm):
    """One weight whose gradient is what ``update`` is told."""

    batch_type = Demonstration

    def __init__(self):
        nn.Module.__init__(self)
        self.policy = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.policy.weight)
        self.optimizers = {"policy": Optimizer(self.policy.parameters(), lr=1e-9, progress=Progress())}

    def update(self, slope):
        def loss_of(batch):
            loss = self.policy(batch).squeeze(-1)
            return loss, torch.ones_like(loss), {}

        return self.optimizers["policy"].step(loss_of, torch.full((1, 1), slope))


class FromRewards(Still):
    batch_type = Transition


def watched(paradigm, losses, diagnostics, first=1):
    """Log these losses, with 512 samples each."""
    for step, loss in enumerate(losses, start=first):
        norm = float(paradigm.update(1.0)["gradient_norm"])
        row = {"train/loss": loss, "train/gradient_norm": norm, "progress": 0.4, "samples": 512.0 * step}
        diagnostics.logged(step, row)


DIVERGING = [1.0 - 0.05 * index for index in range(15)] + [2.0] * 10


def test_a_warning_is_said_once_when_it_first_holds():
    paradigm, said = Still(), []
    diagnostics = Diagnostics(paradigm, None, said.append)
    watched(paradigm, DIVERGING[:15], diagnostics)
    assert said == []
    watched(paradigm, DIVERGING[15:], diagnostics, first=16)
    assert len(said) == 1
    assert said[0].startswith("diagnostics: the training loss rose from 0.4")
    section = diagnostics.section()
    assert [finding["kind"] for finding in section["findings"]] == ["divergence"]
    assert section["earlier"] == []
    json.dumps(section, allow_nan=False)


def test_what_no_longer_holds_is_told_apart():
    paradigm, said = Still(), []
    diagnostics = Diagnostics(paradigm, None, said.append)
    watched(paradigm, [*DIVERGING, *[0.2] * 40], diagnostics)
    section = diagnostics.section()
    assert section["findings"] == []
    assert [(finding["kind"], finding["step"]) for finding in section["earlier"]] == [("divergence", 18)]


@pytest.mark.parametrize("stop", [1, 9, 17, 20])
def test_restored_it_says_the_same_as_one_that_was_never_stopped(stop):
    whole, parts, said, first, second = Still(), Still(), [], [], []
    watched(whole, DIVERGING, unbroken := Diagnostics(whole, None, said.append))
    watched(parts, DIVERGING[:stop], before := Diagnostics(parts, None, first.append))
    after = Diagnostics(parts, None, second.append)
    after.load_state_dict(before.state_dict())
    after.began("")
    watched(parts, DIVERGING[stop:], after, first=stop + 1)
    assert first + second == said
    assert after.section() == unbroken.section()
    assert after.state_dict() == unbroken.state_dict()


def test_another_stage_begins_a_curve_of_its_own():
    paradigm, said = Still(), []
    diagnostics = Diagnostics(paradigm, None, said.append)
    diagnostics.began("easy")
    watched(paradigm, DIVERGING[:15], diagnostics)
    diagnostics.began("hard")
    watched(paradigm, DIVERGING[15:], diagnostics, first=16)
    assert said == []


def test_learning_from_rewards_without_demonstrations_has_only_gradients_judged():
    paradigm, said = FromRewards(), []
    diagnostics = Diagnostics(paradigm, None, said.append)
    watched(paradigm, DIVERGING, diagnostics)
    assert diagnostics.evaluated(25, None, {"success": 0.5}) == {}
    diagnostics.ended(25, None)
    section = diagnostics.section()
    assert said == section["findings"] == []
    assert set(section["not_applicable"]) == {"loss", "overfitting", "inputs", "stagnation", "actions", "ranges"}
    assert "moving aim" in section["not_applicable"]["loss"]
    assert diagnostics.world is None


@pytest.mark.parametrize("text", [None, "no JSON", "[" * 100_000, "[]", '{"diagnostics": 3}'])
def test_a_report_of_the_run_that_cannot_be_read_is_not_applicable(tmp_path, text):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    section = FromCheckpoint(None, "no data", tmp_path)(None).sections["diagnostics"]
    assert "no report" in section["training"]["not_applicable"]
    assert section["not_applicable"]["inputs"] == "no data"
    assert lines(section) == ["diagnostics: nothing to warn of"]


def test_a_gradient_that_explodes_is_said():
    paradigm, said = Still(), []
    diagnostics = Diagnostics(paradigm, None, said.append)
    for step in range(1, 12):
        norm = float(paradigm.update(1e4 if step == 4 else 1.0)["gradient_norm"])
        diagnostics.logged(step, {"train/gradient_norm": norm, "progress": 0.1, "samples": 1.0 * step})
    assert len(said) == 1
    assert "near update 4" in said[0]
    assert math.isfinite(diagnostics.section()["findings"][0]["figure"])
