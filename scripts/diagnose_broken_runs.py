"""Runs that are broken on purpose, and healthy ones: which diagnostics speak up?

    python scripts/diagnose_broken_runs.py [NAME ...] [--output FOLDER]

Each is a real run of ``vla-train`` on the embedded simulator, some on demonstrations that were spoilt first. Prints a table:
what was expected, what was said, and the share of the run's processor time that looking took. Exits 1 if anything was missed,
or said of a healthy run.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from vla_train import build
from vla_train import config as configuration
from vla_train.build.datasets import open_demonstrations
from vla_train.data.records import Reader
from vla_train.data.writer import LeRobotWriter
from vla_train.diagnostics import Diagnostics
from vla_train.spec import Stage

COMMON = ["experiment=quickstart", "evaluation.episodes=32", "evaluation.num_envs=32"]
COMMON += ["runtime.threads=1", "tracker.console=none", "tracker.tensorboard=false"]
BABYAI = ["experiment=babyai_red_ball", "steps=600", "every.evaluate=150", "optimizer.lr=1e-3"]
Episode = dict[str, Any]


@dataclass(frozen=True)
class Case:
    words: list[str]
    expected: str = ""  # a kind of finding; "" for a healthy run
    spoil: Callable[[list[Episode]], None] | None = None


def shuffle_pictures(episodes: list[Episode]) -> None:
    """Every frame gets the picture of another one, from anywhere."""
    frames = np.concatenate([episode["images"]["top"] for episode in episodes])
    frames = frames[np.random.default_rng(0).permutation(len(frames))]
    for episode in episodes:
        episode["images"], frames = {"top": frames[: len(episode["action"])]}, frames[len(episode["action"]) :]


def tremble(episodes: list[Episode]) -> None:
    """The wrist, which navigation never turns, trembles by a hundred-thousandth of its reach."""
    noise = np.random.default_rng(0)
    for episode in episodes:
        episode["action"][:, 2] = 1e-5 * noise.standard_normal(len(episode["action"]))


CASES = {
    "healthy, seed 0": Case(["seed=0"]),
    "healthy, seed 1": Case(["seed=1"]),
    "healthy, seed 2": Case(["seed=2"]),
    "healthy, BabyAI": Case(BABYAI),
    "rate 100 times too high": Case(["optimizer.lr=0.2", "steps=300"], "exploding_gradient"),
    "rate 20,000 times too low": Case(["optimizer.lr=1e-7", "steps=300"], "stagnation"),
    "pictures of other frames": Case(["steps=400", "dataset.validation=0.2"], "dead_input", shuffle_pictures),
    "words cut off": Case(["model.max_tokens=1", "steps=300"], "dead_input"),
    "20 demonstrations": Case(["dataset.episodes=20", "dataset.validation=0.3", "steps=300", "every.evaluate=50"], "overfitting"),
    "a trembling wrist": Case(["steps=200"], "near_constant_action", tremble),
}


def spoilt(case: Case, output: Path) -> Path:
    """The quickstart's demonstrations, rewritten."""
    reader = open_demonstrations(configuration.compose([*COMMON, f"output={output}"]), Stage("basic_navigation"))
    episodes = _episodes(reader)
    assert case.spoil is not None
    case.spoil(episodes)
    folder = Path(tempfile.mkdtemp(dir=output)) / "spoilt"
    writer = LeRobotWriter(folder, reader.metadata.spec, "tabletop")
    for episode in episodes:
        writer.add_episode(**episode)
    return writer.finish()


def _episodes(reader: Reader) -> list[Episode]:
    columns, metadata = reader.columns(), reader.metadata
    frames = np.concatenate([block["top"] for block in reader.frames(["top"])])
    found = []
    for index, (start, stop) in enumerate(zip(columns.starts[:-1], columns.starts[1:], strict=True)):
        span = slice(int(start), int(stop))
        last = np.arange(stop - start) == stop - start - 1
        found.append(
            {
                "images": {"top": frames[span]},
                "state": columns.state[span],
                "action": columns.action[span].copy(),
                "reward": last.astype(np.float32),
                "terminated": last,
                "truncated": ~last & False,
                "instruction": metadata.instructions[index],
                "task": metadata.tasks[index],
            }
        )
    return found


class Stopwatch:
    """Seconds of processor time spent in the methods of Diagnostics: other jobs on the machine do not count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for name in ("__init__", "began", "logged", "evaluated", "ended", "section"):
            setattr(Diagnostics, name, self._timed(getattr(Diagnostics, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return method(*arguments, **named)
            finally:
                self.seconds += time.process_time() - start

        return timed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(CASES)}")
    parser.add_argument("--output", type=Path, help="keep the runs here")
    arguments = parser.parse_args()
    output, watch, wrong = arguments.output or Path(tempfile.mkdtemp()), Stopwatch(), 0
    output.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")  # what a broken config is told otherwise
    print(f"{'run':<26} {'expected':<20} {'said':<60} time")
    for name in arguments.names or CASES:
        case = CASES[name]
        named = {word.partition("=")[0] for word in case.words}
        words = [*(word for word in COMMON if word.partition("=")[0] not in named), f"output={output}", *case.words]
        words += [f"dataset.path={spoilt(case, output)}"] if case.spoil else []
        watch.seconds, start = 0.0, time.process_time()
        run = Path(build.train(configuration.compose(words), [])["run"])
        share = watch.seconds / (time.process_time() - start)
        found = json.loads((run / "report.json").read_text())["diagnostics"]
        said = {finding["kind"]: finding for finding in found["earlier"] + found["findings"] if finding["severity"] == "warning"}
        wrong += case.expected not in said if case.expected else bool(said)
        print(f"{name:<26} {case.expected or 'nothing':<20} {', '.join(said) or 'nothing':<60} {100 * share:.2f} %", flush=True)
        for finding in said.values():
            print(f"    {finding['message']}", flush=True)
    if arguments.output is None:
        shutil.rmtree(output)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
