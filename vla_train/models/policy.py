"""The policy: normalizer, encoder and head in one module, whose weights are a self-contained checkpoint."""

from dataclasses import replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.distributions import Distribution

from vla_train.models.normalizer import Normalizer
from vla_train.spec import ActionSpec, Spec
from vla_train.types import Demonstration, Features, Observation


@runtime_checkable
class Encoder(Protocol):
    """What every model of ``configs/model`` is: a module that reads an Observation whose state is normalized already.

    Its ``__init__`` takes (spec, image_specs, vocabulary_size, max_tokens) and the keys of its YAML.
    """

    feature_size: int
    vision_sees_language: bool  # contrastive paradigms need a vision stream that does not

    def __call__(self, observation: Observation) -> Features: ...


@runtime_checkable
class Head(Protocol):
    """What every head of ``configs/head`` is. ``__init__`` takes (feature_size, action, chunk) and the keys of its YAML."""

    @classmethod
    def fits(cls, action: ActionSpec) -> bool: ...
    def loss(self, fused: Tensor, action: Tensor, valid: Tensor) -> Tensor: ...
    def act(self, fused: Tensor, explore: bool = False) -> Tensor: ...


class Policy(nn.Module):
    """``forward`` is ``loss``, so that ``torch.func.functional_call`` reaches it."""

    forward_methods: ClassVar[tuple[str, ...]] = ("loss", "act", "encode")  # for FSDP2's register_fsdp_forward_method
    low: Tensor
    high: Tensor

    def __init__(self, encoder: Any, head: Any, normalizer: Normalizer, spec: Spec) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.normalizer = normalizer
        self.spec = spec
        self.discrete = spec.action.kind == "discrete"
        unbounded = (torch.inf,) * spec.action.size
        self.register_buffer("low", torch.tensor(spec.action.low or [-bound for bound in unbounded]), persistent=False)
        self.register_buffer("high", torch.tensor(spec.action.high or unbounded), persistent=False)

    @property
    def has_distribution(self) -> bool:
        """Whether ``distribution`` is there: paradigms that need likelihoods ask before the run."""
        return hasattr(self.head, "distribution")

    def encode(self, observation: Observation) -> Features:
        state = self.normalizer.state(observation.state, observation.domain)
        return self.encoder(replace(observation, state=state))  # type: ignore[no-any-return]

    def distribution(self, features: Features) -> Distribution:
        """Over chunks [h, a] in the head's units: normalized for continuous actions, numbers for discrete ones.

        Raises ValueError where the head has no distribution.
        """
        if not self.has_distribution:
            raise ValueError(f"{type(self.head).__name__} has no distribution: choose head=gaussian or head=categorical")
        return self.head.distribution(features.fused)  # type: ignore[no-any-return]

    def loss(self, batch: Demonstration) -> Float[Tensor, "*b"]:
        """The head's loss in normalized units, a mean over each sample's valid entries."""
        fused = self.encode(batch.observation).fused
        return self.head.loss(fused, self.in_head_units(batch.action, batch.observation), batch.valid)  # type: ignore[no-any-return]

    def in_head_units(self, action: Num[Tensor, "*b h a"], observation: Observation) -> Num[Tensor, "*b h a"]:
        """A chunk in physical units as the head gives it: what ``distribution`` is over."""
        if self.discrete:
            return action
        return self.normalizer.action(action - self.origin(observation), observation.domain)

    def act(self, observation: Observation, *, explore: bool = False) -> Num[Tensor, "*b h a"]:
        """A chunk in physical units (int64 if discrete).

        The plain action is clipped to the Spec's bounds. An exploring sample is not: its likelihood belongs to the action
        as sampled, and the environment clips what it executes.
        """
        chosen: Tensor = self.head.act(self.encode(observation).fused, explore)
        if self.discrete:
            return chosen
        action = self.normalizer.action_inverse(chosen, observation.domain) + self.origin(observation)
        return action if explore else action.clamp(self.low, self.high)

    def origin(self, observation: Observation) -> Float[Tensor, "*b 1 a"] | Float[Tensor, ""]:
        """What the head's actions are relative to: the newest state, 0 for dimensions that are absolute."""
        columns = self.spec.action.relative_to
        if not columns:
            return observation.state.new_zeros(())
        state = observation.state[..., -1:, :]
        return torch.stack([torch.zeros_like(state[..., 0]) if column < 0 else state[..., column] for column in columns], -1)

    forward = loss
