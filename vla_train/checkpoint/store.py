"""Checkpoints of a run, ``<run>/checkpoints/step_000500/``: saved whole or not at all, read only when whole.

A checkpoint is written under a temporary name, synced and renamed; ``last`` and ``best`` are relative links swapped atomically.
So a process that is killed at any moment leaves only whole checkpoints under their own names. One process writes at a time
(the run's lock); others may read.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from vla_train.checkpoint.manifest import FolderWriter, TornCheckpointError, read_text, sync, verify
from vla_train.checkpoint.nested import decode, encode, share, unshare
from vla_train.errors import CheckpointError
from vla_train.spec import StateDict

FOLDER = "checkpoints"
POLICY = "policy.safetensors"
STATE, STATE_TENSORS = "training/state.json", "training/state.safetensors"
_STEP = re.compile(r"step_(\d{6,})(\.replaced)?")  # .replaced: the old one, for the instant in which a step is saved again
_TEMPORARY = ".temporary-"


_NOT_OURS = (  # whatever reading content raises that ``write`` did not write; its manifest may be right all the same
    *(SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError),
)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole. ``texts`` are its text files by name (config.yaml, spec.json, ...), ``digest`` is the
    sha256 of the weights that are evaluated, wherever the folder lies."""

    path: Path
    step: int
    texts: dict[str, str]
    digest: str

    def text(self, name: str) -> str:
        """One of ``texts``. Raises ``CheckpointError`` if the checkpoint has none of that name."""
        if name not in self.texts:
            raise CheckpointError(f"{self.path} has no {name}, without which it cannot be used. Take another checkpoint.")
        return self.texts[name]

    def policy(self) -> dict[str, Tensor]:
        """The weights that are evaluated, with the normalizer: tensors by name, on the CPU."""
        try:
            with safe_open(self.path / POLICY, framework="pt") as file:
                aliases = json.loads((file.metadata() or {}).get("aliases", "{}"))
            return unshare(load_file(self.path / POLICY), aliases)
        except _NOT_OURS as error:
            raise _unreadable(self.path / POLICY, error) from error

    def training(self) -> StateDict:
        """The nested state that ``write`` was given, on the CPU."""
        try:
            document = json.loads(read_text(self.path, STATE))
            policy = {f"{POLICY}:{name}": tensor for name, tensor in self.policy().items()}
            state = decode(document["tree"], unshare(load_file(self.path / STATE_TENSORS), document["aliases"], policy))
            return dict(state)
        except _NOT_OURS as error:
            raise _unreadable(self.path / STATE, error) from error


