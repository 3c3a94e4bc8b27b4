"""Several datasets as one: of a curriculum's stages, or whatever else is to be learned together."""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.records import Columns, episode_starts
from vla_train.data.windows import Windows
from vla_train.errors import DataError, Notice
from vla_train.spec import Spec

_MISSING = ": missing"  # in ``Spec.mismatches``


def common_spec(specs: Mapping[str, Spec], *, domains: bool = False) -> Spec:
    """One Spec for datasets that a policy learns from together: all their kinds of task, and the longest horizon.

    As ``domains`` each is normalized by itself; their numbers may then be called otherwise, or taken at another rate, which is
    said in a Notice. DataError where they do not agree on what is seen and done; ``specs`` are called by names that the message
    can use.
    """
    (first_name, first), *others = specs.items()
    if domains:
        first = replace(_told(specs), domains=tuple(specs))
        others = [(name, replace(spec, action=first.action, state_names=first.state_names)) for name, spec in others]
    for name, spec in others:
        lacking = [line for line in specs[name].mismatches(first) if _MISSING in line]  # the rest is told from the other side
        wrong = [line.replace(_MISSING, f"{_MISSING} in {first_name}") for line in lacking]
        wrong += [_told_of(line, name) for line in first.mismatches(specs[name]) or ([] if wrong else _other_units(first, spec))]
        if not wrong and (first.action, first.state_names) != (spec.action, spec.state_names):
            wrong = [f"action or state: the same sizes, but another meaning ({first.action}; {spec.action})"]
        if wrong:
            lines = "\n  ".join(dict.fromkeys(wrong))
            raise DataError(f"{first_name} and {name} cannot be learned together, for their data differ:\n  {lines}")
    tasks = tuple(dict.fromkeys(chain.from_iterable(spec.tasks for spec in specs.values())))
    return replace(first, tasks=tasks, horizon=max(spec.horizon for spec in specs.values()))


def _told_of(line: str, name: str) -> str:
    """A mismatch with the name of the dataset that has it otherwise."""
    return line.replace(_MISSING, f"{_MISSING} in {name}") if _MISSING in line else f"{line} as in {name}"


def _other_units(first: Spec, spec: Spec) -> list[str]:
    """The cameras of both whose values mean something else in one than in the other, in words."""
    found = []
    for name, mine in first.images.items():
        theirs = spec.images[name]
        if mine.symbols != theirs.symbols:
            found.append(f"camera {name!r}: {list(mine.symbols)} symbols, not {list(theirs.symbols)}")
        if mine.depth_range != theirs.depth_range:
            ranges = [
                "as bytes" if its is None else f"from {its[0]:g} to {its[1]:g}" for its in (mine.depth_range, theirs.depth_range)
            ]
            found.append(f"camera {name!r}: depth {ranges[0]}, not {ranges[1]} (give all one depth_range, in one unit)")
    return found


def _told(specs: Mapping[str, Spec]) -> Spec:
    """The first Spec, without bounds that not all have; how the others differ is said. DataError where some actions are relative
    to the state in one dataset and not in another."""
    name, first = next(iter(specs.items()))
    for other, spec in specs.items():
        if spec.action.relative_to != first.action.relative_to:
            raise DataError(f"{name} and {other} cannot be learned together: give both the same dataset.mix.NAME.relative")
        for what, mine, theirs in (
            ("the numbers of the action", first.action.names, spec.action.names),
            ("the numbers of the state", first.state_names, spec.state_names),
        ):
            if mine != theirs and len(mine) == len(theirs):
                _say(
                    f"{what} are {_short(mine)} in {name} and {_short(theirs)} in {other}: taken to mean the same, in this order"
                )
        if spec.rate != first.rate:
            _say(
                f"{name} has {first.rate:g} steps per second and {other} {spec.rate:g}: a step is as long as its own data have it"
            )
    bounds = {(spec.action.low, spec.action.high) for spec in specs.values()}
    return first if len(bounds) == 1 else replace(first, action=replace(first.action, low=(), high=()))


def _short(names: Sequence[str]) -> str:
    return ", ".join(names) or "without names"


def _say(text: str) -> None:
    warnings.warn(text, Notice, stacklevel=4)


