"""The Reader of every format: chooses from a table what a policy sees and does, and trusts nothing that the table declares."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from vla_train.data import choice as choosing
from vla_train.data import lerobot_layout as layout
from vla_train.data.choice import Choice
from vla_train.data.clouds import checked
from vla_train.data.depth import to_bytes
from vla_train.data.lerobot_info import image_spec
from vla_train.data.paths import refuse_names_out
from vla_train.data.records import Columns, DatasetMetadata, damaged, place, require_finite, torn_pictures
from vla_train.data.table import MOST_FRAMES, Table
from vla_train.data.texts import told
from vla_train.errors import DataError
from vla_train.spec import ActionSpec, ImageSpec, Spec

BLOCK_FRAMES, BLOCK_BYTES = 256, 32_000_000  # decoded at once: at most so many frames, and (but for one frame) bytes
MOST_CHOICES = 1000  # of a discrete action that others recorded: larger whole numbers are measurements, as of a servo's ticks


class TableReader:
    """Opening it reads no frame and no column, but for a discrete action that nobody noted, which must be counted.

    ``notes`` are sentences for the user: what the table tells, and what the data declares but does not have.
    """

    def __init__(self, table: Table, choice: Choice):
        self.folder, self.table, self._choice = table.path, table, choice
        self.notes = [f"the dataset at {self.folder}: {note}" for note in table.notes]
        self._whole: set[str] = set()  # cameras that were looked at
        if (frames := int(table.starts[-1])) > MOST_FRAMES:
            raise self._error(f"it declares {frames:,} frames, and at most {MOST_FRAMES:,} are read")
        names = choosing.renamed(table.features, table.aliases, choice.rename, self.folder)
        refuse_names_out([*table.features, *table.aliases.values(), *names.values()], self.folder)
        self._stored = {new: old for old, new in names.items()}
        self._features = {new: table.features[old] for old, new in names.items()}
        self._cameras = self._with_files(choice.cameras)
        defaults = {kind: tuple(names[name] for name in found) for kind, found in table.defaults.items()}
        self._state, self._action = choosing.chosen_columns(self._features, choice, self.folder, defaults)
        self._refuse_answers()
        instructions = told(table.instructions, choice.instruction, self.folder, ours=table.noted is not None)
        self.metadata = DatasetMetadata(
            spec=self._spec(table.noted),
            instructions=instructions,
            tasks=[str(row.get("task") or text) for row, text in zip(table.episodes, instructions, strict=True)],
            num_episodes=len(table.episodes),
            num_frames=frames,
            fingerprint=self._fingerprint(),
            episodes=table.episodes,
            columns={"state": self._each(self._state), "action": self._each(self._action)},
            excluded=tuple(sorted(set(choice.exclude))),
        )

    def columns(self) -> Columns:
        """Every column but the images, checked row by row."""
        self.table.check()
        spec = self.metadata.spec
        state = choosing.corresponding_state(self._features, self._action)
        signals = [name for name in (layout.REWARD, layout.TERMINATED, layout.DONE) if name in self._features]
        numbers = self._numbers([*self._state, *self._action, *signals, *[column for column, _ in filter(None, state)]])
        for name in {*self._state, *self._action, *signals}:
            called = choosing.labels(self._features, name)
            require_finite(name, numbers[name], self.table.starts, self.folder, source=self.table.source, labels=called)
        text = self.table.text()
        used = np.unique(text)
        texts = list(self.table.texts)
        for index, new in zip(used, self._told([texts[index] for index in used]), strict=True):
            texts[index] = new
        ended = layout.TERMINATED if layout.TERMINATED in signals else layout.DONE
        return Columns(
            state=self._together(numbers, self._state),
            action=self._actions(numbers, spec.action),
            starts=self.table.starts,
            texts=texts,
            text=text,
            reward=numbers[layout.REWARD][:, 0].astype(np.float32) if layout.REWARD in signals else None,
            terminated=numbers[ended][:, 0].astype(np.bool_) if ended in signals else None,
            reference=_picked(numbers, state) if any(state) else None,
        )

    def frames(self, cameras: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Decoded blocks [n, y, x, c], of clouds float32, else uint8, of at most 256 frames and 32 MB (more only where one
        frame has them).

        DataError names camera, episode and step of a broken one.
        """
        images = self._chosen(cameras)
        size = sum(image.nbytes for image in images.values())
        block = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // size))
        pictures = {camera: self._pictures(camera, image) for camera, image in images.items()}
        for first in range(0, self.metadata.num_frames, block):
            length = min(block, self.metadata.num_frames - first)
            yield {camera: _stacked(pictures[camera], image, length) for camera, image in images.items()}

    def frames_at(self, cameras: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
        """The frames at rows, int64 [m] in ascending order, [m, y, x, c]: the same as those that ``frames`` gives."""
        found = {}
        for camera, image in self._chosen(cameras).items():
            found[camera] = _stacked(self._pictures(camera, image, rows), image, len(rows))
            if len(found[camera]) != len(rows):
                raise self._error(f"camera {camera!r} has only {len(found[camera])} of the {len(rows)} frames from {rows[0]} on")
        return found

    def _chosen(self, cameras: Sequence[str]) -> dict[str, ImageSpec]:
        if unknown := [camera for camera in cameras if camera not in self._cameras]:
            raise self._error(f"there is no camera {unknown[0]!r} with files (there are {sorted(self._cameras)})")
        for camera in cameras:
            self._require_whole(camera)
        return {camera: self.metadata.spec.images[camera] for camera in cameras}

    def _require_whole(self, camera: str) -> None:
        """DataError for pictures that are not all there, the first time that they are asked for: decoding would tell late."""
        if camera in self._whole:
            return
        if wrong := self.table.torn(self._stored[self._cameras[camera]]):
            raise torn_pictures({camera: wrong})
        self._whole.add(camera)

    def _pictures(self, camera: str, image: ImageSpec, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        frames = self.table.pictures(self._stored[self._cameras[camera]], image, rows)
        if image.kind == "points":
            return checked(camera, frames, count() if rows is None else iter(rows.tolist()), self.table)
        if image.kind != "depth":
            return frames
        return (to_bytes(frame, self._choice.depth_range, camera, self.folder) for frame in frames)

    def _fingerprint(self) -> str:
        """That of the data, and of what is chosen where that decides which frames there are, and how they look: the frame cache
        goes by it."""
        content, choice = self.table.fingerprint(), self._choice
        chosen: dict[str, Any] = {"rename": dict(choice.rename), "mask": choice.mask, "depth_range": choice.depth_range}
        chosen |= {"exclude": sorted(set(choice.exclude))} if choice.exclude else {}
        if not any(chosen.values()):
            return content
        return hashlib.sha256(f"{content} {json.dumps(chosen, sort_keys=True)}".encode()).hexdigest()

    def _each(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Of every number of these columns its column."""
        return tuple(name for name in columns for _ in range(self._features[name]["shape"][0]))

    def _told(self, texts: Sequence[str]) -> list[str]:
        return told(texts, self._choice.instruction, self.folder, ours=self.table.noted is not None)

    def _refuse_answers(self) -> None:
        """DataError where the state has a number that is also in the action, be it under the name of a part."""
        state, action = (
            [entry for name in names for entry in self.table.entries(self._stored[name])] for names in (self._state, self._action)
        )
        if both := [f"{column}.{index}" for column, index in state if (column, index) in action]:
            raise DataError(
                f"dataset.state and dataset.action both have {both[0]!r}: a policy must not be told what it is to predict"
            )

    def _with_files(self, chosen: Sequence[str] | None) -> dict[str, str]:
        """Camera -> feature of the chosen ones. Those declared without files are noted, or refused where they were named."""
        cameras = choosing.chosen_cameras(self._features, chosen, self.folder)
        there = {camera: name for camera, name in cameras.items() if self.table.has_files(self._stored[name])}
        lacking = [camera for camera in cameras if camera not in there]
        if lacking and (chosen or not there):
            every = choosing.chosen_cameras(self._features, None, self.folder)
            having = [camera for camera, name in every.items() if self.table.has_files(self._stored[name])]
            others = f"these have: {', '.join(having)}" if having else "no camera has; dataset.cameras=[] trains without"
            raise DataError(
                f"the dataset at {self.folder} declares the camera {lacking[0]!r}, but has no files for it ({others})"
            )
        if lacking:
            self.notes.append(
                f"the dataset at {self.folder} declares {', '.join(lacking)} without files: going on with {', '.join(there)}"
            )
        clouds = [name for name in there.values() if not layout.is_picture(self._features[name])]
        if clouds and chosen is None and self.table.noted is None:
            self.notes.append(
                f"{', '.join(clouds)} of {self.folder}: read as point clouds, whose points begin with x, y, z (else leave them "
                "out with dataset.cameras)"
            )
        return there

    def _spec(self, noted: Spec | None) -> Spec:
        """The Spec that our writer noted, where there is one and nothing else was chosen; else what the features say.

        Actions that others recorded have no bounds: nobody noted them, and those of the data would tell what is held out.
        """
        table, choice = self.table, self._choice
        known = {layout.feature_name(camera, image): image for camera, image in noted.images.items()} if noted else {}
        images = {
            camera: known.get(self._stored[name]) or image_spec(self._features[name]) for camera, name in self._cameras.items()
        }
        if choice.depth_range is not None:
            images |= {
                camera: replace(image, depth_range=choice.depth_range)
                for camera, image in images.items()
                if image.kind == "depth"
            }
        if noted:
            spec = replace(noted, images=images)
        else:
            longest = int(np.diff(table.starts).max())
            tasks = tuple(dict.fromkeys(text if text.strip() else choice.instruction or text for text in table.texts))
            spec = Spec(images, 0, self._derived_action(), rate=table.rate, horizon=longest, tasks=tasks)
        if noted and choice.action is not None:
            spec = replace(spec, action=self._derived_action())
        if noted is None or choice.state is not None:
            names = choosing.dimension_names(self._features, self._state)
            spec = replace(spec, state_size=len(names), state_names=names)
        relative = choosing.relative_to(self._features, choice.relative, self._state, self._action, self.folder)
        return replace(spec, action=replace(spec.action, relative_to=relative))

    def _derived_action(self) -> ActionSpec:
        names = choosing.dimension_names(self._features, self._action)
        dtype = self._features[self._action[0]]["dtype"] if self._action else ""
        if len(names) == 1 and dtype.startswith(("int", "uint")):
            largest = int(self._whole_numbers().max())
            if largest >= MOST_CHOICES:
                raise DataError(
                    f"{self._action[0]!r} in {self.folder} holds whole numbers up to {largest}, too many to choose among "
                    f"({MOST_CHOICES} at most): with the dtype float32 in {layout.INFO} it is an action that is measured"
                )
            return ActionSpec(kind="discrete", size=1, choices=largest + 1, names=names)
        if not names:
            raise DataError(f"dataset.action is empty, so there is nothing to learn from {self.folder}: name its columns")
        return ActionSpec("continuous", len(names), names=names)

    def _numbers(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns by the names that they have here, [n, size] each."""
        stored = self.table.numbers([self._stored[name] for name in names])
        return {name: stored[self._stored[name]] for name in names}

    def _together(self, numbers: Mapping[str, np.ndarray], columns: Sequence[str]) -> np.ndarray:
        """The columns side by side, float32 [n, s]."""
        if not columns:
            return np.zeros((self.metadata.num_frames, 0), np.float32)
        values = np.concatenate([numbers[name].astype(np.float64) for name in columns], axis=1)
        with np.errstate(over="ignore"):
            together = values.astype(np.float32)
        require_finite(
            " and ".join(columns), together, self.table.starts, self.folder, source=self.table.source
        )  # a float64 may be too large
        return together

    def _actions(self, numbers: Mapping[str, np.ndarray], action: ActionSpec) -> np.ndarray:
        if action.kind == "continuous":
            return self._together(numbers, self._action)
        values = self._whole_numbers()
        outside = (values < 0) | (values >= action.choices)
        if outside.any():
            row = int(np.argwhere(outside)[0, 0])
            where = place(row, self.table.starts)
            raise self._error(f"action {values[row, 0]} at {where} is none of the {action.choices} choices of its Spec")
        return values.astype(np.int64)

    def _whole_numbers(self) -> np.ndarray:
        """The discrete action, int [n, 1], if the files hold what is declared."""
        values = self._numbers(self._action)[self._action[0]]
        if values.dtype.kind not in "iu":
            raise self._error(f"{self._action[0]!r} is declared as whole numbers, but its files hold {values.dtype}")
        return values

    def _error(self, what: str) -> DataError:
        return damaged(self.folder, what)


def _stacked(pictures: Iterator[np.ndarray], image: ImageSpec, count: int) -> np.ndarray:
    """The next ``count`` pictures; fewer where there are no more, which the frame cache notices."""
    block = np.empty((count, *image.shape), image.dtype)
    done = 0
    for done, picture in enumerate(pictures, 1):
        block[done - 1] = picture
        if done == count:
            break
    return block[:done]


def _picked(numbers: Mapping[str, np.ndarray], places: Sequence[tuple[str, int] | None]) -> np.ndarray:
    """float32 [n, a]: the named places of these columns, NaN where there is none."""
    rows = len(next(iter(numbers.values())))
    missing = np.full(rows, np.nan)
    return np.stack([missing if at is None else numbers[at[0]][:, at[1]] for at in places], axis=1).astype(np.float32)
