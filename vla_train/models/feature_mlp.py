"""The ``feature_mlp`` model: a perceptron over numbers, and the mean of the words' vectors beside them."""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vla_train.errors import UsageError
from vla_train.models import leading
from vla_train.models.language import crop
from vla_train.spec import ImageSpec, Spec
from vla_train.types import Features, Observation

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "relu": functools.partial(nn.ReLU, inplace=True)}


class FeatureMLPEncoder(nn.Module):
    """``layers`` layers of ``width`` units over the states of the window (0 where a step is absent). Weights begin orthogonal
    (Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks").

    Raises UsageError for data that have cameras and no state: it would be blind.
    """

    vision_sees_language = False

    def __init__(
        self,
        spec: Spec,
        image_specs: Mapping[str, ImageSpec],
        vocabulary_size: int,
        max_tokens: int,
        *,
        width: int,
        layers: int,
        activation: Literal["tanh", "relu"] = "tanh",
        words: int = 16,
    ) -> None:
        super().__init__()
        if spec.images and not spec.state_size:
            raise UsageError(
                f"model=feature_mlp reads numbers, and there are only pictures ({', '.join(spec.images)}): choose model=film_cnn "
                "or model=transformer, or data that have a state"
            )
        self.words = nn.Embedding(vocabulary_size, words) if words else None
        sizes = [spec.history * spec.state_size + words, *[width] * layers]
        self.layers = nn.Sequential()
        for inputs, outputs in itertools.pairwise(sizes):
            linear = nn.Linear(inputs, outputs)
            if inputs:
                nn.init.orthogonal_(linear.weight, nn.init.calculate_gain(activation))
            nn.init.zeros_(linear.bias)
            self.layers.extend([linear, ACTIVATIONS[activation]()])
        self.feature_size = width

    def forward(self, observation: Observation) -> Features:
        """``observation.state`` is normalized already; any leading dimensions."""
        flat, lead = leading.flatten(observation)
        alone = flat.state.shape[1] == 1  # a window of one step, which is there
        parts = [(flat.state if alone else flat.state * flat.present[..., None]).flatten(1)]
        if self.words is not None:
            parts.append(self._sentence(self.words, *crop(flat.tokens, flat.token_mask)))
        return leading.restore(Features(fused=self.layers(parts[0] if len(parts) == 1 else torch.cat(parts, -1))), lead)

    def _sentence(self, words: nn.Embedding, tokens: Int[Tensor, "n l"], mask: Bool[Tensor, "n l"]) -> Float[Tensor, "n d"]:
        """The mean over the words; 0 where nothing was said, which is the begin token alone."""
        weight = mask[:, 1:, None].float()
        return (words(tokens[:, 1:]) * weight).sum(1) / weight.sum(1).clamp(min=1.0)  # type: ignore[no-any-return]
