"""Writes what follows a Spec as a LeRobotDataset v3.0: pictures without loss as PNG inside parquet, or as video.

What LeRobot has no place for stands where its readers do not look: our Spec under ``vla_train`` in info.json, the facts of each
episode as further columns of meta/episodes.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data import lerobot_layout as layout
from vla_train.data.encoded import EncodedFrames
from vla_train.data.episode_writer import EpisodeWriter
from vla_train.data.lerobot_info import read_info, spec_of
from vla_train.spec import Spec


class LeRobotWriter:
    """``add_episode`` for each episode, then ``finish``. Without ``finish`` there is what was committed: every
    episode, if nothing else is asked for.

    ``extra`` (JSON values) is noted beside the Spec in info.json: how the data came to be. ``video`` (h264, av1) encodes the
    cameras of kind colour. The other options are those of ``EpisodeWriter``: ``append``, ``commit_every``, sizes of files.
    """

    def __init__(
        self,
        folder: Path,
        spec: Spec,
        robot_type: str,
        extra: Mapping[str, Any] | None = None,
        *,
        video: str | None = None,
        append: bool = False,
        **options: Any,
    ):
        noted = spec_of(read_info(folder), folder) if append and (folder / layout.INFO).exists() else None
        if noted is not None:  # episodes of other kinds and lengths may join
            tasks = tuple(dict.fromkeys((*noted.tasks, *spec.tasks)))
            spec = replace(spec, tasks=tasks, horizon=max(noted.horizon, spec.horizon))
        self.folder, self.spec, self.extra = folder, spec, dict(extra or {})
        self.features = layout.features_of(spec)
        filmed = [camera for camera, image in spec.images.items() if video and image.kind == "colour"]
        for name in (layout.IMAGE + camera for camera in filmed):
            self.features[name] = layout.video_feature(self.features[name], spec.rate, str(video))
        head = {"fps": layout.whole_or_fraction(spec.rate), "robot_type": robot_type, layout.OURS: self._ours()}
        self._episodes = EpisodeWriter(folder, self.features, head, append=append, codec=video or "", **options)

    @property
    def num_episodes(self) -> int:
        """How many episodes there are, with those that were there before."""
        return self._episodes.meta.num_episodes

    def add_episode(
        self,
        *,
        images: Mapping[str, np.ndarray | EncodedFrames],
        state: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        instruction: str,
        task: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """One episode of t > 0 steps: what was seen before each action, the action, and what followed from it.

        images uint8 [t, y, x, c] for each camera of the Spec, or encoded (clouds float32 [t, points, 1, c]),
        state [t, s], action [t, a] (int [t, 1] if discrete),
        reward, terminated and truncated [t]. ``metadata`` are JSON scalars under any names (nested values as JSON text); an
        ``outcome`` of "success" marks the last frame's ``next.success``. DataError at a number that is not finite.
        """
        facts = dict(metadata or {})
        self._check_facts(len(action), task, facts)
        steps = np.arange(len(action))
        done = np.asarray(terminated, dtype=bool) | np.asarray(truncated, dtype=bool)
        given = {layout.STATE: state} if self.spec.state_size else {}
        given |= {layout.ACTION: action, layout.REWARD: reward, layout.DONE: done}
        given |= {layout.TERMINATED: terminated, layout.TRUNCATED: truncated}
        given[layout.SUCCESS] = (steps == len(steps) - 1) & (facts.get("outcome") == "success")
        called = {camera: layout.feature_name(camera, image) for camera, image in self.spec.images.items()}
        pictures = {called.get(camera, camera): frames for camera, frames in images.items()}
        self._episodes.add(given, [pictures], [instruction] * len(steps), facts | {"task": task})

    def commit(self) -> None:
        """What was added is part of the dataset from here on, whatever becomes of this process."""
        self._episodes.meta.head[layout.OURS] |= self._ours()
        self._episodes.commit()

    def finish(self) -> Path:
        """Close the files and write the rest of ``meta/``, info.json last. Returns the folder."""
        self._episodes.meta.head[layout.OURS] |= self._ours()
        return self._episodes.finish()

    def _ours(self) -> dict[str, Any]:
        return {"spec": json.loads(self.spec.to_json()), **self.extra}

    def _check_facts(self, length: int, task: str, facts: Mapping[str, Any]) -> None:
        if length == 0:
            raise ValueError("an episode needs at least one step")
        if self.spec.tasks and task not in self.spec.tasks:
            raise ValueError(f"task {task!r} is none of the Spec's {list(self.spec.tasks)}")
        if wrong := sorted(key for key in facts if key in (*layout.OF_EPISODES, "task") or "/" in key):
            raise ValueError(f"metadata may not be called {wrong}: these names have a meaning in meta/episodes")
