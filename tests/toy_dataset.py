"""A dataset small enough to work out by hand: episode 0 has steps 0 1 2 and terminates, episode 1 has 0 1 and is cut short.

In episode e at step t: state (e, t), action (10 e + t, -t), reward t + 1, and pictures of 4 x 4 whose every pixel is
(10 e, t, 200).
"""

import numpy as np

from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.reader import read_metadata
from vla_train.data.writer import LeRobotWriter
from vla_train.processor import Processor, train_tokenizer
from vla_train.spec import ActionSpec, ImageSpec, Spec

SPEC = Spec(
    images={"top": ImageSpec(4, 4)},
    state_size=2,
    action=ActionSpec("continuous", 2, low=(-20.0, -20.0), high=(20.0, 20.0), names=("dx", "dy"), units=("m", "m")),
    state_names=("episode", "step"),
    horizon=3,
    tasks=("go", "pick"),
)
LENGTHS = (3, 2)
INSTRUCTIONS = ("go to the red cup", "pick up the ball")


def episode(e, spec=SPEC, **changes):
    length = LENGTHS[e % 2]
    steps = np.arange(length)
    last = steps == length - 1
    image = np.stack([np.full((4, 4, 3), (10 * e, t, 200), np.uint8) for t in steps])
    values = {
        "images": dict.fromkeys(spec.images, image),
        "state": np.stack([np.full(length, e), steps], axis=1),
        "action": np.stack([10 * e + steps, -steps], axis=1),
        "reward": steps + 1.0,
        "terminated": last & (e % 2 == 0),
        "truncated": last & (e % 2 == 1),
        "instruction": INSTRUCTIONS[e % 2],
        "task": SPEC.tasks[e % 2],
        "metadata": {"seed": 100 + e, "scene": '{"cup": [1, 2]}', "outcome": "success" if e % 2 == 0 else "failure"},
    }
    return values | changes


def write_toy(folder, num_episodes=2, spec=SPEC, **options):
    writer = LeRobotWriter(folder, spec, "toy", {"generation": {"noise": 0.3}}, **{"commit_every": 0} | options)
    for e in range(num_episodes):
        writer.add_episode(**episode(e, spec))
    return writer.finish()


def toy_processor(folder, image_size=None, cameras=None):
    metadata = read_metadata(folder)
    tokenizer = train_tokenizer(metadata.instructions, 300)
    return Processor(metadata.spec, tokenizer, cameras=cameras, image_size=image_size, max_tokens=16)


def open_toy(folder, *, history=1, chunk=1, validation=0.0, **options):
    return DemonstrationDataset(folder, toy_processor(folder), history=history, chunk=chunk, validation=validation, **options)
