"""``train``: a new run, or the rest of one that was stopped."""

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vla_train import checkpoint, run_folder, runtime
from vla_train import config as configuration
from vla_train.build import rounds, worlds
from vla_train.build.learner import Learner, make_learner, sources_of, texts_of
from vla_train.build.objects import (
    Config,
    check_environment,
    environment_maker,
    make,
    make_choice,
    make_evaluators,
    make_limits,
    make_paradigm,
)
from vla_train.checkpoint.store import FOLDER
from vla_train.diagnostics import Diagnostics, NoDiagnostics, WatchedAgent
from vla_train.errors import CheckpointError, NumericError
from vla_train.evaluation.report import write_report
from vla_train.optim import Average, Progress
from vla_train.seeds import seed_everything
from vla_train.spec import Curriculum, Evaluator, Report
from vla_train.tracking.console import Console
from vla_train.tracking.tracker import Tracker
from vla_train.trainer import Choice, Every, Trainer

Opened = Callable[[Path], None]


def train(config: Config, overrides: Sequence[str], opened: Opened = lambda run: None) -> Config:
    """Run ``vla-train``: a new run, or the rest of one that was stopped (``resume``). Returns what a sweep reads.

    ``opened`` is told the run folder as soon as there is one.
    """
    console = Console(config["tracker"]["console"])
    with ExitStack() as stack:
        stack.callback(console.close)
        if not config["resume"]:
            return _train(config, overrides, console, stack, opened)
        path = Path(config["resume"])
        stack.enter_context(run_folder.lock(_run_to_resume(path)))
        saved = checkpoint.read(path, console.message)
        text, where = saved.text("config.yaml"), str(saved.path / "config.yaml")
        before = configuration.load_saved(text, where=where)
        config = configuration.load_saved(text, overrides, where=where)
        return _train(config, overrides, console, stack, opened, saved, before)


def _run_to_resume(path: Path) -> Path:
    if (path / "run.json").exists() and not (path / FOLDER).is_dir():
        raise CheckpointError(f"{path} was stopped before its first checkpoint (every.save), so there is nothing to go on with")
    if not (path / FOLDER).is_dir():
        checkpoint.read(path)  # says what is wrong with it, if anything is
        return checkpoint.run_of(path)
    return path


def _train(
    config: Config,
    overrides: Sequence[str],
    console: Console,
    stack: ExitStack,
    opened: Opened,
    saved: checkpoint.Checkpoint | None = None,
    before: Config | None = None,
) -> Config:
    """The run itself; ``saved`` is the checkpoint and ``before`` the config of one that goes on."""
    settings = runtime.start(**config["runtime"])
    console.message(f"runtime: {settings}")
    if before is not None and before["runtime"]["device"] != str(settings.device):
        console.message(f"note: the run was on {before['runtime']['device']} and goes on on {settings.device}: not to the bit")
    chosen = {"device": str(settings.device), "threads": settings.threads, "precision": settings.precision}
    config = config | {"runtime": config["runtime"] | chosen}
    seed_everything(config["seed"])

    curriculum: Curriculum = make(config["curriculum"], "curriculum")
    stage = curriculum.stage()
    assert stage is not None, "a curriculum has a first stage"
    learner = make_learner(config, curriculum.stages(), saved, console, overrides)
    config, policy = learner.config, learner.policy.to(settings.device)
    evaluators, choice = _judges(learner, curriculum, console)

    limits, progress = make_limits(config), Progress()
    paradigm = make_paradigm(config, policy, learner.processor, settings, progress)
    sources = functools.partial(sources_of, learner, paradigm, settings.device)
    sources(Path())(stage).close()  # what does not fit is told before there is a run folder
    continual = make(config["continual"], "continual")
    for optimizer in paradigm.optimizers.values():
        if penalty := continual.penalty(optimizer.parameters):
            optimizer.penalties.append(penalty)

    run = _open_run(config, saved, stack)
    opened(run)
    console.message(f"run folder: {run}")
    if not limits.reproducible:
        console.message("note: minutes ends this run, so it is not reproducible: set steps for a run that is")
    record = run_folder.Record(run, overrides=overrides, config=config, runtime=str(settings), dataset=learner.fingerprint)
    stack.enter_context(record)
    resume_step = None if saved is None else saved.step
    tracker = Tracker(run, tensorboard=config["tracker"]["tensorboard"], console=console, resume_step=resume_step)
    stack.callback(tracker.close)
    watcher = Diagnostics(paradigm, learner.dataset, console.message) if config["diagnostics"] else NoDiagnostics()
    average = Average(policy, config["optimizer"]["ema"])
    trainer = Trainer(
        run=run,
        paradigm=paradigm,
        average=average,
        sources=rounds.with_rounds(sources(run), config, average, learner.dataset, run, console.message),
        curriculum=curriculum,
        continual=continual,
        evaluators=evaluators,
        make_agent=functools.partial(WatchedAgent, processor=learner.processor, device=settings.device, seen=watcher.world),
        tracker=tracker,
        progress=progress,
        limits=limits,
        every=Every(**config["every"]),
        choice=choice,
        watcher=watcher,
        texts=texts_of(learner),
        keep=config["checkpoint"]["keep"],
        device=settings.device,
    )
    if saved is not None and before is not None:
        trainer.load_state_dict(saved.policy(), saved.training(), str(saved.path))
        _tell_length(trainer, before, console)
    console.start(limits.steps, trainer.counters.step)
    try:
        report = trainer.train()
    except NumericError:
        _write_report(trainer, watcher.section(), config)  # its diagnostics may say why
        raise
    _write_report(trainer, watcher.section(), config)
    metrics = {} if report is None else report.metrics
    record.finish("finished", metrics=metrics, best=trainer.counters.best, steps=trainer.counters.step)
    return {"run": str(run), "metrics": metrics, "best": trainer.counters.best, "best_metric": choice.best, "mode": choice.mode}


