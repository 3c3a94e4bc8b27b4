"""A folder whose manifest.json gives the size and sha256 of every file: written durably, and believed only after a check."""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from vla_train.errors import CheckpointError

SCHEMA = 1  # raise it when a reader of today could not read what is written tomorrow
MANIFEST = "manifest.json"
_KEYS = {"schema", "step", "files", "checksum"}
_LARGEST_MANIFEST = 1 << 20  # bytes
_LARGEST_TEXT = 1 << 28
_CHUNK = 1 << 22  # large, so that a hashing thread seldom asks for the interpreter's lock


class TornCheckpointError(CheckpointError):
    """A checkpoint that was cut off or damaged; an older one of the same run can take its place."""


class FolderWriter:
    """Writes files into a folder. Each is hashed in a thread while the next ones are written; all are synced together."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._hashes: dict[str, Future[dict[str, Any]]] = {}
        # As many threads as files: syncs that wait together share one commit of the file system's journal.
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="checkpoint")

    def tensors(self, name: str, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
        path = self._path(name)
        save_file(dict(tensors), path, metadata)
        path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors makes files that only their owner may read
        self._written(name, path)

    def text(self, name: str, text: str) -> None:
        path = self._path(name)
        path.write_text(text, encoding="utf-8", newline="")
        self._written(name, path)

    def finish(self, step: int) -> None:
        """Write the manifest and wait until everything has reached the disk: after this a rename makes the folder stand."""
        # Not earlier: a file that is created while another is synced waits for the journal.
        synced = [self._threads.submit(sync, self._path(name)) for name in self._hashes]
        entries = {name: entry.result() for name, entry in self._hashes.items()}
        for done in synced:
            done.result()
        path = self._path(MANIFEST)
        path.write_text(_manifest_text({"schema": SCHEMA, "step": step, "files": entries}), encoding="utf-8")
        sync(path)
        for folder in {self._path(name).parent for name in entries} | {self.folder}:
            sync(folder)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _written(self, name: str, path: Path) -> None:
        self._hashes[name] = self._threads.submit(_entry, path)


def sync(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose every file is there and unchanged.

    Raises ``TornCheckpointError`` for one that is cut off or damaged, and ``CheckpointError`` for one of a newer schema or
    with entries that do not belong there.
    """
    manifest = _read_manifest(folder)
    for name, entry in manifest["files"].items():
        path = _inside(folder, name)
        if not path.is_file():
            raise _torn(folder, f"{name} is missing")
        size = path.stat().st_size
        if size != entry["size"]:
            raise _torn(folder, f"{name} has {size:,} bytes instead of {entry['size']:,}")
        if _entry(path)["sha256"] != entry["sha256"]:
            raise _torn(folder, f"{name} does not have the content that was saved (its sha256 differs)")
    return manifest


def read_text(folder: Path, name: str) -> str:
    path = folder / name
    if path.stat().st_size > _LARGEST_TEXT:
        raise CheckpointError(f"{path} is larger than {_LARGEST_TEXT >> 20} MB, more than any checkpoint needs; it was not read")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text ({error}); take another checkpoint") from error


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = _inside(folder, MANIFEST)
    if not path.is_file():
        raise _torn(folder, f"it has no {MANIFEST}")
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise CheckpointError(f"{path} is larger than 1 MB, so vla-train did not write it; it was not read")
    try:
        manifest = json.loads(path.read_bytes())
        schema = manifest["schema"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _torn(folder, f"its {MANIFEST} cannot be read ({type(error).__name__}: {error})") from error
    if isinstance(schema, int) and schema > SCHEMA:
        raise CheckpointError(
            f"{folder} has checkpoint schema {schema}, and this vla-train reads up to {SCHEMA}. "
            "Upgrade vla-train, or take a checkpoint that this version wrote."
        )
    if foreign := set(manifest) - _KEYS:
        raise CheckpointError(f"{path} has keys that do not belong there: {sorted(foreign)}. Take another checkpoint.")
    checksum = manifest.pop("checksum", None)
    if _checksum(manifest) != checksum or not _well_formed(manifest):
        raise _torn(folder, f"its {MANIFEST} does not have the content that was saved")
    return dict(manifest)


def _well_formed(manifest: dict[str, Any]) -> bool:
    files = manifest.get("files")
    return (
        type(manifest["schema"]) is int
        and type(manifest.get("step")) is int
        and isinstance(files, dict)
        and all(isinstance(entry, dict) and set(entry) == {"size", "sha256"} for entry in files.values())
    )


def _manifest_text(manifest: dict[str, Any]) -> str:
    return json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=2) + "\n"


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _entry(path: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(min(path.stat().st_size, _CHUNK) + 1))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            size += count
    return {"sha256": digest.hexdigest(), "size": size}


def _inside(folder: Path, name: str) -> Path:
    """The path of a listed file, which must lie in the folder and not be a link."""
    parts = PurePosixPath(name).parts
    plain = bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name and "\0" not in name
    paths = [folder.joinpath(*parts[: i + 1]) for i in range(len(parts))] if plain else []
    if not plain or any(path.is_symlink() for path in paths):
        raise CheckpointError(f"the checkpoint {folder} lists {name!r}, which leads out of its folder; it was not read")
    return paths[-1]


def _torn(folder: Path, what: str) -> TornCheckpointError:
    return TornCheckpointError(
        f"the checkpoint {folder} is torn: {what}. Take another one, or name the run folder, which falls back to a whole one."
    )
