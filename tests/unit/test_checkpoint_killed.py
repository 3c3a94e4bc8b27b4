"""Real processes: one is killed again and again while it saves, one runs into a real limit on file size."""

import subprocess
import sys
from pathlib import Path

from vla_train import checkpoint

# The outer process forks one that saves for ever, kills it, looks at what stands, and forks the next one.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from vla_train import checkpoint

run, chance = Path(sys.argv[1]), random.Random(0)

def save_for_ever(number):
    while True:
        for _ in range(2):  # each step is saved twice, the second time as a replacement
            tensors = {f"weight{i}": torch.full((100, 100), float(number)) for i in range(20)}
            checkpoint.write(run, number, policy=tensors, texts={"config.yaml": str(number)}, training={"step": number}, keep=2,
                             best=number % 5 == 0)
        number += 1

step = 0
for _ in range(12):
    child = os.fork()
    if child == 0:
        save_for_ever(step)
    while not (run / "checkpoints" / f"step_{step + 1:06d}").exists():
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    saved = checkpoint.read(run, lambda warning: sys.exit(f"what stands is torn: {warning}"))
    assert saved.step > step
    assert saved.texts["config.yaml"] == str(saved.step) == str(saved.training()["step"])
    assert all(torch.equal(tensor, torch.full((100, 100), float(saved.step))) for tensor in saved.policy().values())
    for folder in (run / "checkpoints").glob("step_*"):
        checkpoint.read(folder)  # every one under a checkpoint's name is whole
    step = saved.step
"""


def test_kill_9_during_saves_leaves_whole_checkpoints(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLER, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


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
