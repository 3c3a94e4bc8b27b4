"""Runs that learn in their environment: nothing is recorded before, and no demonstrations are made or opened."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_train import config as configuration
from vla_train.build.objects import Config, environment_maker, make, safe
from vla_train.collection.demonstrations import fingerprint
from vla_train.collection.recording import World
from vla_train.data.mixture import common_spec
from vla_train.envs import workers
from vla_train.envs.contract import Environment
from vla_train.errors import UsageError
from vla_train.paradigms.base import Paradigm
from vla_train.processor import Processor
from vla_train.rollouts import evaluating
from vla_train.seeds import seeds
from vla_train.sources.player import Player
from vla_train.spec import Spec, Stage
from vla_train.types import Observation, Transition

HEARD = 2000  # training seeds of each stage whose instructions the tokenizer learns from


@dataclass(frozen=True)
class Worlds:
    """What is known of the run's environment in each of its stages."""

    spec: Spec
    tasks: Mapping[str, tuple[str, ...]]  # by stage
    instructions: Sequence[str]
    fingerprint: str  # of everything that decides what a seed shows

    def until(self, stage: str) -> Spec:
        """The Spec with the tasks of the stages up to this one."""
        names = list(self.tasks)
        reached = names[: names.index(stage) + 1]
        return replace(self.spec, tasks=tuple(dict.fromkeys(task for name in reached for task in self.tasks[name])))


def collects(config: Config) -> bool:
    """Whether the run's source plays itself, so that it has no dataset. Raises UsageError where it is none for the paradigm."""
    source = configuration.resolve_target(config["source"]["_target_"], "source")
    needed = configuration.resolve_target(config["paradigm"]["_target_"], "paradigm").batch_type
    declared = getattr(source, "batch_type", None)
    given = declared if isinstance(declared, type) else Transition  # the most that recorded data give
    if not issubclass(given, needed):
        paradigm, name = config["choices"]["paradigm"], config["choices"]["source"]
        raise UsageError(
            f"paradigm={paradigm} learns from {needed.__name__}, but source={name} yields {given.__name__}: leave out source=, "
            "the paradigm brings one that fits"
        )
    collects = bool(getattr(source, "collects", False))
    if not collects and config["reward"]["_target_"] is not None:
        reward, name = config["choices"]["reward"], config["choices"]["source"]
        raise UsageError(
            f"reward={reward} is for what a policy does itself, and source={name} plays nothing: leave out reward=, or choose a "
            "paradigm that learns by trying (ppo)"
        )
    return collects


def open_worlds(config: Config, stages: Sequence[Stage]) -> Worlds:
    """Look at the environment of every stage. Raises UsageError where there is none, or for settings that need a dataset."""
    name = config["choices"]["source"]
    makers = [_maker(config, stage) for stage in stages]
    if config["dataset"].get("path") is not None or config["dataset"].get("mix") is not None:
        raise UsageError(
            f"source={name} learns from what it plays itself, and opens no data: leave out dataset.path and dataset.mix"
        )
    if config["augmentation"]["_target_"] is not None:
        raise UsageError(
            f"augmentation={config['choices']['augmentation']} changes recorded samples, and source={name} plays: set "
            "augmentation=none (randomization= changes what the world looks like)"
        )
    if len(stages) > 1 and config["curriculum"].get("rehearsal"):
        raise UsageError(f"source={name} plays one stage at a time: set curriculum.rehearsal=0")
    specs, recipes, heard = {}, [], []
    for stage, maker in zip(stages, makers, strict=True):
        with closing(maker(1)) as environment:
            specs[stage.name] = environment.io_spec
            recipes.append(World.of(environment).recipe({}))
            heard += environment.sample_instructions(seeds("train", HEARD))
    shown = {key: value for key, value in config["environment"].items() if key not in workers.SETTINGS}
    settings = {"environment": shown, "randomization": config["randomization"], "stages": recipes}
    tasks = {stage: spec.tasks for stage, spec in specs.items()}
    return Worlds(common_spec(specs), tasks, heard, fingerprint(settings))


def played(
    config: Config, processor: Processor, paradigm: Paradigm[Any], device: torch.device, run: Path
) -> Callable[[Stage], Any]:
    """Makes the source of any stage, in which the paradigm explores. What it remembers is saved in ``run``."""

    parts = list(paradigm.policy.modules())

    def explore(observation: Observation) -> np.ndarray:
        with evaluating(paradigm.policy, parts):
            chosen = paradigm.explore(observation if device.type == "cpu" else observation.to(device))
        return (chosen.float() if chosen.is_floating_point() else chosen).cpu().numpy()

    safety: dict[str, int] = {}  # of the whole run: each stage counts on

    def made(stage: Stage) -> Any:
        if others := sorted(set(stage.weights) - {stage.name}):
            raise UsageError(
                f"source={config['choices']['source']} plays one stage at a time, not {', '.join(others)} besides: set "
                "curriculum.rehearsal=0, or choose a curriculum that trains one stage after the other"
            )
        length, longest = config["source"].get("steps"), processor.spec.horizon
        if getattr(paradigm, "needs_whole_episodes", False) and length is not None and length < longest:
            raise UsageError(
                f"source.steps={length} is shorter than the longest episode ({longest} steps), whose return would not be known: "
                f"set source.steps={longest} or more, or paradigm.baseline=value, which says what is still to come"
            )
        offered = {
            "make_environment": _maker(config, stage),
            "processor": processor,
            "explore": explore,
            "seed": config["seed"],
            "folder": run / "replay" / stage.name,
            "keep": config["checkpoint"]["keep"],
        }
        asked = inspect.signature(configuration.resolve_target(config["source"]["_target_"], "source")).parameters
        source = make(config["source"], "source", **{name: value for name, value in offered.items() if name in asked})
        if isinstance(player := getattr(source, "player", None), Player):
            player.count_into(safety)
        return source

    return made


def _maker(config: Config, stage: Stage) -> Callable[[int], Environment]:
    maker = environment_maker(config, stage, guarded=False)
    if maker is None:
        name = config["choices"]["source"]
        raise UsageError(f"source={name} plays in the run's environment, and there is none (environment=none): name one")
    held_out = {"split": "train"} if "split" in config["environment"] else {}  # what is held out is never played
    if config["safety"].get("effort") and config["reward"].get("action"):
        raise UsageError("safety.effort and reward.action are the same penalty, which would be taken twice: set one of them to 0")
    reward = None if config["reward"]["_target_"] is None else make(config["reward"], "reward")

    def made(num_envs: int) -> Environment:
        environment = maker(num_envs, **held_out)
        return safe(config, environment if reward is None else reward(environment))  # whose penalty comes on top of the reward

    return made


def safety_of(source: Any) -> dict[str, int]:
    """What was counted in a guarded environment up to the last stage, whose source this is; nothing of any other source."""
    player = getattr(source, "player", None)
    return player.safety if isinstance(player, Player) else {}
