"""Nested state (dicts, lists, tensors, arrays, numbers) as plain tensors plus one JSON document, and back, bit for bit.

JSON has no tensors, tuples, integer keys, NaN or NumPy arrays: each becomes an object with one key that starts with ``$``.
Tensors that share storage are stored once; the alias table says which part of which stored tensor the others are.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vla_train.spec import StateDict

Aliases = dict[str, dict[str, Any]]  # name -> {"of": stored name, "shape", "stride", "offset"}, in elements


def encode(state: StateDict) -> tuple[Any, dict[str, Tensor]]:
    """A JSON tree in which ``{"$tensor": name}`` stands for a tensor, and those tensors by name (still sharing storage).

    Raises ``TypeError`` with the place in the state for what neither JSON nor safetensors can hold.
    """
    tensors: dict[str, Tensor] = {}

    def keep(kind: str, place: str, tensor: Tensor) -> dict[str, str]:
        name = place
        while name in tensors:  # {"a/b": x} and {"a": {"b": x}} have the same place
            name += "~"
        tensors[name] = tensor.detach()
        return {kind: name}

    def walk(value: Any, place: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, Tensor):
            return keep("$tensor", place, value)
        if isinstance(value, np.ndarray | np.generic):
            kind = "$array" if isinstance(value, np.ndarray) else "$scalar"
            return keep(kind, place, _from_numpy(np.asarray(value), place))
        if isinstance(value, tuple):
            return {"$tuple": [walk(item, f"{place}/{i}") for i, item in enumerate(value)]}
        if isinstance(value, list):
            return [walk(item, f"{place}/{i}") for i, item in enumerate(value)]
        if isinstance(value, Mapping):
            if all(type(key) is str and not key.startswith("$") for key in value):
                return {key: walk(item, _join(place, key)) for key, item in value.items()}
            pairs = [[walk(key, f"{place}/key"), walk(item, _join(place, key))] for key, item in value.items()]
            return {"$dict": pairs}
        raise TypeError(f"the state at {place or 'its root'!r} is a {type(value).__name__}, which a checkpoint cannot hold")

    return walk(state, ""), tensors


def decode(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of ``encode``. Raises ``ValueError`` or ``KeyError`` for a document that ``encode`` did not write."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (tag := next(iter(value))).startswith("$"):
            return special[tag](value[tag])
        if any(key.startswith("$") for key in value):
            raise ValueError(f"an object with the keys {sorted(value)[:5]}")
        return {key: walk(item) for key, item in value.items()}

    special: dict[str, Callable[[Any], Any]] = {
        "$tensor": lambda name: tensors[name],
        "$array": lambda name: tensors[name].numpy().copy(),  # a copy: NumPy code may write into it
        "$scalar": lambda name: tensors[name].numpy()[()],
        "$tuple": lambda items: tuple(walk(item) for item in items),
        "$dict": lambda pairs: {walk(key): walk(item) for key, item in pairs},
        "$float": lambda text: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text],
    }
    return walk(tree)


def share(tensors: Mapping[str, Tensor], among: Mapping[str, Tensor] | None = None) -> tuple[dict[str, Tensor], Aliases]:
    """Split tensors into those to store (contiguous, on the CPU) and aliases of these or of the stored tensors ``among``.

    The largest view of a storage is stored and holds the others; views that merely overlap are each stored for themselves,
    so that a slice of a large buffer does not drag the buffer in.
    """
    owners: dict[tuple[Any, ...], list[tuple[str, Tensor]]] = {}
    for name, tensor in (among or {}).items():
        owners.setdefault(_storage(tensor), []).append((name, tensor))
    stored: dict[str, Tensor] = {}
    aliases: Aliases = {}
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].numel()):
        candidates = owners.setdefault(_storage(tensor), [])
        found = ((owner, view) for owner, held in candidates if (view := _view(held, tensor)) is not None)
        owner, view = next(found, (None, None))
        if owner is None or view is None:
            copy = tensor.detach().to("cpu").contiguous()
            stored[name] = copy.clone() if candidates and copy.data_ptr() == tensor.data_ptr() else copy
            candidates.append((name, tensor))
        else:
            aliases[name] = {"of": owner, "shape": list(tensor.shape), "stride": view[0], "offset": view[1]}
    return stored, aliases


def unshare(stored: Mapping[str, Tensor], aliases: Aliases, among: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The inverse of ``share``: every tensor by name; aliases are views again. Raises ``ValueError`` for an impossible alias."""
    tensors = dict(stored)
    for name, alias in aliases.items():
        owner = stored[alias["of"]] if alias["of"] in stored else (among or {})[alias["of"]]
        if math.prod(alias["shape"]) > owner.numel():
            raise ValueError(f"the alias {name!r} is larger than {alias['of']!r}")
        try:
            tensors[name] = owner.view(-1).as_strided(alias["shape"], alias["stride"], owner.storage_offset() + alias["offset"])
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"the alias {name!r} leaves {alias['of']!r}") from error
    return tensors


def save_nested(folder: Path, stem: str, state: StateDict) -> None:
    """Write a nested state into a folder, as ``<stem>.safetensors`` and ``<stem>.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tree, tensors = encode(state)
    stored, aliases = share(tensors)
    save_file(stored, folder / f"{stem}.safetensors")
    (folder / f"{stem}.json").write_text(json.dumps({"tree": tree, "aliases": aliases}), encoding="utf-8")


def load_nested(folder: Path, stem: str) -> StateDict:
    """Read what ``save_nested`` wrote, on the CPU."""
    document = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    stored = load_file(folder / f"{stem}.safetensors")
    state: StateDict = decode(document["tree"], unshare(stored, document["aliases"]))
    return state


def _join(place: str, key: object) -> str:
    return f"{place}/{key}" if place else str(key)


def _from_numpy(array: np.ndarray, place: str) -> Tensor:
    try:
        return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape).copy())
    except TypeError as error:
        raise TypeError(f"the state at {place!r} is an array of {array.dtype}, which a checkpoint cannot hold") from error


def _storage(tensor: Tensor) -> tuple[Any, ...]:
    # An empty tensor has no address of its own, so nothing is known to share it.
    address = tensor.untyped_storage().data_ptr() if tensor.numel() else id(tensor)
    return tensor.device, tensor.dtype, address


def _view(owner: Tensor, tensor: Tensor) -> tuple[list[int], int] | None:
    """Stride and offset of ``tensor`` inside the contiguous copy of ``owner`` that is stored; None if that does not hold it."""
    same = (tensor.data_ptr(), tensor.shape, tensor.stride()) == (owner.data_ptr(), owner.shape, owner.stride())
    if same:
        return list(torch.empty(tensor.shape, device="meta").stride()), 0
    if not owner.is_contiguous() or tensor.numel() > owner.numel():
        return None
    first = tensor.storage_offset() - owner.storage_offset()
    last = first + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return (list(tensor.stride()), int(first)) if first >= 0 and last < owner.numel() else None
