"""How much longer an atomic, hashed checkpoint takes than writing the same bytes to one file and syncing it.

    python scripts/benchmark_checkpoint.py [--megabytes 50] [--rounds 15] [--folder outputs]

The two are timed in turn (A B A B ...), so that a slow minute of the disk hits both. Target: at most 1.25 times.
"""

import argparse
import functools
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from vla_train import checkpoint


def write_raw(folder: Path, step: int, content: memoryview, keep: int = 2) -> None:
    """The bare minimum: one new file, written and synced, and the oldest one deleted, as a checkpoint does."""
    with (folder / f"raw{step}").open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    (folder / f"raw{step - keep}").unlink(missing_ok=True)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=Path("outputs"), help="a folder on the disk to measure")
    options = parser.parse_args()
    torch.set_num_threads(1)

    # A third each for the weights and AdamW's two moments, in 20 tensors each.
    size = int(options.megabytes * 1e6 / 4 / 3 / 20)
    policy = {f"layer{number}": torch.randn(size) for number in range(20)}
    moments = {number: {"exp_avg": torch.randn(size), "exp_avg_sq": torch.rand(size)} for number in range(20)}
    training = {"paradigm": policy, "optimizer": {"state": moments}, "random": checkpoint.random_state()}
    texts = {"config.yaml": "seed: 0\n" * 200, "spec.json": "{}", "processor.json": "{}", "tokenizer.json": "{}" * 20_000}
    content = memoryview(torch.randn(size * 60).numpy()).cast("B")

    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="benchmark-checkpoint-", dir=options.folder))
    raw, atomic = [], []
    try:
        for step in range(options.rounds + 3):
            raw.append(timed(functools.partial(write_raw, folder, step, content)))
            save = functools.partial(checkpoint.write, folder, step, policy=policy, texts=texts, training=training, keep=2)
            atomic.append(timed(save))
    finally:
        shutil.rmtree(folder)
    for name, seconds in (
        ("raw write + fsync", raw[3:]),
        ("atomic checkpoint", atomic[3:]),
    ):  # the first rounds warm up, and delete nothing yet
        low, middle, high = (1000 * value for value in (min(seconds), statistics.median(seconds), max(seconds)))
        print(f"{name}  {len(content) / 1e6:.0f} MB  median {middle:6.1f} ms  min {low:6.1f}  max {high:6.1f}")
    ratio = statistics.median(atomic[3:]) / statistics.median(raw[3:])
    paired = statistics.median(a / b for a, b in zip(atomic[3:], raw[3:], strict=True))
    print(
        f"ratio of medians {ratio:.2f}, median of paired ratios {paired:.2f}, of the fastest {min(atomic[3:]) / min(raw[3:]):.2f}"
    )


if __name__ == "__main__":
    main()
