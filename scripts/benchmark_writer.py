"""What it costs that every episode is safe as soon as it is whole.

    python scripts/benchmark_writer.py [--episodes 100] [--frames 20] [--size 64]

The same episodes are written with ``commit_every=1``, the default of ``LeRobotWriter``, and with 0, which makes them safe at the
end; then both are opened and their columns read. Waiting for the disk is in the times.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from vla_train.data.reader import open_reader
from vla_train.data.writer import LeRobotWriter
from vla_train.spec import ActionSpec, ImageSpec, Spec


def written(folder: Path, episodes: int, frames: int, size: int, commit_every: int) -> float:
    """Seconds that it takes to write the episodes; their pictures are blocks of colour."""
    spec = Spec({"top": ImageSpec(size, size)}, 4, ActionSpec("continuous", 4))
    colours = np.random.default_rng(0).integers(0, 256, (frames, -(-size // 8), -(-size // 8), 3), dtype=np.uint8)
    pictures = colours.repeat(8, axis=1).repeat(8, axis=2)[:, :size, :size]
    numbers = {"state": np.zeros((frames, 4)), "action": np.zeros((frames, 4)), "reward": np.zeros(frames)}
    ends = {"terminated": np.zeros(frames, bool), "truncated": np.arange(frames) == frames - 1}
    begun = time.perf_counter()
    writer = LeRobotWriter(folder, spec, "toy", commit_every=commit_every)
    for _ in range(episodes):
        writer.add_episode(images={"top": pictures}, instruction="go", task="", **numbers, **ends)
    writer.finish()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("episodes", 100), ("frames", 20), ("size", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = vars(parser.parse_args())
    for commit_every in (0, 1, 0, 1):
        with tempfile.TemporaryDirectory() as folder:
            writing = written(Path(folder), **options, commit_every=commit_every)
            begun = time.perf_counter()
            open_reader(Path(folder)).columns()
            reading, files = time.perf_counter() - begun, len(list(Path(folder).rglob("*.parquet")))
        each = [f"{1e3 * seconds / options['episodes']:.2f} ms" for seconds in (writing, reading)]
        print(f"commit_every={commit_every}: {each[0]} to write an episode, {each[1]} to read it, {files} files", flush=True)


if __name__ == "__main__":
    main()
