"""Rows of an environment in processes of their own: on several cores at once, and where one that hangs can be ended.

A step that never returns cannot be interrupted from within its own process. A worker that does not answer in time, or dies, is
replaced by a fresh one and its rows raise WorldError, which evaluation counts as a crash.
"""

import contextlib
import functools
import itertools
import multiprocessing
import signal
import time
import weakref
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from vla_train.envs.contract import Environment, Goal
from vla_train.errors import VlaTrainError, WorldError, nearest
from vla_train.spec import Spec
from vla_train.types import RawObservation

SETTINGS = ("processes", "timeout")  # of an environment's config: how it runs, not what it shows
STARTING = 300.0  # seconds that a worker has for its imports and for making its rows
SPACES = ("single_observation_space", "single_action_space")
FACTS = ("io_spec", "stage", "not_applicable", "name", "task_groups", "symmetry", *SPACES)


def spread(make: Callable[..., Environment], num_envs: int, processes: int = 0, timeout: float = 120.0) -> Environment:
    """``make(num_envs)`` here (``processes`` 0), or its rows shared out among so many workers (never more than rows)."""
    if processes == 0:
        return make(num_envs)
    return WorkersVectorEnv(make, num_envs, min(processes, num_envs), timeout)


class WorkersVectorEnv(gymnasium.vector.VectorEnv[Any, np.ndarray, np.ndarray]):
    """``num_envs`` rows of the environments that ``make(rows)`` makes, shared out among ``processes`` workers.

    ``make`` goes to the workers by name: a class, or a ``functools.partial`` of one. ``timeout`` is how many seconds a worker has
    for an answer. ``kind`` is the class of the environments. See ``envs/contract.py`` for the methods.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012  # as gymnasium declares it
    io_spec: Spec
    stage: str
    not_applicable: dict[str, str]
    kind: type

    def __init__(self, make: Callable[..., Environment], num_envs: int, processes: int, timeout: float) -> None:
        self.num_envs, self._timeout = num_envs, timeout
        bounds = np.linspace(0, num_envs, processes + 1).round().astype(int).tolist()
        self._workers = [_Worker(make, first, last) for first, last in itertools.pairwise(bounds)]
        weakref.finalize(self, _close, self._workers)
        facts = [worker.started() for worker in self._workers]  # all of them: they have begun side by side
        for name, value in facts[0].items():
            setattr(self, name, value)
        self.version = getattr(self.kind, "version", 0)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(  # type: ignore[override]  # seeds are obligatory in the contract
        self, *, seed: Sequence[int] | np.ndarray, options: dict[str, Any] | None = None
    ) -> tuple[RawObservation, dict[str, Any]]:
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        if len(seed) != self.num_envs or len(mask) != self.num_envs:
            raise WorldError(f"reset of {self.num_envs} rows was given {len(seed)} seeds and a mask of {len(mask)}")
        parts = [{"seed": list(seed[w.first : w.last]), "options": {"reset_mask": mask[w.first : w.last]}} for w in self._workers]
        answers = self._ask("reset", [((), part) for part in parts])
        observations, infos = zip(*answers, strict=True)
        return _joined(observations), _joined(infos)

    def step(self, actions: np.ndarray) -> tuple[RawObservation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        actions = np.asarray(actions)
        if actions.shape[:1] != (self.num_envs,):
            raise WorldError(f"actions have the shape {list(actions.shape)}; there are {self.num_envs} rows")
        answers = self._ask("step", [((actions[w.first : w.last],), {}) for w in self._workers])
        observation, reward, terminated, truncated, info = (_joined(part) for part in zip(*answers, strict=True))
        return observation, reward, terminated, truncated, info

    @property
    def success(self) -> np.ndarray:
        return np.concatenate(self._ask_all("success"))

    @property
    def goals(self) -> list[Goal]:
        return [goal for part in self._ask_all("goals") for goal in part]

    def set_goals(self, rows: Sequence[int], goals: Sequence[Goal]) -> RawObservation:
        return self._set("set_goals", rows, goals)

    def alternatives(self) -> list[list[Goal]]:
        return [goals for part in self._ask_all("alternatives") for goals in part]

    def expert_action(self, goals: Sequence[Goal] | None = None) -> np.ndarray:
        parts = [None if goals is None else list(goals[w.first : w.last]) for w in self._workers]
        return np.concatenate(self._ask("expert_action", [((part,), {}) for part in parts]))

    @property
    def first_touched(self) -> list[str]:
        return [name for part in self._ask_all("first_touched") for name in part]

    def describe(self) -> list[str]:
        return [text for part in self._ask_all("describe") for text in part]

    def get_scenes(self) -> list[dict[str, Any]]:
        return [scene for part in self._ask_all("get_scenes") for scene in part]

    def set_scenes(self, rows: Sequence[int], scenes: Sequence[dict[str, Any]]) -> RawObservation:
        return self._set("set_scenes", rows, scenes)

    def sample_instructions(self, seeds: Sequence[int] | np.ndarray) -> list[str]:
        first = self._workers[0]
        first.started()
        first.ask("sample_instructions", (list(seeds),), {})
        found: list[str] = first.answer(time.monotonic() + self._timeout)
        return found

    def close(self, **kwargs: Any) -> None:
        _close(self._workers)

    def _set(self, method: str, rows: Sequence[int], values: Sequence[Any]) -> RawObservation:
        """Call a method that changes some rows; the workers without any of them only tell what theirs show."""
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        for worker in self._workers:
            mine = [(row - worker.first, value) for row, value in zip(rows, values, strict=True) if worker.has(row)]
            calls.append((([row for row, _ in mine], [value for _, value in mine]), {}))
        observation: RawObservation = _joined(self._ask(method, calls))
        return observation

    def _ask_all(self, name: str) -> list[Any]:
        return self._ask(name, [((), {}) for _ in self._workers])

    def _ask(self, name: str, calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """The answer of each worker. All are heard before the first failure is raised, so that none lags a question behind."""
        for worker in self._workers:
            worker.started()  # one that took another's place may still be making its rows
        for worker, (args, kwargs) in zip(self._workers, calls, strict=True):
            worker.ask(name, args, kwargs)
        deadline, answers, failures = time.monotonic() + self._timeout, [], []
        for worker in self._workers:
            try:
                answers.append(worker.answer(deadline))
            except VlaTrainError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return answers


class _Worker:
    """The parent's side of the process that has rows ``first`` to ``last`` - 1."""

    def __init__(self, make: Callable[..., Environment], first: int, last: int) -> None:
        self.first, self.last, self._make = first, last, make
        self._start()

    def _start(self) -> None:
        context = process_context("vla_train.envs.vector")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self._make, self.last - self.first)
        self.process = context.Process(target=_serve, args=arguments, daemon=True, name=f"rows {self.first} to {self.last - 1}")
        self.process.start()
        theirs.close()
        self._facts: dict[str, Any] | None = None

    def started(self) -> dict[str, Any]:
        """Wait until the rows are made; the facts about them."""
        if self._facts is None:
            self._facts = self._receive(time.monotonic() + STARTING, "make its rows")
        return dict(self._facts)

    def has(self, row: int) -> bool:
        return self.first <= row < self.last

    def ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._asked = name
        with contextlib.suppress(OSError):  # it is gone: the answer will tell
            self._connection.send((name, args, kwargs))

    def answer(self, deadline: float) -> Any:
        return self._receive(deadline, self._asked)

    def _receive(self, deadline: float, what: str) -> Any:
        try:
            if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                self._replace(f"did not {what} in time (environment.timeout) and was ended")
            kind, value = self._connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            self._replace(f"died when it was to {what} (exit code {self.process.exitcode})")
        if kind == "value":
            return value
        if isinstance(value, WorldError) and value.rows is not None:
            value.rows = [row + self.first for row in value.rows]
        raise value

    def _replace(self, reason: str) -> None:
        rows = list(range(self.first, self.last))
        name = self.process.name
        self.stop()
        self._start()
        raise WorldError(f"the process of {name} {reason}", rows=rows)

    def stop(self) -> None:
        self._connection.close()
        self.process.kill()
        self.process.join()


