"""``dataset=lerobot``, ``hdf5``, ...: one's own recordings, read where they lie and never changed."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from vla_train.data.choice import Choice
from vla_train.data.reader import Reader, open_reader
from vla_train.errors import UsageError


@dataclass(frozen=True)
class Recordings:
    """A ``dataset`` config: a folder or file with recordings, here a LeRobotDataset, and what of it is used.

    ``cameras`` (None: all that have files), ``state`` (None: ``observation.state``, or what is usual in the format; empty: none)
    and ``action`` (None: ``action``) name columns of the data; those of the action that are also in ``relative`` are predicted
    relative to the state that corresponds to them (``ActionSpec.relative_to``). ``rename`` gives columns and cameras other names
    first. ``instruction`` stands where the data have none, ``depth_range`` says what is near and far in depth that is not bytes.
    ``held_out`` are numbers of episodes that are held out instead of the share ``validation``, ``exclude`` of those that are not
    used at all. ``batch_size``, ``history`` and ``chunk`` say how training reads the data.
    """

    format: ClassVar[str] = "lerobot"

    path: str
    cameras: Sequence[str] | None = None
    state: Sequence[str] | None = None
    action: Sequence[str] | None = None
    relative: Sequence[str] = ()
    rename: Mapping[str, str] | None = None
    instruction: str | None = None
    depth_range: Sequence[float] | None = None
    batch_size: int = 64
    history: int = 1
    chunk: int = 8
    validation: float = 0.1
    held_out: Sequence[int] | None = None
    exclude: Sequence[int] = ()

    def ensure(
        self, make_environment: Callable[..., Any] | None, settings: Mapping[str, Any], *, output: Path, name: str
    ) -> Path:
        """The folder that the config names: recordings exist, or they do not."""
        return Path(self.path)

    def open(self, folder: Path) -> Reader:
        """The recordings in a folder. What they declare but do not have is said once, on stderr.

        Raises:
            DataError: there is no dataset, it is damaged, or it has no such cameras or columns.
            UsageError: a package that the format needs is missing, or ``depth_range`` is none.
        """
        reader = open_reader(folder, self.choice(), self.format)
        for note in reader.notes:
            _say(note)
        return reader

    def choice(self) -> Choice:
        """What is used of the data."""
        cameras, state, action = (None if names is None else tuple(names) for names in (self.cameras, self.state, self.action))
        limits = None if self.depth_range is None else (float(self.depth_range[0]), float(self.depth_range[1]))
        if limits is not None and limits[0] >= limits[1]:
            raise UsageError(f"dataset.depth_range={list(limits)}: give the near end first, as in [0.0,2.0]")
        return Choice(
            cameras=cameras,
            state=state,
            action=action,
            relative=tuple(self.relative),
            rename=dict(self.rename or {}),
            instruction=self.instruction,
            depth_range=limits,
            exclude=tuple(self.exclude),
        )


@dataclass(frozen=True)
class Hdf5(Recordings):
    """Demonstrations of robomimic or LIBERO; ``mask`` is a filter key of theirs, which names those that are used."""

    format: ClassVar[str] = "hdf5"
    mask: str | None = None

    def choice(self) -> Choice:
        return replace(super().choice(), mask=self.mask)


@dataclass(frozen=True)
class ImageFolder(Recordings):
    """``metadata.json`` with pictures beside it."""

    format: ClassVar[str] = "image_folder"


@dataclass(frozen=True)
class Collector(Recordings):
    """A JSON file for each demonstration, with pictures beside them."""

    format: ClassVar[str] = "collector"


@dataclass(frozen=True)
class Tensors(Recordings):
    """Tensors in a safetensors file, which tells no time: ``rate`` are the steps per second."""

    format: ClassVar[str] = "tensors"
    rate: float = 10.0

    def choice(self) -> Choice:
        return replace(super().choice(), rate=float(self.rate))


@cache
def _say(note: str) -> None:
    print(f"note: {note}", file=sys.stderr, flush=True)
