"""How fast batches come: the frame cache beside loaders that decode, on one core.

    python scripts/benchmark_data.py [--size 96] [--seconds 2] [--rounds 5]
    python scripts/benchmark_data.py --video h264 --frames 4000      # the same frames as video: the cache beside our own decoding

Frames of the simulator tabletop are written as a LeRobot dataset, read back and gathered in shuffled batches. All sides use
the same samples and one thread, and take turns (A B C A B C ...); median (minimum to maximum) of the rounds is printed.

- cache: ``DemonstrationDataset.gather``, the batch that training gets, tokens and action chunk included
- decoding: the barest loader that decodes: PNG bytes held in memory, OpenCV, straight into the batch, pictures only
- source: the same through ``DatasetSource`` without its thread, as the trainer asks for it
- loader: a usual loader: ``torch.utils.data.DataLoader`` over samples decoded one by one to float pictures in [0, 1]

With ``--video`` the frames lie in video files, and the others are what training does without a cache (``dataset.cache_gb=0``):

- shuffled: every sample is sought in its file and decoded
- buffered: episodes are decoded from front to back into a shuffle buffer (``source.shuffle``) of a quarter of the frames
"""

import argparse
import functools
import itertools
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.images import decoded
from vla_train.data.reader import read_metadata
from vla_train.data.writer import LeRobotWriter
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.processor import Processor, train_tokenizer
from vla_train.sources.dataset import DatasetSource
from vla_train.sources.order import epoch_order

STEPS = 25  # of each recorded episode


def record(folder: Path, size: int, num_frames: int, video: str | None = None) -> Path:
    """A dataset of real pictures and instructions; random actions will do, since nothing is learned here."""
    environment = TabletopVectorEnv(64, "basic_navigation", image_size=size)
    writer = LeRobotWriter(folder, environment.io_spec, "tabletop", video=video, commit_every=0)
    random = np.random.default_rng(0)
    for first in range(0, num_frames // STEPS, 64):
        observation, _ = environment.reset(seed=np.arange(first, first + 64))
        instructions, goals = list(observation["instruction"]), environment.goals
        pictures, states, actions = [], [], []
        for _ in range(STEPS):
            pictures.append(observation["images"]["top"].copy())
            states.append(observation["state"].copy())
            actions.append(random.uniform(-1, 1, (64, environment.io_spec.action.size)))
            observation = environment.step(actions[-1])[0]
        for row in range(64):
            writer.add_episode(
                images={"top": np.stack([picture[row] for picture in pictures])},
                state=np.stack([state[row] for state in states]),
                action=np.stack([action[row] for action in actions]),
                reward=np.zeros(STEPS),
                terminated=np.zeros(STEPS, bool),
                truncated=np.arange(STEPS) == STEPS - 1,
                instruction=instructions[row],
                task=goals[row].task,
            )
    return writer.finish()


class Pictures(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """PNG bytes in memory, decoded when they are asked for."""

    def __init__(self, folder: Path, shape: tuple[int, ...], actions: np.ndarray):
        files = sorted(folder.glob("data/*/*.parquet"))
        columns = [pq.read_table(path, columns=["observation.images.top"])["observation.images.top"] for path in files]
        self.bytes = [np.frombuffer(item["bytes"].as_py(), np.uint8) for column in columns for item in column]
        self.shape, self.actions = shape, actions

    def __len__(self) -> int:
        return len(self.bytes)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture = decoded(self.bytes[index])
        return torch.from_numpy(picture).permute(2, 0, 1).float() / 255, torch.from_numpy(self.actions[index])

    def batch(self, indices: np.ndarray) -> torch.Tensor:
        pictures = np.empty((len(indices), *self.shape), np.uint8)
        for picture, index in zip(pictures, indices, strict=True):
            picture[:] = decoded(self.bytes[index])
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def rate(step: Callable[[], int], seconds: float) -> float:
    """Samples a second of repeated steps, each of which says how many samples it made."""
    step()
    count, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        count += step()
    return count / passed


def batches(size: int, num_frames: int) -> Iterator[np.ndarray]:
    epoch = 0
    while True:
        order = epoch_order(0, epoch, num_frames)
        yield from (order[first : first + size] for first in range(0, num_frames - size + 1, size))
        epoch += 1


def sides(dataset: DemonstrationDataset, batch_size: int) -> dict[str, Callable[[], int]]:
    image = dataset.spec.images["top"]
    actions = dataset.gather(np.arange(dataset.num_frames)).action[:, 0].numpy()
    pictures = Pictures(dataset.folder, (image.height, image.width, image.channels), actions)
    shuffled, others = (batches(batch_size, dataset.num_frames) for _ in range(2))
    loader = DataLoader(pictures, batch_size=batch_size, shuffle=True, drop_last=True)
    loaded = (batch for _ in itertools.count() for batch in loader)
    return {
        "cache": lambda: len(dataset.gather(next(shuffled))),
        "decoding": lambda: len(pictures.batch(next(others))),
        "loader": lambda: len(next(loaded)[0]),
    }


def decoding_sides(cached: DemonstrationDataset, options: argparse.Namespace) -> dict[str, Callable[[], int]]:
    keys = {"history": options.history, "chunk": options.chunk, "validation": 0.0, "cache_gb": 0}
    buffer = cached.num_frames // 4
    shuffled = DemonstrationDataset(cached.folder, cached.processor, **keys)
    buffered = DemonstrationDataset(cached.folder, cached.processor, **keys, buffer=buffer)
    drawn = {"batch_size": options.batch_size, "seed": 0, "prefetch": 0, "indices": [cached.frames("train")]}
    sources = {
        "cache": DatasetSource(cached, **drawn),
        "shuffled": DatasetSource(shuffled, **drawn),
        "buffered": DatasetSource(buffered, **drawn, shuffle=buffer),
    }
    return {name: functools.partial(lambda source: len(next(source)), source) for name, source in sources.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96, help="pixels of a frame's side")
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--chunk", type=int, default=8)
    parser.add_argument("--history", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--video", choices=["h264", "av1"], help="frames in video files")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one used; torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as home:
        measure(record(Path(home) / "data", options.size, options.frames, options.video), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    metadata = read_metadata(folder)
    tokenizer = train_tokenizer(metadata.instructions, 400)
    processor = Processor(metadata.spec, tokenizer, cameras=None, image_size=None, max_tokens=32)
    begun = time.perf_counter()
    dataset = DemonstrationDataset(folder, processor, history=options.history, chunk=options.chunk, validation=0.0)
    print(f"cache of {dataset.num_frames:,} frames of {options.size} px built in {time.perf_counter() - begun:.1f} s")
    if options.video:
        contestants = decoding_sides(dataset, options)
    else:
        contestants = sides(dataset, options.batch_size)
        source = DatasetSource(dataset, batch_size=options.batch_size, seed=0, prefetch=0, indices=[dataset.frames("train")])
        contestants["source"] = lambda: len(next(source))
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, step in contestants.items():
            found[name].append(rate(step, options.seconds))
    for name, rates in found.items():
        print(f"{name:>9}: {statistics.median(rates):>11,.0f} samples/s ({min(rates):,.0f} to {max(rates):,.0f})")
    for name in (other for other in found if other not in ("cache", "source")):
        ratios = [cache / other for cache, other in zip(found["cache"], found[name], strict=True)]
        print(f"cache / {name}: {statistics.median(ratios):.1f} x ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
