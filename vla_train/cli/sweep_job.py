"""One job of a sweep, in whatever process its launcher runs it: it keeps the job's record, and ends with no error of its own."""

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vla_train import stopping
from vla_train.cli.command import Work, report
from vla_train.errors import Interrupted
from vla_train.sweeps.records import JobRecord, SweepFolder, job_key
from vla_train.tracking.words import duration, number

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class SweepJob:
    """What a launcher calls with the config of one job. It travels to other processes, so it holds plain values and a function.

    Args:
        parent: process id of the program, which handles signals itself.
        fixed: keys that the command line gives one value, and that need not be shown.
    """

    kind: str
    work: Work
    folder: SweepFolder
    parent: int
    fixed: frozenset[str] = frozenset()

    def __call__(self, cfg: "DictConfig") -> None:
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        assert isinstance(overrides, list)
        record = self.folder.read(job_key(overrides))
        assert record is not None, "the launcher plans each job before it begins"
        with contextlib.nullcontext() if os.getpid() == self.parent else stopping.handlers():
            if self._begins(record):
                print(f"[job {record.number}] {swept(overrides, self.fixed)}", flush=True)
                self._run(record, cfg, overrides)
                print(f"[job {record.number}] {_told(record)}", flush=True)

    def _begins(self, record: JobRecord) -> bool:
        """First it says that it runs, then it looks whether the sweep was stopped: a stop that comes between finds it running."""
        earlier = record.state
        record.begin()
        self.folder.write(record)
        if not self.folder.stopped():
            return True
        record.state = earlier
        self.folder.write(record)
        return False

    def _can_go_on(self, record: JobRecord, output: Path) -> bool:
        """Whether the job has a run to go on with. A record may come from elsewhere: only runs in this output folder count."""
        if record.run is None:
            return False
        run = (self.folder.path / record.run).resolve()
        return run.parent == output.resolve() and (run / "checkpoints" / "last").exists()

    def _run(self, record: JobRecord, cfg: "DictConfig", overrides: list[str]) -> None:
        def opened(run: Path) -> None:
            record.run = self.folder.relative(run.absolute())
            self.folder.write(record)

        from vla_train.config.compose import validate

        try:
            config = validate(cfg, self.kind)
            if self._can_go_on(record, Path(config.get("output") or ".")):
                config, overrides = {**config, "resume": str(self.folder.run_of(record))}, []
            record.result(self.work(config, overrides, opened) or {})
            record.end("finished", 0)
        except Interrupted as stop:
            record.end("interrupted", report(stop, debug=False), str(stop))
        except Exception as error:
            record.end("failed", 1, str(error) or type(error).__name__)
            record.exit_code = report(error, debug=bool(cfg.get("debug")))
        except SystemExit as exit:
            record.end("failed", exit.code if isinstance(exit.code, int) else 1, f"SystemExit: {exit.code}")
        except BaseException:  # a second Ctrl-C
            record.end("interrupted", 130, "stopped at once")
            raise
        finally:
            self.folder.write(record)


def swept(overrides: Sequence[str], fixed: Collection[str]) -> str:
    """The words of a job that others have otherwise."""
    return " ".join(word for word in overrides if word.partition("=")[0] not in fixed)


def _told(record: JobRecord) -> str:
    if record.state != "finished":
        return record.state
    best = f" {record.metric} {number(record.metric, record.value)}" if record.metric and record.value is not None else ""
    return f"finished in {duration(60 * (record.minutes or 0.0))}{best}"
