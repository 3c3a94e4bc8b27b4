"""Units that follow from what a policy has met so far: of what it sees, and of the rewards."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vla_train.errors import UsageError
from vla_train.models.normalizer import Normalizer

LIMIT = 10.0  # standard deviations: what is farther off is cut
AS_IF_SEEN = 10_000.0  # steps that the units of a policy that has some already count as


class RunningMoments(nn.Module):
    """Mean and variance of all rows so far (Welford 1962; for batches Chan et al. 1983, "Algorithms for computing the sample
    variance", equation 2.1)."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, mean: Float[Tensor, "k"], std: Float[Tensor, "k"], count: float = 1e-4) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(count, dtype=torch.float64, device=mean.device))
        self.register_buffer("mean", mean.double().clone())
        self.register_buffer("squares", std.double().square() * count)  # of the distances from the mean, added up

    def add(self, rows: Float[Tensor, "n k"]) -> None:
        rows, count = rows.double(), len(rows)
        mean, total = rows.mean(0), self.count + count
        change = mean - self.mean
        self.squares += (rows - mean).square().sum(0) + change.square() * self.count * count / total
        self.mean += change * count / total
        self.count.copy_(total)

    @property
    def std(self) -> Float[Tensor, "k"]:
        return (self.squares / self.count + 1e-8).sqrt()


class RunningStates(nn.Module):
    """Keeps a policy's own normalizer at the mean and standard deviation of what was seen.

    Raises UsageError for a policy that has units of several domains.
    """

    def __init__(self, normalizer: Normalizer) -> None:
        super().__init__()
        if normalizer.domains > 1:
            raise UsageError(
                f"the policy has units for each of {normalizer.domains} domains, which one world cannot set anew: leave out "
                "paradigm.normalize_states"
            )
        offset, scale = normalizer.state_offset, normalizer.state_scale
        has_units = bool(offset.any()) or bool((scale != 1.0).any())
        self.moments = RunningMoments(offset, scale, AS_IF_SEEN if has_units else 1e-4)
        normalizer.limit_states(LIMIT)

    def learn(self, normalizer: Normalizer, state: Float[Tensor, "*b k s"]) -> None:
        """Take in the newest of each window, and set the normalizer."""
        self.moments.add(state[..., -1, :].flatten(0, -2))
        normalizer.state_offset.copy_(self.moments.mean)
        normalizer.state_scale.copy_(self.moments.std)


class RunningRewards(nn.Module):
    """Divides rewards by the standard deviation of the discounted sum of those so far, in each row since its episode began, so
    that what values have to predict is of the size 1 in any world. Their mean stays where it is."""

    so_far: Tensor

    def __init__(self, rows: int, device: torch.device) -> None:
        super().__init__()
        self.moments = RunningMoments(torch.zeros(1, device=device), torch.ones(1, device=device))
        self.register_buffer("so_far", torch.zeros(rows, dtype=torch.float64, device=device))

    def forward(
        self, reward: Float[Tensor, "t n"], ended: Bool[Tensor, "t n"], gamma: float
    ) -> tuple[Float[Tensor, "t n"], Float[Tensor, ""]]:
        """The rewards in the units of all so far, these included; and the unit."""
        sums, so_far = torch.empty_like(reward, dtype=torch.float64), self.so_far.clone()
        for step in range(len(reward)):
            sums[step] = so_far = gamma * so_far + reward[step]
            so_far = so_far.where(~ended[step], 0.0)
        self.so_far.copy_(so_far)
        self.moments.add(sums.view(-1, 1))
        unit = self.moments.std.squeeze(0).float()
        return (reward / unit).clamp(-LIMIT, LIMIT), unit
