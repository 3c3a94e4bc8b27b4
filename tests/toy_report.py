"""An evaluation made by hand: eight episodes, three of them filmed, and figures of every kind."""

import io
import itertools
from typing import Any

import numpy as np
from PIL import Image

from vla_train.spec import EpisodeResult, Film, Report

SETTINGS: dict[str, Any] = {
    "checkpoint": "outputs/run/checkpoints/step_000040",
    "stages": ["near"],
    "suite": "full",
    "seeds": "test",
}
HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title = 1">'


def result(seed: int = 0, outcome: str = "success", **changes: Any) -> EpisodeResult:
    facts: dict[str, Any] = {
        "condition": "plain",
        "stage": "near",
        "seed": seed,
        "task": "go",
        "instruction": f"go to ball {seed}",
    }
    facts |= {"goal": f"go to ball {seed}", "outcome": outcome, "length": 5 + seed, "reward": 1.0, "named": "ball"}
    return EpisodeResult(**facts | {"first_touched": "ball"} | changes)


def film(seed: int, outcome: str, **changes: Any) -> Film:
    frames = np.full((4, 16, 16, 3), 40 * seed, np.uint8)
    return Film(result(seed, outcome, **changes), frames)


def rates(name: str, value: float, low: float, high: float, episodes: float = 8.0) -> dict[str, float]:
    """``name`` as vla-eval names it: ``swapped/success``."""
    counted = name.removesuffix("success") + "episodes"
    return {name: value, f"{name}_low": low, f"{name}_high": high, counted: episodes}


def report(**changes: Any) -> Report:
    metrics = rates("success", 0.625, 0.306, 0.863) | rates("swapped/success", 0.5, 0.215, 0.785)
    metrics |= {"success/go": 0.625, "success_low/go": 0.306, "success_high/go": 0.863, "episodes/go": 8.0}
    metrics |= rates("chance/success", 0.25, 0.07, 0.59) | rates("zero_shot/pairs/success", 0.375, 0.14, 0.69)
    metrics |= {"zero_shot/pairs/ratio": 0.6, "held_out/loss": 0.1234, "held_out/action_accuracy": 0.75, "something/new": 3.0}
    for axis, strength in itertools.product(("light", "start_pose"), ("1", "0.25")):
        metrics |= rates(f"robustness/{axis}/{strength}/success", 0.5, 0.215, 0.785)
    episodes = [result(seed, "failure" if seed in (3, 4, 6) else "success") for seed in range(8)]
    films = [film(0, "success"), film(3, "failure", instruction=HOSTILE, first_touched=""), film(4, "crash")]
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, format="PNG")
    made: dict[str, Any] = {"metrics": metrics, "episodes": episodes, "films": films, "pictures": {"robustness": file.getvalue()}}
    made |= {"not_applicable": {"blind": "not given: baseline=<a checkpoint>", "garbage": HOSTILE}}
    made["sections"] = {"diagnostics": {"findings": [{"kind": "dead_input", "severity": "warning", "message": HOSTILE}]}}
    return Report(**made | changes)
