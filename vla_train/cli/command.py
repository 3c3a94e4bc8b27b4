"""The wrapper around both programs: Hydra composes, the config is checked, then the work is done and an exit code returned.

Hydra ends the process itself on an error, with its own words and exit code 1. Here the job catches its own errors and tells
them, and Hydra's errors are put into our words with exit code 2. Sweeps are ``cli/sweep.py``.
"""

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_train import stopping
from vla_train.errors import Interrupted, Notice, UsageError, VlaTrainError

if TYPE_CHECKING:
    from omegaconf import DictConfig

Opened = Callable[[Path], None]  # is told the run folder as soon as there is one
Work = Callable[[dict[str, Any], list[str], Opened], Any]  # validated config, the command line's overrides -> result
OPTIONS = (  # Hydra's own, without those that change the main config, and --experimental-rerun, which reads a pickle
    *("--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun", "--shell-completion"),
    *("--config-dir", "--info", "-c", "-p", "-r", "-m", "-sc", "-cd", "-i"),
)
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


def run(kind: str, work: Work) -> int:
    """The program ``vla-train`` or ``vla-eval``: reads ``sys.argv``, returns the exit code (see the README's table)."""
    warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
    try:
        code = _run(kind, work, sys.argv[1:])
        sys.stdout.flush()
        return code
    except BrokenPipeError as end:
        return unwanted(end)


def unwanted(end: KeyboardInterrupt | BrokenPipeError) -> int:
    """The exit code where the user wants no more (a second Ctrl-C), or the reader of our output (`vla-train --help | head`)."""
    if isinstance(end, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    print("stopped at once", file=sys.stderr)
    return 130


def _show_warning(others: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any) -> None:
    if issubclass(category, Notice):
        print(f"note: {message}", file=sys.stderr, flush=True)
    else:
        others(message, category, *where)


def _run(kind: str, work: Work, words: list[str]) -> int:
    if {"-h", "--help"} & set(words):
        from vla_train.cli.help import text

        print(text(kind))
        return 0
    if wrong := [word for word in words if word.startswith("-") and word.partition("=")[0] not in OPTIONS]:
        print(f"error: {wrong[0]}: there is no such option. Settings are written without dashes: key=value.", file=sys.stderr)
        return UsageError.exit_code
    if {"-sc", "--shell-completion"} & set(words) and (line := os.environ.get("COMP_LINE")):
        from vla_train.cli.completion import offered

        if found := offered(kind, line):
            print("\n".join(found))
            return 0
    sys.argv[1:] = options_first(words)
    debug = any(word.lower() == "debug=true" for word in words)
    with stopping.handlers():
        try:
            return _with_hydra(kind, work)
        except SystemExit as exit:  # --hydra-help, --info, --cfg, and argparse on a wrong option
            return exit.code if isinstance(exit.code, int) else 1
        except KeyboardInterrupt as end:
            return unwanted(end)
        except BrokenPipeError:
            raise
        except Exception as error:
            return report(_translated(error, kind, words), debug)


def options_first(words: list[str]) -> list[str]:
    """``seed=0,1 -m model=a,b`` as ``-m seed=0,1 model=a,b``: Hydra's parser loses what stands after an option."""
    settings = [word for word in words if word[:1] in ("+", "~") or ("=" in word and not word.startswith("-"))]
    return [word for word in words if word not in settings] + settings


def _with_hydra(kind: str, work: Work) -> int:
    """Let Hydra compose and run the job, or each job of a sweep."""
    import logging

    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from vla_train.config.compose import register_plugins, validate
    from vla_train.config.folders import shipped

    codes: list[int] = []

    def job(cfg: "DictConfig") -> None:
        settings = HydraConfig.get()
        overrides = OmegaConf.to_container(settings.overrides.task, resolve=False)
        assert isinstance(overrides, list)
        try:
            if choice := settings.runtime.choices.get("sweep"):
                raise UsageError(f"sweep={choice}: this says how a sweep runs; add -m, and a key with several values (seed=0,1)")
            work(validate(cfg, kind), overrides, lambda run: None)
        except Exception as error:
            codes.append(report(error, debug=bool(cfg.get("debug"))))

    full_error = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of exiting
    logging.raiseExceptions = False  # Hydra prints through logging, which would show a traceback when its reader has left
    start = hydra.main(version_base="1.3", config_path=str(shipped()), config_name=kind)
    try:
        register_plugins()
        if not {"-m", "--multirun"} & set(sys.argv):
            start(job)()
            return (codes or [0])[0]
        from vla_train.cli.sweep import sweep

        return sweep(kind, work, lambda: start(job)())
    finally:
        os.environ.pop("HYDRA_FULL_ERROR") if full_error is None else os.environ.update(HYDRA_FULL_ERROR=full_error)


def report(error: Exception, debug: bool) -> int:
    """Tell the user about an error, and return its exit code. Only what nobody foresaw shows its traceback unasked."""
    if isinstance(error, ModuleNotFoundError):
        from vla_train.config import install_hint

        if hint := install_hint(error):
            error = UsageError(f"{error}.{hint}")
    if isinstance(error, BrokenPipeError):
        raise error
    if debug or not isinstance(error, VlaTrainError):
        traceback.print_exception(error)
    else:
        kind = "" if isinstance(error, Interrupted) else "error: "
        print(f"{kind}{error}", file=sys.stderr, flush=True)
    return error.exit_code if isinstance(error, VlaTrainError) else 1


def _translated(error: Exception, kind: str, words: list[str]) -> Exception:
    """Hydra's own errors in our words; any other as it is."""
    if isinstance(error, VlaTrainError):
        return error
    from vla_train.cli.explain import explain

    return explain(error, kind, [word for word in words if not word.startswith("-")])