def _write_report(trainer: Trainer, diagnostics: Config, config: Config) -> None:
    """The run's own report.json: what its last evaluation measured, and what was noticed while it learned."""
    last = trainer.report or Report(metrics={}, not_applicable={"evaluation": "none was made (every.evaluate, evaluation)"})
    progress = trainer.curriculum.state_dict()
    parts = {"diagnostics": diagnostics, "curriculum": progress, "safety": worlds.safety_of(trainer.source)}
    sections = {name: part for name, part in parts.items() if part or name == "diagnostics"}
    report = Report(last.metrics, not_applicable=last.not_applicable, sections=sections)
    facts = {"run": str(trainer.run), "step": trainer.counters.step, "seeds": "validation", **config["evaluation"]}
    write_report(trainer.run, report, facts)


def _open_run(config: Config, saved: checkpoint.Checkpoint | None, stack: ExitStack) -> Path:
    if saved is not None:
        return checkpoint.run_of(saved.path)
    run = run_folder.create(Path(config["output"]), _run_name(config))
    stack.enter_context(run_folder.lock(run))
    return run


def _judges(learner: Learner, curriculum: Curriculum, console: Console) -> tuple[list[Evaluator], Choice]:
    """The evaluators of the run, and the metric by which it chooses its best checkpoint."""
    settings, spec, dataset = learner.config["evaluation"], learner.processor.spec, learner.dataset
    stages = curriculum.stages()
    makers = list(filter(None, (environment_maker(learner.config, stage) for stage in stages)))
    lacking: dict[str, str] = {}
    for maker in makers:
        lacking |= check_environment(maker, spec, learner.config)
    evaluators = make_evaluators(
        settings,
        spec,
        makers,
        dataset,
        split="validation",
        progress=console.progress,
        reached=curriculum.reached if len(stages) > 1 else None,
    )
    reached = [stage.name for stage in stages[: curriculum.reached()]]  # later ones are not measured from the beginning
    choice = make_choice(
        settings,
        replace(spec, tasks=learner.until(reached[-1]).tasks),
        has_environment=bool(makers),
        has_held_out=bool(dataset is not None and settings["held_out_frames"] and len(dataset.frames("validation"))),
        not_applicable=lacking,
        stages=reached if len(stages) > 1 else (),
        reads=curriculum.reads(),
    )
    return evaluators, choice


def _tell_length(trainer: Trainer, before: Config, console: Console) -> None:
    if trainer.counters.stopped_early:
        console.message(
            f"{trainer.run} stopped early (evaluation.patience), so there is nothing to go on with; init= starts anew from it"
        )
    elif trainer.finished():
        console.message(f"{trainer.run} is finished: {trainer.counters.step} updates. Give it a larger steps= to go on.")
    elif make_limits(before) != trainer.limits:
        console.message(
            "note: the run's length has changed, and schedules with it: it is not the run that had this length from the start"
        )


def _run_name(config: Config) -> str:
    choices = config["choices"]
    curriculum = [] if choices["curriculum"] == "none" else [choices["curriculum"]]
    return config["name"] or "_".join([choices["paradigm"], choices["dataset"], *curriculum, choices["model"]])
