"""What is executed while the expert's clean action is recorded, so that demonstrations contain mistakes and their mending.

Noise injection: Laskey et al. 2017, "DART: Noise Injection for Robust Imitation Learning". Independent noise at each step
averages out before it has moved anything; here it comes in bursts that keep their direction and push the robot off its path.
"""

import numpy as np

from vla_train.seeds import counter_integers, counter_uniform
from vla_train.spec import ActionSpec

BURST = 4  # steps for which a push keeps its direction
SHARE = 0.5  # of all bursts that push
_PHASE, _PUSH, _CHOICE = 7001, 7002, 7003  # numbers of draws, which no environment uses


def perturb(action: np.ndarray, seeds: np.ndarray, steps: np.ndarray, noise: float, spec: ActionSpec) -> np.ndarray:
    """The actions to execute [n, a] for the expert's clean ones: a pure function of each row's seed [n] and step [n].

    Continuous: in half of the bursts of 4 steps a constant offset is added, near normal with standard deviation ``noise`` in
    units of half of each dimension's range (of 1 without bounds), and the sum is clipped to the bounds. Discrete: with
    probability ``noise`` any action.
    """
    if noise == 0:
        return action
    if spec.kind == "discrete":
        key = _key(seeds, steps)
        chosen = counter_integers(key, _CHOICE, 1, spec.choices)
        return np.where(counter_uniform(key, _PUSH, 1) < noise, chosen, action)
    phase = counter_integers(seeds, _PHASE, 1, BURST)[:, 0]
    key = _key(seeds, (steps + phase) // BURST)
    half, low, high = reach(spec)
    offset = noise * half * _normal(key, spec.size)
    pushed = counter_uniform(key, _PUSH, 1) < SHARE
    clipped: np.ndarray = np.clip(action + pushed * offset, low, high).astype(action.dtype)
    return clipped


def reach(spec: ActionSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half of each dimension's range, and its ends, [a] each. Without bounds the unit is 1, and there are no ends."""
    if not spec.low:
        return np.ones(spec.size), np.full(spec.size, -np.inf), np.full(spec.size, np.inf)
    low, high = np.array(spec.low), np.array(spec.high)
    return (high - low) / 2, low, high


def _key(seeds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """One number for each (seed, count): a seed has 31 bits and a count fewer than 32."""
    key: np.ndarray = (np.asarray(seeds, np.int64) << 32) + counts
    return key


def _normal(key: np.ndarray, size: int) -> np.ndarray:
    """Near normal float64 [n, size]: the sum of 12 uniforms less 6, as additions give the same bits on every machine."""
    uniform = counter_uniform(key, _CHOICE, 12 * size).reshape(len(key), size, 12)
    total: np.ndarray = uniform.sum(-1) - 6.0
    return total
