"""Meta-World as an environment of ours: 50 tasks of a robot arm, pictures, the tasks' descriptions, scripted experts.

Yu et al. 2019, "Meta-World: A Benchmark and Evaluation for Multi-Task and Meta Reinforcement Learning", in the implementation
of the package ``metaworld``. See docs/metaworld.md for what is observed and how success is judged.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from vla_train.envs import metaworld_draw
from vla_train.envs.metaworld_tasks import INSTRUCTIONS, groups_of, tasks_of
from vla_train.envs.vector import RowsVectorEnv
from vla_train.errors import StageError, UsageError
from vla_train.spec import ActionSpec, ImageSpec, Spec
from vla_train.types import RawObservation

STATE = ("hand x", "hand y", "hand z", "gripper opening")
ACTION = ("dx", "dy", "dz", "gripper")
RATE = 80.0  # control steps per second of simulated time
NOT_APPLICABLE = {
    "alternatives": "a Meta-World scene is built for one task",
    "first_touched": "a Meta-World scene holds only what its task is about",
}


class MetaWorldVectorEnv(RowsVectorEnv[Any]):
    """``num_envs`` rows that play the tasks of a benchmark in turn. See ``envs/contract.py`` for the methods.

    Args:
        stage: "none", or the name of a task, which then replaces ``benchmark`` (a curriculum over tasks).
        benchmark: MT1 (one task), MT10 or MT50.
        task: the task of MT1, e.g. reach-v3.
        image_size: edge of the square pictures in pixels.
        cameras: of ``metaworld_draw.CAMERAS``; [] draws nothing and needs no OpenGL.
        crop: (left, top, edge) of the square part of each picture that is shown, as shares of the picture.
        rendering: "fast", or "full" with multisampling, shadows and reflections.
        horizon: steps after which an episode is over; the library allows 500.

    Raises:
        UsageError: the package ``metaworld`` or OpenGL is missing, or there is no such task, benchmark, camera or crop.
    """

    version: ClassVar[int] = 1  # of what is recorded: raise it when the frames, rewards or scenes of a seed change

    def __init__(
        self,
        num_envs: int,
        stage: str = "none",
        benchmark: str = "MT1",
        task: str = "reach-v3",
        image_size: int = 96,
        cameras: Sequence[str] = ("corner2",),
        crop: Sequence[float] = (0.0, 0.0, 1.0),
        rendering: Literal["fast", "full"] = "fast",
        horizon: int = 500,
    ) -> None:
        tasks = tasks_of(benchmark, task) if stage == "none" else tasks_of("MT1", stage, StageError)
        _check(cameras, crop, horizon)
        try:
            from vla_train.envs import metaworld_episode
        except (ImportError, AttributeError, RuntimeError) as error:
            raise _not_imported(error) from error
        if cameras:
            metaworld_draw.opengl()  # what is missing is said now
        self._tasks, self.task_groups = tasks, groups_of(tasks)
        paint = functools.partial(
            metaworld_draw.Painter, cameras=tuple(cameras), size=image_size, fast=rendering == "fast", crop=tuple(crop)
        )
        self._worlds = metaworld_episode.Worlds(paint if cameras else None)
        episodes = [metaworld_episode.Episode(self._worlds, tasks, horizon) for _ in range(num_envs)]
        io_spec = Spec(
            images={camera: ImageSpec(image_size, image_size) for camera in cameras},
            state_size=len(STATE),
            state_names=STATE,
            action=ActionSpec("continuous", size=4, low=(-1.0,) * 4, high=(1.0,) * 4, names=ACTION, units=("cm",) * 3 + ("",)),
            rate=RATE,
            horizon=horizon,
            tasks=tasks,
        )
        name = benchmark if len(tasks) > 1 else tasks[0]
        self._begin(name, stage, episodes, io_spec, dict(NOT_APPLICABLE))

    def describe(self) -> list[str]:
        """Where the hand, the task's objects and its goal are, in metres."""
        return [
            f"hand at {_place(seen[:3])}, gripper {seen[3]:.0%} open; object at {_place(seen[4:7])}; goal at {_place(seen[-3:])}"
            for seen in (episode.seen for episode in self.episodes)
        ]

    def sample_instructions(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        from vla_train.envs.metaworld_episode import task_of

        return [INSTRUCTIONS[task_of(int(seed), self._tasks)] for seed in seeds]

    def close(self, **kwargs: Any) -> None:
        self._worlds.close()
        super().close(**kwargs)

    def _observation(self) -> RawObservation:
        blank = {name: np.zeros((image.height, image.width, 3), np.uint8) for name, image in self.io_spec.images.items()}
        shown = [episode.images or blank for episode in self.episodes]  # blank: rows that were never reset
        return {
            "images": {name: np.stack([images[name] for images in shown]) for name in self.io_spec.images},
            "state": np.stack([episode.seen[:4] for episode in self.episodes]).astype(np.float32),
            "instruction": [episode.goal.instruction for episode in self.episodes],
        }


def _not_imported(error: Exception) -> UsageError:
    """MuJoCo reads MUJOCO_GL when it is imported, and fails there if that names no way to draw, or one that is missing."""
    name = os.environ.get("MUJOCO_GL")
    if name and not isinstance(error, ModuleNotFoundError):
        return UsageError(f"Meta-World cannot be imported with MUJOCO_GL={name} ({error}): {metaworld_draw.MENDING}")
    return UsageError(f"Meta-World cannot be imported ({error}): pip install 'vla-train[metaworld]'")


def _check(cameras: Sequence[str], crop: Sequence[float], horizon: int) -> None:
    unknown = [name for name in cameras if name not in metaworld_draw.CAMERAS]
    if unknown or len(set(cameras)) < len(cameras):
        raise UsageError(f"environment.cameras={list(cameras)}: Meta-World has, once each, {', '.join(metaworld_draw.CAMERAS)}")
    left, top, edge = crop
    if min(left, top) < 0 or edge < 0.05 or max(left, top) + edge > 1:
        raise UsageError(
            f"environment.crop={list(crop)}: left, top and edge are shares of the picture, so that left + edge and "
            "top + edge are at most 1, and edge at least 0.05"
        )
    if not 1 <= horizon <= 500:
        raise UsageError(f"environment.horizon={horizon}: Meta-World's episodes have 1 to 500 steps")


def _place(xyz: np.ndarray) -> str:
    return f"({xyz[0]:.2f}, {xyz[1]:.2f}, {xyz[2]:.2f})"
