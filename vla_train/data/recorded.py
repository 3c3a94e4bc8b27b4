"""``dataset=lerobot``: one's own recordings, read where they lie and never changed."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vla_train.data.choice import Choice
from vla_train.data.reader import Reader, open_reader


@dataclass(frozen=True)
class Recordings:
    """A ``dataset`` config: a folder with a LeRobotDataset, and what of it is used.

    ``cameras`` (None: all that have files), ``state`` (None: ``observation.state``; empty: none) and ``action`` (None:
    ``action``) name columns of the data; those of the action that are also in ``relative`` are predicted relative to the state
    that corresponds to them (``ActionSpec.relative_to``). ``held_out`` are numbers of episodes that are held out instead of
    the share ``validation``. ``batch_size``, ``history`` and ``chunk`` say how training reads the data.
    """

    path: str
    cameras: Sequence[str] | None = None
    state: Sequence[str] | None = None
    action: Sequence[str] | None = None
    relative: Sequence[str] = ()
    batch_size: int = 64
    history: int = 1
    chunk: int = 8
    validation: float = 0.1
    held_out: Sequence[int] | None = None

    def ensure(
        self, make_environment: Callable[..., Any] | None, settings: Mapping[str, Any], *, output: Path, name: str
    ) -> Path:
        """The folder that the config names: recordings exist, or they do not."""
        return Path(self.path)

    def open(self, folder: Path) -> Reader:
        """The recordings in a folder. What they declare but do not have is said once, on stderr.

        Raises:
            DataError: there is no dataset, it is damaged, or it has no such cameras or columns.
        """
        cameras, state, action = (None if names is None else tuple(names) for names in (self.cameras, self.state, self.action))
        choice = Choice(cameras=cameras, state=state, action=action, relative=tuple(self.relative))
        reader = open_reader(folder, choice)
        for note in reader.notes:
            _say(note)
        return reader


@cache
def _say(note: str) -> None:
    print(f"note: {note}", file=sys.stderr, flush=True)
