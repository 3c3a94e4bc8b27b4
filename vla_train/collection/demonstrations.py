"""The dataset that an environment's expert makes on first use, once, and stored for every later run."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from vla_train import seeds
from vla_train.collection.behaviour import Behaviour
from vla_train.collection.expert import ExpertRun
from vla_train.collection.recording import World, write_episode, writing
from vla_train.data.cache import polite_lock
from vla_train.data.progress import progress
from vla_train.data.reader import Reader, open_reader
from vla_train.data.writer import LeRobotWriter
from vla_train.envs.contract import Environment
from vla_train.errors import DataError, UsageError

RECIPE = 1  # of the way in which episodes are made and recorded: raise it when the same settings give other frames
ROWS = 64  # environments that play side by side; a dataset does not depend on it


class Demonstrations:
    """A ``dataset`` config: which demonstrations there shall be, and how training reads them.

    ``episodes`` seeds of the training range from ``start`` on are played by the expert, or, if that is None, ``per_task`` for
    each task of an environment whose seeds take tasks in turn; those that it fails are left out. ``noise`` and ``lapses``
    disturb what is executed, never what is recorded (``collection/noise.py``, ``behaviour.py``). ``mediocre`` and ``random`` are
    the shares of the episodes that such players play instead (``collection/behaviour.py``): data for offline reinforcement
    learning, in which all episodes are kept and what is executed is recorded. ``path`` names a dataset that exists already.
    ``others`` are for the reader (``batch_size``, ``history``, ``chunk``, ``validation``) or reach the environment through its
    own config (``level``, ``benchmark``): they are no part of the recipe.
    """

    def __init__(
        self,
        episodes: int | None = None,
        noise: float = 0.0,
        start: int = 0,
        path: str | None = None,
        per_task: int | None = None,
        mediocre: float = 0.0,
        random: float = 0.0,
        lapses: float = 0.0,
        **others: Any,
    ) -> None:
        self.behaviour = Behaviour(float(noise), float(mediocre), float(random), float(lapses))
        self.episodes, self.start, self.path, self.per_task = episodes, start, path, per_task

    def ensure(
        self, make_environment: Callable[..., Environment] | None, settings: Mapping[str, Any], *, output: Path, name: str
    ) -> Path:
        """The dataset's folder, ``<output>/datasets/<name>[-<environment's name>]-<fingerprint>``, made if it is not there.

        ``make_environment(num_envs)`` makes the environments; ``settings`` are the parameters (JSON) that decide what they show.
        A run that finds another one making the same dataset waits for it. An interrupted one leaves nothing that could be
        taken for a dataset.

        Raises:
            UsageError: there is no environment, it has no expert, the seeds are no training seeds, or the folder cannot be
                written.
            DataError: the expert failed in every episode.
            Interrupted: a stop was asked for.
        """
        if self.path is not None:
            return Path(self.path)
        if make_environment is None:
            raise UsageError("demonstrations need an environment whose expert makes them: choose one, or set dataset.path")
        with closing(make_environment(1)) as environment:  # one is enough to see which dataset it is
            if "expert" in environment.not_applicable:
                reason = environment.not_applicable["expert"]
                raise UsageError(
                    f"this environment has no expert ({reason}): set dataset.path to demonstrations that exist, or learn by "
                    "trying, as paradigm=ppo does (also reinforce; dqn for discrete actions, sac for continuous ones)"
                )
            recipe = self.recipe(environment, settings)
            words = [name, *([environment.name] if hasattr(environment, "name") else []), fingerprint(recipe)]
        folder = output / "datasets" / "-".join(words)
        if not folder.is_dir():
            waiting = f"another run is making {folder}: waiting for it"
            with writing(folder), polite_lock(folder.with_name(f".{folder.name}.lock"), waiting):
                if not folder.is_dir():  # else another run has just made it
                    with closing(make_environment(min(ROWS, recipe["episodes"]))) as environment:
                        self._make(environment, recipe, folder)
        return folder

    def open(self, folder: Path) -> Reader:
        """The demonstrations in a folder that ``ensure`` gave."""
        return open_reader(folder)

    def _count(self, environment: Environment) -> int:
        """How many seeds are played: training seeds alone, as what is evaluated must never have been seen."""
        last = len(seeds.RANGES["train"])
        episodes = self.episodes
        if episodes is None:
            episodes = (self.per_task or 0) * len(environment.io_spec.tasks)
        if episodes < 1 or self.start < 0 or self.start + episodes > last:
            raise UsageError(
                f"dataset.start={self.start} and dataset.episodes={episodes} ask for seeds that are not training seeds: "
                f"let start be 0 or more, episodes 1 or more, and their sum at most {last:,}"
            )
        return episodes

    def recipe(self, environment: Environment, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that decides what the frames are, and nothing else."""
        players = {"mediocre": self.behaviour.mediocre, "random": self.behaviour.random} if self.behaviour.mixed else {}
        return {
            "recipe": RECIPE,
            **World.of(environment).recipe(settings),
            "episodes": self._count(environment),
            "noise": self.behaviour.noise,
            "start": self.start,
            **players,
            **({"lapses": self.behaviour.lapses} if self.behaviour.lapses else {}),
        }

    def _make(self, environment: Environment, recipe: dict[str, Any], folder: Path) -> None:
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir()
        try:
            failed = self._record(environment, recipe, partial)
            _sync(partial)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        episodes = recipe["episodes"]
        if self.behaviour.mixed:
            print(f"{folder}: {episodes:,} episodes of several players, {failed:,} of them failures", file=sys.stderr)
        else:
            kept = episodes - failed
            print(f"{folder}: {kept:,} demonstrations; the expert failed in {failed:,} of {episodes:,}", file=sys.stderr)

    def _record(self, environment: Environment, recipe: dict[str, Any], folder: Path) -> int:
        """Write the dataset and return how many episodes failed."""
        made: dict[str, Any] = {"recipe": recipe, "dropped_seeds": []}
        name = recipe["environment"].rsplit(".", 1)[-1]
        writer = LeRobotWriter(folder, environment.io_spec, name, made, commit_every=0)  # all of it is there, or nothing
        episodes = recipe["episodes"]
        run = ExpertRun(environment, seeds.seeds("train", episodes, self.start), self.behaviour)
        failed, world = 0, World.of(environment)
        with progress("making demonstrations", episodes) as advance:
            for episode in run:
                advance(1)
                failed += not episode.success
                if self.behaviour.mixed:
                    write_episode(writer, world, episode, {"player": episode.player})
                elif episode.success:
                    write_episode(writer, world, episode)
                else:
                    made["dropped_seeds"].append(episode.seed)
        if len(made["dropped_seeds"]) == episodes:
            raise DataError(f"the expert of {recipe['environment']} failed in all {episodes:,} episodes: nothing to learn from")
        writer.extra = made
        writer.finish()
        return failed


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Twelve hex digits that stand for a recipe."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def _sync(folder: Path) -> None:
    """Have the files on the disk before they get their final name."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
