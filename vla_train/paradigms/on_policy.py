"""What paradigms share that learn from what the present policy has just done."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vla_train.errors import UsageError
from vla_train.models.policy import Policy
from vla_train.types import Features, Observation, Rollout


class ValueNetwork(nn.Module):
    """How much reward is still to come: one number for each observation. ``encoder`` None: it reads the policy's features."""

    def __init__(self, encoder: nn.Module | None, feature_size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.layer = nn.Linear(feature_size, 1)
        nn.init.orthogonal_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, policy: Policy, observation: Observation, features: Features) -> Float[Tensor, "*b"]:
        if self.encoder is not None:
            state = policy.normalizer.state(observation.state, observation.domain)
            features = self.encoder(replace(observation, state=state))
        return self.layer(features.fused).float().squeeze(-1)  # type: ignore[no-any-return]


def need_probabilities(policy: Policy, paradigm: str) -> None:
    """Raise UsageError for a policy that has none."""
    if not policy.has_distribution:
        raise UsageError(
            f"paradigm={paradigm} weighs actions by their probability, which {type(policy.head).__name__} does not give: train "
            "with head=gaussian_constant, gaussian or categorical (a checkpoint under init= brings its own head)"
        )


def values_after(batch: Rollout, value: Float[Tensor, "t n"], final: Float[Tensor, "m"]) -> Float[Tensor, "t n"]:
    """The value of what each step led to: that of the next step's observation, or of an entry of ``batch.final``. After a
    termination it is a number without meaning."""
    after = torch.cat([value[1:], torch.zeros_like(value[:1])])
    if not len(final):
        return after
    return torch.where(batch.final_index >= 0, final[batch.final_index.clamp(min=0)], after)
