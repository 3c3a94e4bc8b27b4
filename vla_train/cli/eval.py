"""The program ``vla-eval``: measure a trained policy."""

from typing import Any

from vla_train.cli.command import run


def main() -> int:
    return run("eval", evaluate)


def evaluate(config: dict[str, Any], overrides: list[str]) -> Any:
    from vla_train import build  # brings torch, hence only now that the config is accepted

    return build.evaluate(config, overrides)


if __name__ == "__main__":
    raise SystemExit(main())
