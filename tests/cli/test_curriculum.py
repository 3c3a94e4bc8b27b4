"""A curriculum as a user runs it: stages follow each other, also across a stop, and an evaluation knows them all."""

import json

from tests.cli.test_resume import learned, reached, report, weights

STAGES = ["curriculum=progressive", "curriculum.stages=[basic_navigation,simple_manipulation]", "evaluation.episodes=2"]
LENGTH = ["steps=12", "every.evaluate=4", "every.save=100", "curriculum.max_steps=6", "curriculum.success=1.0"]


def test_stages_follow_each_other_and_a_stop_changes_nothing(workplace, tmp_path):
    printed = workplace.run("vla-train", *STAGES, *LENGTH, "name=stages")
    assert "basic_navigation is not mastered" in printed
    assert "simple_manipulation begins" in printed
    whole = next(path for path in workplace.output.glob("*_stages") if path.is_dir())
    assert (whole / "curriculum.png").read_bytes().startswith(b"\x89PNG")
    curriculum = json.loads((whole / "report.json").read_text())["curriculum"]
    assert curriculum["advances"] == [{"step": 6, "stage": "basic_navigation", "updates": 6, "mastered": False}]
    assert [list(entry["success"]) for entry in curriculum["seen"]] == [
        ["basic_navigation"],
        ["basic_navigation", "simple_manipulation"],
        ["basic_navigation", "simple_manipulation"],
    ]

    stopped, code, said = workplace.interrupt(*STAGES, *LENGTH, "name=stopped-stages", when=reached(7))
    assert code == 75, said
    workplace.run("vla-train", f"resume={stopped}")
    assert weights(stopped) == weights(whole)
    assert learned(stopped) == learned(whole)
    assert report(stopped) == report(whole)
    assert json.loads((stopped / "report.json").read_text())["curriculum"] == curriculum

    measured = ["episodes=2", "num_envs=2", "threads=1", "conditions=[plain]", f"output={tmp_path}"]
    printed = workplace.run("vla-eval", f"checkpoint={whole}", *measured)
    metrics = json.loads((tmp_path / "report.json").read_text())["metrics"]
    for stage in ("basic_navigation", "simple_manipulation"):
        assert {f"{stage}/success", f"{stage}/held_out/loss"} <= set(metrics)
    assert "all stages" in printed
    frames = [metrics[f"{prefix}held_out/frames"] for prefix in ("basic_navigation/", "simple_manipulation/", "")]
    assert frames[0] + frames[1] == frames[2]


def test_mixed_stages_are_learned_together(workplace):
    words = ["curriculum=mixed", *STAGES[1:], "curriculum.weights=[1,3]", "steps=2", "every.evaluate=2", "name=mixed-stages"]
    run = workplace.train(*words, "augmentation=symmetry")
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"evaluation/success", "evaluation/basic_navigation/success", "evaluation/simple_manipulation/success"} <= set(row)
