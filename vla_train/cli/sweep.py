"""A sweep around Hydra's own: its jobs keep records in its folder, so that it can tell what is done, and go on.

Hydra's sweepers make the grid, or search. They ask Hydra for a launcher, and get a ``RecordingLauncher``.
"""

import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import OmegaConf, open_dict

from vla_train import run_folder, stopping
from vla_train.cli.command import Work
from vla_train.cli.sweep_job import SweepJob, swept
from vla_train.cli.sweep_launcher import RecordingLauncher
from vla_train.config.targets import GROUPS
from vla_train.errors import UsageError
from vla_train.sweeps.records import JobRecord, SweepFolder, job_key, now
from vla_train.sweeps.show import print_summary, write_csv

if TYPE_CHECKING:
    from omegaconf import DictConfig

Task = Callable[["DictConfig"], Any]


class Sweep:
    """One ``-m`` command line: which words Hydra gets to see at first, the sweep's folder, and how it ends.

    Args:
        words: the command line, options first.
    """

    def __init__(self, kind: str, work: Work, words: Sequence[str]):
        self.kind, self.work = kind, work
        self.resume = next((word.partition("=")[2] for word in words if word.startswith("sweep.resume=")), None)
        self.words = [word for word in words if not word.startswith("sweep.resume=")]
        self.varies, self.fixed, self.held = _grid(self.words)
        self.folder: SweepFolder | None = None
        self.asked: dict[str, None] = {}  # keys of the jobs of this command line
        self._next = 0
        self._session = now()
        self._stack = ExitStack()

    def first_words(self) -> list[str]:
        """What Hydra composes the sweep itself from: without what is for the jobs alone, and with the folder to go on in."""
        place = [] if self.resume is None else [f"hydra.sweep.dir={_quoted(self.resume)}"]
        return [word for word in self.words if word not in self.held] + place

    def open(self, config: "DictConfig", loader: ConfigLoader) -> SweepFolder:
        """Make the folder, or take the one to go on with. Raises UsageError if there is nothing to sweep over."""
        sys.argv[1:] = [*self.words, *([] if self.resume is None else [f"sweep.resume={self.resume}"])]
        path = Path(str(config.hydra.sweep.dir)).absolute()
        self._refuse_nothing(config, path)
        self._refuse_empty(config, loader)
        if self.resume is None:
            path = _fresh(path)
            with open_dict(config):
                config.hydra.sweep.dir = str(path)
        else:
            SweepFolder(path).words()
        self._stack.enter_context(run_folder.lock(path))
        self.folder = SweepFolder(path)
        self._next = 1 + max((record.number for record in self.folder.records()), default=-1)
        self.folder.start(f"vla-{self.kind}", self.words)
        self._stack.enter_context(stopping.telling(self._pass_stop_on))
        return self.folder

    def plan(self, overrides: list[str]) -> JobRecord:
        """The record of a job that is asked for. One that finished stands; any other waits, to go on where it was interrupted."""
        assert self.folder is not None
        overrides = [*overrides, *self.held]
        key = job_key(overrides)
        record = self.folder.read(key)
        asked_before = key in self.asked  # a search may propose the same twice
        self.asked[key] = None
        if record is not None and (asked_before or record.state == "finished"):
            return record
        if record is None:
            record = JobRecord(self._next, overrides)
            self._next += 1
            if self.resume is not None:
                print(f"new in this sweep: [job {record.number}] {swept(overrides, self.fixed)}", flush=True)
        elif record.state == "failed":
            record.run = None  # it would fail again from there
        record.overrides, record.state, record.exit_code, record.message = overrides, "waiting", None, ""
        self.folder.write(record)
        return record

    def finish(self) -> int:
        """Write and print the summary; returns the exit code of a sweep that was not stopped."""
        self._stack.close()
        if self.folder is None:
            return 0
        records = self.folder.records()
        if any(record.state != "waiting" for record in records):
            write_csv(self.folder, records)
            print_summary(self.folder, records)
        missing = [record for record in records if record.key in self.asked and record.state != "finished"]
        if stopping.requested() or any(record.started for record in missing):  # one that never began has to be written otherwise
            where = os.path.relpath(self.folder.path)
            command = shlex.join([f"vla-{self.kind}", *self.words, f"sweep.resume={where}"])
            print(f"to run what is missing: {command}", flush=True)
        return int(bool(missing))

    def _refuse_nothing(self, config: "DictConfig", path: Path) -> None:
        one_here = str(OmegaConf.select(config, "hydra.launcher._target_")).endswith("BasicLauncher")
        if self.varies or OmegaConf.select(config, "hydra.sweeper.params") or not one_here:
            return
        before = SweepFolder(path).words() if self.resume is not None else ["-m", "model=transformer,film_cnn", "seed=0,1"]
        again = shlex.join([f"vla-{self.kind}", *before, *([] if self.resume is None else [f"sweep.resume={self.resume}"])])
        raise UsageError(f"-m is for a sweep, and nothing is to be swept over: give a key several values, as in {again}")

    def _refuse_empty(self, config: "DictConfig", loader: ConfigLoader) -> None:
        """Refuse a grid without a job, for which Hydra does nothing at all, and a search without a trial."""
        if OmegaConf.select(config, "hydra.sweeper.n_trials") == 0:
            raise UsageError("hydra.sweeper.n_trials=0: a search needs at least one trial")
        params = OmegaConf.select(config, "hydra.sweeper.params") or {}
        lines = [*(f"{key}={value}" for key, value in params.items()), *_settings(self.words)]
        final = {override.get_key_element(): override for override in OverridesParser.create(loader).parse_overrides(lines)}
        for override in final.values():
            if override.is_discrete_sweep() and next(override.sweep_string_iterator(), None) is None:
                raise UsageError(
                    f"{override.input_line}: no value is in it, so there is nothing to sweep over. "
                    "range(a,b) begins at a and ends before b; glob(a*) takes the choices whose names fit."
                )

    def _pass_stop_on(self) -> None:
        """Tell the jobs of this session that run in other processes here; no other begins, wherever it is."""
        assert self.folder is not None
        self.folder.stop()
        for record in self.folder.records():
            process = record.process or {}
            ours = (
                record.state == "running"
                and record.key in self.asked  # its record was made anew by this session, so the process is a job of ours
                and process.get("host") == socket.gethostname()
                and (record.started or "") >= self._session
            )
            if ours and process["pid"] != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(process["pid"], signal.SIGTERM)


