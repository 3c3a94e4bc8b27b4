"""What a policy is measured against on recorded data: predictors that see no picture and read no words."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from vla_train.data.dataset import DemonstrationDataset
from vla_train.spec import ActionSpec

MEAN, COMMONEST, LAST, HOLD = "mean action", "commonest action", "last action", "hold state"


@dataclass(frozen=True)
class Recording:
    """The recorded numbers of a dataset. n frames in all, m of them for training."""

    action: Num[np.ndarray, "n a"]
    first: Bool[np.ndarray, "n"]  # whether a frame begins its episode
    training: Int[np.ndarray, "m"]
    reference: (
        Float[np.ndarray, "n a"] | None
    )  # the state that an action sets, as it is now; NaN where none does. None: not known

    @classmethod
    def of(cls, dataset: DemonstrationDataset) -> "Recording":
        return cls(
            action=dataset.actions,
            first=np.diff(dataset.episode_of, prepend=-1) != 0,
            training=dataset.frames("train"),
            reference=dataset.reference_state,
        )

    @property
    def std(self) -> Float[np.ndarray, "a"]:
        """The standard deviation of the training actions; 0 for what never varies, whatever rounding says."""
        return deviation(self.action[self.training])


def deviation(action: Num[np.ndarray, "m a"]) -> Float[np.ndarray, "a"]:
    """The standard deviation of each dimension; 0 for what never varies, whatever rounding says."""
    mean, std = action.mean(axis=0, dtype=np.float64), action.std(axis=0, dtype=np.float64)
    return np.where(std > 1e-6 * np.maximum(1.0, np.abs(mean)), std, 0.0)


def predictions(
    recording: Recording, rows: Int[np.ndarray, "b"], chunk: int, spec: ActionSpec
) -> tuple[dict[str, Num[np.ndarray, "b h a"]], dict[str, str]]:
    """What each predictor says at frames ``rows``, the same for every step of the chunk, and why one cannot speak.

    A predictor that can speak of some dimensions only has NaN in the others and a reason. The rows must not begin an episode:
    there is no action before those.
    """
    if recording.first[rows].any():
        raise ValueError("there is no last action in the first frame of an episode")
    training = recording.action[recording.training]
    found: dict[str, np.ndarray] = {}
    if spec.kind == "discrete":
        found[COMMONEST] = np.full((len(rows), spec.size), np.bincount(training[:, 0]).argmax())
    else:
        found[MEAN] = np.broadcast_to(training.mean(axis=0, dtype=np.float64), (len(rows), spec.size))
    found[LAST] = recording.action[rows - 1]
    reason = _why_no_state(recording.reference, spec)
    if recording.reference is not None and not np.isnan(recording.reference).all():
        found[HOLD] = recording.reference[rows]
    held = {name: np.broadcast_to(value[:, None], (len(rows), chunk, spec.size)) for name, value in found.items()}
    return held, {HOLD: reason} if reason else {}


def _why_no_state(reference: np.ndarray | None, spec: ActionSpec) -> str:
    if spec.kind == "discrete":
        return "a choice is not a state that could be held"
    if reference is None or np.isnan(reference).all():
        return "no column of the state is known to correspond to one of the action"
    missing = np.isnan(reference).all(axis=0)
    names = dimension_names(spec)
    lacking = [name for name, none in zip(names, missing, strict=True) if none]
    return f"no column of the state corresponds to {', '.join(lacking)}" if lacking else ""


def dimension_names(spec: ActionSpec) -> tuple[str, ...]:
    """One for each dimension; its number where the Spec has none (a single one is the "action")."""
    if len(spec.names) == spec.size:
        return spec.names
    return ("action",) if spec.size == 1 else tuple(str(index) for index in range(spec.size))


def groups_of(names: tuple[str, ...], key: Callable[[str], str]) -> dict[str, list[int]]:
    """The dimensions of each group, in order."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(key(name), []).append(index)
    return groups
