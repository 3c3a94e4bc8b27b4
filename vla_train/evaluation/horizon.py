"""How far ahead a policy is right: its error at each step of the chunk, beside that of the predictors."""

import csv
import io
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from vla_train.evaluation.predictors import dimension_names, groups_of
from vla_train.metrics import ratio_interval
from vla_train.spec import ActionSpec

ALL = "all"
POLICY = "policy"
COLUMNS = ("part", "predictor", "step", "seconds", "value", "low", "high", "physical", "unit", "frames")


def horizon_section(
    predicted: Mapping[str, Num[np.ndarray, "n h a"]],
    recorded: Num[np.ndarray, "n h a"],
    valid: Bool[np.ndarray, "n h a"],
    episode: Int[np.ndarray, "n"],
    *,
    std: Float[np.ndarray, "a"],
    spec: ActionSpec,
    rate: float,
) -> dict[str, Any]:
    """The section ``horizon`` of a report: for each part of the action and each predictor a value at every step of the chunk.

    Continuous: the mean absolute error, each dimension divided by ``std``, the standard deviation of its training actions.
    Dimensions that never vary in training (std 0) count only in their own unit. Discrete: the share of frames in agreement.
    ``valid`` entries alone count. Intervals: ``ratio_interval`` over episodes.
    """
    discrete = spec.kind == "discrete"
    names = dimension_names(spec)
    scale = np.ones(spec.size) if discrete else np.where(std > 0, std, np.nan)
    columns = _columns(names)
    parts = {ALL: [index for index in range(spec.size) if not np.isnan(scale[index])]} | columns
    parts |= {name: [index] for index, name in enumerate(names)} if spec.size > 1 else {}
    units = dict(zip(names, spec.units, strict=True)) if len(spec.units) == spec.size else {}
    section: dict[str, Any] = {
        "measure": "agreement" if discrete else "error",
        "unit": "share of the frames" if discrete else "standard deviations of the training actions",
        "rate": rate,
        "episodes": len(np.unique(episode)),
        "frames": valid.any(axis=2).sum(axis=0).tolist(),
        "columns": list(columns),
        "parts": {},
    }
    for part, chosen in parts.items():
        rows = {}
        for predictor, chunk in predicted.items():
            right = recorded[..., chosen]
            wrong = chunk[..., chosen] != right if discrete else np.abs(chunk[..., chosen].astype(np.float64) - right)
            value = 1.0 - wrong if discrete else wrong / scale[chosen]
            rows[predictor] = _over_episodes(value, valid[..., chosen], episode, 1.0 if discrete else math.inf)
            if len(chosen) == 1 and not discrete:
                rows[predictor]["physical"] = _over_episodes(wrong, valid[..., chosen], episode)["value"]
        section["parts"][part] = {"unit": units.get(part, ""), "predictors": rows}
    return section


def _columns(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Dimensions of one column of the data (``action.eef_position.0``, ``.1``, ...), where there are several columns."""
    groups = groups_of(names, lambda name: re.sub(r"\.\d+$", "", name))
    return groups if 1 < len(groups) < len(names) else {}


def _over_episodes(
    value: Float[np.ndarray, "n h d"], valid: Bool[np.ndarray, "n h d"], episode: Int[np.ndarray, "n"], largest: float = math.inf
) -> dict[str, Any]:
    """The mean over valid entries at every step, and over the whole chunk, each with its interval."""
    numbers, place = np.unique(episode, return_inverse=True)
    sums, counts = (np.zeros((len(numbers), value.shape[1])) for _ in range(2))
    np.add.at(sums, place, np.where(valid, value, 0.0).sum(axis=2))
    np.add.at(counts, place, valid.sum(axis=2))
    steps, whole = ratio_interval(sums, counts, largest), ratio_interval(sums.sum(axis=1), counts.sum(axis=1), largest)
    found = {name: array.tolist() for name, array in zip(("value", "low", "high"), steps, strict=True)}
    return found | {"chunk": [float(number) for number in whole]}


def horizon_csv(section: Mapping[str, Any]) -> str:
    """The section as a table: one row for each part, predictor and step (from 1; step s is s - 1 periods after the frame)."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for part, found in section["parts"].items():
        for predictor, row in found["predictors"].items():
            for index, frames in enumerate(section["frames"]):
                numbers = [row[name][index] if name in row else None for name in ("value", "low", "high", "physical")]
                shown = ["" if number is None or number != number else f"{number:.6g}" for number in numbers]
                writer.writerow([part, predictor, index + 1, f"{index / section['rate']:.4g}", *shown, found["unit"], frames])
    return file.getvalue()
