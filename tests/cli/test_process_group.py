"""A dataset source in a real process group: what the processes draw together is every sample, once an epoch."""

import json
import os
import subprocess
import sys

from tests.toy_dataset import write_toy

DRAW = """
import json, pathlib, sys
import torch.distributed as group
from tests.toy_dataset import open_toy
from vla_train.sources.dataset import DatasetSource

folder, meeting, rank = sys.argv[1:]
group.init_process_group("gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=2)
dataset = open_toy(pathlib.Path(folder))
source = DatasetSource(dataset, batch_size=1, seed=3, prefetch=0, indices=[dataset.frames("train")])
print(json.dumps([next(source).observation.state[0, 0].tolist() for _ in range(2 * source._order.size)]))
group.destroy_process_group()
"""


def test_two_processes_lose_and_repeat_nothing(tmp_path):
    folder = write_toy(tmp_path / "toy", num_episodes=3)  # of 3, 2 and 3 steps
    words = [sys.executable, "-c", DRAW, str(folder), str(tmp_path / "meeting")]
    options = {"stdout": subprocess.PIPE, "text": True, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    processes = [subprocess.Popen([*words, str(rank)], **options) for rank in range(2)]
    first, second = (json.loads(process.communicate(timeout=240)[0]) for process in processes)
    every = sorted([episode, step] for episode, length in enumerate((3, 2, 3)) for step in range(length))
    for epoch in (slice(0, 4), slice(4, 8)):
        assert sorted(first[epoch] + second[epoch]) == every
    assert first[:4] != first[4:]
