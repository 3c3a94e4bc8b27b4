"""Make of a file of torch tensors what ``dataset=tensors`` reads: NAME.safetensors and NAME.json.

    python scripts/convert_tensor_file.py demos.pt [FOLDER]

The file holds {observations: [{image, state}, ...], language, actions, episode_indices}: a picture and a state for each frame
([y, x, c] or [c, y, x]; bytes, or floats from 0 to 1), a text for each frame or episode (or one for all). It is read with
``weights_only=True``, so nothing in it is run; a file that needs more is refused. Exit code 3: the file is not such a one.
"""

import argparse
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

KEYS = ("observations", "language", "actions", "episode_indices")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", help="default: where the file lies")
    words = parser.parse_args()
    target = (words.folder or words.file.parent) / words.file.with_suffix(".safetensors").name
    if taken := [path for path in (target, target.with_suffix(".json")) if path.exists()]:
        print(f"{taken[0]} exists: move it away, or name another folder", file=sys.stderr)
        return 2
    try:
        tensors, texts = converted(torch.load(words.file, map_location="cpu", weights_only=True))
    except (OSError, pickle.UnpicklingError, RuntimeError, ValueError, TypeError, EOFError, KeyError) as error:
        print(f"{words.file} is not read: {str(error).splitlines()[0]}", file=sys.stderr)
        return 3
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target)
    target.with_suffix(".json").write_text(json.dumps({"language": texts}, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(f"{target}: {len(tensors['actions']):,} frames, {len(np.unique(tensors['episode_indices'])):,} episodes")
    return 0


def converted(content: Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays and the texts. ValueError where something is missing or of another size."""
    if not isinstance(content, dict) or not set(KEYS) <= set(content):
        raise ValueError(f"it holds {sorted(content) if isinstance(content, dict) else type(content).__name__}, not {list(KEYS)}")
    observations = content["observations"]
    if not observations or not all(isinstance(each, dict) and each.keys() == observations[0].keys() for each in observations):
        raise ValueError("observations is no list of {image, state}, each with the same keys")
    tensors = {name: np.stack([array(each[name]) for each in observations]) for name in observations[0]}
    tensors = {name: pictures(values) if name.startswith("image") else values for name, values in tensors.items()}
    tensors |= {name: array(content[name]) for name in ("actions", "episode_indices")}
    if wrong := [name for name, values in tensors.items() if len(values) != len(observations)]:
        raise ValueError(f"{wrong[0]} has {len(tensors[wrong[0]])} rows for {len(observations)} observations")
    episodes = len(np.unique(tensors["episode_indices"]))
    language = content["language"]
    texts = [language] * episodes if isinstance(language, str) else language
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("language is no text and no list of texts")
    if len(texts) not in (episodes, len(observations)):
        raise ValueError(f"language has {len(texts)} texts for {episodes} episodes of {len(observations)} frames")
    return {name: np.ascontiguousarray(values) for name, values in tensors.items()}, texts


def array(value: Any) -> np.ndarray:
    return torch.as_tensor(value).numpy()


def pictures(values: np.ndarray) -> np.ndarray:
    """uint8 [n, y, x, c] of pictures in either order of axes."""
    if values.ndim == 4 and values.shape[1] in (1, 3, 4) and values.shape[3] not in (1, 3, 4):
        values = values.transpose(0, 2, 3, 1)
    if values.dtype.kind == "f":
        if values.min() < 0 or values.max() > 1:
            raise ValueError("pictures of floats go from 0 to 1")
        values = np.round(values * 255).astype(np.uint8)
    return values


if __name__ == "__main__":
    sys.exit(main())
