"""Does a curriculum help the last stage? The same number of updates with and without one, in three ways of spending them.

    python scripts/benchmark_curriculum.py --seeds 0 1 2
    python scripts/benchmark_curriculum.py --table

- progressive: stage after stage, at most 1,200 updates in each but the last, the earlier ones rehearsed
- mixed: all stages all the time
- last: the last stage from the beginning

All are ``vla-train experiment=tabletop_curriculum`` at the lowest difficulty, then ``vla-eval`` of the last checkpoint on test
seeds. A row is known by (way, hash of the composed config, commit of the code, seed); rows that stand are skipped, so a stopped
benchmark goes on where it was. Nothing else should run on the machine meanwhile.
"""

import argparse
import functools
import json
from typing import Any

from benchmark_rows import ROOT, Rows, command, commit, config_hash, spread, train

ROWS = Rows("curriculum.jsonl")
STAGES = ("basic_navigation", "simple_manipulation", "complex_tasks", "multi_step_reasoning")
WAYS = {
    "progressive": ["curriculum=progressive", "curriculum.max_steps=1200"],
    "mixed": ["curriculum=mixed"],
    "last": [f"curriculum={STAGES[-1]}"],
}


def measure(way: str, seed: int, words: list[str], episodes: int) -> dict[str, Any]:
    """Train and evaluate: the success in every stage that was trained, and when each of them was over."""
    run, length = train(*words, f"seed={seed}", f"name=curriculum_{way}")
    report = ROOT / "outputs" / "benchmarks" / f"curriculum-{way}-{seed}"
    command(
        "vla-eval", f"checkpoint={run}", f"episodes={episodes}", "conditions=[plain,chance]", "open_loop=[]", f"output={report}"
    )
    metrics = json.loads((report / "report.json").read_text())["metrics"]
    trained = STAGES if way != "last" else STAGES[-1:]
    prefix = {stage: f"{stage}/" if len(trained) > 1 else "" for stage in trained}
    return length | {
        "episodes": episodes,
        "success": {stage: metrics[f"{prefix[stage]}success"] for stage in trained},
        "chance": {stage: metrics[f"{prefix[stage]}chance/success"] for stage in trained},
        "advances": json.loads((run / "report.json").read_text()).get("curriculum", {}).get("advances", []),
    }


def table() -> str:
    """A Markdown table: success in each stage, the median over seeds with minimum and maximum, newest config and commit."""
    lines = ["| Way | Seeds | Updates | Minutes | " + " | ".join(STAGES) + " |", "|---" * (4 + len(STAGES)) + "|"]
    rows = ROWS.read()
    newest = {row["way"]: (row["config"], row["commit"]) for row in rows}
    for way, version in newest.items():
        found = [row for row in rows if row["way"] == way and (row["config"], row["commit"]) == version]
        cells = [
            spread([row["success"][stage] for row in found if stage in row["success"]], 100.0, "not trained") for stage in STAGES
        ]
        updates = found[0]["updates"]
        lines.append(f"| {way} | {len(found)} | {updates} | {spread([row['minutes'] for row in found])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=512, help="test episodes of each stage")
    parser.add_argument("--words", nargs="+", default=[], help="further words for vla-train, as in steps=100")
    parser.add_argument("--table", action="store_true", help="print the table of the rows that stand, and stop")
    arguments = parser.parse_args()
    for seed in arguments.seeds if not arguments.table else []:
        for way in arguments.ways:
            words = ["experiment=tabletop_curriculum", *WAYS[way], *arguments.words]
            key = {"way": way, "config": config_hash(*words), "commit": commit(), "seed": seed}
            ROWS.add(key, functools.partial(measure, way, seed, words, arguments.episodes))
    print(table())


if __name__ == "__main__":
    main()
