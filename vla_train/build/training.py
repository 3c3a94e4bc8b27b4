"""``train``: a new run, or the rest of one that was stopped."""

import functools
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from vla_train import checkpoint, run_folder, runtime
from vla_train import config as configuration
from vla_train.build.objects import (
    Config,
    choose_head,
    dataset_folder,
    environment_maker,
    load_policy,
    make,
    make_choice,
    make_evaluators,
    make_limits,
    make_paradigm,
    make_policy,
    make_processor,
    make_source,
    open_dataset,
)
from vla_train.data.reader import read_metadata
from vla_train.errors import CheckpointError
from vla_train.models.policy import Policy
from vla_train.optim import Average, Progress
from vla_train.processor import Processor
from vla_train.rollouts import Agent
from vla_train.seeds import seed_everything
from vla_train.spec import Spec, Stage
from vla_train.tracking.console import Console
from vla_train.tracking.tracker import Tracker
from vla_train.trainer import Every, Trainer


def train(config: Config, overrides: Sequence[str]) -> Config:
    """Run ``vla-train``: a new run, or the rest of one that was stopped (``resume``). Returns what a sweep reads."""
    console = Console(config["tracker"]["console"])
    with ExitStack() as stack:
        stack.callback(console.close)
        if not config["resume"]:
            return _train(config, overrides, console, None, stack)
        run = _run_to_resume(Path(config["resume"]))
        stack.enter_context(run_folder.lock(run))
        saved = checkpoint.read(Path(config["resume"]), console.message)
        config = configuration.load_saved(saved.texts["config.yaml"], overrides, where=str(saved.path / "config.yaml"))
        return _train(config, overrides, console, saved, stack)


def _run_to_resume(path: Path) -> Path:
    return path if (path / "checkpoints").is_dir() else checkpoint.run_of(path)


def _train(
    config: Config, overrides: Sequence[str], console: Console, saved: checkpoint.Checkpoint | None, stack: ExitStack
) -> Config:
    settings = runtime.start(**config["runtime"])
    console.message(f"runtime: {settings}")
    config = config | {"runtime": config["runtime"] | {"threads": settings.threads, "precision": settings.precision}}
    seed_everything(config["seed"])

    curriculum = make(config["curriculum"], "curriculum")
    stage = curriculum.stages()[0]
    folder = dataset_folder(config, stage)
    metadata = read_metadata(folder)
    config, processor, policy = _policy(config, metadata.spec, metadata.instructions, saved)
    dataset = open_dataset(config, folder, processor)
    if saved is not None:
        _check_dataset(config, saved, dataset.fingerprint)
    elif not config["init"]:
        policy.normalizer.fit(dataset.statistics())
    policy.to(settings.device)

    limits, progress = make_limits(config), Progress()
    paradigm = make_paradigm(config, policy, settings, progress)
    sources = functools.partial(make_source, config, dataset, paradigm.batch_type)
    maker = environment_maker(config, stage)
    evaluators = make_evaluators(config["evaluation"], maker, dataset, split="validation")
    choice = make_choice(config["evaluation"], has_environment=maker is not None)

    if saved is None:
        run = run_folder.create(Path(config["output"]), _run_name(config, stage))
        stack.enter_context(run_folder.lock(run))
    else:
        run = checkpoint.run_of(saved.path)
    console.message(f"run folder: {run}")
    if not limits.reproducible:
        console.message("note: minutes ends this run, so it is not reproducible: set steps for a run that is")
    facts = {"dataset_fingerprint": dataset.fingerprint}
    record = stack.enter_context(
        run_folder.Record(run, overrides=overrides, config=config, runtime=str(settings), dataset=dataset.fingerprint)
    )
    tracker = Tracker(
        run, tensorboard=config["tracker"]["tensorboard"], console=console, resume_step=None if saved is None else saved.step
    )
    stack.callback(tracker.close)
    trainer = Trainer(
        run=run,
        paradigm=paradigm,
        average=Average(policy, config["optimizer"]["ema"]),
        sources=sources,
        curriculum=curriculum,
        continual=make(config["continual"], "continual"),
        evaluators=evaluators,
        make_agent=functools.partial(Agent, processor=processor, device=settings.device),
        tracker=tracker,
        progress=progress,
        limits=limits,
        every=Every(**config["every"]),
        choice=choice,
        texts={
            "config.yaml": configuration.dump(config),
            "spec.json": processor.spec.to_json(),
            "data.json": json.dumps(facts),
            **processor.texts(),
        },
        keep=config["checkpoint"]["keep"],
        device=settings.device,
    )
    if saved is not None:
        trainer.load_state_dict(saved.policy(), saved.training(), str(saved.path))
    if trainer.finished():
        console.message(f"{run} is finished: {trainer.counters.step} updates. Give it a larger steps= to go on.")
    console.start(limits.steps, trainer.counters.step)
    report = trainer.train()
    metrics = {} if report is None else report.metrics
    record.finish("finished", metrics=metrics, best=trainer.counters.best, steps=trainer.counters.step)
    return {"run": str(run), "metrics": metrics, "best": trainer.counters.best, "best_metric": choice.best}


def _policy(
    config: Config, spec: Spec, instructions: Sequence[str], saved: checkpoint.Checkpoint | None
) -> tuple[Config, Processor, Policy]:
    """A fresh policy for the data, or that of a checkpoint (``resume``, ``init``), which is never refitted."""
    dataset = config["dataset"]
    if saved is None and config["init"]:
        saved = checkpoint.read(Path(config["init"]))
    if saved is None:
        config = choose_head(config, spec.action)
        processor = make_processor(config, spec.with_window(dataset["history"], dataset["chunk"]), instructions)
        return config, processor, make_policy(config, processor)
    theirs, processor, policy = load_policy(saved)
    if wrong := processor.spec.mismatches(spec):
        raise CheckpointError(f"{saved.path} was made for other data or another environment:\n  " + "\n  ".join(wrong))
    window = {"history": processor.spec.history, "chunk": processor.spec.chunk}
    taken = {"model": theirs["model"], "head": theirs["head"], "dataset": dataset | window}
    choices = config["choices"] | {group: theirs["choices"][group] for group in ("model", "head")}
    return config | taken | {"choices": choices}, processor, policy.train()


def _check_dataset(config: Config, saved: checkpoint.Checkpoint, fingerprint: str) -> None:
    then = json.loads(saved.texts["data.json"])["dataset_fingerprint"]
    if then != fingerprint and not config["force_dataset"]:
        raise CheckpointError(
            f"the dataset has changed since {saved.path} was saved (fingerprint {fingerprint[:12]}, then {then[:12]}): "
            "bring the old one back, or go on with force_dataset=true"
        )


def _run_name(config: Config, stage: Stage) -> str:
    choices = config["choices"]
    stage_name = [] if stage.name == "none" else [stage.name]
    return config["name"] or "_".join([choices["paradigm"], choices["dataset"], *stage_name, choices["model"]])
