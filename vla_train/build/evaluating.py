"""``evaluate``: how good a policy is, and whether it listens."""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vla_train import checkpoint, runtime
from vla_train import config as configuration
from vla_train.build.objects import (
    Config,
    check_environment,
    environment_maker,
    load_policy,
    make,
    make_data,
    make_evaluators,
    open_dataset,
)
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import joined
from vla_train.diagnostics import FromCheckpoint, lines
from vla_train.errors import DataError, UsageError
from vla_train.evaluation.horizon_table import print_horizon
from vla_train.evaluation.open_loop import OpenLoop
from vla_train.evaluation.report import write_report
from vla_train.evaluation.table import print_report
from vla_train.processor import Processor
from vla_train.rollouts import Agent
from vla_train.spec import Report, Stage
from vla_train.tracking.console import Console

SETTINGS = ("episodes", "num_envs", "conditions", "held_out_frames", "video_episodes")  # of vla-eval alone
INHERITED = ("execute", "ensemble")  # null: as in training
NO_WORLD = "the run has no environment"
SINGLE_ROW_CALLS = 50  # planning calls that measure the latency of one row


def evaluate(config: Config, overrides: Sequence[str]) -> Config:
    """Run ``vla-eval``: success, language and held-out metrics of a checkpoint, as tables, files, pictures and a video."""
    settings = runtime.start(device=config["device"], threads=config["threads"])
    saved = checkpoint.read(Path(config["checkpoint"]), print)
    folder = _output(saved, config["output"])  # made now: a folder that cannot be written is not found out after the evaluation
    trained = configuration.load_saved(saved.text("config.yaml"), where=str(saved.path / "config.yaml"))
    _, processor, policy = load_policy(saved)
    print(f"checkpoint: {saved.path}\nruntime: {settings}", flush=True)
    agent = Agent(policy.to(settings.device), processor, device=settings.device)
    used = {name: config[name] for name in SETTINGS}
    used |= {name: trained["evaluation"][name] if config[name] is None else config[name] for name in INHERITED}
    stages, changes = _stages(trained, config["stage"]), {} if config["split"] is None else {"split": config["split"]}
    makers = [_maker(trained, stage, changes, processor) for stage in stages]
    dataset, reason = _dataset(config, trained, saved, processor, stages)
    found = [maker for maker in makers if maker is not None]
    lacking = ({} if found else {"success": NO_WORLD}) | ({"held_out": reason} if reason else {})
    report = Report(metrics={}, not_applicable=lacking)
    console = Console()
    evaluators = make_evaluators(
        used,
        processor.spec,
        found,
        dataset,
        split=config["seeds"],
        progress=console.progress,
        single_row_calls=SINGLE_ROW_CALLS,
        by_horizon=True,
    )
    if dataset is not None and config["open_loop"] != []:
        evaluators.append(OpenLoop(dataset, episodes=config["open_loop"], execute=used["execute"]))
    evaluators.append(FromCheckpoint(dataset, reason, saved.path.parent.parent))
    for evaluator in evaluators:
        report = report.merged(evaluator(agent))
    console.close()
    if not report.metrics and not report.pictures:
        raise UsageError(f"there is nothing to measure: {NO_WORLD}, and {reason or 'no held-out demonstrations'}")
    facts = {"checkpoint": str(saved.path), "step": saved.step, "stages": [stage.name for stage in stages]}
    facts |= {"seeds": config["seeds"], **changes, **used}
    paths = write_report(folder, report, facts, fps=max(processor.spec.rate, 4.0))  # slower is tiresome
    print_report(report)
    if "horizon" in report.sections:
        print_horizon(report.sections["horizon"])
    print("\n".join(lines(report.sections["diagnostics"])))
    for name, path in paths.items():
        print(f"{name}: {path}")
    return {"report": str(paths["report"]), "metrics": report.metrics}


def _stages(trained: Config, name: str | None) -> list[Stage]:
    """The stages of the run's curriculum, or the one named (which the run may not have seen)."""
    stages: list[Stage] = list(make(trained["curriculum"], "curriculum").stages())
    return stages if name is None else [next((stage for stage in stages if stage.name == name), Stage(name))]


def _maker(trained: Config, stage: Stage, changes: Config, processor: Processor) -> Callable[..., Any] | None:
    maker = environment_maker(trained, stage)
    if maker is None:
        return None
    check_environment(maker, processor.spec, trained)
    return functools.partial(maker, **changes)


def _dataset(
    config: Config, trained: Config, saved: checkpoint.Checkpoint, processor: Processor, stages: Sequence[Stage]
) -> tuple[DemonstrationDataset | None, str]:
    """The demonstrations that the run held out, of the evaluated stages where it had some of each, or why there are none. Nothing
    is generated here, and a checkpoint from elsewhere names folders that are only read."""
    if not config["held_out_frames"] and not config["open_loop"]:
        return None, "held_out_frames is 0"
    every = json.loads(saved.text("data.json"))
    recorded = every.get("parts", {"": every})  # an older checkpoint knows of one dataset only
    recorded = {stage.name: recorded[stage.name] for stage in stages if stage.name in recorded} or recorded
    if config["dataset"] and len(recorded) > 1:
        raise UsageError(f"dataset names one folder, but the run had several: choose a stage= of {', '.join(recorded)}")
    place = {"output": str(saved.path.resolve().parents[2])}  # where the run lies now, not where a config from elsewhere says
    parts = {}
    for name, facts in recorded.items():
        folder = Path(config["dataset"] or facts["folder"])
        try:
            parts[name] = open_dataset(trained | place, make_data(trained).open(folder), processor)
        except DataError as error:
            if config["dataset"]:
                raise
            return None, f"the run's demonstrations cannot be read ({error}); name them with dataset=<folder>"
        if parts[name].fingerprint != facts["fingerprint"]:
            return None, f"{folder} is not what the run was trained on, so none of it is known to be held out"
    return joined(parts), ""


def _output(saved: checkpoint.Checkpoint, named: str | None) -> Path:
    """The report's folder: the one named, or the next free ``<run>/evaluations/<checkpoint>-<n>``."""
    if named is not None:
        try:
            Path(named).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"output={named} cannot be written ({error.strerror}): name another folder") from error
        return Path(named)
    base = saved.path.parent.parent / "evaluations"
    for number in range(1, 100_000):
        folder = base / f"{saved.path.name}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"{base} cannot be written ({error.strerror}): name another folder with output=") from error
    raise UsageError(f"{base} is full: name another folder with output=")
