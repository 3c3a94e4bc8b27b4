"""Each object of a run from its part of the config, top to bottom. ``training`` and ``evaluating`` put them together."""

import copy
import difflib
import functools
import inspect
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from vla_train import checkpoint, runtime
from vla_train import config as configuration
from vla_train.build.stages import naming
from vla_train.config import folders
from vla_train.data.dataset import DemonstrationDataset
from vla_train.envs import workers
from vla_train.envs.contract import NO_PARAPHRASES, Environment, Rewords
from vla_train.errors import DataError, UsageError
from vla_train.evaluation.conditions import Baseline
from vla_train.evaluation.figures import metric_names
from vla_train.evaluation.held_out import HeldOut
from vla_train.evaluation.success import Success, check_execution
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.optim import Optimizer, Progress
from vla_train.paradigms.base import Paradigm
from vla_train.processor import Processor, train_tokenizer
from vla_train.rollouts import Agent
from vla_train.spec import ActionSpec, Evaluator, Spec, Stage
from vla_train.trainer import Choice, Limits
from vla_train.types import Struct, Transition

Config = dict[str, Any]  # as vla_train.config.validate gives it
PARADIGM_KEYS = ("heads", "steps", "chunk")  # of a paradigm's config: the rest goes to its class
# Of a model's config: the rest goes to the encoder.
PROCESSOR_KEYS = ("image_size", "cameras", "max_tokens", "vocabulary", "language")


def make(node: Config, group: str, **extra: Any) -> Any:
    """The object that a config node describes: its allow-listed target, called with its other keys and ``extra``."""
    target = configuration.resolve_target(node["_target_"], group)
    return target(**{key: value for key, value in node.items() if key != "_target_"}, **extra)


def environment_maker(config: Config, stage: Stage, *, guarded: bool = True) -> Callable[..., Environment] | None:
    """Makes environments of a stage: ``maker(num_envs, **changes)``; None where the run has no environment. A change is another
    value for one of the environment's keys, or another ``randomization`` than the run's (None: none). ``guarded``: with the run's
    ``safety``.
    """
    node = config["environment"]
    if node["_target_"] is None:
        return None

    def maker(num_envs: int, **changes: Any) -> Environment:
        randomization = changes.pop("randomization") if "randomization" in changes else make_randomization(config)
        unknown = sorted(set(changes) - set(node))
        if unknown:
            name, known = config["choices"]["environment"], ", ".join(sorted(set(node) - {"_target_"}))
            raise UsageError(f"environment={name} has no {', '.join(unknown)}: leave that out. It has {known}")
        keys = {key: value for key, value in (node | changes).items() if key != "_target_"}
        running = {key: keys.pop(key) for key in workers.SETTINGS if key in keys}
        target = configuration.resolve_target(node["_target_"], "environment")
        if randomization is not None:
            if "randomization" not in inspect.signature(target).parameters:
                name = config["choices"]["environment"]
                raise UsageError(f"environment={name} has nothing that could be randomized: set randomization=none")
            keys["randomization"] = randomization
        with naming(config, stage.name):
            made = workers.spread(functools.partial(target, stage=stage.name, **keys), num_envs, **running)
        return safe(config, made) if guarded else made

    return maker


def safe(config: Config, environment: Environment) -> Environment:
    """The environment with what the run's ``safety`` forbids, if it forbids anything."""
    node = config.get("safety") or {"_target_": None}
    return environment if node["_target_"] is None else make(node, "safety")(environment)


def make_randomization(config: Config) -> Any:
    """What the run's environments differ in from episode to episode; None: nothing."""
    node = config["randomization"]
    return None if node["_target_"] is None else make(node, "randomization")


def make_processor(config: Config, spec: Spec, instructions: Iterable[str]) -> Processor:
    model = config["model"]
    tokenizer = train_tokenizer(instructions, model["vocabulary"])
    keys = {key: model[key] for key in PROCESSOR_KEYS if key != "vocabulary" and key in model}  # a plug-in may lack language
    return Processor(spec, tokenizer, **keys)


