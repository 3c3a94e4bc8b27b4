"""A program like vla-train whose jobs do what their ``name`` says, in place of training: real processes, without torch."""

import os
import signal
import sys
import time
from pathlib import Path

from vla_train import stopping
from vla_train.cli import command
from vla_train.errors import DataError


def work(config, overrides, opened):
    name, seed, resumed = config["name"], config["seed"], config["resume"] is not None
    run = Path(config["output"]) / f"run-{name}-{seed}"
    (run / "checkpoints" / "last").mkdir(parents=True, exist_ok=True)
    opened(run)
    with (run / "sessions").open("a") as file:
        file.write("resumed\n" if resumed else "began\n")
    if name == "fails":
        raise DataError("no data\nin the second line")
    if name == "exits":
        sys.exit(7)
    if name == "brief":
        time.sleep(1.5)
    if name == "dies" or (name == "killed" and not resumed):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "waits" and not resumed:
        for _ in range(1200):
            time.sleep(0.05)
            stopping.check()
    value = float("nan") if name == "undefined" else 0.1 + 0.2 * seed
    return {"best": value, "best_metric": "success", "mode": "max", "metrics": {}}


if __name__ == "__main__":
    from sweep_program import work as importable  # as vla-train's is, for the processes of launchers

    sys.argv[0] = "vla-train"
    sys.exit(command.run("train", importable))
