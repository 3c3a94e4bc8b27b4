"""What every reader of a dataset format gives, whatever lies on disk."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vla_train.errors import DataError
from vla_train.spec import Spec

MOST_TOLD = 8  # episodes in one message
MIXTURE = "mixture"  # the ``player`` of an episode in which an expert labels what another does
MEND = "fetch or make it again"
TORN = "fetch the video again, or leave out the camera (dataset.cameras) or the episode (dataset.exclude; vla-data: episodes=)"


@dataclass(frozen=True)
class DatasetMetadata:
    """What is known of a dataset before any frame is read: enough to build the tokenizer and the Processor."""

    spec: Spec
    instructions: list[str]  # one an episode: its first, where it changes within
    tasks: list[str]  # the kind of task of each episode, one of spec.tasks
    num_episodes: int
    num_frames: int
    fingerprint: str  # of the content, whatever the folder is called
    episodes: list[
        dict[str, Any]
    ]  # one row an episode: episode_index, length, tasks, and what its maker noted (seed, scene, ...)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of "state" and "action": the column of each number
    excluded: tuple[int, ...] = ()  # episodes that are not used: they have no frames


@dataclass(frozen=True)
class Columns:
    """Every frame but its pixels, in order of episode and step. n frames, e episodes."""

    state: np.ndarray  # float32 [n, s]; s may be 0
    action: np.ndarray  # float32 [n, a], or int64 [n, 1]
    starts: np.ndarray  # int64 [e + 1]: episode i is rows starts[i] to starts[i + 1]
    texts: list[str]  # the distinct instructions
    text: np.ndarray  # int64 [n]: which of them each frame has
    reward: np.ndarray | None = None  # float32 [n], for the action of this row
    terminated: np.ndarray | None = None  # bool [n], after the action of this row; an episode that ends otherwise was cut short
    reference: np.ndarray | None = None  # float32 [n, a]: the state that tells the same as each action, NaN where none does


@runtime_checkable
class Reader(Protocol):
    """A dataset on disk. Checked as it is read: a lie or a number that is not finite raises DataError."""

    folder: Path
    metadata: DatasetMetadata

    def columns(self) -> Columns: ...

    def frames(self, cameras: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """The decoded frames in order, in blocks: [n, y, x, c] for each camera, of clouds float32, else uint8."""


@runtime_checkable
class RandomReader(Reader, Protocol):
    """One that also gives chosen frames: those of data that are too many for a frame cache are then decoded as they are drawn."""

    def frames_at(self, cameras: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
        """The decoded frames at rows, int64 [m] in ascending order: [m, y, x, c] for each camera.

        Threads may ask at once.
        """
        ...


@runtime_checkable
class RecordedData(Protocol):
    """What the class of a ``dataset`` config can do: find (or make) the data, and open it.

    Its constructor takes the YAML's keys. Among them must be ``batch_size``, ``history``, ``chunk`` and ``validation``.
    """

    def ensure(
        self, make_environment: Callable[..., Any] | None, settings: Mapping[str, Any], *, output: Path, name: str
    ) -> Path:
        """The folder of the data, made below ``output`` if it has to be made by the expert of an environment."""
        ...

    def open(self, folder: Path) -> Reader:
        """The data in a folder, as this config chooses from it."""
        ...


def episode_starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """int64 [e + 1]: where each episode begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]).astype(np.int64)


def scene_of(episode: Mapping[str, Any]) -> str:
    """What its maker noted of an episode's scene; empty where nothing was."""
    return str(episode.get("scene") or "")


def is_labelled(episode: Mapping[str, Any]) -> bool:
    """Whether its actions are an expert's word on states into which another's actions led: each is right, but what follows on it
    in the recording is not what would have followed."""
    return bool(episode.get("player") == MIXTURE)


def place(row: int, starts: np.ndarray, first: int = 0) -> str:
    """A row in words: its step and episode, where ``first`` is the number of the first episode."""
    episode = int(np.searchsorted(starts, row, side="right")) - 1
    return f"step {row - int(starts[episode])} of episode {first + episode}"


def damaged(path: Path, what: str, mend: str = MEND) -> DataError:
    """The error for a dataset that contradicts itself."""
    return DataError(f"the dataset at {path} is damaged or not read here: {what}; {mend}")


def leave_out_hint(episode: int) -> str:
    """How an episode is left out, in training and in ``vla-data``."""
    return f"leave it out with dataset.exclude=[{episode}] (vla-data convert: with episodes=)"


def torn_pictures(found: Mapping[str, Mapping[int, str]]) -> DataError:
    """The error for pictures that are not whole: of each camera what is wrong in which episode."""
    lines = [
        f"camera {camera!r}, episode {episode}: {what}" for camera, wrong in found.items() for episode, what in wrong.items()
    ]
    more = [f"... and {len(lines) - MOST_TOLD} more"] if len(lines) > MOST_TOLD else []
    return DataError("\n".join([*lines[:MOST_TOLD], *more, TORN]))


def require_finite(
    name: str,
    values: np.ndarray,
    starts: np.ndarray,
    where: str | Path,
    first: int = 0,
    *,
    source: Callable[[int], str] | None = None,
    labels: Sequence[str] = (),
) -> None:
    """Raise DataError, with episode and step, at the first NaN or infinity of a column [n, d]. ``source`` tells where a row
    lies; ``labels``: what each number is called."""
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad.reshape(len(values), -1))[0]
        value = values.reshape(len(values), -1)[row, column]
        episode = int(np.searchsorted(starts, row, side="right")) - 1
        lies = f" ({source(int(row))})" if source else ""
        number = labels[column] if labels else f"{name}.{column}"
        mend = f"repair that episode, or {leave_out_hint(episode)}" if source else "repair that episode"
        raise DataError(
            f"{number} is {value} at {place(int(row), starts, first)} of {where}{lies}: every number must be finite; {mend}"
        )


def content_fingerprint(folder: Path, parts: Sequence[str] = ("meta", "data", "videos")) -> str:
    """sha256 over the names and contents of the dataset's files. The folder's own name and its cache do not count."""
    return files_fingerprint(folder, [path for part in parts for path in (folder / part).rglob("*") if path.is_file()])


def files_fingerprint(folder: Path, files: Sequence[Path]) -> str:
    """sha256 over the names, as seen from a folder, and the contents of files, in whatever order they are given."""
    total = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return total.hexdigest()
