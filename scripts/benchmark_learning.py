"""Learning benchmarks: train, evaluate on the test seeds, append one row, and draw the README's table from the rows.

    python scripts/benchmark_learning.py tabletop_bc tabletop_manipulation --seeds 0 1 2
    python scripts/benchmark_learning.py --table

Each run is ``vla-train experiment=NAME seed=SEED`` and ``vla-eval`` of its last checkpoint, as a user would type them. A row is
known by (experiment, hash of the composed config, commit of the code, seed); rows that stand are skipped, so a stopped
benchmark goes on where it was. Nothing else should run on the machine meanwhile.
"""

import argparse
import hashlib
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "scripts" / "results" / "learning.jsonl"
PROGRAMS = {"vla-train": "vla_train.cli.train", "vla-eval": "vla_train.cli.eval"}  # as modules: of this checkout
SHOWN = ("success", "swapped/success", "foreign/success", "empty/success", "first_touched", "chance/success", "random/success")


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


def commit() -> str:
    """The last commit that touched what a result depends on; '+' marks changes that are not committed."""
    paths = ["--", "vla_train", "configs"]
    last = subprocess.run(["git", "log", "-1", "--format=%h", *paths], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", *paths], cwd=ROOT, capture_output=True, text=True).stdout
    return last + ("+" if changed else "")


def config_hash(experiment: str) -> str:
    shown = [sys.executable, "-m", PROGRAMS["vla-train"], f"experiment={experiment}", "--cfg", "job"]
    text = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def measure(experiment: str, seed: int, episodes: int) -> dict[str, Any]:
    printed = command("vla-train", f"experiment={experiment}", f"seed={seed}", "tracker.console=plain")
    run = ROOT / next(line.split("run folder: ")[1].strip() for line in printed.splitlines() if "run folder: " in line)
    report = ROOT / "outputs" / "benchmarks" / f"{experiment}-{seed}"
    command("vla-eval", f"checkpoint={run}", f"episodes={episodes}", f"output={report}")
    metrics = json.loads((report / "report.json").read_text())["metrics"]
    training = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    minutes = max(row.get("minutes", 0.0) for row in training)
    return {"minutes": minutes, "updates": max(row["step"] for row in training), "episodes": episodes, "metrics": metrics}


def table() -> str:
    """A Markdown table: per experiment the median over seeds, with minimum and maximum, of its newest config and commit."""
    lines = ["| Experiment | Seeds | Minutes | " + " | ".join(SHOWN) + " |", "|---" * (3 + len(SHOWN)) + "|"]
    newest = {row["experiment"]: (row["config"], row["commit"]) for row in rows()}
    for experiment, version in newest.items():
        found = [row for row in rows() if row["experiment"] == experiment and (row["config"], row["commit"]) == version]
        cells = [spread([row["metrics"].get(name) for row in found], 100.0) for name in SHOWN]
        minutes = spread([row["minutes"] for row in found], 1.0)
        lines.append(f"| `{experiment}` | {len(found)} | {minutes} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float | None], scale: float) -> str:
    known = [value * scale for value in values if value is not None]
    if not known:
        return "n/a"
    middle = f"{statistics.median(known):.1f}"
    return middle if len(known) == 1 else f"{middle} ({min(known):.1f} to {max(known):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", help="names of files in configs/experiment")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=512)
    parser.add_argument("--table", action="store_true", help="print the table of the rows that stand, and stop")
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    for seed in arguments.seeds if not arguments.table else []:
        for experiment in arguments.experiments:
            key = {"experiment": experiment, "config": config_hash(experiment), "commit": commit(), "seed": seed}
            if any(all(row[name] == value for name, value in key.items()) for row in rows()):
                continue
            row = key | measure(experiment, seed, arguments.episodes) | {"machine": f"{platform.machine()}, {cores()} cores"}
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print(table())


def cores() -> int:
    import os

    return os.cpu_count() or 1


if __name__ == "__main__":
    main()
