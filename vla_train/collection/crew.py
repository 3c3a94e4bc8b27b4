"""Blocks of seeds, played here or shared out among processes, and handed back in their order.

What a block gives depends on its seeds alone: it is played from a fresh start, in an environment of always the same number of
rows. So neither the number of processes nor who gets which block changes anything.
"""

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Protocol, runtime_checkable

import numpy as np

from vla_train import stopping
from vla_train.collection.expert import ExpertEpisode, ExpertRun
from vla_train.collection.player import Player
from vla_train.envs.contract import Environment
from vla_train.envs.workers import process_context
from vla_train.errors import VlaTrainError, WorldError, nearest
from vla_train.spec import Spec

AHEAD = 2  # blocks for each process that may be under way or wait to be handed on, beside the one that is next
BLOCK_BYTES = 256 * 2**20  # of the pictures of a block, before they are encoded
PATIENCE = 0.2  # seconds between two looks whether a stop was asked for


@runtime_checkable
class Station(Protocol):
    """Where episodes are played: what a process makes once."""

    environment: Environment
    player: Player
    encodes: bool  # pictures are encoded here, not where they are written

    def close(self) -> None: ...


def block_size(wished: int, spec: Spec, rows: int) -> int:
    """How many seeds are played together: as many as wished, but no more than ``BLOCK_BYTES`` of pictures if all episodes were as
    long as they can be. Those that play side by side are in memory anyway. It follows from the world alone, as what a policy
    does may depend, in the last bit, on who plays beside it."""
    each = spec.horizon * sum(image.nbytes for image in spec.images.values())
    return min(wished, max(rows, BLOCK_BYTES // max(1, each)))


def play_block(environment: Environment, player: Player, seeds: np.ndarray, *, encodes: bool = True) -> list[ExpertEpisode]:
    """The episodes of some seeds, in their order."""
    episodes = []
    for episode in ExpertRun(environment, seeds, player):
        if encodes:  # before the next one is there: pictures take a fraction of the memory then
            episode.encode()
        episodes.append(episode)
    return episodes


def play_blocks(
    make: Callable[[], Station], blocks: Sequence[np.ndarray], processes: int = 0
) -> Generator[list[ExpertEpisode], None, None]:
    """The episodes of each block, in order: played in this process (0), or in so many others, never more than blocks.

    ``make`` goes to the processes by name: a ``functools.partial`` of a function in a module.

    Raises:
        Interrupted: a stop was asked for.
        WorldError: an environment failed, or a process died.
    """
    if processes == 0:
        station = make()
        try:
            for block in blocks:
                yield play_block(station.environment, station.player, block, encodes=station.encodes)
        finally:
            station.close()
        return
    workers = [_Worker(make, number) for number in range(min(processes, len(blocks)))]
    try:
        yield from _shared_out(workers, blocks)
    finally:
        for worker in workers:
            worker.stop()


def _shared_out(workers: "list[_Worker]", blocks: Sequence[np.ndarray]) -> Iterator[list[ExpertEpisode]]:
    begun = handed = 0
    ready: dict[int, list[ExpertEpisode]] = {}
    while handed < len(blocks):
        for worker in workers:
            if worker.block is None and begun < len(blocks) and begun - handed <= AHEAD * len(workers):
                worker.begin(begun, blocks[begun])
                begun += 1
        busy = {worker.connection: worker for worker in workers if worker.block is not None}
        told = wait(list(busy), PATIENCE)
        stopping.check()  # first: a stop of the whole group may be what ended a worker
        for connection in told:
            worker = busy[connection]
            number, episodes = worker.done()
            ready[number] = episodes
        while handed in ready:
            handed += 1
            yield ready.pop(handed - 1)


class _Worker:
    """The parent's side of a process that plays blocks. ``block``: the number of the one that it plays, None while it waits."""

    def __init__(self, make: Callable[[], Station], number: int) -> None:
        context = process_context("vla_train.build")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make), daemon=True, name=f"collector {number}")
        self.process.start()
        theirs.close()
        self.block: int | None = None

    def begin(self, number: int, seeds: np.ndarray) -> None:
        self.block = number
        with suppress(OSError):  # it is gone: ``done`` will tell
            self.connection.send(seeds)

    def done(self) -> tuple[int, list[ExpertEpisode]]:
        number, self.block = self.block, None
        assert number is not None
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            stopping.check()
            raise WorldError(
                f"the process {self.process.name} died (exit code {self.process.exitcode}; is there enough memory?). What was "
                "collected so far is kept: the same command goes on from there"
            ) from None
        if kind == "episodes":
            return number, value
        raise value

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(connection: Connection, make: Callable[[], Station]) -> None:
    """The worker's side: play blocks until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group, and are the parent's to handle
        signal.signal(number, signal.SIG_IGN)
    try:
        station = make()
        while True:
            episodes = play_block(station.environment, station.player, connection.recv(), encodes=station.encodes)
            connection.send(("episodes", episodes))
    except (EOFError, BrokenPipeError):
        return
    except VlaTrainError as error:
        connection.send(("error", nearest(error)))
    except Exception as error:
        connection.send(("error", WorldError(f"{type(error).__name__}: {error}")))
