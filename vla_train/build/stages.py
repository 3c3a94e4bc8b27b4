"""Which key named a stage: for the message that the environment has no such stage."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from vla_train.errors import StageError, UsageError


@contextlib.contextmanager
def naming(config: Mapping[str, Any], stage: str) -> Iterator[None]:
    """Whoever is told that there is no such stage is told the key too that asks for it."""
    try:
        yield
    except StageError as error:
        raise UsageError(f"{_key(config, stage)}: {error}") from error


def _key(config: Mapping[str, Any], stage: str) -> str:
    """The key of a run's ``config`` that has the stage; if the run has it not, that of vla-eval and vla-collect."""
    curriculum, choice = config.get("curriculum") or {}, config["choices"].get("curriculum")
    if stage in (curriculum.get("stages") or []):
        return f"curriculum.stages has {stage}"
    if stage == curriculum.get("stage"):
        return f"curriculum={stage}" if stage == choice else f"curriculum.stage={stage}"
    own = curriculum and not {"stage", "stages"} & set(curriculum)  # a plug-in's, whose keys may be anything
    return f"curriculum={choice}" if own else f"stage={stage}"
