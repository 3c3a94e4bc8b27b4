"""Learning benchmarks: train, evaluate on the test seeds, append one row, and draw the README's table from the rows.

    python scripts/benchmark_learning.py tabletop_bc tabletop_manipulation --seeds 0 1 2
    python scripts/benchmark_learning.py --table

Each run is ``vla-train experiment=NAME seed=SEED`` and ``vla-eval`` of its last checkpoint, as a user would type them. A row is
known by (experiment, hash of the composed config, commit of the code, seed); rows that stand are skipped, so a stopped
benchmark goes on where it was. Nothing else should run on the machine meanwhile.
"""

import argparse
import functools
import json
from typing import Any

from benchmark_rows import ROOT, Rows, command, commit, config_hash, spread, train

ROWS = Rows("learning.jsonl")
SHOWN = ("success", "swapped/success", "foreign/success", "empty/success", "first_touched", "chance/success", "random/success")


def measure(experiment: str, seed: int, episodes: int, conditions: str | None) -> dict[str, Any]:
    run, length = train(f"experiment={experiment}", f"seed={seed}")
    report = ROOT / "outputs" / "benchmarks" / f"{experiment}-{seed}"
    chosen = [f"conditions={conditions}"] if conditions else []
    command("vla-eval", f"checkpoint={run}", f"episodes={episodes}", *chosen, f"output={report}")
    metrics = json.loads((report / "report.json").read_text())["metrics"]
    return length | {"episodes": episodes, "metrics": metrics}


def table() -> str:
    """A Markdown table: per experiment the median over seeds, with minimum and maximum, of its newest config and commit."""
    lines = ["| Experiment | Seeds | Minutes | " + " | ".join(SHOWN) + " |", "|---" * (3 + len(SHOWN)) + "|"]
    rows = ROWS.read()
    newest = {row["experiment"]: (row["config"], row["commit"]) for row in rows}
    for experiment, version in newest.items():
        found = [row for row in rows if row["experiment"] == experiment and (row["config"], row["commit"]) == version]
        minutes = spread([row["minutes"] for row in found])
        for stage in stages(found[0]["metrics"]):
            cells = [
                spread([row["metrics"][stage + name] for row in found if stage + name in row["metrics"]], 100.0, "n/a")
                for name in SHOWN
            ]
            label = f"`{experiment}`, `{stage[:-1]}`" if stage else f"`{experiment}`"
            lines.append(f"| {label} | {len(found)} | {minutes} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def stages(metrics: dict[str, float]) -> list[str]:
    """The prefixes under which a report of several stages has each of them; [""] for one of a single stage."""
    last = "chance/success"
    return [name.removesuffix(last) for name in metrics if name.endswith(f"/{last}")] or [""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", help="names of files in configs/experiment")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=512)
    parser.add_argument("--conditions", help="of vla-eval, as in [plain,swapped]; for worlds that are slow to step")
    parser.add_argument("--table", action="store_true", help="print the table of the rows that stand, and stop")
    arguments = parser.parse_args()
    for seed in arguments.seeds if not arguments.table else []:
        for experiment in arguments.experiments:
            key = {
                "experiment": experiment,
                "config": config_hash(f"experiment={experiment}"),
                "commit": commit(),
                "seed": seed,
            }
            ROWS.add(key, functools.partial(measure, experiment, seed, arguments.episodes, arguments.conditions))
    print(table())


if __name__ == "__main__":
    main()
