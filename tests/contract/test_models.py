"""One contract for every model of configs/model, found by glob: what sources, heads, paradigms and checkpoints rely on."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vla_train import config
from vla_train.config import folders
from vla_train.errors import UsageError
from vla_train.models.heads.regression import RegressionHead
from vla_train.models.normalizer import Normalizer
from vla_train.models.policy import Policy
from vla_train.spec import ActionSpec, ImageSpec, Spec
from vla_train.types import Demonstration, Observation

PROCESSOR_KEYS = ("image_size", "cameras", "max_tokens", "vocabulary", "language")
VARIANTS = {
    "transformer": [{"stem": "film_conv"}, {"stem": "film_conv", "words": 2, "fusion": 40, "places": False}, {"stem": "patch"}]
}
MODELS = [
    pytest.param((name, variant), id=" ".join((name, *map(str, variant.values()))))
    for name in folders.choices("model")  # those of installed plug-ins too
    for variant in VARIANTS.get(name, [{}])
]
ACTION = ActionSpec("continuous", 2, (-1.0, -1.0), (1.0, 1.0))
CAMERAS = {
    "top": ImageSpec(32, 32),
    "wrist": ImageSpec(24, 40, channels=1, kind="depth"),
    "grid": ImageSpec(5, 5, channels=2, kind="symbols", symbols=(4, 3)),
    "cloud": ImageSpec(12, 1, channels=4, kind="points"),
}
WINDOW = Spec(images=CAMERAS, state_size=3, action=ACTION, history=3, chunk=2)


def build(model: tuple[str, dict[str, Any]], spec: Spec = WINDOW) -> Policy:
    torch.manual_seed(0)
    node = {**config.load_choice("model", model[0]), "width": 16, **model[1]}
    parameters = {key: value for key, value in node.items() if key not in ("_target_", *PROCESSOR_KEYS)}
    target = config.resolve_target(node["_target_"], "model")
    encoder = target(spec, dict(spec.images), 300, 8, **parameters)
    head = RegressionHead(encoder.feature_size, spec.action, spec.chunk, hidden=16)
    return Policy(encoder, head, Normalizer(spec.state_size, spec.action), spec)


def observe(spec: Spec = WINDOW, size: int = 4, seed: int = 0) -> Observation:
    generator = torch.Generator().manual_seed(seed)
    length = torch.arange(size) % 5 + 1  # 1 is the begin token alone
    images = {}
    for name, image in spec.images.items():
        shape = (size, spec.history, image.height, image.width, image.channels)
        largest = min(image.symbols, default=256)
        pixels = torch.randint(0, largest, shape, generator=generator, dtype=torch.uint8)
        frames = torch.randn(shape, generator=generator) if image.kind == "points" else pixels
        images[name] = frames.permute(0, 1, 4, 2, 3)
    return Observation(
        images=images,
        state=torch.randn(size, spec.history, spec.state_size, generator=generator),
        present=torch.ones(size, spec.history, dtype=torch.bool),
        tokens=torch.randint(2, 300, (size, 8), generator=generator),
        token_mask=torch.arange(8) < length[:, None],
        task=torch.zeros(size, dtype=torch.long),
        domain=torch.zeros(size, dtype=torch.long),
    )


def demonstrate(spec: Spec = WINDOW, size: int = 4) -> Demonstration:
    action = torch.rand(size, spec.chunk, spec.action.size, generator=torch.Generator().manual_seed(1))
    return Demonstration(observation=observe(spec, size), action=action, valid=torch.ones_like(action, dtype=torch.bool))


def sees(policy: Policy) -> bool:
    """Whether it is a model for pictures: others read numbers and words alone."""
    return policy.encode(observe()).vision is not None


def fused(policy: Policy, observation: Observation) -> Tensor:
    return policy.eval().encode(observation).fused.detach()


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


def test_features_are_as_promised(model):
    policy = build(model)
    features = policy.encode(observe())
    assert features.fused.shape == (4, policy.encoder.feature_size)
    assert (features.vision is None) == (features.language is None), "streams for paradigms that compare the two"
    if features.vision is not None:
        assert len(features.vision) == 4
        assert features.language.shape[:2] == (4, 8), "a vector for each token, padding too"
    assert isinstance(policy.encoder.vision_sees_language, bool)


def test_vision_sees_language_is_the_truth(model):
    policy = build(model).eval()
    if not sees(policy):
        pytest.skip("it has no vision")
    other = replace(observe(), tokens=observe().tokens.flip(0))
    same = policy.encode(observe()).vision.equal(policy.encode(other).vision)
    assert same is not policy.encoder.vision_sees_language


@pytest.mark.parametrize("lead", [(), (1,), (2, 2), (1, 4, 1)])
def test_leading_dimensions_make_no_difference(model, lead):
    policy, observation = build(model), observe()
    flat = fused(policy, observation)
    if lead in ((), (1,)):
        observation, flat = observation[0], flat[0]
        observation = observation if lead == () else observation.map(lambda tensor: tensor[None])
    else:
        observation = observation.map(lambda tensor: tensor.reshape(*lead, *tensor.shape[1:]))
    found = fused(policy, observation)
    assert found.shape[:-1] == lead
    torch.testing.assert_close(found.reshape(flat.shape), flat, rtol=1e-4, atol=1e-5)
    assert policy.act(observation).shape == (*lead, 2, 2)


def test_absent_steps_do_not_influence_the_output(model):
    policy, observation = build(model), observe()
    present = torch.tensor([[False, False, True], [False, True, True], [True, True, True], [False, True, True]])
    observation = replace(observation, present=present)
    noise = observe(seed=1)

    def spoil(kept: Tensor, other: Tensor) -> Tensor:
        return torch.where(present.reshape(4, 3, *(1,) * (kept.ndim - 2)), kept, other)

    spoilt = replace(
        observation,
        images={name: spoil(image, noise.images[name]) for name, image in observation.images.items()},
        state=spoil(observation.state, noise.state),
    )
    torch.testing.assert_close(fused(policy, spoilt), fused(policy, observation))
    assert not torch.allclose(fused(policy, replace(spoilt, present=torch.ones_like(present))), fused(policy, observation))


def test_vision_features_are_those_of_the_newest_frame(model):
    policy, observation = build(model).eval(), observe()
    if not sees(policy):
        pytest.skip("it has no vision")
    noise = observe(seed=1).images
    spoilt = {name: torch.cat((noise[name][:, :-1], image[:, -1:]), 1) for name, image in observation.images.items()}
    vision = policy.encode(observation).vision
    torch.testing.assert_close(policy.encode(replace(observation, images=spoilt)).vision, vision)


def test_padding_does_not_influence_the_output(model):
    policy, observation = build(model), observe()
    spoilt = torch.where(observation.token_mask, observation.tokens, 7)
    torch.testing.assert_close(fused(policy, replace(observation, tokens=spoilt)), fused(policy, observation))


@pytest.mark.parametrize("part", [*CAMERAS, "state", "tokens", "words' order"])
@pytest.mark.parametrize("step", [0, -1])
def test_everything_reaches_the_output(model, part, step):
    policy, observation = build(model), observe(size=5)
    if (part in CAMERAS or part == "words' order") and not sees(policy):
        pytest.skip("it reads numbers and words alone")
    before = fused(policy, observation)
    if part == "tokens":
        observation.tokens[4, 2] += 1
    elif part == "words' order":
        observation.tokens[4, 1:5] = observation.tokens[4, 1:5].flip(0)
    elif part == "state":
        observation.state[4, step] += 1
    else:
        observation.images[part][4, step] = (observation.images[part][4, step] + 1) % 3
    after = fused(policy, observation)
    assert (after[4] - before[4]).abs().max() > 1e-5
    torch.testing.assert_close(after[:4], before[:4])


def test_every_parameter_gets_a_gradient(model):
    policy = build(model)
    policy(demonstrate()).mean().backward()
    silent = [name for name, parameter in policy.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert not silent


def test_the_loss_falls(model):
    spec = Spec(images={"top": ImageSpec(16, 16)}, state_size=3, action=ACTION)
    policy, batch = build(model, spec), demonstrate(spec)
    optimizer = torch.optim.AdamW(policy.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = policy(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    "spec",
    [
        Spec(images={}, state_size=3, action=ACTION),
        Spec(images={}, state_size=0, action=ACTION, history=2),
        Spec(images={"top": ImageSpec(64, 64)}, state_size=0, action=ACTION, chunk=8),
        Spec(images={"view": ImageSpec(7, 7, 3, "symbols", (11, 6, 3))}, state_size=0, action=ACTION, history=4),
        Spec(images={"view": ImageSpec(56, 56)}, state_size=0, action=ACTION, history=4),
        Spec(images={"small": ImageSpec(8, 9), "large": ImageSpec(120, 200)}, state_size=1, action=ACTION),
    ],
    ids=["no images", "words only", "no state", "symbols", "partial view", "sizes"],
)
def test_whatever_there_is_works(model, spec):
    if model[0] == "feature_mlp" and spec.images and not spec.state_size:
        with pytest.raises(UsageError, match="model=feature_mlp reads numbers, and there are only pictures"):
            build(model, spec)
        return
    policy = build(model, spec)
    batch = demonstrate(spec, size=3)
    without_language = replace(batch.observation, token_mask=torch.arange(8).expand(3, 8) < 1)
    for observation in (batch.observation, without_language):
        loss = policy(replace(batch, observation=observation))
        loss.mean().backward()
        assert loss.shape == (3,)
        assert torch.isfinite(loss).all()
    assert all(torch.isfinite(p.grad).all() for p in policy.parameters() if p.grad is not None)


def test_weights_travel_through_safetensors(model):
    policy = build(model)
    copy = build(model)
    for parameter in copy.parameters():
        nn.init.zeros_(parameter)
    copy.load_state_dict(load(save(policy.state_dict())))  # save refuses tensors that share storage
    assert fused(copy, observe()).equal(fused(policy, observe()))


def test_functional_call_reaches_the_loss(model):
    policy, batch = build(model), demonstrate()
    parameters = dict(policy.named_parameters())
    before = policy(batch).mean()
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        gradients = torch.autograd.grad(policy(batch).mean(), list(parameters.values()), create_graph=True)
        stepped = {name: p - 0.05 * g for (name, p), g in zip(parameters.items(), gradients, strict=True)}
        after = torch.func.functional_call(policy, stepped, (batch,)).mean()
        after.backward()  # second order, as in MAML
    assert after < before


def test_bf16_autocast_and_determinism(model):
    batch = demonstrate()
    results = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            policy = build(model)
            with torch.autocast("cpu", torch.bfloat16):
                loss = policy(batch)
            loss.mean().backward()
            results.append([loss, *(parameter.grad for parameter in policy.parameters())])
    finally:
        torch.use_deterministic_algorithms(False)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, build(model)(batch), rtol=0.05, atol=0.02)
    assert all(a.equal(b) for a, b in zip(*results, strict=True))


def test_a_width_that_the_heads_cannot_share_is_a_usage_error(model):
    if not sees(build(model)):
        pytest.skip("it has no heads")
    with pytest.raises(UsageError, match="width=18"):
        build((model[0], {**model[1], "width": 18}))


def test_a_patch_larger_than_the_picture_is_a_usage_error():
    tiny = Spec(images={"top": ImageSpec(4, 4)}, state_size=0, action=ACTION)
    build(("transformer", {"stem": "film_conv"}), tiny)
    with pytest.raises(UsageError, match=r"patch=8 .*4 x 4"):
        build(("transformer", {"stem": "patch"}), tiny)
