"""Writes a LeRobotDataset v3.0 with whatever columns and cameras it shall have, episode by episode, so that a kill loses little.

Layout: https://huggingface.co/docs/lerobot/lerobot-dataset-v3. A file has its name from the moment that it is whole, and
``info.json`` is replaced last. So a writer that is killed leaves a dataset with every episode up to its last ``commit``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from vla_train.data import lerobot_layout as layout
from vla_train.data.encoded import EncodedFrames, sampled_steps
from vla_train.data.images import encode_png
from vla_train.data.lerobot_files import DataFiles
from vla_train.data.lerobot_info import image_spec
from vla_train.data.lerobot_meta import Meta, write_json
from vla_train.data.parquet_tables import ParquetTables
from vla_train.data.paths import refuse_links_out
from vla_train.data.records import episode_starts, require_finite
from vla_train.data.statistics import CloudStatistics, Described, PixelStatistics, describe, describe_columns, together
from vla_train.data.video_files import EncodedVideos, Videos
from vla_train.errors import DataError, UsageError

WRITTEN = ("data", "meta", "videos", layout.LOCK)  # where files are made


class WriterLock:
    """The right to write to a dataset's folder, until ``close``. ``killed``: a writer died while it had it."""

    def __init__(self, folder: Path):
        refuse_links_out(folder, WRITTEN)  # a stranger's dataset must not have us write to other places
        folder.mkdir(parents=True, exist_ok=True)
        self.killed = (folder / layout.LOCK).exists()
        self._held = ExitStack()
        self._held.enter_context(only_writer(folder / layout.LOCK, folder))

    def close(self) -> None:
        self._held.close()