def make_policy(config: Config, processor: Processor) -> Policy:
    """A fresh policy for what the processor makes of the Spec."""
    spec = processor.spec
    encoder = make_encoder(config, processor)
    head = make(config["head"], "head", feature_size=encoder.feature_size, action=spec.action, chunk=spec.chunk)
    normalizer = Normalizer(spec.state_size, spec.action, max(1, len(spec.domains)))
    return Policy(encoder, head, normalizer, spec)


def make_encoder(config: Config, processor: Processor) -> Any:
    """A fresh encoder of the run's model, for a policy or a critic."""
    return make(
        {key: value for key, value in config["model"].items() if key not in PROCESSOR_KEYS},
        "model",
        spec=processor.spec,
        image_specs=processor.image_specs,
        vocabulary_size=processor.vocabulary_size,
        max_tokens=processor.max_tokens,
    )


def choose_head(config: Config, action: ActionSpec) -> Config:
    """Settle ``head=auto``: the first of the paradigm's heads that fits the actions. A named one that does not fit is refused."""
    heads = config["paradigm"]["heads"]
    nodes = {name: configuration.load_choice("head", name) for name in heads}
    fitting = [name for name, node in nodes.items() if configuration.resolve_target(node["_target_"], "head").fits(action)]
    kind = f"{action.kind} actions"
    if config["head"]["_target_"] != "auto":
        if configuration.resolve_target(config["head"]["_target_"], "head").fits(action):
            return config
        raise UsageError(f"head={config['choices']['head']} does not fit {kind}; these do: {', '.join(fitting) or 'none'}")
    if not fitting:
        others = [name for name in folders.choices("paradigm") if _fits(name, action)]
        raise UsageError(
            f"no head of this paradigm ({', '.join(heads)}) fits {kind}: choose another one, paradigm={' or '.join(others)}"
        )
    choices = config["choices"] | {"head": fitting[0]}
    return config | {"head": nodes[fitting[0]], "choices": choices, "plugins": configuration.plugins_used(choices)}


def _fits(paradigm: str, action: ActionSpec) -> bool:
    """Whether one of a paradigm's heads fits the actions."""
    nodes = [configuration.load_choice("head", name) for name in configuration.load_choice("paradigm", paradigm)["heads"]]
    return any(configuration.resolve_target(node["_target_"], "head").fits(action) for node in nodes)


def with_chunk(config: Config) -> Config:
    """The config with as many actions decided at once as the paradigm needs (its ``chunk``), whatever the dataset's."""
    chunk = config["paradigm"].get("chunk")
    return config if chunk is None else config | {"dataset": config["dataset"] | {"chunk": chunk}}


def make_limits(config: Config) -> Limits:
    """What ends the run; the paradigm's ``steps`` where the run sets nothing."""
    limits = {name: config[name] for name in ("steps", "env_steps", "minutes")}
    if not any(limits.values()):
        limits["steps"] = config["paradigm"]["steps"]
    return Limits(**limits)


def make_evaluators(
    settings: Config,
    spec: Spec,
    makers: Sequence[Callable[..., Environment]],
    dataset: DemonstrationDataset | None,
    *,
    split: str,
    progress: Callable[[str, int, int], None],
    single_row_calls: int = 0,
    by_horizon: bool = False,
    reached: Callable[[], int] | None = None,
    baseline: Baseline | None = None,
    failures_first: bool = False,
) -> list[Evaluator]:
    """Success in the world (a maker for each stage) and loss on held-out demonstrations: whichever the run has. ``reached`` says
    of how many stages, from the first on; None: of all."""
    check_execution(spec, settings["execute"], settings["ensemble"])
    found: list[Evaluator] = []
    if makers:
        keys = ("episodes", "num_envs", "conditions", "execute", "ensemble", "video_episodes")
        chosen = {key: settings[key] for key in keys}
        found.append(
            Success(
                *makers,
                split=split,
                progress=progress,
                single_row_calls=single_row_calls,
                reached=reached,
                baseline=baseline,
                failures_first=failures_first,
                **chosen,
            )
        )
    if dataset is not None and settings["held_out_frames"] and len(dataset.frames("validation")):
        frames = settings["held_out_frames"]
        found.append(HeldOut(dataset, frames=frames, by_horizon=by_horizon, progress=progress, reached=reached))
    return found


