"""The launcher that a sweeper gets: another one inside, around which jobs are planned, composed and counted.

Hydra's launchers run jobs here, in other processes or on a cluster, and stop at the first that cannot be composed or whose
process is lost. This one plans a record for each job, composes it once to see that it can be, launches what has not finished,
and takes the results from the records.
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import OmegaConf, open_dict

from vla_train import stopping
from vla_train.errors import UsageError, VlaTrainError
from vla_train.sweeps.records import JobRecord, SweepFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig

Plan = Callable[[list[str]], JobRecord]  # overrides -> the record of the job


class RecordingLauncher(Launcher):
    """Launches, through another launcher, the jobs that have not finished, and returns what all of them are worth."""

    def __init__(self, inner: Launcher, kind: str, folder: SweepFolder, plan: Plan, context: HydraContext, config: "DictConfig"):
        self._inner, self._kind, self._folder, self._plan = inner, kind, folder, plan
        self._context, self._config = context, config

    def setup(self, *, hydra_context: HydraContext, task_function: Callable[[Any], Any], config: "DictConfig") -> None:
        """Done by the launcher inside."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Raises Interrupted when the sweep was stopped: no sweeper asks for more jobs then."""
        records = [self._plan(list(overrides)) for overrides in job_overrides]
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
            validate(cfg, self._kind, hydra)
            return True
        except Exception as error:
            told = error if isinstance(error, VlaTrainError) else explain(error, self._kind, record.overrides)
            record.end("failed", told.exit_code if isinstance(told, VlaTrainError) else 1, str(told))
            self._folder.write(record)
            return False
        finally:
            GlobalHydra.instance().hydra = running

    def _launch(self, waiting: list[JobRecord], number: int) -> None:
        """Until none waits: a process that is lost takes its own job along, and those that had not begun are launched again."""
        batches = [waiting] if waiting else []
        while batches and not stopping.requested():
            batch = batches.pop(0)
            failure = self._attempt([record.overrides for record in batch], number)
            records = [self._read(record.key) for record in batch]
            left = [record for record in records if record.state == "waiting"]
            lost = [record for record in records if record.state == "running"]
            if stopping.requested():
                if failure is not None:  # Ctrl-C met a process that had not begun yet, and its launcher ended the others with it
                    self._lost(lost)
                return
            if len(left) == len(batch):
                raise UsageError(f"the launcher could not start the jobs{_first_line(failure)}")
            if failure is not None and len(lost) > 1:  # joblib ends the others with one that died: each goes on by itself
                again = [dataclasses.replace(record, state="waiting") for record in lost]
                batches += [[record] for record in again]
                for record in again:
                    self._folder.write(record)
            else:
                self._lost(lost)
            if left:
                batches.insert(0, left)

    def _lost(self, records: list[JobRecord]) -> None:
        for record in records:
            record.end("interrupted", 1, "its process was lost: killed, crashed, or out of memory")
            self._folder.write(record)

    def _attempt(self, overrides: list[list[str]], number: int) -> Exception | None:
        """Launch all of them and wait. Returns what the launcher itself failed with."""
        try:
            if "submitit" in type(self._inner).__module__:
                self._submit(overrides, number)
            else:
                self._inner.launch(overrides, number)
        except VlaTrainError:
            raise
        except Exception as error:
            return error
        return None

    def _submit(self, overrides: list[list[str]], number: int) -> None:
        from submitit import Job

        def results(job: Any) -> list[Any]:
            try:
                return list(original(job))
            except Exception as error:  # its process was lost; raised here, the others would not be waited for
                return [error]

        where = f"{os.path.relpath(self._folder.path)}/.submitit"
        jobs = "1 job goes" if len(overrides) == 1 else f"{len(overrides)} jobs go"
        print(f"{jobs} to submitit; what they print lies in {where}", flush=True)
        original = Job.results
        with patch.object(Job, "results", results):
            self._inner.launch(overrides, number)

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


def _first_line(reason: object) -> str:
    line = next(iter(str(reason).strip().splitlines()), "") if isinstance(reason, BaseException) else ""
    return f": {line}" if line else ""
