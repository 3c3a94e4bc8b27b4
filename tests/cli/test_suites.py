"""Suites, a language-blind baseline and comparisons as a user asks for them."""

import json
import shutil
from pathlib import Path

import pytest

FEW = ["episodes=2", "num_envs=2", "threads=1", "video_episodes=0"]


@pytest.fixture(scope="module")
def runs(workplace):
    length = ["steps=2", "every.evaluate=0"]
    listening = workplace.train("name=listening", *length)
    blind = workplace.train("name=blind", "model.language=none", *length)
    return listening, blind


def test_every_condition_beside_a_language_blind_policy(workplace, runs, tmp_path):
    listening, blind = runs
    words = ["suite=full", "robustness=[]", "open_loop=[]", "held_out_frames=16", f"baseline={blind}", f"output={tmp_path}"]
    printed = workplace.run("vla-eval", f"checkpoint={listening}", *words, *FEW)
    report = json.loads((tmp_path / "report.json").read_text())
    for name in ("garbage/success", "paraphrase/gap", "blind/success", "swapped/divergence", "held_out/cross_modal"):
        assert report["metrics"][name] is not None, name
    assert {"zero_shot/templates/ratio", "zero_shot/pairs/ratio"} <= set(report["metrics"])
    assert report["settings"]["suite"] == "full"
    for row in ("language-blind policy", "garbage instruction", "zero-shot: pairs", "cross-modal consistency", "chance"):
        assert row in printed


def test_two_policies_in_one_table(workplace, runs, tmp_path):
    printed = workplace.here("vla-eval", f"compare=[{runs[0]},{runs[1]}]", f"output={tmp_path}", *FEW)
    part = json.loads((tmp_path / "report.json").read_text())["compare"]["parts"]["all stages"]
    assert set(part["policies"]) == {run.name for run in runs}
    assert part["differences"][runs[1].name]["episodes"] == 2
    assert "McNemar" in printed


def test_mistakes(workplace, runs, tmp_path):
    listening, blind = runs
    for words, code, said in [
        (["suite=grouding", f"checkpoint={listening}"], 2, "Did you mean grounding"),
        (["stage=basic_navigatoin", f"checkpoint={listening}"], 2, "Did you mean 'basic_navigation'"),
        (["zero_shot=[pears]", f"checkpoint={listening}"], 2, "Did you mean 'pairs'"),
        ([f"baseline={listening}", f"checkpoint={listening}"], 2, "model.language=none"),
        ([f"compare=[{listening},{listening}]"], 2, "stands there twice"),
        ([f"compare=[{listening},{blind}]", f"checkpoint={listening}"], 2, "exclude each other"),
        ([f"compare=[{listening},nowhere]"], 4, "nowhere"),
    ]:
        printed = workplace.here("vla-eval", *words, *FEW, f"output={tmp_path / 'none'}", expect=code)
        assert said in printed
        assert "Traceback" not in printed


def test_worlds_that_do_not_fit_and_worlds_that_are_not_there(workplace, runs, tmp_path):
    shutil.copytree(Path(__file__).parents[1] / "data" / "lerobot_0_4_4", tmp_path / "recorded")
    words = [f"dataset.path={tmp_path / 'recorded'}", "environment=none", "curriculum=none"]
    alone = workplace.train("name=unworldly", *words, "steps=1", "every.evaluate=0")
    printed = workplace.here("vla-eval", f"compare=[{runs[0]},{alone}]", *FEW, expect=4)
    assert "was made for another world than environment=tabletop" in printed
    assert "numbers, not 5" in printed
    assert "action size: 2, not 4" in printed
    printed = workplace.here("vla-eval", f"checkpoint={alone}", "suite=grounding", *FEW, expect=2)
    assert "suite=grounding: it is played in an environment, and the run has none" in printed
    printed = workplace.here("vla-eval", f"compare=[{alone},{runs[0]}]", *FEW, expect=2)
    assert "has no environment" in printed
