"""What the loop costs over a bare hand-written one with the same mathematics: target at most 5 %, and the same loss bits.

    python scripts/benchmark_trainer.py [--updates 60] [--rounds 5]

Both sides train the same policy on the same batches with one thread, in turn (A B A B ...); median (minimum to maximum). The
bare loop has no checkpoints, logs, averages, signals or resumption: gather, forward, backward, clip, schedule, AdamW.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from vla_train import config as configuration
from vla_train.build import datasets, objects
from vla_train.diagnostics import NoDiagnostics
from vla_train.optim import Average, Progress, rate_share
from vla_train.seeds import seed_everything
from vla_train.sources.dataset import DatasetSource
from vla_train.spec import Stage
from vla_train.tracking.console import Console
from vla_train.tracking.tracker import Tracker
from vla_train.trainer import Choice, Counters, Every, Limits, Trainer
from vla_train.types import Demonstration


class Setting:
    """One dataset and config, from which both sides begin anew in each round."""

    def __init__(self, updates: int, output: Path):
        words = ["experiment=quickstart", f"steps={updates}", f"output={output}", "head=regression", "every.log=20"]
        self.config = configuration.compose(words)
        self.updates, self.output = updates, output
        self.stage = Stage("basic_navigation")
        reader = datasets.open_demonstrations(self.config, self.stage)
        dataset = self.config["dataset"]
        spec = reader.metadata.spec.with_window(dataset["history"], dataset["chunk"])
        self.processor = objects.make_processor(self.config, spec, reader.metadata.instructions)
        self.dataset = datasets.open_dataset(self.config, reader, self.processor)

    def policy(self) -> Any:
        seed_everything(0)
        policy = objects.make_policy(self.config, self.processor)
        policy.normalizer.fit(self.dataset.statistics())
        return policy

    def source(self, stage: Stage) -> DatasetSource:
        return objects.make_source(self.config, self.dataset, Demonstration, stage)


def bare(setting: Setting) -> tuple[float, list[float]]:
    """Seconds and losses of the hand-written loop."""
    settings = setting.config["optimizer"]
    policy, losses = setting.policy(), []
    parameters = list(policy.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=settings["lr"], betas=tuple(settings["betas"]), fused=True)
    shape = {key: settings[key] for key in ("warmup", "schedule", "final")}
    source = setting.source(setting.stage)
    next(source)  # both sides start with a warm prefetch
    source.load_state_dict({"batches": 0})
    start = time.perf_counter()
    for step in range(setting.updates):
        batch = next(source)
        adamw.zero_grad(set_to_none=True)
        loss = policy(batch).sum() / len(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings["clip"])
        for group in adamw.param_groups:
            group["lr"] = settings["lr"] * rate_share(step / setting.updates, **shape)
        adamw.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start
    source.close()
    return seconds, losses


def ours(setting: Setting) -> tuple[float, list[float], float]:
    """Seconds, losses and share of time spent waiting for data, of the Trainer's loop with its logs."""
    policy, progress = setting.policy(), Progress()
    runtime = objects.runtime.Runtime(torch.device("cpu"), 1, "fp32")
    paradigm = objects.make_paradigm(setting.config, policy, runtime, progress)
    losses: list[torch.Tensor] = []
    update = paradigm.update
    paradigm.update = lambda batch: remember(losses, update(batch))
    with tempfile.TemporaryDirectory() as folder:
        tracker = Tracker(Path(folder), tensorboard=True, console=Console("none"))
        trainer = Trainer(
            run=Path(folder),
            paradigm=paradigm,
            average=Average(policy, 0.0),
            sources=setting.source,
            curriculum=objects.make(setting.config["curriculum"], "curriculum"),
            continual=objects.make(setting.config["continual"], "continual"),
            evaluators=[],
            make_agent=lambda policy: policy,
            tracker=tracker,
            progress=progress,
            limits=Limits(steps=setting.updates),
            every=Every(log=20, evaluate=0, save=0),
            choice=Choice("success", "max", 0),
            watcher=NoDiagnostics(),
            texts={},
            keep=1,
            device=torch.device("cpu"),
            counters=Counters(),
        )
        waits: list[float] = []
        write = tracker.write
        tracker.write = lambda step, row: (waits.append(row["data_wait"]), write(step, row))[1]  # type: ignore[method-assign]
        trainer.source = setting.source(setting.stage)
        next(trainer.source)
        trainer.source.load_state_dict({"batches": 0})
        start = time.perf_counter()
        trainer._fit()
        seconds = time.perf_counter() - start
        trainer.source.close()
        tracker.close()
    return seconds, [float(loss) for loss in losses], statistics.mean(waits)


def remember(losses: list[torch.Tensor], metrics: dict[str, Any]) -> dict[str, Any]:
    losses.append(metrics["loss"])
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with tempfile.TemporaryDirectory() as output:
        setting = Setting(arguments.updates, Path(output))
        rounds = [(bare(setting), ours(setting)) for _ in range(arguments.rounds + 1)][1:]  # the first warms up
    hand, loop = [mine[0] for mine, _ in rounds], [theirs[0] for _, theirs in rounds]
    ratios = [theirs / mine for mine, theirs in zip(hand, loop, strict=True)]
    same = all(mine[1] == theirs[1] for mine, theirs in rounds)
    print(f"bare loop   {spread(hand)} s for {arguments.updates} updates")
    print(f"trainer     {spread(loop)} s")
    print(f"ratio       {spread(ratios)}")
    print(f"data wait   {spread([100 * theirs[2] for _, theirs in rounds])} % of training time")
    print(f"loss bits   {'the same in every update' if same else 'DIFFER'}")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
