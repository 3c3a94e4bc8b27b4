"""What was collected into a dataset so far: ``vla_train.collections`` in its info.json, by which a command goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_train import seeds
from vla_train.data import lerobot_layout as layout
from vla_train.data.lerobot_info import read_info
from vla_train.errors import DataError, UsageError

COLLECTIONS = "collections"  # the key in info.json
COUNTS = ("start", "episodes", "played", "kept", "succeeded")
OWN = {"data", "meta", "videos", "cache", layout.LOCK}  # what a dataset's folder may hold before anything was committed


@dataclass
class Collection:
    """Seeds ``start`` to ``start + episodes`` of the training range, of which ``played`` are done and ``kept`` were recorded."""

    recipe: Mapping[str, Any]  # JSON: all that decides what the episodes are
    start: int
    episodes: int
    played: int = 0
    kept: int = 0
    succeeded: int = 0

    def blocks(self, size: int) -> list[np.ndarray]:
        """The seeds that are left, ``size`` at a time."""
        left = seeds.seeds("train", self.episodes - self.played, self.start + self.played)
        return [left[first : first + size] for first in range(0, len(left), size)]


def collections_in(folder: Path) -> list[Collection]:
    """What was collected into a dataset; nothing where there is none yet. UsageError for a folder that holds something else."""
    if not (folder / layout.INFO).exists():
        if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - OWN):
            raise UsageError(f"output={folder} is there and no dataset: name a new folder, or a dataset to add to")
        return []
    info = read_info(folder)
    ours = info.get(layout.OURS)
    noted = _noted(ours, info["total_episodes"]) if isinstance(ours, dict) else []
    try:
        found = [Collection(**one) for one in noted]
        if any(type(getattr(one, name)) is not int or getattr(one, name) < 0 for one in found for name in COUNTS):
            raise TypeError("a count is none")
        if not all(isinstance(one.recipe, dict) for one in found):
            raise TypeError("a recipe is none")
    except TypeError as error:
        raise DataError(f"{folder / layout.INFO}: what it says of its collections cannot be read ({error})") from error
    return found


def _noted(ours: Mapping[str, Any], total: int) -> Any:
    """The collections; of ``total`` demonstrations that a run of vla-train made, the seeds that they took."""
    recipe = ours.get("recipe")
    if COLLECTIONS in ours or not isinstance(recipe, dict) or not {"start", "episodes"} <= set(recipe):
        return ours.get(COLLECTIONS, [])
    start, episodes = recipe["start"], recipe["episodes"]
    return [{"recipe": recipe, "start": start, "episodes": episodes, "played": episodes, "kept": total}]


def behind(collections: Sequence[Collection]) -> int:
    """The first training seed behind all that were taken."""
    return max((one.start + one.episodes for one in collections), default=0)


def first_free(folder: Path) -> int:
    """The first training seed behind those that a dataset took, as far as it says."""
    return behind(collections_in(folder)) if (folder / layout.INFO).exists() else 0


def as_read(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as it will be read back from JSON."""
    read: dict[str, Any] = json.loads(json.dumps(recipe))
    return read


def current(
    before: Sequence[Collection], recipe: Mapping[str, Any], episodes: int, wished: int | None, folder: Path
) -> Collection:
    """The collection that a command makes: the last one where that was stopped in the middle of the same, or a new one.

    ``wished`` is the first seed (None: behind all that were played). UsageError for seeds that are there or are not for
    training.
    """
    recipe = as_read(recipe)
    last = before[-1] if before else None
    same = last is not None and (last.recipe, last.episodes) == (recipe, episodes) and wished in (None, last.start)
    if last is not None and same and last.played < last.episodes:
        return last
    start = behind(before) if wished is None else wished
    if start + episodes > (most := len(seeds.RANGES["train"])):
        where = f"{folder} has seeds up to {start - 1:,}, and" if wished is None and start else f"start={start} and"
        raise UsageError(f"{where} episodes={episodes} reach beyond the {most:,} training seeds: name a lower start=, or fewer")
    for one in before:
        if one.recipe == recipe and start < one.start + one.played and one.start < start + episodes:
            raise UsageError(
                f"{folder} has seeds {one.start} to {one.start + one.played - 1} of the same already: leave out start=, which "
                "then goes on behind them"
            )
    return Collection(recipe, start, episodes)
