"""CQL beside d3rlpy's, and behavioural cloning, on one dataset that our collector recorded.

    python scripts/benchmark_cql.py --seeds 0 1 2 [--steps 4000]
    python scripts/benchmark_cql.py --table

The data: 100 episodes of Pendulum-v1, played by what SAC had learned after 1,500, 3,000, 4,500 and 6,000 updates. All sides read
the same transitions, with the same networks and settings, on one torch thread; the last policy of each plays 100 episodes. d3rlpy
2.8.1 wants an older gymnasium, so it lives in ``.venv-d3rlpy``, which this script makes, with torch borrowed from the project's
own. Rows that stand are skipped, so a stopped benchmark goes on where it was.
"""

import argparse
import functools
import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmark_rl import TEST_SEED, middle
from benchmark_rows import ROOT, Rows, command, commit, train

ROWS = Rows("cql.jsonl")
VENV = ROOT / ".venv-d3rlpy"
DATA = ROOT / "outputs" / "benchmarks" / "pendulum_mixed"
PACKAGES = (
    "d3rlpy==2.8.1",
    "gymnasium==1.0.0",
    "structlog==25.5.0",
    "dataclasses-json==0.6.7",
    "marshmallow==3.26.1",
    "gym==0.26.2",
)
PACKAGES += ("typing-inspect==0.9.0", "mypy-extensions==1.1.0", "gym-notices==0.1.0", "colorama==0.4.6", "click==8.1.8")
WORST, BEST = -1200.0, -150.0  # returns of random actions and of a good policy: what 0 and 100 points stand for
NETWORKS = ("model=feature_mlp", "model.width=256", "model.layers=1", "model.activation=relu", "model.words=0", "dataset.chunk=1")
LEARNED = ("dataset=gym", "dataset.env_id=Pendulum-v1", *NETWORKS, "dataset.batch_size=256", "dataset.validation=0")
SIDES = {
    "cql": ("paradigm=cql", "head=squashed_gaussian", "paradigm.shared_critics=false", "optimizer.lr=3e-4"),
    "bc": ("paradigm=bc", "head=regression"),
}


def record(updates: int = 1500, episodes: int = 25) -> None:
    """The dataset, if it is not there yet."""
    done = DATA.with_suffix(".json")
    if done.exists():
        return
    saved = ("every.evaluate=0", f"every.save={updates}", "checkpoint.keep=9", "runtime.threads=1")
    run, _ = train("experiment=pendulum_sac", f"env_steps={4 * updates + 100}", *saved, "evaluation.video_episodes=0")
    for step in range(updates, 4 * updates + 1, updates):
        where = f"checkpoint={run / 'checkpoints' / f'step_{step:06d}'}"
        command("vla-collect", f"output={DATA}", where, "keep=all", f"episodes={episodes}")
    done.write_text(json.dumps({"run": run.name, "updates": updates, "episodes": episodes}))


def export() -> Path:
    """The dataset as arrays, for who reads none of ours."""
    import numpy as np
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(DATA / "data").sort_by([("episode_index", "ascending"), ("frame_index", "ascending")])
    arrays = {
        "observations": np.stack(table["observation.state"].to_numpy()).astype(np.float32),
        "actions": np.stack(table["action"].to_numpy()).astype(np.float32),
        "rewards": table["next.reward"].to_numpy().astype(np.float32).reshape(-1),
        "ends": np.append(np.diff(table["episode_index"].to_numpy()) != 0, True),
    }
    target = DATA.with_suffix(".npz")
    np.savez(target, **arrays)
    return target


def ours(side: str, seed: int, steps: int, episodes: int) -> dict[str, Any]:
    words = (*LEARNED, *SIDES[side], f"dataset.path={DATA}", f"steps={steps}", f"seed={seed}", "runtime.threads=1")
    run, length = train(*words, f"name=pendulum_{side}", "every.evaluate=0", "every.save=0", "evaluation.video_episodes=0")
    report = ROOT / "outputs" / "benchmarks" / run.name
    command("vla-eval", f"checkpoint={run}", f"episodes={episodes}", f"num_envs={min(episodes, 50)}", f"output={report}")
    found = json.loads((report / "report.json").read_text())["metrics"]
    return {"return": found["reward"], "seconds": 60 * length["minutes"]}


