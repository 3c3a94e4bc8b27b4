"""The one file that turns a config into objects, top to bottom, and hands them to the loop or the evaluator."""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vla_train import checkpoint, run_folder, runtime
from vla_train import config as configuration
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.reader import read_metadata
from vla_train.envs.contract import Environment
from vla_train.errors import CheckpointError, UsageError
from vla_train.evaluation.held_out import HeldOut
from vla_train.evaluation.success import Success
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.optim import Average, Optimizer, Progress
from vla_train.processor import Processor, train_tokenizer
from vla_train.rollouts import Agent
from vla_train.seeds import seed_everything
from vla_train.spec import ActionSpec, Evaluator, Report, Spec, Stage
from vla_train.tracking.console import Console
from vla_train.tracking.tracker import Tracker
from vla_train.trainer import Choice, Every, Limits, Trainer
from vla_train.types import Struct

Config = dict[str, Any]

PROCESSOR_KEYS = ("image_size", "cameras", "max_tokens", "vocabulary")  # of a model's config: the rest goes to the encoder
TEXTS = ("config.yaml", "spec.json", "processor.json", "tokenizer.json")  # beside the weights in each checkpoint


def train(config: Config, overrides: Sequence[str]) -> Config:
    """Run ``vla-train``: a new run, or the rest of one that was stopped (``resume``). Returns what a sweep reads."""
    console = Console(config["tracker"]["console"])
    with ExitStack() as stack:
        stack.callback(console.close)
        if not config["resume"]:
            return _train(config, overrides, console, None, stack)
        run = run_folder.of(Path(config["resume"]))
        stack.enter_context(run_folder.lock(run))
        saved = checkpoint.read(Path(config["resume"]), console.message)
        config = configuration.load_saved(saved.texts["config.yaml"], overrides, where=str(saved.path / "config.yaml"))
        return _train(config, overrides, console, saved, stack)


def make(node: Config, group: str, **extra: Any) -> Any:
    """The object that a config node describes: its allow-listed target, called with its other keys and ``extra``."""
    target = configuration.resolve_target(node["_target_"], group)
    return target(**{key: value for key, value in node.items() if key != "_target_"}, **extra)


def environment_maker(config: Config, stage: Stage) -> Callable[..., Environment] | None:
    """Makes environments of a stage: ``maker(num_envs, **changes)``; None where the run has no environment."""
    node = config["environment"]
    if node["_target_"] is None:
        return None

    def maker(num_envs: int, **changes: Any) -> Environment:
        unknown = sorted(set(changes) - set(node))
        if unknown:
            raise UsageError(f"the environment has no {', '.join(unknown)}; it has {', '.join(sorted(set(node) - {'_target_'}))}")
        return make(node | changes, "environment", num_envs=num_envs, stage=stage.name)  # type: ignore[no-any-return]

    return maker


def dataset_folder(config: Config, stage: Stage) -> Path:
    """The folder of a stage's demonstrations, made by the environment's expert if they are not there yet."""
    demonstrations = make(config["dataset"], "dataset")
    name = config["choices"]["dataset"] + (f"-{stage.name}" if stage.name != "none" else "")
    folder: Path = demonstrations.ensure(environment_maker(config, stage), output=Path(config["output"]), name=name)
    return folder


def make_processor(config: Config, spec: Spec, instructions: Iterable[str]) -> Processor:
    model = config["model"]
    tokenizer = train_tokenizer(instructions, model["vocabulary"])
    keys = {key: model[key] for key in PROCESSOR_KEYS if key != "vocabulary"}
    return Processor(spec, tokenizer, **keys)


