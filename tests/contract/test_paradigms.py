"""One contract for every paradigm: what the loop and the checkpoint rely on."""

import copy
import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from vla_train import config as configuration
from vla_train.config import folders
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.optim import Optimizer, Progress
from vla_train.spec import ActionSpec, ImageSpec, Spec
from vla_train.types import Demonstration, Observation, Rollout, Transition

OTHER_HEADS = ["cql:squashed_gaussian"]  # with which a paradigm is another class than with its first one
PARADIGMS = [*folders.choices("paradigm"), *OTHER_HEADS]  # those of installed plug-ins too
SPEC = Spec(
    images={"top": ImageSpec(16, 16)},
    state_size=3,
    action=ActionSpec("continuous", 2, low=(-1.0, -1.0), high=(1.0, 1.0)),
    history=1,
    chunk=2,
)
DISCRETE = replace(SPEC, action=ActionSpec("discrete", 1, choices=3))
# What has a fixed aim on a fixed batch, where that is neither the loss nor that of values.
FALLS = {"sac": "critic_loss", "cql:squashed_gaussian": "td_loss"}


def chosen(name: str) -> tuple[dict[str, Any], str]:
    """A paradigm's config, and the head that is named behind the colon; without one its first."""
    paradigm, _, head = name.partition(":")
    node = configuration.load_choice("paradigm", paradigm)
    return node, head or node["heads"][0]


def spec_of(name: str) -> Spec:
    """What the paradigm's head fits."""
    node, name = chosen(name)
    head = configuration.resolve_target(configuration.load_choice("head", name)["_target_"], "head")
    return replace(SPEC if head.fits(SPEC.action) else DISCRETE, chunk=node.get("chunk", SPEC.chunk))


def make_encoder():
    encoder = configuration.load_choice("model", "film_cnn")
    target = configuration.resolve_target(encoder.pop("_target_"), "model")
    for key in ("image_size", "cameras", "max_tokens", "vocabulary", "language"):
        encoder.pop(key)
    return target(spec=SPEC, image_specs=dict(SPEC.images), vocabulary_size=300, max_tokens=8, **encoder | {"width": 16})


def make_policy(head: str, spec: Spec) -> Policy:
    torch.manual_seed(0)
    node = configuration.load_choice("head", head)
    target, encoder = configuration.resolve_target(node.pop("_target_"), "head"), make_encoder()
    made = target(encoder.feature_size, spec.action, spec.chunk, **node | ({"hidden": 32} if "hidden" in node else {}))
    return Policy(encoder, made, Normalizer(3, spec.action), spec)


def make_paradigm(name: str, progress: Progress | None = None):
    node, head = chosen(name)
    target = configuration.resolve_target(node["_target_"], "paradigm")
    parameters = {key: value for key, value in node.items() if key not in ("_target_", "heads", "steps", "chunk")}
    policy = make_policy(head, spec_of(name))
    if "epochs" in parameters:
        parameters["epochs"] = 1  # a few gradient steps for each update are enough here
    offered = {"make_encoder": make_encoder, "progress": progress or Progress()}
    parameters |= {name: value for name, value in offered.items() if name in inspect.signature(target).parameters}

    def make_optimizer(parameters):
        return Optimizer(parameters, lr=1e-3, progress=progress or Progress())

    return target(policy=policy, make_optimizer=make_optimizer, **parameters)


def make_batch(name: str, seed: int = 0) -> Demonstration | Rollout:
    """Of what the paradigm learns from."""
    node, _ = chosen(name)
    batch_type = configuration.resolve_target(node["_target_"], "paradigm").batch_type
    if batch_type is Demonstration:
        return make_demonstrations(seed=seed)
    if batch_type is Transition:
        return make_transitions(spec_of(name), seed=seed)
    found = make_demonstrations(size=10, seed=seed)
    seen = found.observation[:8].map(lambda tensor: tensor.unflatten(0, (4, 2)))
    last = torch.arange(4)[:, None].expand(4, 2) == 3
    index = torch.full((4, 2), -1)
    index[1] = torch.arange(2)
    reward = torch.rand(4, 2, generator=torch.Generator().manual_seed(seed)) * 10
    action = found.action[:8, :1].unflatten(0, (4, 2))
    final = found.observation[8:]
    return Rollout(
        observation=seen, action=action, reward=reward, terminated=last, truncated=index >= 0, final=final, final_index=index
    )


