"""The program ``vla-report``: learning curves of runs as pictures and as a page."""

import sys
from pathlib import Path

from vla_train.cli import command
from vla_train.cli.help import REPORT
from vla_train.config.words import did_you_mean
from vla_train.errors import UsageError

KEYS = ("output", "x", "debug")


def main() -> int:
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(REPORT, end="")
        return 0
    settings = dict(word.split("=", 1) for word in words if "=" in word and not Path(word).exists())
    try:
        return draw([Path(word) for word in words if word.split("=")[0] not in settings], settings)
    except (KeyboardInterrupt, BrokenPipeError) as end:
        return command.unwanted(end)
    except Exception as error:
        return command.report(error, debug=settings.get("debug") == "true")


def draw(paths: list[Path], settings: dict[str, str]) -> int:
    for word in [*settings, *(str(path) for path in paths if str(path).startswith("-"))]:
        if word not in KEYS:
            raise UsageError(f"{word}: vla-report has no such setting.{did_you_mean(word, KEYS)} It has {', '.join(KEYS)}.")
    from vla_train.reporting.write import report

    return report(paths, Path(settings["output"]) if "output" in settings else None, settings.get("x", "updates"))


if __name__ == "__main__":
    raise SystemExit(main())
