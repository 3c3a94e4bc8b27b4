"""Units of the world to units a network likes, and exactly back. Part of the policy, so a checkpoint needs no statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vla_train.errors import DataError, UsageError
from vla_train.spec import ActionSpec, FeatureStatistics

# A feature that seldom moves (a gripper that closes once) has a tiny standard deviation and would outweigh all others in the
# loss. Its scale is at least this share of its range: values then stay within about +-10.
SMALLEST_SHARE_OF_RANGE = 0.1

MODES = ("mean_std", "min_max", "quantiles", "none")


@dataclass(frozen=True)
class Normalization:
    """How each feature is brought to units alike: ``mean_std`` (mean 0, standard deviation 1), ``min_max`` (-1 to 1),
    ``quantiles`` (the 1 % and the 99 % quantile to -1 and 1: what is rarer may lie beyond), or ``none``.

    ``columns`` says otherwise for some of them, by the names of single numbers or, after those, of columns.
    """

    state: str = "mean_std"
    action: str = "mean_std"
    columns: Mapping[str, str] = field(default_factory=dict)

    def modes(self, feature: str, names: Sequence[str], size: int, columns: Sequence[str] = ()) -> list[str]:
        """The mode of each of the numbers of "state" or "action". ``names`` are theirs, ``columns`` those of the column that each
        is in, where they are known."""
        default = self.state if feature == "state" else self.action
        pairs = zip(names or [""] * size, columns or [""] * size, strict=True)
        return [self._mode((name, name.rpartition(".")[0], column), default) for name, column in pairs]

    def _mode(self, known_as: Sequence[str], default: str) -> str:
        return next((self.columns[name] for name in known_as if name in self.columns), default)

    def check(self, names: Sequence[str], columns: Sequence[str] = ()) -> None:
        """Raise UsageError for a column that is neither in the state nor in the action, whose numbers have these names, and are
        in these columns."""
        known = {*names, *(name.rpartition(".")[0] for name in names), *columns} - {""}
        if unknown := [name for name in self.columns if name not in known]:
            raise UsageError(
                f"normalization.columns names {unknown[0]!r}, which the policy neither sees nor predicts; it has "
                f"{', '.join(sorted(known)) or 'no names'}"
            )


class Normalizer(nn.Module):
    """x -> (x - offset) / scale, for the state and for continuous actions; discrete actions pass unchanged.

    By default mean and standard deviation rather than minimum and maximum: each action dimension then has a like share in an
    L1 or L2 loss whatever its range, and the first predictions (zero) are the mean action. Without ``fit`` actions are scaled by
    their bounds to [-1, 1] and the state stays as it is. With ``domains`` > 1 each has an offset and a scale of its own.
    """

    state_offset: Tensor
    state_scale: Tensor
    action_offset: Tensor
    action_scale: Tensor
    state_limit: Tensor | None  # none: states are not cut

    def __init__(self, state_size: int, action: ActionSpec, domains: int = 1) -> None:
        super().__init__()
        low = torch.tensor(action.low or (-1.0,) * action.size)
        high = torch.tensor(action.high or (1.0,) * action.size)
        bounded = torch.isfinite(low) & torch.isfinite(high) & (high > low)
        self.discrete = action.kind == "discrete"
        self.domains = domains
        start = {
            "state_offset": torch.zeros(state_size),
            "state_scale": torch.ones(state_size),
            "action_offset": torch.where(bounded, (low + high) / 2, 0.0),
            "action_scale": torch.where(bounded, (high - low) / 2, 1.0),
        }
        for name, value in start.items():  # [s] and [a]; with several domains [d, s] and [d, a]
            self.register_buffer(name, value if domains == 1 else value.repeat(domains, 1))
        self.register_buffer("state_limit", None)

    def fit(
        self,
        statistics: Mapping[str, FeatureStatistics],
        domain: int = 0,
        modes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Take a domain's offsets and scales from the statistics of "state" and "action", or "relative_action" if there are such.

        ``modes`` by feature, one for each number (default: mean_std). Raises DataError if statistics are missing, of another size
        or not finite.
        """
        chosen = {"state": "state"}
        if not self.discrete:
            chosen["action"] = "relative_action" if "relative_action" in statistics else "action"
        for feature, name in chosen.items():
            if name not in statistics:
                raise DataError(
                    f"there are no statistics of {name!r}, by which a policy is normalized (there are {[*statistics]})"
                )
            self._set(feature, statistics[name], domain, (modes or {}).get(feature))

    def _set(self, name: str, feature: FeatureStatistics, domain: int, modes: Sequence[str] | None) -> None:
        offset, scale = (self._of(self.get_buffer(f"{name}_{part}"), domain) for part in ("offset", "scale"))
        wanted = modes or ["mean_std"] * offset.numel()
        shift, spread = np.zeros(offset.numel()), np.ones(offset.numel())
        if "bounds" in wanted:  # as it is without statistics
            shift, spread = offset.double().numpy().copy(), scale.double().numpy().copy()
        for mode in set(wanted) - {"none", "bounds"}:
            its = np.array([other == mode for other in wanted])
            found_shift, found_spread = _affine(name, feature, mode, offset.numel())
            shift[its], spread[its] = found_shift[its], found_spread[its]
        offset.copy_(torch.from_numpy(shift))
        scale.copy_(torch.from_numpy(spread))

    def _of(self, buffer: Tensor, domain: int) -> Tensor:
        return buffer if self.domains == 1 else buffer[domain]

    def limit_states(self, limit: float) -> None:
        """Cut normalized states that are farther from 0. Checkpoints keep the limit."""
        self.register_buffer("state_limit", torch.full((), limit, device=self.state_scale.device))

    # ``value`` is [*b, k, s] or [*b, h, a] where ``domain`` [*b] says whose each row is.

    def state(self, value: Float[Tensor, "*n s"], domain: Int[Tensor, "*b"] | None = None) -> Float[Tensor, "*n s"]:
        offset, scale = self._for(domain, self.state_offset, self.state_scale)
        normalized = (value - offset) / scale
        return normalized if self.state_limit is None else normalized.clamp(-self.state_limit, self.state_limit)

    def action(self, value: Float[Tensor, "*n a"], domain: Int[Tensor, "*b"] | None = None) -> Float[Tensor, "*n a"]:
        offset, scale = self._for(domain, self.action_offset, self.action_scale)
        return (value - offset) / scale

    def action_inverse(self, value: Float[Tensor, "*n a"], domain: Int[Tensor, "*b"] | None = None) -> Float[Tensor, "*n a"]:
        offset, scale = self._for(domain, self.action_offset, self.action_scale)
        return value * scale + offset

    def _for(self, domain: Tensor | None, *buffers: Tensor) -> list[Tensor]:
        """Each row's offset and scale; with one domain the same for all."""
        if self.domains == 1 or domain is None:
            return [self._of(buffer, 0) for buffer in buffers]
        return [buffer[domain].unsqueeze(-2) for buffer in buffers]


def _affine(name: str, feature: FeatureStatistics, mode: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale, float64 [size] each, by which a mode brings a feature to units alike; a constant one keeps its units."""
    low, high = (feature.q01, feature.q99) if mode == "quantiles" else (feature.min, feature.max)
    needed = (
        (feature.mean, feature.std, feature.min, feature.max) if mode == "mean_std" else (low, high, feature.min, feature.max)
    )
    if any(values.shape != (size,) for values in needed):
        raise DataError(f"{name} statistics have {needed[0].size} features, the Spec says {size}: they differ")
    if not all(np.isfinite(values).all() for values in needed):
        raise DataError(f"{name} statistics are not finite: the data hold NaN or infinite values; remove those episodes")
    offset, spread = (feature.mean, feature.std) if mode == "mean_std" else ((low + high) / 2, (high - low) / 2)
    spread = np.maximum(spread, SMALLEST_SHARE_OF_RANGE * (feature.max - feature.min))
    constant = spread <= 1e-6 * np.maximum(1.0, np.abs(offset))
    return offset, np.where(constant, 1.0, spread)
