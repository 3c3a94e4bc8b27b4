"""Units of the world to units a network likes, and exactly back. Part of the policy, so a checkpoint needs no statistics."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vla_train.errors import DataError
from vla_train.spec import ActionSpec, FeatureStatistics

# A feature that seldom moves (a gripper that closes once) has a tiny standard deviation and would outweigh all others in the
# loss. Its scale is at least this share of its range: values then stay within about +-10.
SMALLEST_SHARE_OF_RANGE = 0.1


class Normalizer(nn.Module):
    """x -> (x - offset) / scale, for the state and for continuous actions; discrete actions pass unchanged.

    Mean and standard deviation rather than minimum and maximum: each action dimension then has a like share in an L1 or L2
    loss whatever its range, and the first predictions (zero) are the mean action. Without ``fit`` actions are scaled by
    their bounds to [-1, 1] and the state stays as it is.
    """

    state_offset: Tensor
    state_scale: Tensor
    action_offset: Tensor
    action_scale: Tensor

    def __init__(self, state_size: int, action: ActionSpec) -> None:
        super().__init__()
        low = torch.tensor(action.low or (-1.0,) * action.size)
        high = torch.tensor(action.high or (1.0,) * action.size)
        bounded = torch.isfinite(low) & torch.isfinite(high) & (high > low)
        self.discrete = action.kind == "discrete"
        self.register_buffer("state_offset", torch.zeros(state_size))
        self.register_buffer("state_scale", torch.ones(state_size))
        self.register_buffer("action_offset", torch.where(bounded, (low + high) / 2, 0.0))
        self.register_buffer("action_scale", torch.where(bounded, (high - low) / 2, 1.0))

    def fit(self, statistics: Mapping[str, FeatureStatistics]) -> None:
        """Take offsets and scales from the statistics of "state" and "action", or "relative_action" if there are such.

        Raises DataError if they are not finite.
        """
        self._set("state", statistics["state"])
        if not self.discrete:
            self._set("action", statistics.get("relative_action", statistics["action"]))

    def _set(self, name: str, feature: FeatureStatistics) -> None:
        offset, scale = self.get_buffer(f"{name}_offset"), self.get_buffer(f"{name}_scale")
        if feature.mean.shape != tuple(offset.shape):
            raise DataError(f"{name} statistics have {feature.mean.size} features, the Spec says {offset.numel()}: they differ")
        if not (np.isfinite(feature.mean).all() and np.isfinite(feature.std).all()):
            raise DataError(f"{name} statistics are not finite: the data hold NaN or infinite values; remove those episodes")
        spread = np.maximum(feature.std, SMALLEST_SHARE_OF_RANGE * (feature.max - feature.min))
        constant = spread <= 1e-6 * np.maximum(1.0, np.abs(feature.mean))
        offset.copy_(torch.from_numpy(feature.mean))
        scale.copy_(torch.from_numpy(np.where(constant, 1.0, spread)))

    def state(self, value: Float[Tensor, "*b s"]) -> Float[Tensor, "*b s"]:
        return (value - self.state_offset) / self.state_scale

    def action(self, value: Float[Tensor, "*b a"]) -> Float[Tensor, "*b a"]:
        return (value - self.action_offset) / self.action_scale

    def action_inverse(self, value: Float[Tensor, "*b a"]) -> Float[Tensor, "*b a"]:
        return value * self.action_scale + self.action_offset
