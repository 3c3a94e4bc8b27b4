"""Of a cloud one point is marked, and the action is where that is: only who reads the points can say it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vla_train import config
from vla_train.build.objects import PROCESSOR_KEYS
from vla_train.models.heads.regression import RegressionHead
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.spec import ActionSpec, ImageSpec, Spec
from vla_train.types import Demonstration, Observation

CLOUD = ImageSpec(12, 1, 4, kind="points")  # x, y, z and the mark
SPEC = Spec(images={"scan": CLOUD}, state_size=0, action=ActionSpec("continuous", 3), history=1, chunk=1)
UPDATES, BATCH = 250, 32
MODELS = [("transformer", {"stem": "film_conv", "layers": 2}), ("transformer", {"stem": "patch", "layers": 2}), ("film_cnn", {})]


def scenes(number: int, seed: int) -> Demonstration:
    """Points in a box of 60 cm, a metre and a half away."""
    generator = torch.Generator().manual_seed(seed)
    place = 0.6 * torch.rand(number, CLOUD.height, 3, generator=generator) + torch.tensor([1.5, 0.0, 0.0])
    marked = torch.randint(0, CLOUD.height, (number,), generator=generator)
    mark = torch.nn.functional.one_hot(marked, CLOUD.height).float()[..., None]
    cloud = torch.cat((place, mark), -1)
    tokens = torch.ones(number, 1, dtype=torch.long)
    none = torch.zeros(number, dtype=torch.long)
    action = (place[torch.arange(number), marked] - torch.tensor([1.8, 0.3, 0.3])) / 0.3
    return Demonstration(
        observation=Observation(
            images={"scan": cloud.transpose(1, 2)[:, None, :, :, None]},
            state=torch.zeros(number, 1, 0),
            present=torch.ones(number, 1, dtype=torch.bool),
            tokens=tokens,
            token_mask=tokens.bool(),
            task=none,
            domain=none,
        ),
        action=action[:, None],
        valid=torch.ones(number, 1, 3, dtype=torch.bool),
    )


def made(name: str, **changes: object) -> Policy:
    torch.manual_seed(0)
    node = {**config.load_choice("model", name), "width": 32, "dropout": 0.0, **changes}
    keys = {key: value for key, value in node.items() if key not in ("_target_", *PROCESSOR_KEYS)}
    encoder = config.resolve_target(node["_target_"], "model")(SPEC, dict(SPEC.images), 2, 1, **keys)
    head = RegressionHead(encoder.feature_size, SPEC.action, 1, hidden=64)
    return Policy(encoder, head, Normalizer(0, SPEC.action), SPEC)


def seeing(batch: Demonstration, cloud: Tensor) -> Demonstration:
    return replace(batch, observation=replace(batch.observation, images={"scan": cloud}))


@pytest.mark.parametrize(("name", "changes"), MODELS, ids=["film_conv", "patch", "film_cnn"])
def test_the_marked_point_is_found(name, changes):
    policy = made(name, **changes)
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for step in range(UPDATES):
        optimizer.zero_grad()
        policy.loss(scenes(BATCH, step + 1)).mean().backward()
        optimizer.step()
    policy.eval()
    batch = scenes(256, 0)
    with torch.no_grad():
        loss = policy.loss(batch).mean()
        cloud = batch.observation.images["scan"]
        blind = policy.loss(seeing(batch, torch.zeros_like(cloud))).mean()
        order = torch.randperm(CLOUD.height, generator=torch.Generator().manual_seed(0))
        turned = policy.act(seeing(batch, cloud[:, :, :, order]).observation)
        seen = policy.act(batch.observation)
    mean = (batch.action - batch.action.mean(0)).abs().mean()
    assert loss < 0.4 * mean
    assert blind > 0.9 * mean, "it can only have come from the points"
    torch.testing.assert_close(turned, seen, rtol=1e-3, atol=1e-4)
