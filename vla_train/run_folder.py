"""A run's own folder, its lock, and ``run.json``: what was run, from which source, on which machine, and how it ended."""

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from vla_train.errors import CheckpointError, UsageError, VlaTrainError

RUN_JSON = "run.json"
_SCHEMA = 1
_LOCK = ".lock"


def create(output: Path, name: str) -> Path:
    """Make and return a new folder ``<output>/<date>_<time>_<name>``, numbered where that is taken: two runs never share one.

    Raises ``UsageError`` if the output folder cannot be written.
    """
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("._-") or "run"  # what resume= takes without quotes
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name}"
    number = 1
    try:
        output.mkdir(parents=True, exist_ok=True)
        while True:
            folder = output / (stem if number == 1 else f"{stem}_{number}")
            try:
                folder.mkdir()  # atomic: of two runs that try the same name one gets it
                return folder
            except FileExistsError:
                number += 1
    except OSError as error:
        raise UsageError(
            f"the output folder {output} cannot be written ({error}); choose another one with output=FOLDER"
        ) from error


@contextlib.contextmanager
def lock(run: Path) -> Iterator[None]:
    """Hold the run for this process. The lock ends with the process, however that ends.

    Raises ``CheckpointError`` if there is no such folder, and ``UsageError`` if another process holds it or it cannot be written.
    """
    if not run.is_dir():  # FileLock would make it
        raise CheckpointError(f"there is no run folder {run}; name one that a run printed when it began")
    held = FileLock(run / _LOCK)
    try:
        held.acquire(blocking=False)
    except Timeout as error:
        raise UsageError(f"{run} is in use by another process{_holder(run)}; wait until it ends, or start a new run") from error
    except OSError as error:
        raise UsageError(f"{run} cannot be written ({error}); mend its permissions, or start a new run elsewhere") from error
    try:
        yield
    finally:
        held.release()


class Record:
    """Keeps ``run.json``: the facts of this session, and under ``earlier_sessions`` those before it (one for each resume).

    Use it as a context manager around the session: its end writes how that ended, from the exception if there is one. A session
    without an end was killed. Every write replaces the file atomically.

    Args:
        overrides: the words on the command line that changed the config.
        config: the composed config, as JSON values.
        runtime: device, threads and precision as chosen, in words.
        dataset: fingerprint of the demonstrations, if there are any.
        reproducible: False for a run whose length a clock decides.
    """

    def __init__(
        self,
        run: Path,
        *,
        overrides: Sequence[str],
        config: dict[str, Any],
        runtime: str,
        dataset: str | None = None,
        reproducible: bool | None = None,
    ):
        self._path = run / RUN_JSON
        before = _read(self._path)
        self._earlier = [*before.pop("earlier_sessions", []), before] if before else []
        clocked = config.get("minutes") is not None
        self._session: dict[str, Any] = {
            "schema": _SCHEMA,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "overrides": list(overrides),
            "started": _now(),
            "ended": None,
            "exit_status": None,
            "outcome": "running",
            "process": {"pid": os.getpid(), "host": socket.gethostname(), "folder": os.getcwd()},
            "seed": config.get("seed"),
            "runtime": runtime,
            "reproducible": not clocked if reproducible is None else reproducible,
            "dataset": dataset,
            "source": source_state(Path(__file__).resolve().parent.parent),
            "versions": versions(),
            "hardware": hardware(),
            "config": config,
        }
        self._write()

    def finish(self, outcome: str, exit_status: int = 0, **facts: Any) -> None:
        """Say how the session ended, in a word or sentence, and further facts as JSON values. The first call stands."""
        if self._session["ended"] is None:
            self._session |= {"ended": _now(), "exit_status": exit_status, "outcome": outcome, **facts}
            self._write()

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.finish("finished")
            return
        with contextlib.suppress(UsageError):  # the error itself matters more than a run.json that cannot be written
            if isinstance(error, VlaTrainError):
                self.finish(str(error), error.exit_code)
            else:
                self.finish(f"{type(error).__name__}: {error}", 130 if isinstance(error, KeyboardInterrupt) else 1)

    def _write(self) -> None:
        document = {**self._session, "earlier_sessions": self._earlier}
        fresh = self._path.with_suffix(".json.new")
        try:
            fresh.write_text(json.dumps(_plain(document), indent=2) + "\n", encoding="utf-8")
            os.replace(fresh, self._path)
        except OSError as error:
            raise UsageError(
                f"{self._path} cannot be written ({error}); mend the folder or its disk and resume the run"
            ) from error


def source_state(root: Path) -> dict[str, Any] | None:
    """Commit and dirtiness of the source tree, if ``root`` is the top of a git checkout (an installed wheel is in none)."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """Versions of Python, of this program, and of whatever it depends on that is installed."""
    found = {"python": platform.python_version()}
    try:
        requirements = importlib.metadata.requires("vla-train") or []
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that was never installed
        requirements = ["torch", "numpy", "hydra-core"]
    for name in ["vla-train", *(re.split(r"[^\w.-]", requirement)[0] for requirement in requirements)]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and GPUs of this machine."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    gpus = range(torch.cuda.device_count())
    return {
        "system": platform.platform(),
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(gpu) for gpu in gpus],
    }


def _read(path: Path) -> dict[str, Any]:
    """The run.json that is there; empty if there is none or it is not ours (then it is replaced)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _holder(run: Path) -> str:
    process = _read(run / RUN_JSON).get("process")
    return f" (pid {process['pid']} on {process['host']})" if process else ""


def _plain(value: Any) -> Any:
    """The value as strict JSON, which knows no NaN, no NumPy numbers and no paths."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value)) else str(value)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
