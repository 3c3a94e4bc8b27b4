"""Kill a run at random moments, resume it, and compare it with one that was never killed: target 100 of 100 equal to the bit.

    python scripts/stress_resume.py --kills 100

Each trial kills (-9) a small run two times at moments drawn at random, start-up, saves and evaluation included, then lets it
finish. Weights and logged losses must equal those of the uninterrupted run, and every step must stand once.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

PROGRAM = str(Path(sys.executable).parent / "vla-train")
SMALL = [
    "steps=60",
    "dataset.episodes=24",
    "dataset.batch_size=16",
    "model.width=16",
    "runtime.threads=1",
    "tracker.console=plain",
    "evaluation.episodes=4",
    "evaluation.num_envs=4",
    "every.log=1",
    "every.save=7",
    "every.evaluate=30",
]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def folder_of(process: subprocess.Popen[str]) -> Path:
    """The run folder that a starting run names."""
    assert process.stdout is not None
    for line in process.stdout:
        if "run folder: " in line:
            return Path(line.split("run folder: ")[1].strip())
    raise SystemExit("the run ended before it had a folder")


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


def learned(run: Path) -> tuple[dict[str, bytes], list[tuple[int, float]]]:
    tensors = load_file(run / "checkpoints" / "last" / "policy.safetensors")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}, [(r["step"], r["train/loss"]) for r in rows]


def trial(output: str, rng: random.Random, seconds: float) -> Path:
    """A run that is killed twice and then finished."""
    process = start(*SMALL, f"output={output}", "name=killed")
    run = folder_of(process)
    time.sleep(rng.uniform(0.0, seconds))
    process.kill()
    finish(process)
    if not (run / "checkpoints" / "last").exists():
        return trial(output, rng, seconds)  # nothing was saved yet: there is nothing to resume
    process = start(f"resume={run}")
    time.sleep(rng.uniform(0.0, 4.0 + seconds))
    process.kill()
    finish(process)
    if code := finish(start(f"resume={run}")):
        raise SystemExit(f"{run} could not be resumed: exit code {code}")
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as output:
        whole = start(*SMALL, f"output={output}", "name=whole")
        run = folder_of(whole)
        begun = time.perf_counter()
        finish(whole)
        seconds, expected = time.perf_counter() - begun, learned(run)
        equal = 0
        trials = arguments.kills // 2
        for number in range(trials):
            equal += learned(trial(output, rng, seconds)) == expected
            print(f"{equal} of {number + 1} runs equal the uninterrupted one ({2 * (number + 1)} kills)", flush=True)
    raise SystemExit(0 if equal == trials else 1)


if __name__ == "__main__":
    main()
