"""``evaluate``: how good a policy is, and whether it listens."""

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_train import checkpoint, runtime
from vla_train.build.comparing import compare
from vla_train.build.datasets import make_data, open_dataset, part_of
from vla_train.build.judged import CHANGES, Judged, Maker, changes_of, closed_by, next_folder, open_judged, stages_of, worlds
from vla_train.build.objects import Config, make_evaluators
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import joined
from vla_train.diagnostics import FromCheckpoint, lines
from vla_train.errors import DataError, UsageError
from vla_train.evaluation.conditions import Baseline
from vla_train.evaluation.cross_modal import CrossModal
from vla_train.evaluation.held_out import HeldOut
from vla_train.evaluation.horizon_table import print_horizon
from vla_train.evaluation.open_loop import OpenLoop
from vla_train.evaluation.report import write_report
from vla_train.evaluation.robustness import Robustness
from vla_train.evaluation.robustness_table import print_robustness
from vla_train.evaluation.table import print_report
from vla_train.evaluation.zero_shot import ZeroShot, ratios, same_episodes
from vla_train.processor import Processor
from vla_train.reporting.evaluation_page import write_page
from vla_train.spec import Evaluator, Report, Stage
from vla_train.tracking.console import Console

SETTINGS = ("episodes", "num_envs", "conditions", "held_out_frames", "video_episodes")  # of vla-eval alone
NO_WORLD = "the run has no environment"
SINGLE_ROW_CALLS = 50  # planning calls that measure the latency of one row


def evaluate(config: Config, overrides: Sequence[str]) -> Config:
    """Run ``vla-eval``: success, language and held-out metrics of a checkpoint, as tables, files, pictures and a video; or a
    comparison of several checkpoints."""
    settings = runtime.start(device=config["device"], threads=config["threads"])
    if config["compare"]:
        return compare(config, settings)
    with contextlib.ExitStack() as stack:
        return _evaluate(config, settings, stack)


def _evaluate(config: Config, settings: runtime.Runtime, stack: contextlib.ExitStack) -> Config:
    judged = open_judged(config["checkpoint"], config, settings.device)
    saved, trained = judged.saved, judged.trained
    stages = stages_of(trained, config["stage"])
    makers = [closed_by(stack, maker) for maker in worlds(judged, stages, changes_of(config))]
    _check_suite(config, makers)
    baseline = None if config["baseline"] is None else _baseline(config, judged, stages, settings)
    splits, unsplit = _splits(config["zero_shot"], trained, makers)
    # Made now: a folder that cannot be written is not found out after the evaluation.
    folder = next_folder(judged.run / "evaluations", saved.path.name, config["output"])
    print(f"checkpoint: {saved.path}\nruntime: {settings}", flush=True)
    used = {name: config[name] for name in SETTINGS} | {"execute": judged.execute, "ensemble": judged.ensemble}
    dataset, reason = _dataset(config, trained, saved, judged.agent.processor, stages)
    worldless = {} if makers else dict.fromkeys(["success", *(["robustness"] if config["robustness"] else [])], NO_WORLD)
    report = Report(metrics={}, not_applicable=worldless | ({"held_out": reason} if reason else {}) | unsplit)
    console = Console()
    evaluators = make_evaluators(
        used | {"conditions": [*used["conditions"], "blind"]},
        judged.spec,
        makers,
        dataset,
        split=config["seeds"],
        progress=console.progress,
        single_row_calls=SINGLE_ROW_CALLS,
        by_horizon=True,
        baseline=baseline,
        failures_first=True,
    )
    keys = ("episodes", "num_envs", "execute", "ensemble")
    played = {key: used[key] for key in keys} | {"split": config["seeds"], "progress": console.progress}
    if splits:
        evaluators.append(ZeroShot(splits, stages=[stage.name for stage in stages], **played))
    if config["robustness"] and makers:
        evaluators.append(Robustness(*makers, strengths=config["robustness"], **played))
    evaluators += of_dataset(config, dataset, judged.execute)
    evaluators.append(FromCheckpoint(dataset, reason, judged.run))
    for evaluator in evaluators:
        report = report.merged(evaluator(judged.agent))
    same = same_episodes(report.episodes)
    report = report.merged(Report(ratios(report.metrics), sections={"zero_shot": same} if same else {}))
    console.close()
    if not report.metrics and not report.pictures:
        raise UsageError(f"there is nothing to measure: {NO_WORLD}, and {reason or 'no held-out demonstrations'}")
    facts = {"checkpoint": str(saved.path), "step": saved.step, "stages": [stage.name for stage in stages]}
    facts |= {name: config[name] for name in ("suite", "seeds", "baseline", "zero_shot", "robustness")} | used
    facts |= {name: config[name] for name in CHANGES if config[name] is not None}
    _show(report, [stage.name for stage in stages])
    paths = write_report(folder, report, facts, fps=max(judged.spec.rate, 4.0))  # slower is tiresome
    paths["page"] = write_page(paths["report"], report, [judged.run], max(judged.spec.rate, 4.0))
    for name, path in paths.items():
        print(f"{name}: {path}")
    return {"report": str(paths["report"]), "metrics": report.metrics}


