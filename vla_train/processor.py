"""From raw observations to what a model reads: the same object for training, evaluation and serving.

The Processor cleans and tokenizes instructions, chooses cameras and resizes their pictures. It is saved beside the policy
(``processor.json``, ``tokenizer.json``), so loading a checkpoint needs nothing from anywhere else.
"""

import json
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num, Shaped, UInt8
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional

from vla_train.errors import CheckpointError, DataError, Notice, UsageError
from vla_train.spec import ImageSpec, Spec
from vla_train.types import Observation

PAD, BEGIN = "<pad>", "<begin>"
_PLAIN = str.maketrans("\u2018\u2019\u201a\u201c\u201d\u201e\u2010\u2011\u2012\u2013\u2014\u2212", "'''\"\"\"------")
LARGEST_AUTO = 128  # pixels: a compromise between what a small camera's picture shows and what a laptop trains on
BEGIN_ID = 1  # of the special tokens, which come first; padding is 0


def clean(instruction: str) -> str:
    """Lower case, one blank between words, none around them; characters that only look different are the same (Unicode's NFKC,
    plain quotes and dashes), and invisible ones are gone. What is clean stays as it is."""
    if not instruction.isascii():
        plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", instruction.translate(_PLAIN)).lower())
        instruction = "".join(letter for letter in plain if letter.isspace() or unicodedata.category(letter)[0] != "C")
    return " ".join(instruction.lower().split())


