"""Sheets of augmented samples, as training sees them, into docs/pictures/augmentation_*.png.

python scripts/draw_augmentation.py

A few frames of freshly played episodes stand in the first column; to the right the same frame in later epochs, with its
instruction, and the first action of its chunk as an arrow. BabyAI's symbols are drawn as the tiles that they stand for.
Printed is how near pictures with exchanged colours come to those that the simulator draws.
"""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vla_train.config import load_choice
from vla_train.data.augmentation import Augmentation
from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.paint import Painter
from vla_train.envs.babyai import BabyAIVectorEnv
from vla_train.envs.babyai_view import View
from vla_train.envs.tabletop import TabletopVectorEnv, world
from vla_train.envs.tabletop.stages import STAGES

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
EPOCHS = 7


def frames(env: Any, seeds: Sequence[int], steps: int) -> Batch:
    """One frame of each seed's episode, after so many steps of the expert."""
    observation, _ = env.reset(seed=seeds)
    for _ in range(steps):
        observation, *_ = env.step(env.expert_action())
    images = {name: pictures[:, None].copy() for name, pictures in observation["images"].items()}
    action, rows = env.expert_action()[:, None], np.arange(len(seeds))
    return Batch(images, observation["state"][:, None].copy(), action, [list(observation["instruction"])], rows)


def augmented(env: Any, given: Batch, choice: str, epochs: int, **changes: Any) -> list[Batch]:
    """The frames in so many epochs, by ``augmentation=choice``."""
    node = {key: value for key, value in load_choice("augmentation", choice).items() if key != "_target_"} | changes
    scenes = [str(scene).replace("'", '"') for scene in scene_texts(env)]
    known = {"symmetries": lambda: {env.stage: env.symmetry}, "spec": env.io_spec, "cameras": env.io_spec.images}
    change = Augmentation(**known, scenes=scenes, **node)
    found = []
    for epoch in range(epochs):
        images = {name: pictures.copy() for name, pictures in given.images.items()}
        batch = Batch(images, given.state.copy(), given.action.copy(), [list(given.texts[0])], given.episode)
        change(batch, np.arange(len(given.state)) + 31 * (epoch + 1))
        found.append(batch)
    return found


def scene_texts(env: Any) -> list[str]:
    """The names of things are all that is read of a scene."""
    if not hasattr(env, "stage") or isinstance(env, BabyAIVectorEnv):
        return [""] * env.num_envs
    return [str({"objects": [{"name": item["name"]} for item in scene["objects"]]}) for scene in env.get_scenes()]


def draw(name: str, columns: list[Batch], camera: str, arrows: bool, view: View | None = None) -> None:
    rows = len(columns[0].state)
    figure = Figure(figsize=(1.75 * len(columns), 2.15 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, len(columns), squeeze=False)
    for column, batch in enumerate(columns):
        for row in range(rows):
            axes, picture = grid[row, column], batch.images[camera][row, -1]
            picture = picture if view is None else view.show(picture[None])[0]
            size = picture.shape[0]
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
            axes.set_title("\n".join(textwrap.wrap(batch.texts[0][row], 25)), fontsize=7)
            if arrows:
                x, y = ((batch.state[row, -1, 0] + 0.5) * size, (0.5 - batch.state[row, -1, 1]) * size)
                way = batch.action[row, 0, :2] * size * 0.15
                axes.annotate("", (x + way[0], y - way[1]), (x, y), arrowprops={"arrowstyle": "->", "color": "black", "lw": 1.6})
    figure.savefig(FOLDER / f"augmentation_{name}.png", dpi=110)
    print(FOLDER / f"augmentation_{name}.png")


def painted(stage: str, count: int = 64, steps: int = 9) -> str:
    """How far pictures with exchanged colours are from those that the simulator draws of such things."""
    env = TabletopVectorEnv(count, stage)
    env.reset(seed=range(count))
    for _ in range(steps):
        observation, *_ = env.step(env.expert_action())
    given = observation["images"]["top"]
    orders = np.array([np.random.default_rng(row).permutation(len(world.COLOURS)) for row in range(count)])
    assert env.symmetry.names is not None
    made = given.copy()
    Painter(env.symmetry.names.paint["top"], world.COLOURS)(made, orders)
    scenes = env.get_scenes()
    for scene, order in zip(scenes, orders, strict=True):
        new = {name: world.COLOURS[order[number]] for number, name in enumerate(world.COLOURS)}
        for item in scene["objects"]:
            colour, _, shape = item["name"].partition(" ")
            item["name"] = f"{new[colour]} {shape}"
        scene["goal"]["data"] = {"kind": "go_region", "object": "", "place": "centre"}  # its own names things that are no more
    drawn = env.set_scenes(range(count), scenes)["images"]["top"]
    away, things = np.abs(made.astype(int) - drawn).max(axis=-1), (given != drawn).any(axis=-1)
    return (
        f"{stage}: pixels of things differ by {away[things].mean():.2f} of 255, {1000 * (away[things] > 32).mean():.1f} in 1,000 "
        f"by more than 32; of the rest by {away[~things].mean():.3f}"
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for stage, choice, seeds, changes in (
        ("simple_manipulation", "geometry", (3, 11, 20), {}),
        ("complex_tasks", "symmetry", (2, 5, 9), {}),
        ("simple_manipulation", "images", (3, 11, 20), {"images": 1.0}),
        ("multi_step_reasoning", "full", (1, 4, 6), {"images": 1.0}),
    ):
        env = TabletopVectorEnv(len(seeds), stage, image_size=96)
        given = frames(env, seeds, 4)
        draw(choice, [given, *augmented(env, given, choice, EPOCHS, **changes)], "top", arrows=True)
    babyai = BabyAIVectorEnv(3, level="PutNextLocal", view="symbolic")
    given = frames(babyai, (0, 1, 2), 2)
    draw("babyai", [given, *augmented(babyai, given, "symmetry", EPOCHS)], "view", arrows=False, view=View(7, 16))
    for stage in STAGES:
        print(painted(stage))


if __name__ == "__main__":
    main()
