"""The program ``vla-collect``: record episodes of an expert, a policy, both or a person."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_train.cli.command import run


def main() -> int:
    return run("collect", collect)


def collect(config: dict[str, Any], overrides: list[str], opened: Callable[[Path], None]) -> Any:
    from vla_train import build  # brings torch, hence only now that the config is accepted

    metrics = build.collect(config)
    return {"metrics": metrics, "best": metrics.get("success"), "best_metric": "success", "mode": "max"}


if __name__ == "__main__":
    raise SystemExit(main())
