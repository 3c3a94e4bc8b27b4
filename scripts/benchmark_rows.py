"""What the learning benchmarks share: programs run as a user types them, and a file of results with which a stopped one goes on.

A row is known by its key (experiment, hash of the composed config, commit of the code, seed, ...). Rows that stand are skipped.
"""

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "scripts" / "results"
PROGRAMS = {"vla-train": "vla_train.cli.train", "vla-eval": "vla_train.cli.eval", "vla-collect": "vla_train.cli.collect"}
# as modules: of this checkout


def command(*words: str) -> str:
    """Run a program of the project, showing what it prints; returns its standard output."""
    print("$", *words, flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", PROGRAMS[words[0]], *words[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        raise SystemExit(f"{' '.join(words)} ended with exit code {process.returncode}")
    return "".join(lines)


def train(*words: str) -> tuple[Path, dict[str, Any]]:
    """The run folder of ``vla-train`` with these words, and how long it trained; one that was stopped goes on."""
    words = (*words, "tracker.console=plain")
    run, done = begun(words)
    if not done:
        printed = command("vla-train", *(words if run is None else [f"resume={run}", words[-1]]))
        run = ROOT / next(line.split("run folder: ")[1].strip() for line in printed.splitlines() if "run folder: " in line)
    assert run is not None
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return run, {"minutes": max(row.get("minutes", 0.0) for row in rows), "updates": max(row["step"] for row in rows)}


def begun(words: Sequence[str]) -> tuple[Path | None, bool]:
    """The newest run begun with these words by the code that stands, if it left a checkpoint; and whether it finished."""
    if commit().endswith("+"):  # nobody knows with what code
        return None, False
    for path in sorted((ROOT / "outputs").glob("*/run.json"), reverse=True):
        last = json.loads(path.read_text())
        first = [*last["earlier_sessions"], last][0]
        ours = first["overrides"] == list(words) and first["source"] and commit(first["source"]["commit"]) == commit()
        if ours and (path.parent / "checkpoints" / "last").exists():
            return path.parent, last["outcome"] == "finished"
    return None, False


def commit(at: str = "HEAD") -> str:
    """The last commit, of those up to ``at``, that touched what a result depends on; '+' marks changes that are not committed."""
    paths = ["--", "vla_train", "configs"]
    found = subprocess.run(
        ["git", "log", "-1", "--format=%h", at, *paths], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", *paths], cwd=ROOT, capture_output=True, text=True).stdout
    return found + ("+" if changed else "")


def config_hash(*words: str) -> str:
    """Of the config that ``vla-train`` composes from these words."""
    shown = [sys.executable, "-m", PROGRAMS["vla-train"], *words, "--cfg", "job"]
    text = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def spread(values: Sequence[float], scale: float = 1.0, missing: str = "") -> str:
    """The median, and the extremes where there are several; ``missing`` where there are none."""
    if not values:
        return missing
    low, middle, high = (f"{scale * pick(values):.1f}" for pick in (min, statistics.median, max))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count() or 1} cores"


class Rows:
    """The rows of one file, one JSON object a line."""

    def __init__(self, name: str):
        self._path = RESULTS / name

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []

    def add(self, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
        """Measure and append, unless a row with this key stands."""
        if any(all(row.get(name) == value for name, value in key.items()) for row in self.read()):
            return
        row = key | measure() | {"machine": machine()}
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
