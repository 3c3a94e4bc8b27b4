"""What each augmentation does: to success on the tabletop and in BabyAI with few demonstrations, and what it costs.

    python scripts/benchmark_augmentation.py tabletop --seeds 0 1 2
    python scripts/benchmark_augmentation.py babyai --counts 200 500 1000 2000 5000
    python scripts/benchmark_augmentation.py --table
    python scripts/benchmark_augmentation.py --cost

Each row is ``vla-train``, with as many updates whatever the augmentation, and ``vla-eval`` of the last checkpoint on test seeds,
as a user would type them; on the tabletop also on colours and shapes that were never seen together (``zero_shot=[pairs]``). A row
is known by (task, augmentation, demonstrations, hash of the composed config, commit of the code, seed); rows that stand are
skipped, so a stopped benchmark goes on where it was. ``--table`` prints the rows that stand as Markdown. ``--cost`` measures how
long the processor takes for a batch without and with each augmentation, on one thread, with nothing trained.
"""

import argparse
import functools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_rows import ROOT, Rows, command, commit, config_hash, spread, train

ROWS = Rows("augmentation.jsonl")
CHOICES = {
    "tabletop": ("none", "geometry", "symmetry", "language", "images", "full"),
    "babyai": ("none", "geometry", "symmetry"),
}
TASKS = {
    "tabletop": ["experiment=tabletop_manipulation", "steps=2000"],
    "babyai": ["experiment=babyai_local"],
}
COUNTS = {"tabletop": [200], "babyai": [250, 500, 1000, 2000, 5000]}
QUIET = ["every.evaluate=0", "every.save=0", "evaluation.episodes=20", "evaluation.held_out_frames=0"]


def measure(task: str, words: list[str], name: str, episodes: int) -> dict[str, Any]:
    run, length = train(*words, *QUIET, f"name={name}")
    report = ROOT / "outputs" / "benchmarks" / run.name
    unseen = ["zero_shot=[pairs]"] if task == "tabletop" else []
    judged = ["conditions=[plain]", "open_loop=[]", *unseen, f"episodes={episodes}"]
    command("vla-eval", f"checkpoint={run}", f"output={report}", *judged)
    metrics = json.loads((report / "report.json").read_text())["metrics"]
    kept = {name: value for name, value in metrics.items() if name.removesuffix("_low").removesuffix("_high").endswith("success")}
    return length | {"episodes": episodes, "data_wait": data_wait(run), "metrics": kept}


def data_wait(run: Path) -> float:
    """The median share of training time spent waiting for data."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return statistics.median([row["data_wait"] for row in rows if "data_wait" in row] or [float("nan")])


def table() -> str:
    rows = ROWS.read()
    lines = []
    for task in TASKS:
        last = {(row["augmentation"], row["count"]): (row["config"], row["commit"]) for row in rows if row["task"] == task}
        counts = sorted({count for _, count in last})
        if not counts:
            continue
        unseen = task == "tabletop"
        heads = [
            f"{count:,}{' unseen pairs' if new else ''}" for count in counts for new in ([False, True] if unseen else [False])
        ]
        lines += [
            f"| {task}: success with so many demonstrations, % | " + " | ".join(heads) + " |",
            "|---" * (1 + len(heads)) + "|",
        ]
        for choice in CHOICES[task]:
            cells = []
            for count in counts:
                version = last.get((choice, count))
                found = [row for row in rows if row["task"] == task and (row["augmentation"], row["count"]) == (choice, count)]
                found = [row for row in found if (row["config"], row["commit"]) == version]
                for metric in ("success", "zero_shot/pairs/success")[: 2 if unseen else 1]:
                    cells.append(spread([row["metrics"][metric] for row in found if metric in row["metrics"]], 100.0))
            lines.append(f"| `{choice}` | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def cost(batches: int, batch_size: int = 64) -> str:
    """Milliseconds of the processor for a batch of the tabletop's third stage at 64 pixels: the fastest half of so many."""
    import torch

    from vla_train import config as configuration
    from vla_train.build import datasets, objects
    from vla_train.build.augmenting import added_words, make_augmentation
    from vla_train.sources.dataset import DatasetSource
    from vla_train.spec import Stage

    torch.set_num_threads(1)
    stage, words = Stage("complex_tasks"), ["curriculum=complex_tasks", "dataset.episodes=200"]
    base = configuration.compose(words)
    readers = datasets.open_stages(base, [stage])
    metadata = readers[stage.name].metadata
    window = metadata.spec.with_window(base["dataset"]["history"], base["dataset"]["chunk"])
    told = [*metadata.instructions, *added_words(configuration.compose(["augmentation=language"]))]
    dataset = datasets.open_datasets(base, readers, objects.make_processor(base, window, told))
    lines = [f"| augmentation | ms for a batch of {batch_size} |", "|---|---|"]
    for choice in CHOICES["tabletop"]:
        change = make_augmentation(configuration.compose([*words, f"augmentation={choice}"]), dataset, [stage])
        keys = {"indices": [dataset.frames("train")], "batch_size": batch_size, "seed": 0, "prefetch": 0}
        source = DatasetSource(dataset, augmentation=change, **keys)
        times = []
        for _ in range(batches):
            start = time.process_time()
            next(source)
            times.append(1000 * (time.process_time() - start))
        lines.append(f"| `{choice}` | {np.mean(sorted(times)[: batches // 2]):.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], help="tabletop, babyai")
    parser.add_argument("--augmentations", nargs="+", help="names of files in configs/augmentation; all that the task allows")
    parser.add_argument("--counts", nargs="+", type=int, help="demonstrations")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=512, help="test episodes")
    parser.add_argument("--words", nargs="+", default=[], help="further words for vla-train, as in steps=100")
    parser.add_argument("--table", action="store_true", help="print the table of the rows that stand, and stop")
    parser.add_argument("--cost", action="store_true", help="print what a batch costs, and stop")
    arguments = parser.parse_args()
    if arguments.cost:
        print(cost(200))
        return
    cells = [
        (task, seed, count, choice)
        for task in arguments.tasks
        for seed in arguments.seeds
        for count in arguments.counts or COUNTS[task]
        for choice in arguments.augmentations or CHOICES[task]
    ]
    for task, seed, count, choice in cells if not arguments.table else []:
        words = [*TASKS[task], f"augmentation={choice}", f"dataset.episodes={count}", *arguments.words]
        key = {
            "task": task,
            "augmentation": choice,
            "count": count,
            "config": config_hash(*words),
            "commit": commit(),
            "seed": seed,
        }
        run = functools.partial(measure, task, [*words, f"seed={seed}"], f"augmentation_{task}_{choice}", arguments.episodes)
        ROWS.add(key, run)
    print(table())


if __name__ == "__main__":
    main()
