"""Episodes for a writer that may be killed, made without torch: its process starts at once.

Episode e has 3 or 2 steps, in turn; at step t the action is (10 e + t, -t), and every pixel of its pictures 10 e + t
(modulo 200), which survives a codec.
"""

import numpy as np

from vla_train.spec import ActionSpec, ImageSpec, Spec

SPEC = Spec(
    images={"top": ImageSpec(64, 64), "depth": ImageSpec(8, 8, channels=1, kind="depth")},
    state_size=2,
    action=ActionSpec("continuous", 2),
    tasks=("go", "pick"),
)


def told(e):
    """The arguments of ``add_episode``."""
    length = 3 - e % 2
    steps = np.arange(length)
    light = ((10 * e + steps) % 200).astype(np.uint8)[:, None, None, None]
    return {
        "images": {name: np.broadcast_to(light, (length, s.height, s.width, s.channels)) for name, s in SPEC.images.items()},
        "state": np.stack([np.full(length, e), steps], axis=1),
        "action": np.stack([10 * e + steps, -steps], axis=1),
        "reward": steps + 1.0,
        "terminated": steps == length - 1,
        "truncated": np.zeros(length, bool),
        "instruction": ("go to the red cup", "pick up the ball")[e % 2],
        "task": SPEC.tasks[e % 2],
        "metadata": {"seed": 100 + e, "outcome": "success"},
    }