def train_tokenizer(instructions: Iterable[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE (Sennrich et al. 2016 over the 256 bytes, as GPT-2 does): every text has tokens, no word is unknown.

    ``vocabulary`` counts the 256 bytes and the two special tokens; equal sets of instructions give equal tokenizers.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(alphabet) + 2
    if vocabulary < smallest:
        raise UsageError(f"model.vocabulary is {vocabulary}, but the bytes alone need {smallest}: set it to {smallest} or more")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, BEGIN], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(sorted({clean(text) for text in instructions}), trainer)
    return tokenizer


def depth_bytes(values: Num[np.ndarray, "..."], limits: tuple[float, float]) -> UInt8[np.ndarray, "..."]:
    """Depth in some unit as bytes: ``limits`` (near, far) become 0 and 255, what lies beyond is cut. Where a sensor saw nothing
    (NaN, infinity) stands the farthest."""
    near, far = limits
    known = np.nan_to_num(values.astype(np.float64), nan=far, posinf=far, neginf=near)
    return np.round(np.clip((known - near) / (far - near), 0.0, 1.0) * 255.0).astype(np.uint8)


class Processor:
    """Decided by the model's config: ``cameras`` (None: all), and to which ``image_size`` their pictures are brought.

    A number makes squares of so many pixels; None leaves them as the camera gives. "auto" leaves cameras of at most
    ``LARGEST_AUTO`` pixels a side alone, and brings the longer side of larger ones down to that, keeping their shape (both
    sides rounded to multiples of 8, the patches of models). Symbols and clouds are never resized. With ``language="none"``
    the policy is told nothing: the begin token stands for every instruction.
    """

    def __init__(
        self,
        spec: Spec,
        tokenizer: Tokenizer,
        *,
        cameras: list[str] | None,
        image_size: int | Literal["auto"] | None,
        max_tokens: int,
        language: Literal["instruction", "none"] = "instruction",
    ) -> None:
        missing = [name for name in cameras or [] if name not in spec.images]
        if missing:
            raise UsageError(
                f"model.cameras names {missing}, but the data has {sorted(spec.images) or 'no cameras'}: choose from those"
            )
        self.spec = spec
        self.tokenizer = tokenizer
        self.tokenizer.encode_special_tokens = True  # "<pad>" in an instruction is text, not padding
        self.cameras = list(spec.images) if cameras is None else list(cameras)
        self.image_size = image_size
        self.max_tokens = max_tokens
        self.language = language
        self.image_specs = {name: self._resized(spec.images[name]) for name in self.cameras}
        self._ids: dict[str, list[int]] = {}
        self._longest = max_tokens  # of the instructions so far, in tokens

    def _resized(self, image: ImageSpec) -> ImageSpec:
        if self.image_size is None or image.kind in ("symbols", "points"):
            return image
        if isinstance(self.image_size, int):
            return replace(image, height=self.image_size, width=self.image_size)
        longest = max(image.height, image.width)
        if longest <= LARGEST_AUTO:
            return image
        height, width = (max(8, round(side * LARGEST_AUTO / longest / 8) * 8) for side in (image.height, image.width))
        return replace(image, height=height, width=width)

    def notes(self) -> list[str]:
        """What ``image_size="auto"`` made of the cameras, in words; nothing where nothing was asked for or done."""
        resized = {name: (self.spec.images[name], image) for name, image in self.image_specs.items()}
        return [
            f"camera {name}: {old.width} x {old.height} pixels are resized to {new.width} x {new.height} (model.image_size=auto)"
            for name, (old, new) in resized.items()
            if self.image_size == "auto" and old != new
        ]

    @property
    def vocabulary_size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    @property
    def cache_key(self) -> str:
        """Tells caches of resized frames apart: the cameras and their sizes."""
        return ",".join(f"{name}-{image.height}x{image.width}x{image.channels}" for name, image in self.image_specs.items())

    def resize(self, images: Mapping[str, Shaped[np.ndarray, "_n _y _x _c"]]) -> dict[str, Shaped[np.ndarray, "_n _y _x _c"]]:
        """The chosen cameras at the models' size. Colours are averaged over area, depth takes the nearest pixel and becomes bytes
        where it was trained on as such.

        Raises DataError where a picture does not fit the Spec, a symbol is not among those that it declares, or a number of a
        point cloud is not finite.
        """
        return {name: self._resize(name, images[name]) for name in self.cameras if self._check(name, images)}

    def _check(self, name: str, images: Mapping[str, np.ndarray]) -> bool:
        image = self.spec.images[name]
        if name not in images:
            raise DataError(f"camera {name!r} is missing from the observation, which has {sorted(images) or 'none'}")
        found = images[name].shape
        if (
            len(found) != 4
            or found[3] != image.channels
            or (image.kind in ("symbols", "points") and found[1:3] != (image.height, image.width))
        ):
            expected = f"[n, {image.height}, {image.width}, {image.channels}]"
            raise DataError(
                f"camera {name!r} gives an array {list(found)}; the Spec says {expected}: mend the reader or the Spec"
            )
        if image.kind == "symbols" and found[0] and np.any(images[name].max((0, 1, 2)) >= np.array(image.symbols)):
            largest = images[name].max((0, 1, 2)).tolist()
            raise DataError(
                f"camera {name!r} holds the codes {largest} (largest of each channel), but its channels have only "
                f"{list(image.symbols)} symbols: mend ImageSpec.symbols or the data"
            )
        if image.kind == "points" and not np.isfinite(images[name]).all():
            row, point = np.argwhere(~np.isfinite(images[name]))[0, :2].tolist()
            raise DataError(
                f"camera {name!r} holds numbers that are not finite, first in point {point} of cloud {row}: put points that are "
                "there in the place of those that were not seen"
            )
        return True

    def _resize(self, name: str, image: np.ndarray) -> np.ndarray:
        target = self.image_specs[name]
        if target.kind == "points":
            return image.astype(target.dtype, copy=False)
        if target.depth_range is not None and image.dtype != np.uint8:
            image = depth_bytes(image, target.depth_range)
        if image.shape[1:3] == (target.height, target.width):
            return image
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(0, 3, 1, 2)
        size = (target.height, target.width)
        if target.kind == "depth":  # averaging across an edge would invent a surface between the two
            resized = functional.interpolate(pixels, size, mode="nearest-exact")
        else:
            resized = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())

    def tokenize(self, instructions: Sequence[str]) -> tuple[Int[np.ndarray, "n l"], Bool[np.ndarray, "n l"]]:
        """Token numbers and their mask, padded to ``max_tokens``. The begin token stands first, so '' has one token too."""
        tokens = np.zeros((len(instructions), self.max_tokens), np.int64)
        mask = np.zeros(tokens.shape, np.bool_)
        told = self._longest
        for row, instruction in enumerate(instructions):
            ids = self._encode(instruction)
            tokens[row, : len(ids)] = ids
            mask[row, : len(ids)] = True
        if self._longest > told:
            warnings.warn(
                f"the longest instruction has {self._longest} tokens, and {self.max_tokens} are read: to read all of it, "
                f"train with model.max_tokens={self._longest}",
                Notice,
                stacklevel=2,
            )
        return tokens, mask

    def _encode(self, instruction: str) -> list[int]:
        found = self._ids.get(instruction)  # once: another thread may clear the table
        if found is None:
            text = clean(instruction) if self.language == "instruction" else ""
            ids = [BEGIN_ID, *(self.tokenizer.encode(text).ids if text else [])]
            if len(self._ids) >= 100_000:  # a server must not grow for ever
                self._ids.clear()
            self._longest = max(self._longest, len(ids))
            found = self._ids[instruction] = ids[: self.max_tokens]
        return found

    def observation(
        self,
        images: Mapping[str, Shaped[np.ndarray, "n k _y _x _c"]],
        tokens: Int[np.ndarray, "n l"],
        token_mask: Bool[np.ndarray, "n l"],
        state: Float[np.ndarray, "n k s"],
        present: Bool[np.ndarray, "n k"],
        task: Int[np.ndarray, "n"] | None = None,
        domain: Int[np.ndarray, "n"] | None = None,
    ) -> Observation:
        """Tensors that share memory with the arrays; ``images`` come from ``resize`` and become views with channels first."""
        zeros = np.zeros(len(tokens), np.int64)
        return Observation(
            images={name: torch.from_numpy(images[name]).permute(0, 1, 4, 2, 3) for name in self.cameras},
            state=torch.from_numpy(state),
            present=torch.from_numpy(present),
            tokens=torch.from_numpy(tokens),
            token_mask=torch.from_numpy(token_mask),
            task=torch.from_numpy(zeros if task is None else task),
            domain=torch.from_numpy(zeros if domain is None else domain),
        )

    def texts(self) -> dict[str, str]:
        """What to save, as file names and texts."""
        settings: dict[str, Any] = {"cameras": self.cameras, "image_size": self.image_size, "max_tokens": self.max_tokens}
        settings |= {"language": self.language}
        processor = {**settings, "spec": json.loads(self.spec.to_json())}
        return {"processor.json": json.dumps(processor, indent=2), "tokenizer.json": self.tokenizer.to_str(pretty=True)}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> "Processor":
        """The Processor that gave these ``texts``. Raises CheckpointError where they are not such texts."""
        try:
            settings = json.loads(texts["processor.json"])
            spec = Spec.from_json(json.dumps(settings.pop("spec")))
            return cls(spec, Tokenizer.from_str(texts["tokenizer.json"]), **settings)
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(
                f"processor.json or tokenizer.json cannot be read ({error}): take another checkpoint"
            ) from error
