"""How long 512 tabletop episodes take, and how much of that is spent in the model and the environment.

    python scripts/benchmark_evaluation.py checkpoint=outputs/RUN
    python scripts/benchmark_evaluation.py checkpoint=outputs/RUN episodes=512 num_envs=128 threads=2

The arguments are those of vla-eval. The plain episodes of ``Success`` are played, eight of them filmed, as vla-eval does it.
The model's share is the time inside ``Agent.act`` (NumPy in, NumPy out), the environment's that inside its methods; the rest is
bookkeeping. A row is known by (checkpoint, episodes, rows at once, threads, commit of the code). Nothing else should run on the
machine meanwhile.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from benchmark_rows import Rows, commit

from vla_train import config as configuration
from vla_train import runtime
from vla_train.build.judged import open_judged, stages_of, worlds
from vla_train.evaluation.success import Success

ROWS = Rows("evaluation.jsonl")
OF_ENVIRONMENT = ("reset", "step", "set_goals", "render")


class Stopwatch:
    """Adds up the seconds inside the methods that it is put around."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, target: Any, *names: str) -> Any:
        for name in names:
            setattr(target, name, self._timed(getattr(target, name)))
        return target

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


def measure(config: dict[str, Any]) -> dict[str, Any]:
    """Seconds in all, in the model and in the environment, and what share of the whole those two are."""
    settings = runtime.start(device=config["device"], threads=config["threads"])
    judged = open_judged(config["checkpoint"], config, settings.device)
    model, environment = Stopwatch(), Stopwatch()
    model.around(judged.agent, "act")
    stages = stages_of(judged.trained, config["stage"])
    makers = [lambda num, maker=maker: environment.around(maker(num), *OF_ENVIRONMENT) for maker in worlds(judged, stages, {})]
    keys = ("episodes", "num_envs", "video_episodes")
    success = Success(
        *makers, split="test", execute=judged.execute, ensemble=judged.ensemble, **{key: config[key] for key in keys}
    )
    began = time.perf_counter()
    report = success(judged.agent)
    seconds = time.perf_counter() - began
    found = {"seconds": seconds, "model": model.seconds, "environment": environment.seconds, "played": len(report.episodes)}
    return found | {"share": (model.seconds + environment.seconds) / seconds, "success": report.metrics["success"]}


def main() -> None:
    config = configuration.compose(sys.argv[1:], kind="eval")
    key = {name: config[name] for name in ("checkpoint", "episodes", "num_envs", "threads")} | {"commit": commit()}
    ROWS.add(key, lambda: measure(config))
    row = next(row for row in reversed(ROWS.read()) if all(row.get(name) == value for name, value in key.items()))
    print(
        f"{row['played']} episodes in {row['seconds']:.1f} s: model {row['model']:.1f} s, environment {row['environment']:.1f} s"
    )
    print(f"{100 * row['share']:.1f} % of the time in model and environment; success {100 * row['success']:.1f} %")


if __name__ == "__main__":
    main()