def make_policy(config: Config, processor: Processor) -> Policy:
    """A fresh policy for what the processor makes of the Spec."""
    spec = processor.spec
    node = {key: value for key, value in config["model"].items() if key not in PROCESSOR_KEYS}
    encoder = make(
        node,
        "model",
        spec=spec,
        image_specs=processor.image_specs,
        vocabulary_size=processor.vocabulary_size,
        max_tokens=processor.max_tokens,
    )
    head = make(config["head"], "head", feature_size=encoder.feature_size, action=spec.action, chunk=spec.chunk)
    return Policy(encoder, head, Normalizer(spec.state_size, spec.action), spec)


def choose_head(config: Config, action: ActionSpec) -> Config:
    """Settle ``head=auto``: the first of the paradigm's heads that fits the actions. A named head that does not fit is refused."""
    heads = config["paradigm"]["heads"]
    nodes = {name: configuration.shipped_group("head", name) for name in heads}
    fitting = [name for name, node in nodes.items() if configuration.resolve_target(node["_target_"], "head").fits(action)]
    kind = f"{action.kind} actions"
    if config["head"]["_target_"] != "auto":
        if configuration.resolve_target(config["head"]["_target_"], "head").fits(action):
            return config
        raise UsageError(f"head={config['choices']['head']} does not fit {kind}; these do: {', '.join(fitting) or 'none'}")
    if not fitting:
        raise UsageError(f"no head of this paradigm ({', '.join(heads)}) fits {kind}")
    choices = config["choices"] | {"head": fitting[0]}
    return config | {"head": nodes[fitting[0]], "choices": choices}


def make_limits(config: Config) -> Limits:
    limits = {name: config[name] for name in ("steps", "env_steps", "minutes")}
    if not any(limits.values()):
        limits["steps"] = config["paradigm"]["steps"]
    return Limits(**limits)


def make_evaluators(
    settings: Config, maker: Callable[..., Environment] | None, dataset: DemonstrationDataset | None, *, split: str
) -> list[Evaluator]:
    """Success in the world and loss on held-out demonstrations: whichever the run has."""
    found: list[Evaluator] = []
    if maker is not None:
        keys = ("episodes", "num_envs", "conditions", "execute", "ensemble", "video_episodes")
        found.append(Success(maker, split=split, **{key: settings[key] for key in keys}))
    if dataset is not None and settings["held_out_frames"] and len(dataset.frames("validation")):
        found.append(HeldOut(dataset, frames=settings["held_out_frames"]))
    return found


def load_policy(saved: checkpoint.Checkpoint) -> tuple[Config, Processor, Policy]:
    """Processor, architecture and weights of a checkpoint. Nothing is downloaded, and nothing else is built from its config."""
    config = configuration.load_saved(saved.texts["config.yaml"])
    processor = Processor.from_texts(saved.texts)
    policy = make_policy(config, processor)
    checkpoint.load_into(policy, saved.policy(), str(saved.path))
    return config, processor, policy.eval()


def load_agent(path: str | Path, device: str = "cpu") -> Agent:
    """A policy ready to act, from a run folder (its last checkpoint) or a checkpoint: ``vla_train.load``.

    Raises:
        CheckpointError: it is torn, altered, too new, or names what may not be built.
    """
    saved = checkpoint.read(checkpoint.resolve(Path(path)))
    _, processor, policy = load_policy(saved)
    return Agent(policy.to(device), processor, device=torch.device(device))


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
    paradigm = _paradigm(config, policy, settings, progress)
    sources = functools.partial(_source, config, dataset, paradigm.batch_type)
    maker = environment_maker(config, stage)
    evaluators = make_evaluators(config["evaluation"], maker, dataset, split="validation")
    choice = _choice(config["evaluation"], has_environment=maker is not None)

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
    console.start(limits.steps)
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


def open_dataset(config: Config, folder: Path, processor: Processor) -> DemonstrationDataset:
    keys = ("history", "chunk", "validation")
    return DemonstrationDataset(folder, processor, **{key: config["dataset"][key] for key in keys})


