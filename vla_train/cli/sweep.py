"""A sweep around Hydra's own: its jobs keep records, and its launcher runs only what is missing and survives what fails.

Hydra's sweepers make the grid, or search; its launchers run jobs here, in other processes or on a cluster. Both stop at the
first job that cannot be composed or whose process is lost. So the launcher that a sweeper asks for is wrapped here: it plans a
record for each job, composes it once to see that it can be, launches what has not finished, and takes the results from the
records.
"""

import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import OmegaConf, open_dict

from vla_train import run_folder, stopping
from vla_train.cli.command import Work
from vla_train.cli.sweep_job import SweepJob
from vla_train.config.targets import GROUPS
from vla_train.errors import UsageError, VlaTrainError
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
        place = [] if self.resume is None else [f"hydra.sweep.dir={self.resume}"]
        return [word for word in self.words if word not in self.held] + place

    def open(self, config: "DictConfig") -> SweepFolder:
        """Make the folder, or take the one to go on with. Raises UsageError if there is nothing to sweep over."""
        sys.argv[1:] = [*self.words, *([] if self.resume is None else [f"sweep.resume={self.resume}"])]
        path = Path(str(config.hydra.sweep.dir)).absolute()
        self._refuse_nothing(config, path)
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
        key = job_key(overrides)
        record = self.folder.read(key)
        if record is not None and (key in self.asked or record.state == "finished"):
            self.asked[key] = None
            return record
        if record is None:
            record = JobRecord(self._next, overrides)
            self._next += 1
            if self.resume is not None:
                print(f"new in this sweep: [job {record.number}] {' '.join(overrides)}", flush=True)
        elif record.state == "failed":
            record.run = None  # it would fail again from there
        record.overrides, record.state, record.exit_code, record.message = overrides, "waiting", None, ""
        self.folder.write(record)
        self.asked[key] = None
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
        if missing or stopping.requested():
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

    def _pass_stop_on(self) -> None:
        """Tell the jobs of this session that run in other processes here; no other begins, wherever it is."""
        assert self.folder is not None
        self.folder.stop()
        for record in self.folder.records():
            process = record.process or {}
            ours = (
                record.state == "running"
                and process.get("host") == socket.gethostname()
                and (record.started or "") >= self._session
            )
            if ours and process["pid"] != os.getpid():
                try:
                    os.kill(process["pid"], signal.SIGTERM)
                except ProcessLookupError:
                    continue


