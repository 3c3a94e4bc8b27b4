"""``evaluate``: how good a policy is, and whether it listens."""

import functools
from collections.abc import Sequence
from pathlib import Path

from vla_train import checkpoint, runtime
from vla_train.build.objects import (
    Config,
    dataset_folder,
    environment_maker,
    load_policy,
    make,
    make_evaluators,
    open_dataset,
)
from vla_train.errors import UsageError
from vla_train.evaluation.report import write_report
from vla_train.evaluation.table import print_report
from vla_train.rollouts import Agent
from vla_train.spec import Report, Stage

SETTINGS = ("episodes", "num_envs", "conditions", "held_out_frames", "video_episodes")  # of vla-eval alone
INHERITED = ("execute", "ensemble")  # null: as in training


def evaluate(config: Config, overrides: Sequence[str]) -> Config:
    """Run ``vla-eval``: success, language and held-out metrics of a checkpoint, as a table, files and a video."""
    settings = runtime.start(device=config["device"], threads=config["threads"])
    saved = checkpoint.read(Path(config["checkpoint"]), print)
    trained, processor, policy = load_policy(saved)
    print(f"checkpoint: {saved.path}\nruntime: {settings}", flush=True)
    agent = Agent(policy.to(settings.device), processor, device=settings.device)
    used = {name: config[name] for name in SETTINGS}
    used |= {name: trained["evaluation"][name] if config[name] is None else config[name] for name in INHERITED}
    stage = _stage(trained, config["stage"])
    changes = {} if config["split"] is None else {"split": config["split"]}
    maker = environment_maker(trained, stage)
    if maker is not None:
        maker = functools.partial(maker, **changes)
    dataset = open_dataset(trained, dataset_folder(trained, stage), processor) if used["held_out_frames"] else None
    report = Report(metrics={})
    for evaluator in make_evaluators(used, maker, dataset, split=config["seeds"], single_row_calls=50):
        report = report.merged(evaluator(agent))
    facts = {"checkpoint": str(saved.path), "step": saved.step, "stage": stage.name, "seeds": config["seeds"], **changes, **used}
    folder = _output(saved, config["output"])
    paths = write_report(folder, report, facts, fps=max(processor.spec.rate, 4.0))  # a slower video is tiresome
    print_report(report)
    for name, path in paths.items():
        print(f"{name}: {path}")
    return {"report": str(paths["report"]), "metrics": report.metrics}


def _stage(trained: Config, name: str | None) -> Stage:
    stages = make(trained["curriculum"], "curriculum").stages()
    if name is None:
        return stages[-1]  # type: ignore[no-any-return]
    found: dict[str, Stage] = {stage.name: stage for stage in stages}
    return found.get(name, Stage(name))


def _output(saved: checkpoint.Checkpoint, named: str | None) -> Path:
    """The report's folder: the one named, or the next free ``<run>/evaluations/<checkpoint>-<n>``."""
    if named is not None:
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
