"""A tabletop episode that was stopped in the middle goes on to the bit in another environment: steps, dwell and shaping too."""

import numpy as np
import pytest

from vla_train.checkpoint.nested import decode, encode
from vla_train.envs.tabletop.stages import STAGES
from vla_train.envs.tabletop.vector_env import TabletopVectorEnv


@pytest.mark.parametrize("stage", STAGES)
def test_it_goes_on_to_the_bit(stage):
    first, second = (TabletopVectorEnv(4, stage, image_size=16, shaping=1.0) for _ in range(2))
    first.reset(seed=[3, 1, 4, 15])
    draw = np.random.default_rng(0)
    for step in range(30):  # the expert comes near its goals, where dwelling and shaping matter
        first.step(np.where(draw.random((4, 1)) < 0.9, first.expert_action(), draw.uniform(-1, 1, (4, 4))).astype(np.float32))
        if step % 6 == 5:
            tree, tensors = encode({"scenes": first.get_scenes()})
            shown = second.set_scenes(range(4), decode(tree, tensors)["scenes"])
            now = first.set_scenes([], [])
            assert (shown["state"] == now["state"]).all()
            assert (shown["images"]["top"] == now["images"]["top"]).all()
            assert shown["instruction"] == now["instruction"]
            states = [env.get_scenes() for env in (first, second)]
            for _ in range(4):
                actions = first.expert_action()
                (seen, *mine, _), (other, *theirs, _) = first.step(actions), second.step(actions)
                assert all((one == two).all() for one, two in zip(mine, theirs, strict=True))
                assert (seen["state"] == other["state"]).all()
                assert (first.success == second.success).all()
            first.set_scenes(range(4), states[0])