def check_environment(maker: Callable[..., Environment] | None, spec: Spec, config: Config) -> dict[str, str]:
    """What the run's environment says that it lacks. Raises UsageError where a policy for ``spec`` cannot act in it."""
    if maker is None:
        return {}
    environment = maker(1)
    wrong = spec.mismatches(environment.io_spec)
    environment.close()
    if wrong:
        raise UsageError(
            f"environment={config['choices']['environment']} is not the one that the data came from:\n  "
            + "\n  ".join(wrong)
            + "\nName the right one with environment=, or environment=none to train without."
        )
    return environment.not_applicable | ({} if isinstance(environment, Rewords) else {"paraphrases": NO_PARAPHRASES})


def load_policy(saved: checkpoint.Checkpoint) -> tuple[Config, Processor, Policy]:
    """Processor, architecture and weights of a checkpoint. Nothing is downloaded, and of its config only ``model`` and ``head``
    are read (and returned), so that no plug-in is needed but theirs."""
    config = configuration.load_saved(saved.text("config.yaml"), kind="policy", where=str(saved.path / "config.yaml"))
    processor = Processor.from_texts(saved.texts)
    policy, weights = make_policy(config, processor), saved.policy()
    if "normalizer.state_limit" in weights:
        policy.normalizer.limit_states(0.0)  # the limit itself is among the weights
    checkpoint.load_into(policy, weights, str(saved.path))
    return config, processor, policy.eval()


def load_agent(path: str | Path, device: str = "cpu", domain: str | None = None) -> Agent:
    """A policy ready to act, from a run folder (its last checkpoint) or a checkpoint: ``vla_train.load``.

    ``domain`` is the part of the mix it was trained on whose units are those of what it is given and gives; None: the first.

    Raises:
        CheckpointError: it is torn, altered, too new, or names what may not be built.
        UsageError: it knows no such domain.
    """
    saved = checkpoint.read(Path(path))
    _, processor, policy = load_policy(saved)
    known = processor.spec.domains
    if domain is not None and domain not in known:
        raise UsageError(f"{path} knows no domain {domain!r}; it was trained on {', '.join(known) or 'one dataset'}")
    chosen = runtime.device_of(device)
    return Agent(policy.to(chosen), processor, device=chosen, domain=known.index(domain) if domain else 0)


def make_paradigm(
    config: Config, policy: Policy, processor: Processor, settings: runtime.Runtime, progress: Progress
) -> Paradigm[Any]:
    """The paradigm, given what its class asks for: ``make_encoder`` for critics, ``progress`` for schedules, ``num_envs``.

    Beside a policy that has learned already (``init``) encoders begin with what its own has learned to see.
    """
    optimizer = {key: value for key, value in config["optimizer"].items() if key != "ema"}

    def make_optimizer(parameters: Iterable[nn.Parameter]) -> Optimizer:
        return make(  # type: ignore[no-any-return]
            optimizer, "optimizer", parameters=parameters, precision=settings.precision, progress=progress
        )

    node = {key: value for key, value in config["paradigm"].items() if key not in PARADIGM_KEYS}
    target = configuration.resolve_target(node["_target_"], "paradigm")
    if config["optimizer"]["micro_batches"] > 1 and not target.splittable:
        name = config["choices"]["paradigm"]
        raise UsageError(f"paradigm={name} has a loss over the whole batch: set optimizer.micro_batches=1")

    def encoder() -> nn.Module:
        return copy.deepcopy(policy.encoder) if config["init"] else make_encoder(config, processor).to(settings.device)  # type: ignore[no-any-return]

    offered = {"make_encoder": encoder, "progress": progress}
    offered |= {"num_envs": config["source"].get("num_envs", 1)}
    asked = inspect.signature(target).parameters
    chosen = {name: value for name, value in offered.items() if name in asked}
    return make(node, "paradigm", policy=policy, make_optimizer=make_optimizer, **chosen)  # type: ignore[no-any-return]