class RecordingLauncher(Launcher):
    """Launches, through another launcher, the jobs that have not finished, and returns what all of them are worth."""

    def __init__(self, inner: Launcher, sweep: Sweep, context: HydraContext, config: "DictConfig"):
        self._inner, self._sweep, self._context, self._config = inner, sweep, context, config
        assert sweep.folder is not None
        self._folder = sweep.folder

    def setup(self, *, hydra_context: HydraContext, task_function: Task, config: "DictConfig") -> None:
        """Done by the launcher inside."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Raises Interrupted when the sweep was stopped: no sweeper asks for more jobs then."""
        records = [self._sweep.plan([*overrides, *self._sweep.held]) for overrides in job_overrides]
        pending = {record.key: record for record in records if record.state == "waiting"}  # one that stands twice runs once
        self._launch([record for record in pending.values() if self._composes(record)], initial_job_idx)
        stopping.check()
        return [self._returned(record.key) for record in records]

    def _composes(self, record: JobRecord) -> bool:
        """Whether the job's config can be; why not is its outcome."""
        from hydra.core.global_hydra import GlobalHydra

        from vla_train.cli.explain import explain
        from vla_train.config.compose import validate

        running = GlobalHydra.instance().hydra
        try:
            cfg = self._context.config_loader.load_sweep_config(self._config, record.overrides)
            with open_dict(cfg):
                hydra = cfg.pop("hydra")
            validate(cfg, self._sweep.kind, hydra)
            return True
        except Exception as error:
            told = error if isinstance(error, VlaTrainError) else explain(error, self._sweep.kind, record.overrides)
            record.end("failed", told.exit_code if isinstance(told, VlaTrainError) else 1, str(told))
            self._folder.write(record)
            return False
        finally:
            GlobalHydra.instance().hydra = running

    def _launch(self, waiting: list[JobRecord], number: int) -> None:
        """Until none waits: a process that is lost takes its own job along, and those that had not begun are launched again."""
        while waiting and not stopping.requested():
            try:
                reasons = self._attempt(waiting, number)
            except VlaTrainError:
                raise
            except Exception as error:
                reasons = [error] * len(waiting)
            left = []
            for before, reason in zip(waiting, reasons, strict=True):
                record = self._read(before.key)
                if record.state == "running" and not stopping.requested():
                    record.end("interrupted", 1, f"its process was lost{_first_line(reason)}")
                    self._folder.write(record)
                left += [record] if record.state == "waiting" else []
            if len(left) == len(waiting) and not stopping.requested():
                raise UsageError(f"the launcher could not start the jobs{_first_line(reasons[0])}")
            waiting = left

    def _attempt(self, waiting: list[JobRecord], number: int) -> list[Any]:
        """What the launcher said of each job: a JobReturn, or an error where its process was lost."""
        overrides = [record.overrides for record in waiting]
        if "submitit" not in type(self._inner).__module__:
            return list(self._inner.launch(overrides, number))
        from submitit import Job

        def results(job: Any) -> list[Any]:
            try:
                return list(original(job))
            except Exception as error:  # or else the others would not be waited for
                return [error]

        original = Job.results
        with patch.object(Job, "results", results):
            return list(self._inner.launch(overrides, number))

    def _read(self, key: str) -> JobRecord:
        record = self._folder.read(key)
        assert record is not None
        return record

    def _returned(self, key: str) -> JobReturn:
        record = self._read(key)
        direction = OmegaConf.select(self._config, "hydra.sweeper.direction")
        value = record.value if direction is None else objective(record, str(getattr(direction, "name", direction)))
        return JobReturn(overrides=record.overrides, status=JobStatus.COMPLETED, _return_value=value)


def objective(record: JobRecord, direction: str) -> float:
    """What a search is told of a job: always finite (hydra-optuna-sweeper dies of anything else), and better in its direction.

    A job without a value gets the worst finite number there is; a metric that gets better against ``direction`` its negative.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    if record.value is None:
        return -sign * sys.float_info.max
    return record.value if (record.mode == "min") == (direction == "minimize") else -record.value


def sweep(kind: str, work: Work, start: Callable[[], None]) -> int:
    """Run the sweep of ``sys.argv``: ``start`` lets Hydra read it and go. Returns the exit code.

    Meanwhile the launcher that a sweeper asks Hydra for is a ``RecordingLauncher``, which composes the jobs itself.
    """
    whole = Sweep(kind, work, sys.argv[1:])
    original = Plugins.instantiate_launcher

    def instantiate(plugins: Plugins, hydra_context: HydraContext, task_function: Task, config: "DictConfig") -> Launcher:
        job = SweepJob(kind, work, whole.open(config), os.getpid(), frozenset(whole.fixed))
        inner = original(plugins, hydra_context=hydra_context, task_function=job, config=config)
        return RecordingLauncher(inner, whole, hydra_context, config)

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


def _grid(words: Sequence[str]) -> tuple[bool, list[str], list[str]]:
    """Whether any word has several values; the words that have one; and those of them that only the jobs get.

    The sweep itself is composed with the default of a group that is swept over, whose keys are not those of the choices. So if a
    group is, keys of groups are left to the jobs.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-") and "=" in word])
    except (HydraException, RecursionError):  # Hydra tells of it when it reads the words itself
        return True, [], []
    swept = [override for override in parsed if override.is_sweep_override()]
    fixed = [override for override in parsed if not override.is_sweep_override()]
    keys = [override for override in fixed if "." in override.key_or_group and override.key_or_group.partition(".")[0] in GROUPS]
    held = keys if any(override.key_or_group in GROUPS for override in swept) else []
    return bool(swept), [str(override.input_line) for override in fixed], [str(override.input_line) for override in held]


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


def _first_line(reason: object) -> str:
    line = next(iter(str(reason).strip().splitlines()), "") if isinstance(reason, BaseException) else ""
    return f": {line}" if line else ""
