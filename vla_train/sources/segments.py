"""A ring on disk: files that are only ever added, each with the frames that came since the one before."""

import hashlib
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vla_train.checkpoint.manifest import sync
from vla_train.errors import CheckpointError
from vla_train.sources.ring import Ring
from vla_train.spec import StateDict

LARGEST = 128 * 2**20  # bytes of frames in a file


class Segments:
    """Those of a run, ``segment_000001.safetensors`` and so on in ``folder``, written whole or not at all.

    A file is removed once its frames are all overwritten in the ring and ``keep`` checkpoints were saved since, for the
    checkpoints before may still be read.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep
        self._files: list[StateDict] = []  # name, sha256, and which frames: first and stop, int64 [n]
        self._left: list[StateDict] = []  # name of a file that is needed no more, and the number of the save from which on
        self._saves = self._made = 0

    def save(self, ring: Ring) -> StateDict:
        """Write what the ring has that no file has yet. Returns what ``load`` needs to find all of it again."""
        self._saves += 1
        first = np.maximum(self._files[-1]["stop"], ring.oldest) if self._files else ring.oldest
        longest = max(1, LARGEST // sum(array[:1].nbytes for array in ring.arrays.values()) // ring.num_envs)
        while (first < ring.written).any():
            stop = np.minimum(first + longest, ring.written)
            self._add(ring, first, stop)
            first = stop
        needless = [file for file in self._files[:-1] if (file["stop"] <= ring.oldest).all()]
        self._left += [{"name": file["name"], "since": self._saves} for file in needless]
        self._files = self._files[len(needless) :]
        for file in [file for file in self._left if file["since"] <= self._saves - self._keep]:
            (self._folder / file["name"]).unlink(missing_ok=True)
            self._left.remove(file)
        return {"files": [dict(file) for file in self._files], "left": list(self._left), "saves": self._saves, "made": self._made}

    def _add(self, ring: Ring, first: np.ndarray, stop: np.ndarray) -> None:
        places = ring.places(*_numbered(first, stop))
        content = save({name: array[places] for name, array in ring.arrays.items()})
        self._made += 1
        name = f"segment_{self._made:06d}.safetensors"
        self._write(name, content)
        self._files.append({"name": name, "sha256": hashlib.sha256(content).hexdigest(), "first": first, "stop": stop})

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._folder / f".{name}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            sync(temporary)
            os.replace(temporary, self._folder / name)
            sync(self._folder)
        except OSError as error:
            raise CheckpointError(
                f"the replay buffer cannot be saved in {self._folder} ({error}): make room there, then go on with resume="
            ) from error

    def load(self, ring: Ring, state: StateDict) -> None:
        """Fill the ring, whose numbers of frames are known. Raises CheckpointError where a file is missing or altered."""
        self._files, self._left = list(state["files"]), list(state["left"])
        self._saves, self._made = state["saves"], state["made"]
        filled = ring.oldest
        for file in self._files:
            if (file["first"] > filled).any():
                raise CheckpointError(f"{self._folder}: frames are missing before {file['name']}: take another checkpoint")
            self._read(ring, file)
            filled = np.maximum(filled, file["stop"])
        if (filled != ring.written).any():
            raise CheckpointError(f"{self._folder} does not hold all frames of the replay buffer: take another checkpoint")

    def _read(self, ring: Ring, file: StateDict) -> None:
        path = self._folder / Path(file["name"]).name
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != file["sha256"]:
                raise CheckpointError(f"{path} is not the file that was saved (its sha256 differs): take another checkpoint")
            arrays = load(content)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}), and the replay buffer with it: start anew") from error
        rows, numbers = _numbered(file["first"], file["stop"])
        kept = numbers >= ring.oldest[rows]
        for name, array in ring.arrays.items():
            if arrays[name].shape != (len(rows), *array.shape[1:]) or arrays[name].dtype != array.dtype:
                raise CheckpointError(f"{path} holds {name} of another shape or type: it was made for another world or model")
            array[ring.places(rows[kept], numbers[kept])] = arrays[name][kept]


def _numbered(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and numbers of the frames ``first`` to ``stop`` of each row."""
    counts = np.maximum(stop - first, 0)
    rows = np.repeat(np.arange(len(first)), counts)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + first[rows]
