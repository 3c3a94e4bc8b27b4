"""Run folders written by hand, for what reads them."""

import copy
import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "seed": 0,
    "name": "toy",
    "steps": 40,
    "every": {"log": 10, "evaluate": 20},
    "evaluation": {"held_out_frames": 16},
    "model": {"_target_": "a.B", "width": 16},
    "optimizer": {"lr": 0.001},
    "choices": {"model": "transformer", "environment": "tabletop"},
}


def config(**changes: Any) -> dict[str, Any]:
    """``CONFIG`` with other values, named as ``model__width=32``."""
    changed = copy.deepcopy(CONFIG)
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        (changed[section] if section else changed)[key] = value
    return changed


def rows(steps: int = 4) -> list[dict[str, Any]]:
    """A row every 10 updates, an evaluation in every second of them."""
    made = []
    for number in range(1, steps + 1):
        row = {"step": 10 * number, "train/loss": 1 / number, "train/gradient_norm": 0.5, "train/learning_rate": 1e-3}
        row |= {"updates_per_s": 20.0, "samples": 160.0 * number, "minutes": 0.1 * number}
        if number % 2 == 0:
            row |= {"evaluation/success": 0.5, "evaluation/success_low": 0.4, "evaluation/success_high": 0.6}
            row |= {"evaluation/held_out/loss": 2 / number}
        made.append(row)
    return made


def write(
    folder: Path, metrics: list[dict[str, Any]] | None = None, record: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """A run folder with these rows, a config with these changes, and further facts in its ``run.json``."""
    folder.mkdir(parents=True)
    made = config(**changes)
    document = {"command": f"vla-train name={folder.name}", "outcome": "finished", "exit_status": 0, "seed": made["seed"]}
    (folder / "run.json").write_text(json.dumps({**document, "config": made, **(record or {})}))
    lines = [json.dumps(row) + "\n" for row in (rows() if metrics is None else metrics)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder
