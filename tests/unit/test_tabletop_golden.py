"""Scenes, pictures, states and rewards of a few seeds, as they were when the tabletop was made: seed k gives scene k for ever.

A deliberate change raises ``TabletopVectorEnv.version`` and writes the file anew: ``python -m tests.unit.test_tabletop_golden``.
"""

from pathlib import Path

import numpy as np
import pytest

from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.envs.tabletop.stages import STAGES

GOLDEN = Path(__file__).parents[1] / "data" / "tabletop_golden.npz"
SEEDS = [0, 1, 123_456_789, 1_000_000_000, 1_999_999_999]
STEPS = 16
SHOWN = (0, 10)  # steps whose pictures are kept


def record(stage: str) -> dict[str, np.ndarray]:
    """What the expert sees, does and gets in the first steps of each seed."""
    env = TabletopVectorEnv(len(SEEDS), stage, cameras=["top", "gripper"], shaping=0.5)
    observation, _ = env.reset(seed=SEEDS)
    columns: dict[str, list[np.ndarray]] = {"state": [], "action": [], "reward": [], "top": [], "gripper": []}
    for step in range(STEPS):
        action = env.expert_action()
        columns["state"].append(observation["state"])
        columns["action"].append(action)
        if step in SHOWN:
            columns["top"].append(observation["images"]["top"])
            columns["gripper"].append(observation["images"]["gripper"])
        observation, reward, *_ = env.step(action)
        columns["reward"].append(reward)
    return {name: np.stack(values) for name, values in columns.items()} | {"instruction": np.array(observation["instruction"])}


@pytest.mark.parametrize("stage", STAGES)
def test_seeds_give_what_they_always_gave(stage):
    with np.load(GOLDEN, allow_pickle=False) as golden:
        recorded = {name.removeprefix(f"{stage}/"): golden[name] for name in golden.files if name.startswith(stage)}
    now = record(stage)
    assert recorded.keys() == now.keys()
    assert recorded["instruction"].tolist() == now["instruction"].tolist()
    for name in ("state", "action", "reward"):
        np.testing.assert_allclose(now[name], recorded[name], rtol=0, atol=1e-6)
    for name in ("top", "gripper"):
        # Directions come from the C library's sine, which may differ in its last bit: a rare value may be one off.
        difference = np.abs(now[name].astype(int) - recorded[name])
        assert difference.max() <= 2
        assert (difference > 0).mean() < 0.001


if __name__ == "__main__":
    everything = {f"{stage}/{name}": values for stage in STAGES for name, values in record(stage).items()}
    np.savez_compressed(GOLDEN, **everything)
    print(f"wrote {GOLDEN} ({GOLDEN.stat().st_size} bytes)")
