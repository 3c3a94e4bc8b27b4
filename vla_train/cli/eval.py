"""The program ``vla-eval``: measure a trained policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_train.cli.command import run


def main() -> int:
    return run("eval", evaluate)


def evaluate(config: dict[str, Any], overrides: list[str], opened: Callable[[Path], None]) -> Any:
    from vla_train import build  # brings torch, hence only now that the config is accepted

    result = build.evaluate(config, overrides)
    opened(Path(result["report"]).parent)
    metrics = result["metrics"]
    name = "success" if "success" in metrics else "held_out/loss"
    return {"metrics": metrics, "best": metrics.get(name), "best_metric": name, "mode": "max" if name == "success" else "min"}


if __name__ == "__main__":
    raise SystemExit(main())
