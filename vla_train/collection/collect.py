"""``vla-collect``'s work: play seeds block after block and add the episodes to a dataset, whatever becomes of the process.

``vla_train.collections`` in the dataset's info.json notes what was asked for and how far it came. It is written with each block
(``LeRobotWriter.commit``), so what a killed command leaves can be read, and the same command goes on behind it.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.collection import ledger
from vla_train.collection.expert import ExpertEpisode
from vla_train.collection.recording import World, write_episode
from vla_train.data.episode_writer import WriterLock
from vla_train.data.progress import progress
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import DataError, Interrupted, VlaTrainError

Blocks = Callable[[Sequence[np.ndarray]], Generator[list[ExpertEpisode], None, None]]


@dataclass
class Collected:
    """What one command added. ``seconds`` are those of playing and writing."""

    folder: Path
    played: int = 0
    kept: int = 0
    succeeded: int = 0
    frames: int = 0
    seconds: float = 0.0
    total: int = 0  # episodes in the dataset, with those that were there before
    helped: int = 0  # frames in which the expert acted in the policy's place

    def sentence(self) -> str:
        """In words, with the throughput."""
        rate = self.played / max(self.seconds, 1e-9), self.frames / max(self.seconds, 1e-9)
        helped = f"; the expert acted in {self.helped / self.frames:.0%} of the steps" if self.helped else ""
        return (
            f"{self.folder}: {self.played:,} episodes played, {self.succeeded:,} succeeded, {self.kept:,} recorded "
            f"({self.frames:,} frames) in {self.seconds:.1f} s: {rate[0]:,.1f} episodes/s, {rate[1]:,.0f} frames/s{helped}. "
            f"The dataset has {self.total:,}."
        )


@dataclass(frozen=True)
class Wish:
    """What is to be collected. ``start`` None: behind what is there. ``block`` seeds are played, and safe, together."""

    recipe: Mapping[str, Any]
    episodes: int
    start: int | None = None
    block: int = 128
    only_successes: bool = True
    video: str | None = None
    note: Callable[[str], None] = field(default=print)
    bar: bool = True  # progress is shown; not where something else is on the screen


def collect(folder: Path, wish: Wish, world: World, play: Blocks) -> Collected:
    """Add to the dataset in ``folder``, or begin it. ``play`` gives the episodes of blocks of seeds, in order.

    Raises:
        DataError: the dataset has other columns or cameras, or nothing was worth keeping.
        UsageError: the folder holds something else, or these seeds were collected already.
        Interrupted: a stop was asked for; the dataset is closed, and the same command goes on.
    """
    ledger.collections_in(folder)  # what is no dataset is refused before anything is made in it
    fresh, lock = not folder.exists(), WriterLock(folder)
    try:
        return _collect(folder, lock, wish, world, play)
    finally:
        lock.close()
        if fresh:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


def _collect(folder: Path, lock: WriterLock, wish: Wish, world: World, play: Blocks) -> Collected:
    before = ledger.collections_in(folder)
    current = ledger.current(before, wish.recipe, wish.episodes, wish.start, folder)
    if current.played:
        wish.note(f"going on with {folder}: {current.played:,} of {current.episodes:,} episodes are played")
    done = [known for known in before if known is not current]
    writer = LeRobotWriter(folder, world.spec, world.name, video=wish.video, append=True, lock=lock, commit_every=0)
    found, began = Collected(folder), time.monotonic()

    def note() -> None:
        writer.extra = {ledger.COLLECTIONS: [asdict(one) for one in [*done, current]]}

    try:
        with (
            _bar(current.episodes - current.played, wish.bar) as advance,
            closing(play(current.blocks(wish.block))) as blocks,
        ):
            for episodes in blocks:
                _add(writer, world, episodes, wish, current, found)
                note()
                if writer.num_episodes:
                    writer.commit()
                advance(len(episodes))
    except VlaTrainError as stop:
        note()
        if writer.num_episodes:
            writer.finish()
        if not isinstance(stop, Interrupted):
            raise
        raise Interrupted(
            f"{stop}; {found.kept:,} episodes were added to {folder}. The same command goes on", stop.exit_code
        ) from stop
    found.seconds, found.total = time.monotonic() - began, writer.num_episodes
    if not writer.num_episodes:
        raise DataError(f"none of {current.episodes:,} episodes succeeded, so nothing is recorded: keep=all records failures too")
    writer.finish()
    return found


def _bar(episodes: int, shown: bool) -> AbstractContextManager[Callable[[int], None]]:
    return progress("collecting", episodes) if shown else nullcontext(lambda count: None)


def _add(
    writer: LeRobotWriter,
    world: World,
    episodes: Sequence[ExpertEpisode],
    wish: Wish,
    current: ledger.Collection,
    found: Collected,
) -> None:
    for episode in episodes:
        keep = bool(episode.steps) and (episode.success or not wish.only_successes)
        if keep:
            facts: dict[str, str | int] = {"player": episode.player}
            facts |= {} if episode.helped is None else {"expert_steps": episode.helped}
            write_episode(writer, world, episode, facts)
            found.frames += len(episode.steps)
            found.helped += episode.helped or 0
        for count in (current, found):
            count.played += 1
            count.kept += keep
            count.succeeded += episode.success
