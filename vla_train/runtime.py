"""Device, threads and precision of a run. ``auto`` is decided by the machine alone, never by load or timing."""

import os
import re
from dataclasses import dataclass

import torch

from vla_train.errors import UsageError


@dataclass(frozen=True)
class Runtime:
    device: torch.device
    threads: int
    precision: str  # fp32 or bf16

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else f"{os.cpu_count()} cores"
        threads = f"{self.threads} torch thread{'s' if self.threads > 1 else ''}"
        return f"{self.device} ({name}), {threads}, {self.precision}, torch {torch.__version__}"


def start(*, device: str, threads: int | str, precision: str = "auto", deterministic: bool = True) -> Runtime:
    """Apply the settings to this process and say what ``auto`` became.

    Raises:
        UsageError: the device is not there, or of a kind that is not supported.
    """
    chosen = device_of(device)
    count = max(1, (os.cpu_count() or 1) // 2) if threads == "auto" else int(threads)
    # Averages of gradients that stay zero decay into numbers below 1e-38, with which a CPU counts many times slower: after some
    # hundred updates Adam took half of the time. Set before torch starts threads, for those inherit it.
    torch.set_flush_denormal(True)
    torch.set_num_threads(count)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # Filling new tensors with NaN takes time, and nothing reads what it did not write.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if precision == "auto":
        precision = "bf16" if chosen.type == "cuda" else "fp32"
    return Runtime(chosen, count, precision)


def device_of(name: str) -> torch.device:
    """The device of that name; auto is CUDA where there is any. Raises UsageError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = re.fullmatch(r"cpu|cuda(?::([0-9]+))?", name)
    if kind is None:
        raise UsageError(f"device {name}: vla-train computes on cpu, cuda or cuda:N (auto takes cuda where there is one)")
    if name != "cpu" and int(kind[1] or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count() or "no"
        raise UsageError(f"device {name}: torch sees {found} CUDA device(s) on this machine; take cpu")
    return torch.device(name)


def process_group() -> tuple[int, int]:
    """Which of how many processes this one is in the group of ``torch.distributed``; (0, 1) where none was initialised."""
    group = torch.distributed
    if not (group.is_available() and group.is_initialized()):
        return 0, 1
    return group.get_rank(), group.get_world_size()
