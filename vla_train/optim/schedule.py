"""How much of a run is done, and how large its steps then are."""

import math


class Progress:
    """How much of the run is done, in [0, 1]. The trainer moves it; rates, epsilons and the like read it."""

    def __init__(self) -> None:
        self.value = 0.0


def rate_share(progress: float, *, warmup: float, schedule: str, final: float) -> float:
    """Share of the full learning rate: linear warm-up, then constant, or a line or a half cosine down to ``final``.

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts.
    """
    if progress < warmup:
        return max(progress, 1e-3 * warmup) / warmup
    if schedule == "constant":
        return 1.0
    done = min((progress - warmup) / max(1.0 - warmup, 1e-9), 1.0)
    if schedule == "linear":
        return final + (1.0 - final) * (1.0 - done)
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))