def make_source(
    config: Config, dataset: DemonstrationDataset, batch_type: type[Struct], stage: Stage, augmentation: Any = None
) -> Any:
    """The source of a stage. Raises UsageError where it does not yield what the paradigm learns from, or cannot end the run."""
    if issubclass(batch_type, Transition) and not dataset.has_rewards:
        raise DataError(
            f"the dataset at {dataset.folder} has no rewards (next.reward, and next.done or next.terminated), and "
            f"paradigm={config['choices']['paradigm']} learns from them: record episodes with vla-collect, which writes them, or "
            "imitate these with paradigm=bc"
        )
    frames = dataset.transition_frames if issubclass(batch_type, Transition) else dataset.frames
    parts = dataset.by_part(frames("train"))
    mix = config["dataset"].get("mix") or {}
    weights = stage.weights or {name: float(part.get("weight", 1.0)) for name, part in mix.items()} or {stage.name: 1.0}
    source = make(
        config["source"],
        "source",
        dataset=dataset,
        indices=list(parts.values()),
        weights=[weights.get(name, 0.0) for name in parts] if len(parts) > 1 else None,
        batch_size=config["dataset"]["batch_size"],
        seed=config["seed"],
        batch_type=batch_type,
        **({} if augmentation is None else {"augmentation": augmentation}),
    )
    if not issubclass(source.batch_type, batch_type):
        paradigm, name = config["choices"]["paradigm"], config["choices"]["source"]
        raise UsageError(
            f"paradigm={paradigm} learns from {batch_type.__name__}, but source={name} yields {source.batch_type.__name__}: "
            "leave out source=, the paradigm brings one that fits"
        )
    if config["env_steps"] and not source.collects:
        name = config["choices"]["source"]
        raise UsageError(
            f"env_steps={config['env_steps']}: source={name} steps no environment, or not for ever: set steps or minutes"
        )
    return source


def make_choice(
    settings: Config,
    spec: Spec,
    *,
    has_environment: bool,
    has_held_out: bool,
    not_applicable: Container[str] = (),
    stages: Sequence[str] = (),
    reads: Sequence[str] = (),
) -> Choice:
    """By which metric the run chooses its best checkpoint. Raises UsageError for one that it will not measure, or that does not
    tell a better policy.

    ``stages`` are those whose figures stand apart from the first evaluation on; ``reads`` what the curriculum must find there.
    """
    best, mode = settings["best"], settings["mode"]
    names = metric_names(
        settings["conditions"],
        spec.tasks,
        has_environment=has_environment,
        has_held_out=has_held_out,
        discrete=spec.action.kind == "discrete",
        not_applicable=not_applicable,
    )
    for name in reads:
        if name not in names:
            raise UsageError(
                f"curriculum.mastery: a stage is judged by its {name}, which this run does not measure. "
                f"It measures: {', '.join(names) or 'nothing'}"
            )
    names += [f"{stage}/{name}" for stage in stages for name in names]
    if best != "auto" and best not in names:
        near = difflib.get_close_matches(best, names, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"evaluation.best={best}: this run measures nothing so called by which one policy is better than another.{hint} "
            f"It measures: {', '.join(names) or 'nothing'}"
        )
    if best == "auto":
        best = next((name for name in ("success", "reward") if name in names), "held_out/loss")
    if mode == "auto":
        mode = "min" if best.rsplit("/", 1)[-1].startswith(("loss", "length", "crashes", "latency")) else "max"
    return Choice(best, mode, settings["patience"])