class EpisodeWriter:
    """``add`` for each episode, then ``finish``. ``features`` are those of info.json; cameras of dtype "video" become MP4 files.

    ``head`` are further keys of info.json: fps, robot_type, and ours. With ``append`` the folder may hold a dataset of the same
    features already, whose writer may have been killed. Every ``commit_every`` episodes (0: never before the end) what was added
    becomes part of the dataset: whatever becomes of this process, it can be read. Files that are small yet are then written anew,
    so that they do not become many; but a video ends there. Otherwise a data file ends with the episode that fills
    ``file_megabytes``, a video with that of ``video_megabytes``. ``videos`` are cameras whose pictures go elsewhere than to our
    own encoder. ``lock`` is that of a caller who looked at the dataset under it; by default it is taken here. ``finish`` lets go
    of it.
    """

    def __init__(
        self,
        folder: Path,
        features: Mapping[str, layout.Feature],
        head: Mapping[str, Any],
        *,
        append: bool = False,
        commit_every: int = 1,
        file_megabytes: int | float = layout.DATA_MEGABYTES,
        video_megabytes: int | float = layout.VIDEO_MEGABYTES,
        codec: str = "h264",
        videos: Mapping[str, Videos] | None = None,
        lock: WriterLock | None = None,
    ):
        self.folder, self.features, self._commit_every = folder, dict(features), commit_every
        filmed = [name for name, feature in self.features.items() if feature["dtype"] == "video"]
        sizes = {"data_files_size_in_mb": file_megabytes, "video_files_size_in_mb": video_megabytes}
        path = {"video_path": layout.VIDEO_PATH if filmed else None}
        self.meta = Meta(folder, {layout.OURS: {}} | dict(head) | sizes | path | {"features": self.features})
        self._lock = lock
        refuse_links_out(folder, WRITTEN)
        if append:
            self._lock = lock or WriterLock(folder)
            if self._lock.killed and not (folder / layout.INFO).exists():  # before its first commit: nothing that is there counts
                self.meta.sweep({layout.DATA_FILES: 0, layout.EPISODE_FILES: 0})
        if resumed := (folder / layout.INFO).exists():
            if not append:
                raise ValueError(f"{folder} already holds a dataset; give another folder")
            self.meta.resume()
        elif strange := sorted([*folder.glob(layout.DATA_FILES), *folder.glob(layout.EPISODE_FILES)]):
            raise DataError(f"{folder} has no {layout.INFO}, but {strange[0].relative_to(folder)}: name an empty folder")
        self._files = DataFiles(folder, self.features, file_megabytes, self.meta.data_files)
        own = {"rate": head["fps"], "codec": codec, "megabytes": video_megabytes}
        self._videos: dict[str, Videos] = {
            name: (videos or {}).get(name)
            or EncodedVideos(folder, name, self.features[name], first=self.meta.next_video(name), **own)
            for name in filmed
        }
        self._shown = self._no_statistics()
        self._committed = self.meta.num_episodes
        if resumed:  # what is made from here on does not count until it is committed, even where all was finished
            self.commit()

    def add(
        self,
        numbers: Mapping[str, np.ndarray],
        blocks: Iterable[Mapping[str, np.ndarray | EncodedFrames]],
        texts: Sequence[str],
        facts: Mapping[str, Any],
    ) -> None:
        """One episode of t > 0 steps with the instruction of each, [t].

        ``numbers`` are [t, d] (or [t] for d = 1) of every feature that is no camera; of the bookkeeping only ``timestamp`` may
        be given. ``blocks`` are the frames in order, uint8 [n, y, x, c] of every camera (clouds [n, points, 1, c] in whatever
        floats they are stored), as many together as there are steps
        (of a camera that is no video they may be encoded already, then all in one block). ValueError at a wrong shape, DataError
        at a number that is not finite: then nothing of the episode is kept.
        """
        length, known = len(texts), len(self.meta.texts)
        steps, index = np.arange(length), self.meta.num_episodes
        counted = {"timestamp": steps / self.meta.head["fps"], "frame_index": steps, "index": self.meta.num_frames + steps}
        try:
            task = np.array([self.meta.number_of(text) for text in texts])
            counted |= dict(numbers) | {"episode_index": np.full(length, index), "task_index": task}
            checked = self._checked(counted, length)
            images, statistics = self._pictures(blocks, length)
            places = {name: video.end_episode() for name, video in self._videos.items()}
        except BaseException:
            self.meta.texts = dict(list(self.meta.texts.items())[:known])
            for video in self._videos.values():
                video.abandon()
            raise
        file = self._files.add({**checked, **images})
        described = describe_columns(checked) | {name: found.describe() for name, found in statistics.items()}
        row = {f"stats/{name}/{key}": value.tolist() for name, found in described.items() for key, value in found.items()}
        self.meta.note(dict(facts) | {"tasks": list(dict.fromkeys(texts))}, length, file, places, row)
        for name, found in statistics.items():
            self._shown[name].merge(found)
        if self._commit_every and self.meta.num_episodes - self._committed >= self._commit_every:
            self._files.save()
            self._close_videos()
            self._commit(closed=False)

    def commit(self) -> None:
        """What was added is part of the dataset from here on, whatever becomes of this process. New files begin behind it."""
        self._close()
        self._commit(closed=True)

    def finish(self) -> Path:
        """Close the files and write the rest of ``meta/``, info.json last. Returns the folder."""
        if not self.meta.num_episodes:
            raise ValueError(f"no episode was written to {self.folder}")
        self._close()
        write_json(self.folder / layout.STATS, self._statistics())
        self._commit(closed=True, finished=True)
        if self._lock is not None:
            self._lock.close()
        return self.folder

    def _close(self) -> None:
        self._files.close()
        self._close_videos()

    def _close_videos(self) -> None:
        for video in self._videos.values():
            video.close()

    def _commit(self, *, closed: bool, finished: bool = False) -> None:
        self.meta.commit(self._files.num_files, closed=closed, finished=finished)
        self._committed = self.meta.num_episodes

    def _checked(self, given: Mapping[str, Any], length: int) -> dict[str, np.ndarray]:
        """The numeric columns in the types that are stored, each [t, d]."""
        wanted = set(self.features) - set(self._shown)
        if set(given) != wanted:
            raise ValueError(f"the episode has {sorted(given)}, the dataset {sorted(wanted)}")
        numbers = {}
        for name in (name for name in self.features if name in wanted):
            feature = self.features[name]
            values = np.array(given[name], dtype=feature["dtype"])  # a copy: it may wait to be written
            if values.shape == (length,) and feature["shape"] == [1]:
                values = values[:, None]
            if values.shape != (length, *feature["shape"]):
                raise ValueError(f"{name} has shape {list(values.shape)}, not {[length, *feature['shape']]}")
            require_finite(name, values, episode_starts([length]), "what is to be written", self.meta.num_episodes)
            numbers[name] = values
        return numbers

    def _pictures(
        self, blocks: Iterable[Mapping[str, np.ndarray | EncodedFrames]], length: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Hand the pictures on to the videos. Returns the bytes of those that stay in parquet and the clouds, and the statistics
        of all."""
        sampled = sampled_steps(length)
        images: dict[str, list[Any]] = {name: [] for name in self._shown if name not in self._videos}
        statistics = self._no_statistics()
        done = 0
        for block in blocks if self._shown else ():
            if set(block) != set(self._shown):
                raise ValueError(f"the episode has the pictures {sorted(block)}, the dataset {sorted(self._shown)}")
            count = len(next(iter(block.values())))
            for name, frames in block.items():
                if frames.shape != (wanted := (count, *image_spec(self.features[name]).shape)):
                    raise ValueError(f"{name} has shape {list(frames.shape)}, not {list(wanted)}")
                if isinstance(frames, EncodedFrames):
                    images[name] += frames.pictures
                    statistics[name].merge(frames.statistics)
                    continue
                if name in self._videos:
                    self._videos[name].add(frames)
                elif not layout.is_picture(self.features[name]):
                    images[name].append(frames[:, :, 0].astype(self.features[name]["dtype"]))
                else:
                    images[name] += [encode_png(frame) for frame in frames]
                statistics[name].add(frames[sampled[(sampled >= done) & (sampled < done + count)] - done])
            done += count
        if self._shown and done != length:
            raise ValueError(f"the episode has {done} pictures for {length} steps")
        clouds = {name: np.concatenate(parts) for name, parts in images.items() if not layout.is_picture(self.features[name])}
        for name, cloud in clouds.items():
            require_finite(name, cloud, episode_starts([length]), "what is to be written", self.meta.num_episodes)
        return images | clouds, statistics

    def _no_statistics(self) -> dict[str, Any]:
        """Of every camera, before any frame of it."""
        shown = {name: feature for name, feature in self.features.items() if layout.is_camera(name, feature)}
        return {
            name: PixelStatistics(feature["shape"][2]) if layout.is_picture(feature) else CloudStatistics()
            for name, feature in shown.items()
        }

    def _statistics(self) -> dict[str, Any]:
        """Of the whole dataset: numbers from the files, pictures from samples."""
        sizes = {name: feature["shape"][0] for name, feature in self.features.items() if name not in self._shown}
        numbers = ParquetTables.matching(self.folder, layout.DATA_FILES, self._files.num_files).numbers(sizes)
        found = {name: describe(values) for name, values in numbers.items()}
        for name, shown in self._shown.items():
            before = [described(row, name) for row in self.meta.before]
            parts = [part for part in before if part] + ([shown.describe()] if shown.num_frames else [])
            found |= {name: parts[0] if len(parts) == 1 else together(parts)} if parts else {}
        return {name: {key: value.tolist() for key, value in each.items()} for name, each in found.items()}


def described(row: Mapping[str, Any], name: str) -> Described:
    """What a row of meta/episodes says about a feature."""
    prefix = f"stats/{name}/"
    return {
        key.removeprefix(prefix): np.array(value) for key, value in row.items() if key.startswith(prefix) and value is not None
    }


@contextmanager
def only_writer(path: Path, folder: Path) -> Iterator[None]:
    """Hold the right to write to ``folder``, by a lock at ``path``; the system takes it back from a process that dies."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(f"another process is writing to {folder}: wait until it ends, or name another folder") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
