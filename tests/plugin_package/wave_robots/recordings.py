"""Recordings of a robot that waves, made on first use: one array file for each column."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_train.data.records import Columns, DatasetMetadata, content_fingerprint, episode_starts
from vla_train.spec import ActionSpec, ImageSpec, Spec

SPEC = Spec(images={"front": ImageSpec(16, 16)}, state_size=1, action=ActionSpec("continuous", 1), tasks=("wave",))
LENGTH = 12
INSTRUCTIONS = ["wave slowly", "wave fast"]


@dataclass(frozen=True)
class Waves:
    episodes: int
    amplitude: float
    batch_size: int
    history: int
    chunk: int
    validation: float

    def ensure(
        self, make_environment: Callable[..., Any] | None, settings: Mapping[str, Any], *, output: Path, name: str
    ) -> Path:
        folder = output / "datasets" / f"{name}-{hashlib.sha256(repr(self).encode()).hexdigest()[:12]}"
        if not (folder / "data").is_dir():
            (folder / "data").mkdir(parents=True)
            phase = np.tile(np.arange(LENGTH), self.episodes)
            pace = np.repeat(np.arange(self.episodes) % 2 + 1, LENGTH)
            np.save(folder / "data" / "state.npy", np.sin(phase * pace / 4)[:, None].astype(np.float32))
            np.save(folder / "data" / "action.npy", (self.amplitude * np.cos(phase * pace / 4))[:, None].astype(np.float32))
            np.save(
                folder / "data" / "front.npy", np.broadcast_to(phase[:, None, None, None], (len(phase), 16, 16, 3)).astype("u1")
            )
        return folder

    def open(self, folder: Path) -> "WaveReader":
        return WaveReader(folder)


class WaveReader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrays = {path.stem: np.load(path, allow_pickle=False) for path in (folder / "data").glob("*.npy")}
        count = len(self._arrays["state"]) // LENGTH
        texts = [INSTRUCTIONS[episode % 2] for episode in range(count)]
        rows = [{"episode_index": episode, "length": LENGTH} for episode in range(count)]
        fingerprint = content_fingerprint(folder)
        self.metadata = DatasetMetadata(SPEC, texts, ["wave"] * count, count, count * LENGTH, fingerprint, rows)

    def columns(self) -> Columns:
        count = self.metadata.num_episodes
        starts, text = episode_starts([LENGTH] * count), np.repeat(np.arange(count) % 2, LENGTH)
        return Columns(self._arrays["state"], self._arrays["action"], starts, INSTRUCTIONS, text)

    def frames(self, cameras: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        yield {camera: self._arrays[camera] for camera in cameras}
