"""Point clouds where no reader is: in worlds, windows and the replay buffer, and in augmentation."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.clouds import CHANNELS, POINTS, SPEC, cloud
from vla_train.collection.expert import ExpertEpisode
from vla_train.data.augmentation.batch import Batch
from vla_train.data.augmentation.geometry import Geometry
from vla_train.data.augmentation.pictures import Pictures
from vla_train.data.encoded import EncodedFrames
from vla_train.envs.contract import Goal
from vla_train.envs.gym import GymVectorEnv
from vla_train.envs.vector import observation_space
from vla_train.errors import UsageError, WorldError
from vla_train.processor import Processor, train_tokenizer
from vla_train.rollouts.window import Window
from vla_train.sources.ring import Ring, frame_bytes
from vla_train.sources.segments import Segments
from vla_train.spec import ImageSpec
from vla_train.symmetry import Plane

FRONT = SPEC.images["front"]
PROCESSOR = Processor(
    replace(SPEC, images={"front": FRONT}).with_window(2, 1),
    train_tokenizer(["go"], 300),
    cameras=None,
    image_size=8,
    max_tokens=4,
)


class Scanned(gymnasium.Env):
    """Shows a cloud in which every number is the count of steps, and a table of numbers that is none."""

    observation_space = spaces.Dict(
        point_cloud=spaces.Box(-9, 9, (POINTS, CHANNELS), np.float64), table=spaces.Box(-9, 9, (8, 3), np.float32)
    )
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._seen(), {}

    def step(self, action):
        self.count = np.nan if action else self.count + 1
        return self._seen(), 1.0, False, False, {}

    def _seen(self):
        return {"point_cloud": np.full((POINTS, CHANNELS), self.count + 0.5), "table": np.zeros((8, 3), np.float32)}


gymnasium.register("Scanned-v0", entry_point=Scanned, max_episode_steps=5)


def test_a_gymnasium_world_that_shows_a_cloud():
    world = GymVectorEnv(2, env_id="Scanned-v0")
    try:
        assert world.io_spec.images == {"point_cloud": FRONT}
        assert world.io_spec.state_size == 24, "a table is a cloud only where its name says so"
        assert world.single_observation_space["images"]["point_cloud"].dtype == np.float32
        seen, _ = world.reset(seed=[0, 1])
        seen, *_ = world.step(np.zeros((2, 1), np.int64))
        shown = seen["images"]["point_cloud"]
        assert shown.shape == (2, POINTS, 1, CHANNELS)
        assert shown.dtype == np.float32
        assert (shown == 1.5).all()
        with pytest.raises(WorldError, match="points of point_cloud that are not finite"):
            world.step(np.ones((2, 1), np.int64))
    finally:
        world.close()


def test_the_window_and_the_replay_buffer_keep_every_bit(tmp_path):
    window, ring = Window(2), Ring(PROCESSOR, 8, 1)
    assert frame_bytes(PROCESSOR) > POINTS * CHANNELS * 4
    tokens, mask = PROCESSOR.tokenize(["go"])
    for step in range(4):
        frames = PROCESSOR.resize({"front": (cloud(0, step) / 3)[None, :, None]})
        window.push(np.array([0]), frames, np.zeros((1, 2), np.float32))
        images, state, present = window.read(np.array([0]))
        seen = PROCESSOR.observation(images, tokens, mask, state, present)
        ring.add(seen, np.zeros((1, 1, 2), np.float32), np.ones(1), np.zeros(1, bool), np.zeros(1, bool))
    expected = torch.from_numpy(np.stack([cloud(0, 2) / 3, cloud(0, 3) / 3])).transpose(1, 2)[None, ..., None]
    assert seen.images["front"].equal(expected)
    saved = Segments(tmp_path, keep=1).save(ring)
    again = Ring(PROCESSOR, 8, 1)
    again.load_state_dict(ring.state_dict())
    Segments(tmp_path, keep=1).load(again, saved)
    for each in (ring, again):
        assert each.observation(np.array([0]), np.array([3])).images["front"].equal(expected)


def test_an_episode_keeps_clouds_as_they_are_where_pictures_are_encoded():
    goal = Goal(instruction="go", key="go", task="reach", named="", template="")
    episode = ExpertEpisode(index=0, seed=0, goal=goal, scene="")
    nothing = np.zeros(1, np.float32)
    for step in range(2):
        images = {"front": cloud(0, step)[None, :, None], "top": np.full((1, 4, 4, 3), step, np.uint8)}
        seen = {"images": images, "state": np.zeros((1, 2), np.float32), "instruction": ["go"]}
        episode.add(seen, 0, np.zeros((1, 2), np.float32), nothing, nothing, nothing)
    episode.encode()
    images = episode.columns()["images"]
    assert isinstance(images["top"], EncodedFrames)
    np.testing.assert_array_equal(images["front"][:, :, 0], [cloud(0, 0), cloud(0, 1)])
    assert observation_space(SPEC)["images"]["front"].contains(cloud(0, 0)[:, None])


def test_colour_leaves_clouds_alone_and_mirroring_refuses_them():
    frames = np.tile(cloud(0, 1)[:, None], (4, 1, 1, 1, 1)).astype(np.float32)
    top = np.full((4, 1, 8, 8, 3), 90, np.uint8)
    batch = Batch({"front": frames.copy(), "top": top.copy()}, *np.zeros((2, 4, 1, 2), np.float32), [["go"] * 4], np.arange(4))
    none = dict.fromkeys(["hue", "saturation", "clahe", "noise", "blur", "shift", "crop", "turn", "cutout"], 0.0)
    cameras = {"front": FRONT, "top": ImageSpec(8, 8)}
    Pictures(cameras, probability=1.0, brightness=0.5, contrast=0.5, **none)(batch, np.arange(4))
    assert (batch.images["front"] == frames).all()
    assert (batch.images["top"] != top).any()
    plane = Plane(cameras=("front",), state=("x", "y"), action=("x", "y"))
    with pytest.raises(UsageError, match=r"how the points of front move is not known: leave it out with model.cameras"):
        Geometry(plane, SPEC, {"front": FRONT}, flips=["horizontal"], rotation=False)
