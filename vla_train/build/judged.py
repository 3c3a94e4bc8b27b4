"""A checkpoint that is to be evaluated, the stages that it is evaluated in, and their worlds."""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vla_train import checkpoint
from vla_train import config as configuration
from vla_train.build.objects import Config, environment_maker, load_policy, make, make_randomization
from vla_train.envs.contract import Environment
from vla_train.errors import CheckpointError, UsageError
from vla_train.evaluation.success import check_execution
from vla_train.rollouts import Agent
from vla_train.spec import Spec, Stage

Maker = Callable[..., Environment]
CHANGES = ("split", "randomization")  # vla-eval's keys that change the run's environment


@dataclass(frozen=True)
class Judged:
    """A policy with the config of its run. ``execute`` and ``ensemble``: how its chunks are executed."""

    saved: checkpoint.Checkpoint
    trained: Config
    agent: Agent
    execute: int | None
    ensemble: bool

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.saved.path.parent.parent

    @property
    def spec(self) -> Spec:
        return self.agent.processor.spec


def open_judged(path: str, config: Config, device: torch.device) -> Judged:
    """Load the checkpoint at ``path``. ``execute`` and ``ensemble`` are those of vla-eval's ``config``, or as in training."""
    saved = checkpoint.read(Path(path), print)
    trained = configuration.load_saved(saved.text("config.yaml"), where=str(saved.path / "config.yaml"))
    _, processor, policy = load_policy(saved)
    execute, ensemble = (
        trained["evaluation"][name] if config[name] is None else config[name] for name in ("execute", "ensemble")
    )
    check_execution(processor.spec, execute, ensemble)
    return Judged(saved, trained, Agent(policy.to(device), processor, device=device), execute, ensemble)


def stages_of(trained: Config, name: str | None) -> list[Stage]:
    """The stages of the run's curriculum, or the one named (which the run may not have seen)."""
    stages: list[Stage] = list(make(trained["curriculum"], "curriculum").stages())
    return stages if name is None else [next((stage for stage in stages if stage.name == name), Stage(name))]


def changes_of(config: Config) -> dict[str, Any]:
    """What vla-eval's ``config`` wants otherwise than the run's environment has it: keys of ``environment_maker``'s maker."""
    changes = {} if config["split"] is None else {"split": config["split"]}
    if config["randomization"] is None:
        return changes
    return changes | {"randomization": make_randomization(config)}


def worlds(judged: Judged, stages: Sequence[Stage], changes: Mapping[str, Any], *others: Judged) -> list[Maker]:
    """A maker of the run's environment for each stage, some of its keys changed; none where the run has no environment. Raises
    CheckpointError where one of the policies cannot act there."""
    found: list[Maker] = []
    for maker in filter(None, (environment_maker(judged.trained, stage) for stage in stages)):
        changed = functools.partial(maker, **changes)
        environment = changed(1)
        environment.close()
        for each in (judged, *others):
            check_fit(each.saved, each.spec, environment.io_spec, judged.trained["choices"]["environment"])
        found.append(changed)
    return found


def closed_by(stack: contextlib.ExitStack, maker: Maker) -> Maker:
    """The maker, whose environments the stack closes: they may have processes."""

    def opened(*args: Any, **changes: Any) -> Environment:
        environment = maker(*args, **changes)
        stack.callback(environment.close)
        return environment

    return opened


def check_fit(saved: checkpoint.Checkpoint, spec: Spec, world: Spec, name: str) -> None:
    """Raise CheckpointError where the policy of a checkpoint, for ``spec``, cannot act in a ``world``, environment=``name``."""
    if wrong := spec.mismatches(world):
        raise CheckpointError(
            f"{saved.path} was made for another world than environment={name} (what it needs, not what is there):\n  "
            + "\n  ".join(wrong)
            + "\nA policy acts where its features are: name checkpoints of the same environment."
        )


def next_folder(base: Path, name: str, named: str | None) -> Path:
    """The report's folder: the one named, or the next free ``<base>/<name>-<n>``."""
    if named is not None:
        try:
            Path(named).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"output={named} cannot be written ({error.strerror}): name another folder") from error
        return Path(named)
    for number in range(1, 100_000):
        folder = base / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"{base} cannot be written ({error.strerror}): name another folder with output=") from error
    raise UsageError(f"{base} is full: name another folder with output=")