def make_transitions(spec: Spec, size: int = 8, seed: int = 0) -> Transition:
    found, generator = make_demonstrations(size=2 * size, seed=seed), torch.Generator().manual_seed(seed)
    action = found.action[:size, : spec.chunk]
    if spec.action.kind == "discrete":
        action = torch.randint(spec.action.choices, (size, spec.chunk, 1), generator=generator)
    ends = torch.arange(size) % 4
    return Transition(
        observation=found.observation[:size],
        action=action,
        valid=torch.ones(action.shape, dtype=torch.bool),
        reward=torch.rand(size, generator=generator) * 10,
        discount=torch.full((size,), 0.9),
        next_observation=found.observation[size:],
        terminated=ends == 0,
        truncated=ends == 1,
    )


def make_demonstrations(size: int = 8, seed: int = 0) -> Demonstration:
    generator = torch.Generator().manual_seed(seed)
    observation = Observation(
        images={"top": torch.randint(0, 256, (size, 1, 3, 16, 16), generator=generator, dtype=torch.uint8)},
        state=torch.randn(size, 1, 3, generator=generator),
        present=torch.ones(size, 1, dtype=torch.bool),
        tokens=torch.randint(1, 300, (size, 8), generator=generator),
        token_mask=torch.ones(size, 8, dtype=torch.bool),
        task=torch.zeros(size, dtype=torch.long),
        domain=torch.zeros(size, dtype=torch.long),
    )
    action = torch.rand(size, 2, 2, generator=generator) * 2 - 1
    return Demonstration(observation=observation, action=action, valid=torch.ones(size, 2, 2, dtype=torch.bool))


@pytest.fixture(params=PARADIGMS)
def name(request) -> str:
    return request.param


def test_loss_falls_on_a_fixed_batch(name):
    paradigm, batch = make_paradigm(name), make_batch(name)
    key = FALLS.get(name, "value_loss" if isinstance(batch, Rollout) else "loss")
    number = 60 // chosen(name)[0].get("minibatches", 1)  # updates, of so many steps each
    losses = [float(paradigm.update(batch)[key]) for _ in range(number)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_only_listed_parameters_change(name):
    paradigm, batch = make_paradigm(name), make_batch(name)
    stranger = nn.Parameter(torch.ones(3))
    paradigm.register_parameter("stranger", stranger)
    listed = {id(p) for optimizer in paradigm.optimizers.values() for p in optimizer.parameters}
    before = {key: value.clone() for key, value in paradigm.named_parameters()}
    paradigm.update(batch)
    changed = {key for key, value in paradigm.named_parameters() if not torch.equal(before[key], value)}
    assert changed
    moved = {key for key in changed if not key.startswith("target")}  # networks that follow others
    assert all(id(dict(paradigm.named_parameters())[key]) in listed for key in moved)


def test_saved_and_loaded_the_next_update_is_the_same_to_the_bit(name):
    progress = Progress()
    first, second = make_paradigm(name, progress), make_paradigm(name, progress)
    first.update(make_batch(name, seed=1))
    weights = copy.deepcopy(first.state_dict())
    optimizers = copy.deepcopy(first.optimizer_state())
    second.update(make_batch(name, seed=5))  # goes elsewhere, then comes back
    second.load_state_dict(weights)
    second.load_optimizer_state(optimizers)
    for paradigm in (first, second):
        torch.manual_seed(3)
        paradigm.update(make_batch(name, seed=2))
    for (key, mine), theirs in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), key


def test_same_seed_same_run(name):
    def run() -> list[torch.Tensor]:
        paradigm = make_paradigm(name)
        torch.manual_seed(7)
        for seed in range(3):
            paradigm.update(make_batch(name, seed=seed))
        return list(paradigm.state_dict().values())

    assert all(torch.equal(mine, theirs) for mine, theirs in zip(run(), run(), strict=True))


def test_invalid_entries_do_not_teach(name):
    batch = make_batch(name)
    if isinstance(batch, Rollout | Transition):
        pytest.skip("what a policy did itself is all valid")
    valid = batch.valid.clone()
    valid[:, 1] = False
    nonsense = batch.action.clone()
    nonsense[:, 1] = 1e3
    results = []
    for action in (batch.action, nonsense):
        paradigm = make_paradigm(name)
        paradigm.update(Demonstration(observation=batch.observation, action=action, valid=valid))
        results.append(torch.cat([p.detach().flatten() for p in paradigm.parameters()]))
    assert torch.equal(*results)
