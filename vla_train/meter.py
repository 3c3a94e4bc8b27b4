"""What is counted between two log lines: means of what updates return, without waiting for the device, and rates."""

import torch

from vla_train.spec import Metrics, StateDict


class Meter:
    """Collects the metrics of updates; ``reset`` gives their means as floats and starts anew."""

    def __init__(self) -> None:
        self._sums: Metrics = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Metrics) -> None:
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def __bool__(self) -> bool:
        return bool(self._counts)

    def reset(self) -> dict[str, float]:
        means = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> StateDict:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: StateDict) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


class Rates:
    """Updates and samples per second since the last log line, and the share of that time in which data were waited for."""

    def __init__(self, step: int, samples: int) -> None:
        self.start(step, samples)

    def start(self, step: int, samples: int) -> None:
        self._waited = self._elapsed = 0.0
        self._step, self._samples = step, samples

    def add(self, waited: float, elapsed: float) -> None:
        """The seconds of an update: those of waiting, and all."""
        self._waited += waited
        self._elapsed += elapsed

    def read(self, step: int, samples: int) -> dict[str, float]:
        """Nothing where no update was made since."""
        seconds = self._elapsed
        if seconds == 0.0:
            return {}
        return {
            "updates_per_s": (step - self._step) / seconds,
            "samples_per_s": (samples - self._samples) / seconds,
            "data_wait": self._waited / seconds,
        }


def memory_gb(device: torch.device) -> float:
    """Peak memory: of the device, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
