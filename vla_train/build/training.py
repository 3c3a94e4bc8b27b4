"""``train``: a new run, or the rest of one that was stopped."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vla_train import checkpoint, run_folder, runtime
from vla_train import config as configuration
from vla_train.build import rounds
from vla_train.build.augmenting import added_words, augmentation_for, make_sources, refuse_early
from vla_train.build.datasets import fit_normalizer, open_datasets, open_stages, part_of, spec_of
from vla_train.build.objects import (
    Config,
    check_environment,
    choose_head,
    environment_maker,
    load_policy,
    make,
    make_choice,
    make_evaluators,
    make_limits,
    make_paradigm,
    make_policy,
    make_processor,
)
from vla_train.checkpoint.store import FOLDER
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import Mixture
from vla_train.data.records import Reader
from vla_train.data.split import split_episodes
from vla_train.diagnostics import Diagnostics, NoDiagnostics, WatchedAgent
from vla_train.errors import CheckpointError, NumericError
from vla_train.evaluation.report import write_report
from vla_train.models.policy import Policy
from vla_train.optim import Average, Progress
from vla_train.processor import Processor
from vla_train.seeds import seed_everything
from vla_train.spec import Curriculum, Evaluator, Report, Spec, Stage
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


@dataclass(frozen=True)
class _Learner:
    """What learns, and from what."""

    config: Config  # with what ``auto`` became
    processor: Processor
    policy: Policy
    dataset: DemonstrationDataset
    augmentation: Any  # None: none


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
    learner = _learner(config, curriculum.stages(), saved, console)
    config, policy = learner.config, learner.policy.to(settings.device)
    evaluators, choice = _judges(learner, curriculum, console)

    limits, progress = make_limits(config), Progress()
    paradigm = make_paradigm(config, policy, settings, progress)
    sources = make_sources(config, learner.dataset, paradigm.batch_type, learner.augmentation)
    sources(stage).close()  # what does not fit is told before there is a run folder
    continual = make(config["continual"], "continual")
    for optimizer in paradigm.optimizers.values():
        if penalty := continual.penalty(optimizer.parameters):
            optimizer.penalties.append(penalty)

    run = _open_run(config, saved, stack)
    opened(run)
    console.message(f"run folder: {run}")
    if not limits.reproducible:
        console.message("note: minutes ends this run, so it is not reproducible: set steps for a run that is")
    record = run_folder.Record(
        run, overrides=overrides, config=config, runtime=str(settings), dataset=learner.dataset.fingerprint
    )
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
        sources=rounds.with_rounds(sources, config, average, learner.dataset, run, console.message),
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
        texts=_texts(learner),
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
    sections = {"diagnostics": diagnostics} | ({"curriculum": progress} if progress else {})
    report = Report(last.metrics, not_applicable=last.not_applicable, sections=sections)
    facts = {"run": str(trainer.run), "step": trainer.counters.step, "seeds": "validation", **config["evaluation"]}
    write_report(trainer.run, report, facts)


def _open_run(config: Config, saved: checkpoint.Checkpoint | None, stack: ExitStack) -> Path:
    if saved is not None:
        return checkpoint.run_of(saved.path)
    run = run_folder.create(Path(config["output"]), _run_name(config))
    stack.enter_context(run_folder.lock(run))
    return run


def _judges(learner: _Learner, curriculum: Curriculum, console: Console) -> tuple[list[Evaluator], Choice]:
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
        replace(spec, tasks=dataset.until(reached[-1]).spec.tasks),
        has_environment=bool(makers),
        has_held_out=bool(settings["held_out_frames"] and len(dataset.frames("validation"))),
        not_applicable=lacking,
        stages=reached if len(stages) > 1 else (),
        reads=curriculum.reads(),
    )
    return evaluators, choice


def _learner(config: Config, stages: Sequence[Stage], saved: checkpoint.Checkpoint | None, console: Console) -> _Learner:
    """Data and policy: fresh, or of a checkpoint (``resume``, ``init``), whose processor and normalizer are never refitted.

    Tokenizer, statistics and Spec are those of all stages, whichever comes first.
    """
    start = checkpoint.read(Path(config["init"])) if saved is None and config["init"] else saved
    if start is None:
        refuse_early(config, stages)
    rounds.refuse_early(config, stages[0])
    readers = open_stages(config, stages)
    spec = spec_of(config, readers)
    rounds.refuse_other_data(config, stages[0], spec)
    if start is None:
        config = choose_head(config, spec.action)
        window = spec.with_window(config["dataset"]["history"], config["dataset"]["chunk"])
        processor = make_processor(config, window, _training_instructions(config, readers))
        policy = make_policy(config, processor)
    else:
        config, processor, policy = _started(config, start, spec)
    if start is not None and saved is None:
        console.message(f"init: weights, model, head, processor, normalizer, history and chunk are those of {start.path}")
    for note in processor.notes():
        console.message(note)
    augmentation = augmentation_for(config, stages, processor, spec, readers)
    if augmentation is not None:
        console.message(f"augmentation={config['choices']['augmentation']}: {augmentation}")
    dataset = open_datasets(config, readers, processor)
    if start is None:
        fit_normalizer(policy, dataset, config["normalization"])
    if saved is not None:
        _check_dataset(config, saved, dataset)
    return _Learner(config, processor, policy, dataset, augmentation)


def _training_instructions(config: Config, readers: Mapping[str, Reader]) -> Iterator[str]:
    """Those of the episodes that are not held out: of the others the tokenizer must not know either."""
    for name, reader in readers.items():
        metadata, chosen = reader.metadata, part_of(config, name)["dataset"]
        held_out = chosen.get("held_out")
        episodes = split_episodes(metadata.num_episodes, chosen["validation"], 0, held_out, metadata.excluded)
        yield from (metadata.instructions[episode] for episode in episodes["train"])
    yield from added_words(config)


def _started(config: Config, start: checkpoint.Checkpoint, spec: Spec) -> tuple[Config, Processor, Policy]:
    """Config, processor and policy of a checkpoint, for data of ``spec``. Raises CheckpointError where they do not fit."""
    theirs, processor, policy = load_policy(start)
    if wrong := processor.spec.mismatches(spec):
        raise CheckpointError(f"{start.path} was made for other data or another environment:\n  " + "\n  ".join(wrong))
    window = {"history": processor.spec.history, "chunk": processor.spec.chunk}
    choices = config["choices"] | theirs["choices"]
    taken = {
        "model": theirs["model"],
        "head": theirs["head"],
        "dataset": config["dataset"] | window,
        "choices": choices,
        "plugins": configuration.plugins_used(choices),
    }
    return config | taken, processor, policy.train()


def _check_dataset(config: Config, saved: checkpoint.Checkpoint, dataset: DemonstrationDataset) -> None:
    fingerprint = dataset.fingerprint
    then = json.loads(saved.text("data.json"))["fingerprint"]
    if then != fingerprint and not config["force_dataset"]:
        raise CheckpointError(
            f"the dataset at {dataset.folder} has changed since {saved.path} was saved (fingerprint {fingerprint[:12]}, then "
            f"{then[:12]}): "
            "bring the old one back, or go on with force_dataset=true"
        )


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


def _texts(learner: _Learner) -> dict[str, str]:
    """The text files of each checkpoint."""
    parts = learner.dataset.parts if isinstance(learner.dataset, Mixture) else {"": learner.dataset}
    known = {name: {"fingerprint": part.fingerprint, "folder": str(part.folder.resolve())} for name, part in parts.items()}
    data: dict[str, Any] = {"fingerprint": learner.dataset.fingerprint, "parts": known}
    return {
        "config.yaml": configuration.dump(learner.config),
        "spec.json": learner.processor.spec.to_json(),
        "data.json": json.dumps(data),
        **learner.processor.texts(),
    }


def _run_name(config: Config) -> str:
    choices = config["choices"]
    curriculum = [] if choices["curriculum"] == "none" else [choices["curriculum"]]
    return config["name"] or "_".join([choices["paradigm"], choices["dataset"], *curriculum, choices["model"]])