class Mixture(DemonstrationDataset):
    """Datasets by name, their episodes one behind the other; each keeps its own frames on disk and its own held-out episodes.

    They must have been opened with the same Processor, ``history`` and ``chunk``, and fit each other (``common_spec``). How much
    of each is drawn is for a source to decide, which gets the frames of each from ``by_part``.
    """

    def __init__(self, parts: Mapping[str, DemonstrationDataset]):
        self.parts = dict(parts)
        every = list(self.parts.values())
        first = every[0]
        if any((part.history, part.chunk, part.processor) != (first.history, first.chunk, first.processor) for part in every):
            raise ValueError("the datasets of a mixture must be seen through one Processor, in the same windows")
        self.folder = Path(os.path.commonpath([part.folder.resolve() for part in every]))
        self.processor, self.history, self.chunk = first.processor, first.history, first.chunk
        domains = self.processor.spec.domains
        with warnings.catch_warnings(action="ignore", category=Notice):  # said when the Spec was made
            self.spec = common_spec({name: part.spec for name, part in self.parts.items()}, domains=bool(domains))
        self.spec = replace(self.spec, domains=domains)
        self.columns_of = first.columns_of
        self.fingerprint = hashlib.sha256("".join(part.fingerprint for part in every).encode()).hexdigest()
        self.instructions = list(chain.from_iterable(part.instructions for part in every))
        self.scenes = list(chain.from_iterable(part.scenes for part in every))
        self._starts = episode_starts([part.num_frames for part in every])
        episodes = episode_starts([part.num_episodes for part in every])
        self.num_frames, self.num_episodes = int(self._starts[-1]), int(episodes[-1])
        self.episodes = {
            split: np.concatenate([part.episodes[split] + start for part, start in zip(every, episodes, strict=False)])
            for split in first.episodes
        }
        self._columns = _joined([part._columns for part in every])
        self._windows = Windows(self._columns.starts)
        self._tokens = np.concatenate([part._tokens for part in every])
        self._token_mask = np.concatenate([part._token_mask for part in every])
        self._task = np.concatenate([self._renumbered(part) for part in every])
        self._domain = np.concatenate([part._domain for part in every])
        self._labelled = np.concatenate([part._labelled for part in every])

    def by_part(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Sorted frames by the dataset that they are of: every one is named, also where it has none of them."""
        return dict(zip(self.parts, np.split(frames, np.searchsorted(frames, self._starts[1:-1])), strict=True))

    def until(self, part: str) -> DemonstrationDataset:
        """The datasets up to the one named, in their order; all of them where none is called so."""
        names = list(self.parts)
        return joined({name: self.parts[name] for name in names[: names.index(part) + 1]}) if part in names[:-1] else self

    def _renumbered(self, part: DemonstrationDataset) -> np.ndarray:
        """int64 [e]: a part's kinds of task, as the common Spec numbers them."""
        places = [self.spec.tasks.index(task) for task in part.spec.tasks] or [0]
        numbers: np.ndarray = np.array(places, dtype=np.int64)[part._task]
        return numbers

    def _images(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        of_part = np.searchsorted(self._starts, rows[:, 0], side="right") - 1  # a window lies within one episode
        images: dict[str, np.ndarray] = {}
        for index, part in enumerate(self.parts.values()):
            places = np.flatnonzero(of_part == index)
            if len(places) == len(rows):
                return part._images(rows - self._starts[index])
            for camera, taken in (part._images(rows[places] - self._starts[index]) if len(places) else {}).items():
                whole = images.setdefault(camera, np.empty((len(rows), *taken.shape[1:]), taken.dtype))
                whole[places] = taken
        return images


def joined(parts: Mapping[str, DemonstrationDataset]) -> DemonstrationDataset:
    """Their mixture; of a single dataset that dataset itself."""
    return Mixture(parts) if len(parts) > 1 else next(iter(parts.values()))


def _joined(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts. What one of them lacks, none has."""

    def together(name: str) -> np.ndarray | None:
        columns = [getattr(part, name) for part in parts]
        return None if any(column is None for column in columns) else np.concatenate(columns)

    texts = episode_starts([len(part.texts) for part in parts])
    return Columns(
        state=np.concatenate([part.state for part in parts]),
        action=np.concatenate([part.action for part in parts]),
        starts=episode_starts(np.concatenate([np.diff(part.starts) for part in parts])),
        texts=list(chain.from_iterable(part.texts for part in parts)),
        text=np.concatenate([part.text + start for part, start in zip(parts, texts, strict=False)]),
        reward=together("reward"),
        terminated=together("terminated"),
        reference=together("reference"),
    )