def environment() -> Path:
    """The Python that has d3rlpy."""
    python = VENV / "bin" / "python"
    if not (VENV / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES], check=True)
        site = "import site; print(site.getsitepackages()[0])"
        ours_at, theirs_at = (
            subprocess.run([name, "-c", site], capture_output=True, text=True, check=True).stdout.strip()
            for name in (sys.executable, python)
        )
        (Path(theirs_at) / "borrowed.pth").write_text(ours_at + "\n")  # searched after its own
        (VENV / "ready").touch()
    return python


def theirs(seed: int, steps: int, episodes: int) -> dict[str, Any]:
    python = environment()
    words = [__file__, "--child", str(export()), "--seeds", str(seed), "--steps", str(steps), "--episodes", str(episodes)]
    print("$", python, *words, flush=True)
    printed = subprocess.run([python, *words], stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def learn(data: str, seed: int, steps: int, episodes: int) -> dict[str, Any]:
    """d3rlpy in this process."""
    import d3rlpy
    import gymnasium
    import numpy as np
    import torch

    torch.set_num_threads(1)
    d3rlpy.seed(seed)
    arrays = np.load(data)
    ends = arrays["ends"]
    dataset = d3rlpy.dataset.MDPDataset(
        arrays["observations"], arrays["actions"], arrays["rewards"], np.zeros(len(ends), bool), timeouts=ends
    )
    rates = {f"{name}_learning_rate": 3e-4 for name in ("actor", "critic", "temp")}
    algorithm = d3rlpy.algos.CQLConfig(
        **rates,
        **{"alpha_learning_rate": 0.0, "initial_alpha": 1.0, "conservative_weight": 1.0, "n_action_samples": 10},
        **{"batch_size": 256, "gamma": 0.99, "tau": 0.005, "initial_temperature": 1.0, "soft_q_backup": False},
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(),
        action_scaler=d3rlpy.preprocessing.MinMaxActionScaler(minimum=[-2.0], maximum=[2.0]),
    ).create(device="cpu:0")
    start = time.perf_counter()
    quiet = {"show_progress": False, "logger_adapter": d3rlpy.logging.NoopAdapterFactory()}
    algorithm.fit(dataset, n_steps=steps, n_steps_per_epoch=steps, **quiet)
    seconds = time.perf_counter() - start
    env, returns = gymnasium.make("Pendulum-v1"), []
    for episode in range(episodes):
        seen, total, ended = env.reset(seed=TEST_SEED + episode)[0], 0.0, False
        while not ended:
            seen, reward, terminated, truncated, _ = env.step(algorithm.predict(seen[None])[0])
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    return {"return": float(np.mean(returns)), "seconds": seconds}


def table() -> str:
    """A Markdown table: for each side the returns of all seeds, and the points between a random and a good policy."""
    lines = ["| Learned by | Updates | Points | Interquartile mean | Returns, seed by seed | Seconds |", "|---" * 6 + "|"]
    rows = ROWS.read()
    for side, steps in dict.fromkeys((row["side"], row["steps"]) for row in rows):
        every = [row for row in rows if (row["side"], row["steps"]) == (side, steps)]
        newest = [row for row in every if (row["settings"], row["code"]) == (every[-1]["settings"], every[-1]["code"])]
        returns = [row["return"] for row in sorted(newest, key=lambda row: row["seed"])]
        points = 100.0 * (middle(returns) - WORST) / (BEST - WORST)
        each, seconds = ", ".join(f"{value:.1f}" for value in returns), statistics.median(row["seconds"] for row in newest)
        lines.append(f"| {side} | {steps:,} | {points:.1f} | {middle(returns):.1f} | {each} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(learn(chosen.child, chosen.seeds[0], chosen.steps, chosen.episodes)))
        return
    if chosen.seeds:
        record()
    for seed in chosen.seeds:
        where = (seed, chosen.steps, chosen.episodes)
        sides = {side: functools.partial(ours, side, *where) for side in SIDES} | {
            "d3rlpy's cql": functools.partial(theirs, *where)
        }
        for side, measure in sides.items():
            asked = [LEARNED, SIDES.get(side), chosen.episodes, DATA.with_suffix(".json").read_text()]
            settings = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]
            code = commit() if side in SIDES else PACKAGES[0]
            ROWS.add({"side": side, "seed": seed, "steps": chosen.steps, "settings": settings, "code": code}, measure)
    print(table())


if __name__ == "__main__":
    main()
