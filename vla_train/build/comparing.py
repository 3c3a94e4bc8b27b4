"""``compare``: several checkpoints on the same episodes."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vla_train import runtime
from vla_train.build.judged import CHANGES, Judged, Maker, changes_of, closed_by, next_folder, open_judged, stages_of, worlds
from vla_train.build.objects import Config
from vla_train.errors import UsageError
from vla_train.evaluation.comparison import comparison, comparison_metrics, print_comparison
from vla_train.evaluation.report import write_report
from vla_train.evaluation.success import Success
from vla_train.reporting.evaluation_page import write_page
from vla_train.spec import Report
from vla_train.tracking.console import Console


def compare(config: Config, settings: runtime.Runtime) -> Config:
    """Run ``vla-eval compare=[A,B,...]``: the plain episodes of each checkpoint, in the environment of the first one's run."""
    with contextlib.ExitStack() as stack:
        return _compare(config, settings, stack)


def _compare(config: Config, settings: runtime.Runtime, stack: contextlib.ExitStack) -> Config:
    policies = [open_judged(path, config, settings.device) for path in config["compare"]]
    names, first = _names(policies), policies[0]
    stages = stages_of(first.trained, config["stage"])
    makers = [closed_by(stack, maker) for maker in worlds(first, stages, changes_of(config), *policies[1:])]
    _check(makers, names[0])
    folder = next_folder(first.run / "evaluations", "compare", config["output"])
    print("\n".join(f"{name}: {each.saved.path}" for name, each in zip(names, policies, strict=True)))
    print(f"environment: {first.trained['choices']['environment']}, as in the run of {names[0]}\nruntime: {settings}", flush=True)
    console, played = Console(), {}
    for name, each in zip(names, policies, strict=True):
        success = Success(
            *makers,
            split=config["seeds"],
            episodes=config["episodes"],
            num_envs=config["num_envs"],
            execute=each.execute,
            ensemble=each.ensemble,
            progress=console.progress,
        )
        played[name] = success(each.agent).episodes
    console.close()
    section = comparison(played)
    episodes = [replace(result, condition=name) for name, results in played.items() for result in results]
    report = Report(comparison_metrics(section), episodes=episodes, sections={"compare": section})
    facts = {
        "compare": {name: str(each.saved.path) for name, each in zip(names, policies, strict=True)},
        "execute": {name: each.execute for name, each in zip(names, policies, strict=True)},
        "ensemble": {name: each.ensemble for name, each in zip(names, policies, strict=True)},
        "stages": [stage.name for stage in stages],
        **{name: config[name] for name in ("suite", "seeds", "episodes", "num_envs")},
        **{name: config[name] for name in CHANGES if config[name] is not None},
    }
    paths = write_report(folder, report, facts)
    paths["page"] = write_page(paths["report"], report, [each.run for each in policies])
    print_comparison(section)
    for name, path in paths.items():
        print(f"{name}: {path}")
    return {"report": str(paths["report"]), "metrics": report.metrics}


def _names(policies: Sequence[Judged]) -> list[str]:
    """What the policies are called: by their run folders, and by their steps where runs are called the same."""
    runs = Counter(each.run.name for each in policies)
    names = [each.run.name if runs[each.run.name] == 1 else f"{each.run.name}/{each.saved.path.name}" for each in policies]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"compare: {twice[0]} stands there twice: name each checkpoint once, and give runs differing names")
    return names


def _check(makers: Sequence[Maker], first: str) -> None:
    """Raises UsageError where there is no success to compare."""
    if not makers:
        raise UsageError(f"compare: policies are compared by their success, and the run of {first} has no environment")
    world = makers[0](1)
    world.close()
    if "success" in world.not_applicable:
        raise UsageError(f"compare: policies are compared by their success, but {world.not_applicable['success']}")