def _check_dataset(config: Config, saved: checkpoint.Checkpoint, fingerprint: str) -> None:
    then = json.loads(saved.texts["data.json"])["dataset_fingerprint"]
    if then != fingerprint and not config["force_dataset"]:
        raise CheckpointError(
            f"the dataset has changed since {saved.path} was saved (fingerprint {fingerprint[:12]}, then {then[:12]}): "
            "bring the old one back, or go on with force_dataset=true"
        )


def _paradigm(config: Config, policy: Policy, settings: runtime.Runtime, progress: Progress) -> Any:
    optimizer = {key: value for key, value in config["optimizer"].items() if key != "ema"}

    def make_optimizer(parameters: Iterable[nn.Parameter]) -> Optimizer:
        return make(  # type: ignore[no-any-return]
            optimizer, "optimizer", parameters=parameters, precision=settings.precision, progress=progress
        )

    node = {key: value for key, value in config["paradigm"].items() if key not in ("heads", "steps")}
    target = configuration.resolve_target(node["_target_"], "paradigm")
    if config["optimizer"]["micro_batches"] > 1 and not target.splittable:
        name = config["choices"]["paradigm"]
        raise UsageError(f"paradigm={name} has a loss over the whole batch: set optimizer.micro_batches=1")
    return make(node, "paradigm", policy=policy, make_optimizer=make_optimizer)


def _source(config: Config, dataset: DemonstrationDataset, batch_type: type[Struct], stage: Stage) -> Any:
    source = make(
        config["source"],
        "source",
        dataset=dataset,
        indices=dataset.frames("train"),
        batch_size=config["dataset"]["batch_size"],
        seed=config["seed"],
        batch_type=batch_type,
    )
    if not issubclass(source.batch_type, batch_type):
        paradigm, name = config["choices"]["paradigm"], config["choices"]["source"]
        raise UsageError(
            f"paradigm={paradigm} learns from {batch_type.__name__}, but source={name} yields {source.batch_type.__name__}: "
            "leave out source=, the paradigm brings one that fits"
        )
    return source


def _choice(settings: Config, *, has_environment: bool) -> Choice:
    best, mode = settings["best"], settings["mode"]
    if best == "auto":
        best = "success" if has_environment else "held_out/loss"
    if mode == "auto":
        mode = "min" if best.rsplit("/", 1)[-1] in ("loss", "length", "crashes") else "max"
    return Choice(best, mode, settings["patience"])


def _run_name(config: Config, stage: Stage) -> str:
    choices = config["choices"]
    stage_name = [] if stage.name == "none" else [stage.name]
    return config["name"] or "_".join([choices["paradigm"], choices["dataset"], *stage_name, choices["model"]])


def evaluate(config: Config, overrides: Sequence[str]) -> Config:
    """Run ``vla-eval``: success, language and held-out metrics of a checkpoint, as a table, files and a video."""
    settings = runtime.start(device=config["device"], threads=config["threads"])
    saved = checkpoint.read(Path(config["checkpoint"]))
    trained, processor, policy = load_policy(saved)
    console = Console("plain")
    console.message(f"runtime: {settings}")
    console.message(f"checkpoint: {saved.path}")
    keys = ("execute", "ensemble")
    settings_ = trained["evaluation"] | {key: config[key] for key in config if key in trained["evaluation"]}
    settings_ |= {key: trained["evaluation"][key] for key in keys if config[key] is None}
    stage = _evaluated_stage(trained, config["stage"])
    changes = {} if config["split"] is None else {"split": config["split"]}
    maker = environment_maker(trained, stage)
    if maker is not None and changes:
        maker = functools.partial(maker, **changes)
    dataset = open_dataset(trained, dataset_folder(trained, stage), processor) if config["held_out_frames"] else None
    agent = Agent(policy.to(settings.device), processor, device=settings.device)
    report = Report(metrics={})
    for evaluator in make_evaluators(settings_, maker, dataset, split=config["seeds"]):
        report = report.merged(evaluator(agent))
    return {"report": report}
