"""Real processes of the two programs, small enough for a test."""

import importlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

PROGRAMS = Path(sys.executable).parent
RECORDED = [f"dataset={name}" for name in ("lerobot", "hdf5", "image_folder", "collector", "tensors", "mix")]
SMALL = [
    "dataset.episodes=24",
    "dataset.batch_size=16",
    "model.width=16",
    "runtime.threads=1",
    "tracker.console=plain",
    "tracker.tensorboard=false",
    "evaluation.episodes=4",
    "evaluation.num_envs=4",
    "evaluation.video_episodes=1",
    "evaluation.held_out_frames=16",
    "every.log=1",
]


class Workplace:
    """A folder in which runs are made; the demonstrations of the first serve all."""

    def __init__(self, folder: Path):
        self.output = folder

    def command(self, program: str, *words: str) -> list[str]:
        """The words of a command; a new run is small unless they say otherwise."""
        named = {word.partition("=")[0] for word in words}
        if program != "vla-train" or "resume" in named:
            return [str(PROGRAMS / program), *words]
        small = [word for word in (*SMALL, f"output={self.output}") if word.partition("=")[0] not in named]
        if any(word in (*RECORDED, "dataset=gym") for word in words):  # recordings are as many as they are, and gym has none
            small = [word for word in small if not word.startswith("dataset.episodes=")]
        return [str(PROGRAMS / program), *words, *small]

    def start(self, program: str, *words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            self.command(program, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )

    def run(self, program: str, *words: str, expect: int = 0) -> str:
        """What the program printed, after checking its exit code."""
        process = self.start(program, *words)
        printed, _ = process.communicate(timeout=240)
        assert process.returncode == expect, printed
        return printed

    def here(self, program: str, *words: str, expect: int = 0) -> str:
        """The same in this process, which has torch already: where a test is not about how programs start, stop and end."""
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
            patch.setattr(sys, "argv", self.command(program, *words))
            code = importlib.import_module(f"vla_train.cli.{program.removeprefix('vla-')}").main()
        assert code == expect, printed.getvalue()
        return printed.getvalue()

    def train(self, *words: str, expect: int = 0) -> Path:
        """The run folder of a finished run."""
        return run_folder(self.run("vla-train", *words, expect=expect))

    def interrupt(
        self, *words: str, when: Callable[[Path], bool], sign: signal.Signals = signal.SIGTERM
    ) -> tuple[Path, int, str]:
        """Start a run, send it a signal once ``when(run folder)`` holds; returns run folder, exit code and what it printed."""
        process = self.start("vla-train", *words)
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if "run folder: " in line:
                break
        folder = run_folder(printed)
        while not when(folder) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(sign)
        rest, _ = process.communicate(timeout=120)
        return folder, process.returncode, printed + rest


def run_folder(printed: str) -> Path:
    return Path(next(line.split("run folder: ")[1].strip() for line in printed.splitlines() if "run folder: " in line))


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("outputs"))


@pytest.fixture
def data(workplace):
    """The program within this process: what it prints, after checking its exit code."""
    return lambda *words, expect=0: workplace.here("vla-data", *map(str, words), expect=expect)