def write(
    run: Path,
    step: int,
    *,
    policy: Mapping[str, Tensor],
    texts: Mapping[str, str],
    training: StateDict,
    keep: int,
    best: bool = False,
) -> Path:
    """Save one checkpoint and return its folder; ``last`` (and ``best``, if it is) then name it.

    ``policy`` is a state dict; tensors of ``training`` that share storage with it (the raw weights of a run without EMA) are
    not stored again. Afterwards the ``keep`` newest and the best stay. Saving a step again replaces it; checkpoints of later
    steps belong to a course that was given up, and go. Raises ``CheckpointError`` if the disk refuses: then what stood before
    stands unchanged.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}; at least the checkpoint just saved must stay")
    folder = run / FOLDER
    temporary = folder / f"{_TEMPORARY}{uuid4().hex[:12]}"
    target = folder / f"step_{step:06d}"
    try:
        temporary.mkdir(parents=True)
        _tidy(folder, spare=temporary)
        _fill(temporary, step, policy, texts, training)
        _put(temporary, target)
        for name in ("last", "best") if best else ("last",):
            _link(folder / name, target.name)
        sync(folder)
        _prune(folder, step, keep)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_refused(run, step, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def read(path: Path, warn: Callable[[str], object] | None = None) -> Checkpoint:
    """Open a checkpoint, or the last one of a run folder, after checking every byte of it.

    A checkpoint named outright must be whole. In a run folder a torn one is passed over for the newest whole one, with one call
    of ``warn`` (default: a logged warning). Raises ``CheckpointError``.
    """
    if not path.is_dir():
        raise CheckpointError(f"there is no checkpoint or run folder {path}. Name a run folder, or a folder in its {FOLDER}/.")
    run = path.parent if path.name == FOLDER else path
    if not (run / FOLDER).is_dir():
        return _read_one(path.resolve())
    passed_over: list[TornCheckpointError] = []
    for candidate in _candidates(run / FOLDER):
        try:
            checkpoint = _read_one(candidate)
        except TornCheckpointError as error:
            passed_over.append(error)
            continue
        if passed_over:
            warn = warn or logging.getLogger("vla_train").warning
            warn(f"{str(passed_over[0]).partition('. Take')[0]}. Going on from {checkpoint.path.name}.")
        return checkpoint
    if passed_over:
        raise passed_over[0]
    raise CheckpointError(f"{run} holds no checkpoint yet: its training was stopped before the first save (every.save).")


def resolve(path: Path, warn: Callable[[str], object] | None = None) -> Path:
    """The folder of the checkpoint that ``read`` would open."""
    return read(path, warn).path


def run_of(path: Path) -> Path:
    """The run folder that a checkpoint (or a link to one) lies in. Raises ``CheckpointError`` if it lies in none."""
    folder = path.resolve().parent
    if folder.name != FOLDER:
        raise CheckpointError(
            f"{path} does not lie in the {FOLDER}/ of a run folder, so there is no run to go on with; use init={path}"
        )
    return folder.parent


def _read_one(folder: Path) -> Checkpoint:
    manifest = verify(folder)
    if missing := {POLICY, STATE, STATE_TENSORS} - set(manifest["files"]):
        raise CheckpointError(f"{folder} is not a checkpoint of vla-train: it has no {', '.join(sorted(missing))}")
    names = [name for name in manifest["files"] if "/" not in name and not name.endswith(".safetensors")]
    texts = {name: read_text(folder, name) for name in names}
    return Checkpoint(folder, manifest["step"], texts, manifest["files"][POLICY]["sha256"])


def _fill(folder: Path, step: int, policy: Mapping[str, Tensor], texts: Mapping[str, str], training: StateDict) -> None:
    """Everything inside one checkpoint folder."""
    tree, tensors = encode(training)
    weights, weight_aliases = share(policy)
    among = {f"{POLICY}:{name}": policy[name] for name in weights}
    rest, aliases = share(tensors, among)
    writer = FolderWriter(folder)
    try:
        writer.tensors(STATE_TENSORS, rest)  # first, for it is the largest and its hash takes longest
        writer.tensors(POLICY, weights, {"format": "pt", "aliases": json.dumps(weight_aliases)})
        writer.text(STATE, json.dumps({"tree": tree, "aliases": aliases}, allow_nan=False))
        for name, text in texts.items():
            writer.text(name, text)
        writer.finish(step)
    finally:
        writer.close()


def _put(temporary: Path, target: Path) -> None:
    """Give the temporary folder its name. A folder cannot be renamed over another, so an old one steps aside first."""
    aside = target.with_name(f"{target.name}.replaced")
    if target.exists():
        target.rename(aside)
    temporary.rename(target)
    if aside.exists():
        _remove(aside)


def _link(link: Path, target: str) -> None:
    fresh = link.with_name(f"{_TEMPORARY}{link.name}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)


def _remove(folder: Path) -> None:
    """Delete a folder; a process killed while it does so leaves no half checkpoint under a checkpoint's name."""
    doomed = folder.with_name(f"{_TEMPORARY}{uuid4().hex[:12]}")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _tidy(folder: Path, spare: Path) -> None:
    """Clear up after a process that was killed in a save."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        if path.is_symlink():
            path.unlink()
        elif path != spare:
            shutil.rmtree(path)
    for aside in folder.glob("step_*.replaced"):
        target = aside.with_suffix("")
        if target.exists():
            _remove(aside)
        else:
            aside.rename(target)


def _steps(folder: Path) -> list[tuple[int, Path]]:
    """Every checkpoint folder with its step, the newest first."""
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _STEP.fullmatch(path.name)) and path.is_dir()]
    return sorted(found, key=lambda item: (-item[0], item[1].name))


def _prune(folder: Path, step: int, keep: int) -> None:
    steps = _steps(folder)
    stay = [path for number, path in steps if number <= step][:keep]
    best = _linked(folder / "best")
    for _, path in steps:
        if path not in stay and path != best:
            _remove(path)


def _linked(link: Path) -> Path | None:
    """Where ``last`` or ``best`` points; None unless that is a checkpoint beside it."""
    name = os.readlink(link) if link.is_symlink() else ""
    target = link.with_name(name) if _STEP.fullmatch(name) else None
    return target if target is not None and target.is_dir() and not target.is_symlink() else None


def _candidates(folder: Path) -> Iterator[Path]:
    last = _linked(folder / "last")
    if last is not None:
        yield last
    yield from (path for _, path in _steps(folder) if path != last and not path.is_symlink())


def _refused(run: Path, step: int, error: Exception) -> str:
    last = _linked(run / FOLDER / "last")
    stands = f"The previous checkpoint, {last}, is intact" if last is not None else "There is no earlier checkpoint"
    return (
        f"could not save step {step} in {run / FOLDER}: {error}. {stands}. Free space there (or mend the folder), "
        f"lower checkpoint.keep if need be, and go on with resume={run}"
    )


def _unreadable(path: Path, error: Any) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read, although its bytes are those that were saved: {error}. Take another checkpoint."
    )
