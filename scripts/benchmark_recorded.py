"""Held-out action error on recorded data, each episode held out once, and the tables of docs/recorded_data.md from the rows.

    python scripts/benchmark_recorded.py DATASET_FOLDER --seeds 0 1 2
    python scripts/benchmark_recorded.py --table

Each run is ``vla-train experiment=NAME dataset.path=DATASET_FOLDER dataset.held_out=[EPISODE] seed=SEED`` and ``vla-eval`` of its
last checkpoint. A row is known by (experiment, hash of the composed config, commit of the code, held-out episode, seed).
"""

import argparse
import functools
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark_rows import ROOT, Rows, command, commit, config_hash, train

ROWS = Rows("recorded.jsonl")
STEPS = (1, 2, 4, 8, 16)


def measure(experiment: str, data: Path, episode: int, seed: int) -> dict[str, Any]:
    named = ("vla-train", f"experiment={experiment}", f"dataset.path={data}", f"dataset.held_out=[{episode}]", f"seed={seed}")
    run, length = train(*named[1:])
    report = ROOT / "outputs" / "benchmarks" / f"{experiment}-{episode}-{seed}"
    command("vla-eval", f"checkpoint={run}", f"output={report}")
    horizon = json.loads((report / "report.json").read_text())["horizon"]
    parts = {part: horizon["parts"][part]["predictors"] for part in ("all", *horizon["columns"])}
    steps = [step for step in STEPS if step <= len(horizon["frames"])]
    errors = {part: {name: short(row, steps) for name, row in rows.items()} for part, rows in parts.items()}
    return length | {"frames": horizon["frames"][0], "errors": errors}


def short(row: dict[str, Any], steps: Sequence[int]) -> dict[str, float | None]:
    return {str(step): row["value"][step - 1] for step in steps} | {"mean": row["chunk"][0]}


def table(experiment: str) -> str:
    """Markdown, of the newest config and commit: the means over episodes and seeds, and the policy in each split."""
    rows = [row for row in ROWS.read() if row["experiment"] == experiment]
    rows = [row for row in rows if (row["config"], row["commit"]) == (rows[-1]["config"], rows[-1]["commit"])]
    if not rows:
        return f"no rows of {experiment} stand"
    columns = list(rows[0]["errors"]["all"]["policy"])
    lines = ["| Part | Predictor | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for part, predictors in rows[0]["errors"].items():
        for predictor in predictors:
            cells = [[row["errors"][part][predictor][column] for row in rows] for column in columns]
            if None not in cells[0]:
                lines.append(f"| `{part}` | {predictor} | " + " | ".join(f"{statistics.mean(cell):.3f}" for cell in cells) + " |")
    return "\n".join([*lines, "", *_splits(rows)])


def _splits(rows: list[dict[str, Any]]) -> list[str]:
    """One line for each part and held-out episode: policy, then 'last action' and 'mean action', at steps 1, 8 and 16."""
    beside = ("policy", "last action", "mean action")
    shown = [step for step in ("1", "8", "16") if step in rows[0]["errors"]["all"]["policy"]]
    head = "| Part | Held out | Seeds | " + " | ".join(f"step {step}: {', '.join(beside)}" for step in shown) + " |"
    lines = [head, "|---" * (3 + len(shown)) + "|"]
    for part in rows[0]["errors"]:
        for episode in sorted({row["held_out"] for row in rows}):
            found = [row for row in rows if row["held_out"] == episode]
            cells = [", ".join(_spread([row["errors"][part][name][step] for row in found]) for name in beside) for step in shown]
            lines.append(f"| `{part}` | {episode} | {len(found)} | " + " | ".join(cells) + " |")
    return lines


def _spread(values: list[float]) -> str:
    """The mean, and the extremes where they differ."""
    middle, low, high = f"{statistics.mean(values):.3f}", f"{min(values):.3f}", f"{max(values):.3f}"
    return middle if low == high else f"{middle} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="the folder of the dataset")
    parser.add_argument("--experiment", default="sim_pick_place", help="name of a file in configs/experiment")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--table", action="store_true", help="print the tables of the rows that stand, and stop")
    arguments = parser.parse_args()
    if not arguments.table:
        if arguments.data is None:
            parser.error("name the folder of the dataset")
        data, name = arguments.data.resolve(), arguments.experiment
        episodes = json.loads((data / "meta" / "info.json").read_text())["total_episodes"]
        config = config_hash(f"experiment={name}", "dataset.path=data")  # the same wherever the data lie
        for seed in arguments.seeds:
            for episode in range(episodes):
                key = {"experiment": name, "config": config, "commit": commit(), "held_out": episode, "seed": seed}
                ROWS.add(key, functools.partial(measure, name, data, episode, seed))
    print(table(arguments.experiment))


if __name__ == "__main__":
    main()
