"""Demonstrations in memory: numbers as arrays, frames as a memory map, batches gathered by index without a loop."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vla_train.data.augmentation.batch import Augment, Batch
from vla_train.data.frames import open_frames
from vla_train.data.reader import Reader, open_reader
from vla_train.data.records import is_labelled, scene_of
from vla_train.data.split import split_episodes
from vla_train.data.statistics import feature_statistics
from vla_train.data.windows import Windows
from vla_train.errors import DataError
from vla_train.processor import Processor, clean
from vla_train.spec import FeatureStatistics
from vla_train.types import Demonstration, Observation, Transition


class DemonstrationDataset:
    """A dataset seen through a Processor, in windows of ``history`` observations and ``chunk`` actions.

    ``source`` is its folder, or its reader where that is open already: opening hashes every file. ``validation`` is the share
    of episodes that is held out, chosen by ``seed``; ``held_out`` names them instead. Decoded frames are kept under ``cache``
    (the folder's own ``cache/`` by default), unless they take more than ``cache_gb``: see ``open_frames``. ``domain`` is which
    of the Spec's domains it is; ``whole``, whether all frames will be looked at.
    DataError if the folder holds no sound dataset or not the Processor's cameras.
    """

    def __init__(
        self,
        source: Path | Reader,
        processor: Processor,
        *,
        history: int,
        chunk: int,
        validation: float,
        held_out: Sequence[int] | None = None,
        seed: int = 0,
        cache: Path | None = None,
        cache_gb: float | None = None,
        buffer: int | None = None,
        domain: int = 0,
        whole: bool = True,
    ):
        reader = open_reader(source) if isinstance(source, Path) else source
        folder, metadata = reader.folder, reader.metadata
        if missing := set(processor.cameras) - set(metadata.spec.images):
            raise DataError(
                f"the dataset at {folder} lacks the cameras {sorted(missing)} (it has {sorted(metadata.spec.images)})"
            )
        self.folder, self.processor = folder, processor
        self.history, self.chunk = history, chunk
        self.spec = metadata.spec.with_window(history, chunk)
        self.fingerprint, self.columns_of = metadata.fingerprint, metadata.columns
        self.instructions = metadata.instructions
        self.scenes = [scene_of(episode) for episode in metadata.episodes]
        self.num_episodes, self.num_frames = metadata.num_episodes, metadata.num_frames
        self.episodes = split_episodes(self.num_episodes, validation, seed, held_out, metadata.excluded)
        self._columns = reader.columns()
        self._windows = Windows(self._columns.starts)
        self._tokens, self._token_mask = processor.tokenize(self._columns.texts)
        self._task = self._tasks(metadata.tasks)
        self._domain = np.full(self.num_episodes, domain, dtype=np.int64)
        self._labelled = np.array([is_labelled(episode) for episode in metadata.episodes], dtype=bool)
        self._frames = open_frames(
            cache or folder / "cache",
            reader,
            processor,
            self._columns.starts,
            cache_gb=cache_gb,
            buffer=buffer,
            ordered=self.episodes["train"],
            whole=whole,
        )

    @property
    def has_rewards(self) -> bool:
        """Whether ``gather_transitions`` can be asked."""
        return self._columns.reward is not None and self._columns.terminated is not None

    @property
    def actions(self) -> np.ndarray:
        """float32 [n, a], or int64 [n, 1]: the recorded action of every frame."""
        return self._columns.action

    @property
    def states(self) -> np.ndarray:
        """float32 [n, s]: the recorded state of every frame."""
        return self._columns.state

    @property
    def episode_of(self) -> np.ndarray:
        """int64 [n]: the number of every frame's episode."""
        return np.repeat(np.arange(self.num_episodes), np.diff(self._columns.starts))

    @property
    def reference_state(self) -> np.ndarray | None:
        """float32 [n, a]: for each action dimension the state that tells the same of the robot, NaN where none does; or None."""
        return self._columns.reference

    def by_part(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Frames by the dataset that they are of. This one has no parts; a ``Mixture`` has."""
        return {"": frames}

    def until(self, part: str) -> "DemonstrationDataset":
        """What there is up to the part of this name."""
        return self

    def episode_rows(self, episode: int) -> slice:
        """The frames of an episode."""
        return slice(int(self._columns.starts[episode]), int(self._columns.starts[episode + 1]))

    def frames(self, split: str) -> np.ndarray:
        """int64 [n]: the frames of "train" or "validation", in order."""
        return np.flatnonzero(self._in_split(split))

    def transition_frames(self, split: str) -> np.ndarray:
        """The frames of a split whose next observation was recorded, or does not matter because the episode terminated.

        LeRobot keeps no observation after the last action, so where an episode was cut short there is nothing to bootstrap from.
        What follows on a label (``is_labelled``) followed on another's action: such episodes have no transitions.
        """
        frames = self.frames(split)
        rows, _ = self._windows.horizon(frames[~self._labelled[self._windows.episode(frames)]], self.chunk + 1)
        known = (self._windows.end(rows[:, 0]) - rows[:, 0] > self.chunk) | self._terminated[rows[:, -1]]
        kept: np.ndarray = rows[known, 0]
        return kept

    def statistics(self) -> dict[str, FeatureStatistics]:
        """Of "state" and "action" over the training frames: exact, and no image is decoded for it. Where some actions are
        predicted relative to the state, "relative_action" is what is predicted, over all steps of the training chunks."""
        training = self._in_split("train")
        columns = {"state": self._columns.state, "action": self._columns.action}
        found = {name: feature_statistics(values[training]) for name, values in columns.items()}
        if self.spec.action.relative_to:
            found["relative_action"] = feature_statistics(self._relative_actions(np.flatnonzero(training)))
        return found

    def _relative_actions(self, frames: np.ndarray) -> np.ndarray:
        """float32 [m, a]: the actions of these frames' chunks, as far as they are learned, relative to the frames' states."""
        places = np.array(self.spec.action.relative_to)
        origin = np.where(places >= 0, self._columns.state[frames][:, np.maximum(places, 0)], np.float32(0))
        rows, valid = self._chunks(frames)
        relative: np.ndarray = (self._columns.action[rows] - origin[:, None])[valid]
        return relative

    def gather(self, indices: np.ndarray, augment: Augment | None = None) -> Demonstration:
        """The demonstrations at frames int64 [b]. Before an episode began its first frame stands in (``present`` is False)
        and past its end its last action (``valid`` is False; so it is behind the first of labels, ``is_labelled``). ``augment``
        may change them."""
        rows, valid = self._chunks(indices)
        (observation,), action = self._decisions([indices], rows, augment)
        return Demonstration(observation=observation, action=action, valid=_of_every_number(valid, action))

    def gather_transitions(self, indices: np.ndarray, discount: float, augment: Augment | None = None) -> Transition:
        """The same as steps of experience, over a whole chunk of h actions or what the episode has left of it (n steps):
        reward sum_{i<n} discount^i r_{t+i}, discount^n, and the observation at t + n."""
        rows, valid = self._windows.horizon(indices, self.chunk)
        steps = valid.sum(axis=1)
        powers = (discount ** np.arange(self.chunk)).astype(np.float32)
        last = rows[:, -1]
        following = np.minimum(indices + steps, self._windows.end(indices) - 1)
        terminated = self._terminated[last]
        cut = (last == self._windows.end(indices) - 1) & ~terminated
        (observation, next_observation), action = self._decisions([indices, following], rows, augment)
        return Transition(
            observation=observation,
            action=action,
            valid=_of_every_number(valid, action),
            reward=torch.from_numpy((self._reward[rows] * powers * valid).sum(axis=1, dtype=np.float32)),
            discount=torch.from_numpy((discount**steps).astype(np.float32)),
            next_observation=next_observation,
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(cut),
        )

    def _chunks(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows [b, h] of the actions at frames [b] and after, and which of them are to be learned: those within the episode,
        of labels the first."""
        rows, valid = self._windows.horizon(frames, self.chunk)
        valid[:, 1:] &= ~self._labelled[self._windows.episode(frames)][:, None]
        return rows, valid

    def _decisions(
        self, frames: Sequence[np.ndarray], actions: np.ndarray, augment: Augment | None
    ) -> tuple[list[Observation], torch.Tensor]:
        """The observations at each of ``frames`` [b] and the actions at rows [b, h], all of them changed together."""
        windows = [self._windows.history(indices, self.history) for indices in frames]
        rows = np.concatenate([window for window, _ in windows], axis=1)
        images, state, action = self._images(rows), self._columns.state[rows], self._columns.action[actions]
        texts = [self._columns.text[indices] for indices in frames]
        tokens = [(self._tokens[text], self._token_mask[text]) for text in texts]
        if augment is not None:
            words = [[clean(self._columns.texts[number]) for number in text.tolist()] for text in texts]
            augment(Batch(images, state, action, words, self._windows.episode(frames[0])))
            tokens = [self.processor.tokenize(told) for told in words]
        found = []
        for number, (indices, (_, present)) in enumerate(zip(frames, windows, strict=True)):
            part = slice(number * self.history, (number + 1) * self.history)
            shown = {camera: pictures[:, part] for camera, pictures in images.items()}
            episode = self._windows.episode(indices)
            whose = {"task": self._task[episode], "domain": self._domain[episode]}
            found.append(self.processor.observation(shown, *tokens[number], state[:, part], present, **whose))
        return found, torch.from_numpy(action)

    def _images(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The frames of windows [b, k], [b, k, y, x, c] for each camera."""
        return self._frames.take(rows)

    def _in_split(self, split: str) -> np.ndarray:
        if split not in self.episodes:
            raise ValueError(f"a split is one of {list(self.episodes)}, not {split!r}")
        chosen = np.zeros(self.num_episodes, dtype=bool)
        chosen[self.episodes[split]] = True
        return np.repeat(chosen, np.diff(self._columns.starts))

    def _tasks(self, tasks: list[str]) -> np.ndarray:
        """int64 [e]: the place of each episode's kind of task in spec.tasks; 0 where the Spec names none."""
        places = {task: place for place, task in enumerate(self.spec.tasks)}
        return np.array([places.get(task, 0) for task in tasks], dtype=np.int64)

    @property
    def _reward(self) -> np.ndarray:
        if self._columns.reward is None:
            raise DataError(f"the dataset at {self.folder} has no rewards: a paradigm that learns from them cannot use it")
        return self._columns.reward

    @property
    def _terminated(self) -> np.ndarray:
        if self._columns.terminated is None:
            raise DataError(f"the dataset at {self.folder} does not say where episodes terminated (next.terminated or next.done)")
        return self._columns.terminated


def _of_every_number(valid: np.ndarray, action: torch.Tensor) -> torch.Tensor:
    """bool [b, h] for each number of the actions [b, h, a]."""
    return torch.from_numpy(valid)[..., None].expand(action.shape).contiguous()
