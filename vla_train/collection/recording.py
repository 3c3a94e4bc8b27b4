"""An episode as it was played, written with everything that is known of it."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_train.collection.expert import ExpertEpisode
from vla_train.data.writer import LeRobotWriter
from vla_train.envs.contract import Environment
from vla_train.errors import UsageError
from vla_train.spec import Spec


@dataclass(frozen=True)
class World:
    """What is noted of an environment. ``path`` is its class, dotted."""

    path: str
    version: int  # raised when the same seeds give other frames
    stage: str
    spec: Spec
    not_applicable: Mapping[str, str]

    @classmethod
    def of(cls, environment: Environment) -> "World":
        kind = getattr(environment, "kind", type(environment))  # of rows in other processes: the class that is at work there
        path = f"{kind.__module__}.{kind.__qualname__}"
        lacking = dict(environment.not_applicable)
        return cls(path, getattr(kind, "version", 0), environment.stage, environment.io_spec, lacking)

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def recipe(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What decides which frames a seed gives; ``settings`` are the parameters (JSON) of the environment."""
        ordered = {key: settings[key] for key in sorted(settings)}
        return {"environment": self.path, "version": self.version, "stage": self.stage, "settings": ordered}


def write_episode(
    writer: LeRobotWriter, world: World, episode: ExpertEpisode, facts: Mapping[str, str | int] | None = None
) -> None:
    """Add an episode with its seed, its scene, what randomization drew for it, and how it came out."""
    judged = "success" not in world.not_applicable
    metadata = {
        "environment": world.name,
        "stage": world.stage,
        "seed": episode.seed,
        "randomization": episode.randomization,
        "scene": episode.scene,
        "template": episode.goal.template,
        "goal": episode.goal.key,
        "outcome": ("success" if episode.success else "failure") if judged else "ended",
        **(facts or {}),
    }
    writer.add_episode(**episode.columns(), instruction=episode.goal.instruction, task=episode.goal.task, metadata=metadata)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make the parent folder, and say in one message why it cannot be written. What stays empty is taken away again."""
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "no space left" if full else (error.strerror or str(error))
        hint = "free some space" if full else "see to its rights"
        raise UsageError(
            f"episodes cannot be written to {folder.parent}: {what}; {hint}, or choose another place with output="
        ) from error
    finally:
        for parent in made:
            with suppress(OSError):  # there is something in it, or it was never made
                parent.rmdir()
