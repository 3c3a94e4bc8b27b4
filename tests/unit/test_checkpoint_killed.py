"""Real processes: one is killed again and again while it saves, one runs into a real limit on file size."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from vla_train import checkpoint

WRITER = """
import sys
from pathlib import Path
import torch
from vla_train import checkpoint

run, first = Path(sys.argv[1]), int(sys.argv[2])
for step in range(first, first + 100_000):
    number = step // 2  # every step is saved twice, the second time as a replacement
    tensors = {f"weight{i}": torch.full((100, 100), float(number)) for i in range(20)}
    checkpoint.write(run, number, policy=tensors, texts={"config.yaml": str(number)}, training={"step": number}, keep=2,
                     best=number % 5 == 0)
    if step == first:
        print("saving", flush=True)
"""


def test_kill_9_during_saves_leaves_whole_checkpoints(tmp_path: Path) -> None:
    chance = random.Random(0)
    step = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(2 * step)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "saving\n"
        time.sleep(chance.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()

        warnings: list[str] = []
        saved = checkpoint.read(tmp_path, warnings.append)
        assert not warnings  # what stands under a checkpoint's name is whole
        assert saved.step >= step
        assert saved.texts["config.yaml"] == str(saved.step) == str(saved.training()["step"])
        assert all(torch.equal(tensor, torch.full((100, 100), float(saved.step))) for tensor in saved.policy().values())
        for folder in (tmp_path / "checkpoints").glob("step_*"):
            checkpoint.read(folder)
        step = saved.step
    assert step > 6


LIMITED = """
import resource, signal, sys
from pathlib import Path
import torch
from vla_train import checkpoint
from vla_train.errors import CheckpointError

def save(step, size):
    checkpoint.write(Path(sys.argv[1]), step, policy={"weight": torch.zeros(size)}, texts={}, training={}, keep=3)

save(1, 10)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(2, 1_000_000)
except CheckpointError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_write_that_the_system_refuses(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4, done.stderr
    assert "could not save step 2" in done.stdout
    assert "step_000001, is intact" in done.stdout
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["last", "step_000001"]
    assert checkpoint.read(tmp_path).step == 1