def _show(report: Report, stages: Sequence[str]) -> None:
    print_report(report, evaluated=stages)
    for split, why in report.sections.get("zero_shot", {}).items():
        print(f"zero-shot: {split}: {why}")
    if "horizon" in report.sections:
        print_horizon(report.sections["horizon"])
    if "robustness" in report.sections:
        print_robustness(report.sections["robustness"])
    print("\n".join(lines(report.sections["diagnostics"])))


def _check_suite(config: Config, makers: Sequence[Maker]) -> None:
    if config["needs_environment"] and not makers:
        suite = f"suite={config['suite']}" if config["suite"] else "needs_environment=true"
        raise UsageError(f"{suite}: it is played in an environment, and the run has none (environment=none): leave it out")


def _baseline(config: Config, judged: Judged, stages: Sequence[Stage], settings: runtime.Runtime) -> Baseline:
    """The policy to compare with. Raises UsageError for one that reads its instructions, or does not fit the environment."""
    blind = open_judged(config["baseline"], config, settings.device)
    if blind.agent.processor.language != "none":
        raise UsageError(
            f"baseline={config['baseline']}: this policy reads its instructions, so it is no language-blind one: train one with "
            "model.language=none, or compare the two with compare=[...]"
        )
    worlds(judged, stages, {}, blind)
    return Baseline(blind.agent, blind.execute, blind.ensemble)


def _splits(names: Sequence[str], trained: Config, makers: Sequence[Maker]) -> tuple[dict[str, list[Maker]], dict[str, str]]:
    """The makers of each held-out split, and why there are none. One that does not exist is told before anything is played."""
    if not names:
        return {}, {}
    if not makers:
        return {}, {"zero_shot": NO_WORLD}
    if "split" not in trained["environment"]:
        return {}, {"zero_shot": f"environment={trained['choices']['environment']} keeps nothing out of training"}
    own = trained["environment"]["split"]  # has been seen, whatever its name
    splits: dict[str, list[Maker]] = {
        name: [functools.partial(maker, split=name) for maker in makers] for name in names if name != own
    }
    for maker in (maker for split in splits.values() for maker in split):
        maker(1).close()
    return splits, {f"zero_shot/{own}": "the run was trained on this split"} if own in names else {}


def of_dataset(config: Config, dataset: DemonstrationDataset | None, execute: int | None) -> list[Evaluator]:
    """What is measured and drawn on recorded episodes, beside ``HeldOut`` where some of them are held out."""
    found: list[Evaluator] = []
    if dataset is not None and config["held_out_frames"]:
        none = not len(dataset.frames("validation"))  # which HeldOut says, once for all that is missing
        found.append(HeldOut(dataset) if none else CrossModal(dataset, frames=config["held_out_frames"]))
    if dataset is not None and config["open_loop"] != []:
        found.append(OpenLoop(dataset, episodes=config["open_loop"], execute=execute))
    return found


def recorded_of(recorded: Mapping[str, Any], stages: Sequence[str], own: Sequence[str]) -> dict[str, Any]:
    """What was recorded of the evaluated ``stages``; {} if none of them is one of the run's ``own``. What has the names of no
    stages (the parts of a mix, the one dataset of an older checkpoint) was recorded for all of the run's own."""
    if not set(stages) & set(own):
        return {}
    return {name: recorded[name] for name in stages if name in recorded} or dict(recorded)


def _dataset(
    config: Config, trained: Config, saved: checkpoint.Checkpoint, processor: Processor, stages: Sequence[Stage]
) -> tuple[DemonstrationDataset | None, str]:
    """The demonstrations that the run held out, of the evaluated stages where it had some of each, or why there are none. Nothing
    is generated here, and a checkpoint from elsewhere names folders that are only read."""
    if not config["held_out_frames"] and not config["open_loop"]:
        return None, "held_out_frames is 0"
    every = json.loads(saved.text("data.json"))
    recorded = every.get("parts", {"": every})  # an older checkpoint knows of one dataset only
    if not recorded:
        return None, "the run learned in its environment, without demonstrations"
    recorded = recorded_of(recorded, [stage.name for stage in stages], [stage.name for stage in stages_of(trained, None)])
    if not recorded:
        return None, f"the run has no demonstrations of {config['stage']}"
    if config["dataset"] and len(recorded) > 1:
        raise UsageError(f"dataset names one folder, but the run had several: choose a stage= of {', '.join(recorded)}")
    if not config["dataset"] and any("folder" not in facts for facts in recorded.values()):
        return None, "the checkpoint does not say where its demonstrations lie; name them with dataset=<folder>"
    place = {"output": str(saved.path.resolve().parents[2])}  # where the run lies now, not where a config from elsewhere says
    parts = {}
    for name, facts in recorded.items():
        folder = Path(config["dataset"] or facts["folder"])
        try:
            reader = make_data(part_of(trained, name)).open(folder)
            parts[name] = open_dataset(trained | place, reader, processor, name, whole=False)
        except DataError as error:
            if config["dataset"]:
                raise
            return None, f"the run's demonstrations cannot be read ({error}); name them with dataset=<folder>"
        if parts[name].fingerprint != facts.get("fingerprint"):
            return None, f"{folder} is not what the run was trained on, so none of it is known to be held out"
    return joined(parts), ""
