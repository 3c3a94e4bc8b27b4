"""The random state of a process: Python, NumPy, torch on the CPU and on every CUDA device."""

import random

import numpy as np
import torch

from vla_train.spec import StateDict


def random_state() -> StateDict:
    """What ``set_random_state`` needs to make the next numbers come out the same."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: StateDict) -> None:
    """Restore a ``random_state``. CUDA devices that are no longer there are left out: such a resume is not exact anyway."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        for device, cuda_state in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
            torch.cuda.set_rng_state(cuda_state, device)
