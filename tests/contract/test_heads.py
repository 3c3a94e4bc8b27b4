"""One contract for every head of configs/head, found by glob, with every kind of action that it fits."""

import pytest
import torch

from vla_train import config
from vla_train.config import folders
from vla_train.spec import ActionSpec

KINDS = {
    "continuous": ActionSpec("continuous", 3, (-1.0,) * 3, (1.0,) * 3),
    "discrete": ActionSpec("discrete", 1, choices=5),
}
HEADS = [name for name in folders.choices("head") if name != "auto"]  # those of installed plug-ins too
CHUNK = 4


def head_class(name):
    return config.resolve_target(config.load_choice("head", name)["_target_"], "head")


FITTING = [(name, kind) for name in HEADS for kind, action in KINDS.items() if head_class(name).fits(action)]


@pytest.fixture(params=FITTING, ids=" ".join)
def case(request):
    name, kind = request.param
    torch.manual_seed(0)
    node = config.load_choice("head", name)
    parameters = {key: value for key, value in node.items() if key != "_target_"}
    head = head_class(name)(6, KINDS[kind], CHUNK, **parameters)
    size = KINDS[kind].size
    action = torch.randint(0, 5, (2, 3, CHUNK, 1)) if kind == "discrete" else torch.rand(2, 3, CHUNK, size) * 2 - 1
    return head, torch.randn(2, 3, 6), action, torch.ones(2, 3, CHUNK, size, dtype=torch.bool)


def test_every_kind_of_action_has_a_head():
    assert {kind for _, kind in FITTING} == set(KINDS)
    assert {name for name, _ in FITTING} == set(HEADS)


@pytest.mark.parametrize("explore", [False, True])
def test_act_gives_a_chunk_like_the_recorded_one(case, explore):
    head, fused, action, _ = case
    chosen = head.act(fused, explore)
    assert chosen.shape == action.shape
    assert chosen.dtype == action.dtype


def test_the_loss_is_per_sample_and_ignores_what_is_not_valid(case):
    head, fused, action, valid = case
    valid[:, :, 2:] = False
    loss = head.loss(fused, action, valid)
    action[:, :, 2:] = 0
    assert loss.shape == (2, 3)
    assert loss.equal(head.loss(fused, action, valid))
    assert head.loss(fused[1], action[1], valid[1]).allclose(loss[1])


def test_learning_a_fixed_batch_leads_to_its_actions(case):
    head, fused, action, valid = case
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(400):
        loss = head.loss(fused, action, valid).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(head.act(fused).float(), action.float(), rtol=0, atol=0.1)


def test_a_distribution_measures_whole_chunks_and_exploration_samples_it(case):
    head, fused, action, _ = case
    if not hasattr(head, "distribution"):
        assert head.act(fused, explore=True).equal(head.act(fused))
        return
    distribution = head.distribution(fused)
    assert distribution.log_prob(action).shape == distribution.entropy().shape == (2, 3)
    assert distribution.sample().shape == action.shape
    assert not head.act(fused, explore=True).equal(head.act(fused, explore=True))


def test_bf16_features_give_full_precision_losses(case):
    head, fused, action, valid = case
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.loss(fused, action, valid)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, head.loss(fused, action, valid), rtol=0.05, atol=0.02)