@functools.cache
def process_context(preload: str) -> Any:
    """How workers are started. A fork of ours would share OpenGL and threads with us; a server that has only imported the module
    ``preload`` forks them quickly."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


def _close(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.stop()


def _serve(connection: Connection, make: Callable[..., Environment], num_envs: int) -> None:
    """The worker's side: make the rows, then answer questions until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group, and are the parent's to handle
        signal.signal(number, signal.SIG_IGN)
    environment = _try(connection, lambda: make(num_envs), lambda made: _facts(made))
    while environment is not None:
        try:
            name, args, kwargs = connection.recv()
        except EOFError:
            return
        _try(connection, lambda: _call(environment, name, args, kwargs), lambda value: value)  # noqa: B023  # called at once


def _try(connection: Connection, act: Callable[[], Any], show: Callable[[Any], Any]) -> Any:
    """Do something and send what is to be shown of it, or why it failed."""
    try:
        found = act()
        connection.send(("value", show(found)))
        return found
    except VlaTrainError as error:
        connection.send(("error", nearest(error)))
    except Exception as error:
        connection.send(("error", WorldError(f"{type(error).__name__}: {error}")))
    return None


def _facts(environment: Any) -> dict[str, Any]:
    found = {name: getattr(environment, name) for name in FACTS if hasattr(environment, name)}
    return found | {"kind": type(environment)}


def _call(environment: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    value = getattr(environment, name)
    return value(*args, **kwargs) if callable(value) else value


def _joined(parts: Sequence[Any]) -> Any:
    """What the workers gave, row after row: arrays and lists are put together, in dicts by their keys."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    return [item for part in parts for item in part]
