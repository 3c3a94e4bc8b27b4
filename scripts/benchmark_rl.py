"""Reinforcement learning beside Stable-Baselines3: what is learned, and how fast, with the same settings on the same machine.

    python scripts/benchmark_rl.py cartpole_ppo cartpole_dqn pendulum_sac acrobot_ppo --seeds 0 1 2 3 4
    python scripts/benchmark_rl.py mountaincar_sac --seeds 0 1
    python scripts/benchmark_rl.py --table

Ours and theirs take turns, seed by seed, each in a process of its own with one torch thread; the last policy of each plays 100
test episodes without exploration. A row is known by (task, side, seed, steps, settings, commit of the code or version of the
library); rows that stand are skipped, so a stopped benchmark goes on where it was. Nothing else should run on the machine
meanwhile. Seconds are those of learning: ours without start, logs and checkpoints (``minutes`` of the run), theirs of ``learn``.
"""

import argparse
import functools
import hashlib
import importlib.metadata
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmark_rows import ROOT, Rows, command, commit, spread, train
from rl_tasks import TASKS, Task

ROWS = Rows("rl.jsonl")
TEST_SEED = 1_500_000_000  # ours plays the test seeds; theirs begins there too


def ours(task: Task, seed: int, steps: int, episodes: int) -> dict[str, Any]:
    words = [*task.ours, f"env_steps={steps}", f"seed={seed}", "runtime.threads=1", "every.evaluate=0", "every.save=0"]
    start = time.perf_counter()
    run, length = train(*words, "evaluation.video_episodes=0")
    process = time.perf_counter() - start
    report = ROOT / "outputs" / "benchmarks" / f"{run.name}"
    command("vla-eval", f"checkpoint={run}", f"episodes={episodes}", f"num_envs={min(episodes, 50)}", f"output={report}")
    found = json.loads((report / "report.json").read_text())["metrics"]
    return {"return": found["reward"], "seconds": 60 * length["minutes"], "process_seconds": process}


def theirs(name: str, seed: int, steps: int, episodes: int) -> dict[str, Any]:
    words = [sys.executable, __file__, name, "--child", "--seeds", str(seed), "--steps", str(steps), "--episodes", str(episodes)]
    print("$", *words[1:], flush=True)
    start = time.perf_counter()
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found | {"process_seconds": time.perf_counter() - start}


def learn(task: Task, seed: int, steps: int, episodes: int) -> dict[str, Any]:
    """Stable-Baselines3 in this process."""
    import stable_baselines3
    import torch
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    env: Any = make_vec_env(task.env_id, n_envs=task.num_envs, seed=seed)
    if task.normalize:
        env = VecNormalize(env, gamma=task.theirs["gamma"])
    settings = {name: value for name, value in task.theirs.items() if name not in ("schedule", "activation")}
    if task.theirs.get("schedule") == "linear":
        settings["learning_rate"] = functools.partial(_line, settings["learning_rate"])
    kinds = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    settings["policy_kwargs"] = {**settings["policy_kwargs"], "activation_fn": kinds[task.theirs["activation"]]}
    model = getattr(stable_baselines3, task.algorithm)("MlpPolicy", env, seed=seed, device="cpu", **settings)
    start = time.perf_counter()
    model.learn(steps)
    seconds = time.perf_counter() - start
    test: Any = make_vec_env(task.env_id, n_envs=min(episodes, 50), seed=TEST_SEED)
    if task.normalize:
        test = VecNormalize(test, training=False, norm_reward=False)
        test.obs_rms = env.obs_rms
    mean, _ = evaluate_policy(model, test, n_eval_episodes=episodes, deterministic=True)
    return {"return": float(mean), "seconds": seconds}


def _line(full: float, left: float) -> float:
    return full * left


def table() -> str:
    """A Markdown table: for each task and side, of its newest settings, the returns of all seeds and the speed."""
    lines = ["| Task | Steps | Side | Interquartile mean | Returns, seed by seed | Steps/s | Ratio |", "|---" * 7 + "|"]
    rows = ROWS.read()
    for name, steps in dict.fromkeys((row["task"], row["steps"]) for row in rows):
        found = {
            side: _newest([row for row in rows if (row["task"], row["steps"], row["side"]) == (name, steps, side)])
            for side in ("ours", "sb3")
        }
        rates = {side: [steps / row["seconds"] for row in part] for side, part in found.items()}
        for side, part in found.items():
            if part:
                returns = [row["return"] for row in part]
                both = side == "ours" and rates["sb3"]
                ratio = f"{statistics.median(rates['ours']) / statistics.median(rates['sb3']):.2f}" if both else ""
                each = ", ".join(f"{value:.1f}" for value in returns)
                lines.append(
                    f"| `{name}` | {steps:,} | {side} | {middle(returns):.1f} | {each} | {spread(rates[side])} | {ratio} |"
                )
    return "\n".join(lines)


def _newest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those with the settings and the code of the last one, by seed."""
    same = [row for row in rows if (row["settings"], row["code"]) == (rows[-1]["settings"], rows[-1]["code"])]
    return sorted(same, key=lambda row: row["seed"])


def middle(values: list[float]) -> float:
    """The mean of what is left without the lowest and the highest quarter (Agarwal et al. 2021, "Deep reinforcement learning at
    the edge of the statistical precipice")."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help=", ".join(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, help="other than the task's own, to try the script")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        task = TASKS[chosen.tasks[0]]
        print(json.dumps(learn(task, chosen.seeds[0], chosen.steps, chosen.episodes)))
        return
    code = {"ours": commit(), "sb3": importlib.metadata.version("stable-baselines3")}
    for name in chosen.tasks:
        task = TASKS[name]
        steps = chosen.steps or task.steps
        for seed in chosen.seeds:
            for side in ("ours", "sb3"):
                asked = task.ours if side == "ours" else [*sorted(map(str, task.theirs.items())), task.normalize]
                settings = hashlib.sha256(json.dumps([asked, chosen.episodes]).encode()).hexdigest()[:12]
                key = {"task": name, "side": side, "seed": seed, "steps": steps, "settings": settings, "code": code[side]}
                where = (seed, steps, chosen.episodes)
                ROWS.add(
                    key, functools.partial(ours, task, *where) if side == "ours" else functools.partial(theirs, name, *where)
                )
    if chosen.table or chosen.tasks:
        print(table())


if __name__ == "__main__":
    main()