def sweep(kind: str, work: Work, start: Callable[[], None]) -> int:
    """Run the sweep of ``sys.argv``: ``start`` lets Hydra read it and go. Returns the exit code.

    Meanwhile the launcher that a sweeper asks Hydra for is a ``RecordingLauncher``, which composes the jobs itself.
    """
    whole = Sweep(kind, work, sys.argv[1:])
    original = Plugins.instantiate_launcher

    def instantiate(plugins: Plugins, hydra_context: HydraContext, task_function: Task, config: "DictConfig") -> Launcher:
        _quieten_optuna()
        folder = whole.open(config, hydra_context.config_loader)
        job = SweepJob(kind, work, folder, os.getpid(), whole.fixed)
        inner = original(plugins, hydra_context=hydra_context, task_function=job, config=config)
        return RecordingLauncher(inner, kind, folder, whole.plan, hydra_context, config)

    sys.argv[1:] = whole.first_words()
    with (
        patch.object(Plugins, "instantiate_launcher", instantiate),
        patch.object(Sweeper, "validate_batch_is_legal", lambda *_: None),
    ):
        try:
            start()
        finally:  # a sweep that was stopped, or whose search fails, shows what is done
            code = whole.finish()
    return code


def _quieten_optuna() -> None:
    """Of its log only warnings and errors, without colours: it writes them into files and pipes too. It is imported by now."""
    log = logging.getLogger("optuna")
    log.setLevel(logging.WARNING)
    for handler in log.handlers:
        handler.setFormatter(logging.Formatter("note: optuna: %(message)s"))


def _quoted(value: str) -> str:
    """As Hydra reads a value with blanks, commas or brackets in it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _grid(words: Sequence[str]) -> tuple[bool, frozenset[str], list[str]]:
    """Whether any word has several values; the keys that have one; and those of their words that only the jobs get.

    The sweep itself is composed with the default of a group that is swept over, whose keys are not those of the choices. So if a
    group is, keys of groups are left to the jobs.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(_settings(words))
    except (HydraException, RecursionError):  # Hydra tells of it when it reads the words itself
        return True, frozenset(), []
    several = [override for override in parsed if override.is_sweep_override()]
    fixed = [override for override in parsed if not override.is_sweep_override()]
    keys = [override for override in fixed if "." in override.key_or_group and override.key_or_group.partition(".")[0] in GROUPS]
    held = keys if any(override.key_or_group in GROUPS for override in several) else []
    return (
        bool(several),
        frozenset(override.get_key_element() for override in fixed),
        [str(override.input_line) for override in held],
    )


def _settings(words: Sequence[str]) -> list[str]:
    """The words of a command line that are no options."""
    return [word for word in words if word[:1] in ("+", "~") or ("=" in word and word[:1] != "-")]


def _fresh(path: Path) -> Path:
    """A new folder of this name, numbered where it is taken: two sweeps never share one."""
    for number in range(1, 10_000):
        folder = path if number == 1 else path.with_name(f"{path.name}_{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise UsageError(f"{path} is taken; choose another output=")
