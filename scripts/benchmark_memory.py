"""How much memory training data take: an epoch of batches from 1 x and 20 x as many recordings, each in a process of its own.

    python scripts/benchmark_memory.py [--episodes 20] [--times 20] [--size 96] [--buffer 500]

Recordings with video (LeRobotDataset v2.1; one video is encoded and copied). "cache" reads decoded frames by memory map, "stream"
decodes into a shuffle buffer. Of Linux: RssAnon is what a process has of its own; RssFile are pages of files, which are mapped
and which the system may drop at any time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STEPS, FPS = 100, 30  # of each episode


def record(folder: Path, episodes: int, size: int) -> Path:
    """Episodes that all show the same noise; their numbers differ."""
    camera = {"dtype": "video", "shape": [size, size, 3], "names": ["height", "width", "channels"]}
    numbers = {"action": {"dtype": "float32", "shape": [7]}, "observation.state": {"dtype": "float32", "shape": [14]}}
    counts = {name: {"dtype": "int64", "shape": [1]} for name in ("frame_index", "episode_index", "index", "task_index")}
    features = {**numbers, "observation.images.top": camera, "timestamp": {"dtype": "float32", "shape": [1]}, **counts}
    info = {"codebase_version": "v2.1", "fps": FPS, "total_episodes": episodes, "total_frames": episodes * STEPS}
    info |= {"chunks_size": 1000, "features": features, "data_path": "data/{episode_chunk}/{episode_index}.parquet"}
    info |= {"video_path": "videos/{video_key}/{episode_chunk}/{episode_index}.mp4"}
    for name in ("meta", "data/0", "videos/observation.images.top/0"):
        (folder / name).mkdir(parents=True)
    (folder / "meta/info.json").write_text(json.dumps(info))
    (folder / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": "wait"}))
    lines = [json.dumps({"episode_index": i, "length": STEPS, "tasks": ["wait"]}) for i in range(episodes)]
    (folder / "meta/episodes.jsonl").write_text("\n".join(lines))
    video = encoded(size)
    random = np.random.default_rng(0)
    for episode in range(episodes):
        (folder / f"videos/observation.images.top/0/{episode}.mp4").write_bytes(video)
        columns = {name: list(random.normal(size=(STEPS, *numbers[name]["shape"])).astype(np.float32)) for name in numbers}
        steps = np.arange(STEPS)
        columns |= {"timestamp": (steps / FPS).astype(np.float32), "frame_index": steps, "index": episode * STEPS + steps}
        columns |= {"episode_index": np.full(STEPS, episode), "task_index": np.zeros(STEPS, np.int64)}
        pq.write_table(pa.table(columns), folder / f"data/0/{episode}.parquet")
    return folder


def encoded(size: int) -> bytes:
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as home:
        with av.open(f"{home}/a.mp4", "w") as container:
            stream = container.add_stream("libx264", rate=FPS, options={"g": "10", "preset": "ultrafast"})
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
            for _ in range(STEPS):
                pixels = np.kron(random.integers(0, 256, (size // 8, size // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        return Path(home, "a.mp4").read_bytes()


def epoch(folder: Path, options: argparse.Namespace) -> None:
    """Draw every sample once, and print what this process has in memory."""
    from vla_train.data.dataset import DemonstrationDataset
    from vla_train.data.reader import open_reader
    from vla_train.processor import Processor, train_tokenizer
    from vla_train.sources.dataset import DatasetSource

    warnings.simplefilter("ignore")
    reader = open_reader(folder)
    processor = Processor(reader.metadata.spec, train_tokenizer(["wait"], 300), cameras=None, image_size=None, max_tokens=16)
    buffer = options.buffer if options.mode == "stream" else None
    keys = {"history": 1, "chunk": 8, "validation": 0.0, "cache_gb": 0 if buffer else None, "buffer": buffer}
    dataset = DemonstrationDataset(reader, processor, **keys)
    if options.mode == "build":
        return
    source = DatasetSource(dataset, batch_size=64, seed=0, prefetch=2, shuffle=buffer, indices=[dataset.frames("train")])
    while source.epoch < 1:
        next(source)
    source.close()
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {
        name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if name[:3] in ("Rss", "VmH")
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20, help=f"of {STEPS} frames, of 1 x")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--size", type=int, default=96, help="pixels of a frame's side")
    parser.add_argument("--buffer", type=int, default=500, help="samples in the shuffle buffer")
    parser.add_argument("--mode", choices=["build", "cache", "stream"], help=argparse.SUPPRESS)  # of a process of this script
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        epoch(options.folder, options)
        return
    with tempfile.TemporaryDirectory() as home:
        for times in (1, options.times):
            folder = record(Path(home, str(times)), options.episodes * times, options.size)
            for mode in ("build", "cache", "stream"):
                words = [sys.executable, __file__, "--mode", mode, "--folder", folder, "--buffer", options.buffer]
                said = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout
                if mode != "build":
                    found = {name: value / 1024 for name, value in json.loads(said).items()}
                    frames = options.episodes * times * STEPS
                    told = f"own {found['RssAnon']:.0f} MB, files {found['RssFile']:.0f} MB, highest {found['VmHWM']:.0f} MB"
                    print(
                        f"{mode:>7}, {times:>2} x ({frames:,} frames, {frames * options.size**2 * 3 / 1e6:,.0f} MB): {told}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
