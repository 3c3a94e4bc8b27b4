"""The ``transformer`` model: pictures, words and state become tokens, and attention makes features of them."""

from collections.abc import Mapping
from typing import Literal

from torch import nn

from vla_train.models import leading
from vla_train.models.film_reader import FilmReader
from vla_train.models.patch_reader import PatchReader
from vla_train.spec import ImageSpec, Spec
from vla_train.types import Features, Observation


class TransformerEncoder(nn.Module):
    """``stem=film_conv`` localises in few updates on small machines; ``stem=patch`` is the textbook form to compare with.

    ``width``, ``layers`` and ``num_heads`` serve both, ``patch`` only patch; ``queries``, ``blocks``, ``words``, ``fusion`` and
    ``places`` only film_conv.
    """

    def __init__(
        self,
        spec: Spec,
        image_specs: Mapping[str, ImageSpec],
        vocabulary_size: int,
        max_tokens: int,
        *,
        stem: Literal["film_conv", "patch"],
        width: int,
        layers: int,
        num_heads: int,
        queries: int,
        blocks: int,
        patch: int,
        dropout: float,
        words: int = 0,  # checkpoints of before it have none
        fusion: int | None = None,  # likewise
        places: bool = False,  # likewise
    ) -> None:
        super().__init__()
        sizes = {"width": width, "layers": layers, "num_heads": num_heads}
        self.reader: FilmReader | PatchReader
        if stem == "film_conv":
            self.reader = FilmReader(
                spec,
                image_specs,
                vocabulary_size,
                max_tokens,
                queries=queries,
                blocks=blocks,
                words=words,
                fusion=fusion,
                places=places,
                dropout=dropout,
                **sizes,
            )
        else:
            self.reader = PatchReader(spec, image_specs, vocabulary_size, max_tokens, patch=patch, dropout=dropout, **sizes)
        self.feature_size = self.reader.feature_size
        self.vision_sees_language = self.reader.vision_sees_language

    def forward(self, observation: Observation) -> Features:
        """``observation.state`` is normalized already; any leading dimensions."""
        flat, lead = leading.flatten(observation)
        return leading.restore(self.reader(flat), lead)
