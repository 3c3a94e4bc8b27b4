"""The program ``vla-data``: inspect, validate, convert, view and replay recorded data."""

import sys

from vla_train import stopping
from vla_train.cli import command
from vla_train.cli.help import DATA


def main() -> int:
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        print(DATA, end="")
        return 0 if words else 2
    try:
        from vla_train.data_tools.commands import run

        with stopping.handlers():
            return run(words)
    except (KeyboardInterrupt, BrokenPipeError) as end:
        return command.unwanted(end)
    except Exception as error:
        return command.report(error, debug="debug=true" in words)


if __name__ == "__main__":
    raise SystemExit(main())
