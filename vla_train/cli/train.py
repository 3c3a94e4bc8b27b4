"""The program ``vla-train``: train a policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_train.cli.command import run


def main() -> int:
    return run("train", train)


def train(config: dict[str, Any], overrides: list[str], opened: Callable[[Path], None]) -> Any:
    from vla_train import build  # brings torch, hence only now that the config is accepted

    return build.train(config, overrides, opened)


if __name__ == "__main__":
    raise SystemExit(main())
