"""Any gymnasium environment: what it shows and takes, when it succeeds, and what is refused."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.broken_worlds import make as make_broken
from vla_train.build.datasets import open_demonstrations
from vla_train.build.objects import environment_maker, make_choice
from vla_train.config import compose
from vla_train.envs.gym import GymVectorEnv
from vla_train.envs.gym_spaces import View, action_spec, to_action
from vla_train.errors import UsageError, WorldError
from vla_train.evaluation.success import Success
from vla_train.spec import EpisodeResult, ImageSpec, Stage


class Left:
    """Always the first action."""

    def act(self, images, instruction, state, rows=None):
        return np.zeros((len(state), 1, 1), np.int64)

    def observe(self, images, instruction, state, rows=None):
        pass

    def reset(self, rows=None):
        pass


def test_a_dict_is_taken_key_by_key():
    space = spaces.Dict(
        camera=spaces.Box(0, 255, (4, 6, 3), np.uint8),
        arm=spaces.Dict(angles=spaces.Box(-1, 1, (2, 2)), mode=spaces.Discrete(3, start=5)),
        level=spaces.Box(0, 9, (1,), np.int64),
    )
    view = View("Made-v0", space)
    assert view.images == {"camera": ImageSpec(4, 6)}
    assert view.state_names == (
        *("arm_angles 0", "arm_angles 1", "arm_angles 2", "arm_angles 3", "arm_mode 0", "arm_mode 1", "arm_mode 2"),
        "level 0",
    )
    picture = np.full((4, 6, 3), 7, np.uint8)
    seen = {"camera": picture, "arm": {"angles": np.array([[0.1, 0.2], [0.3, 0.4]]), "mode": 6}, "level": np.array([8])}
    images, state = view.split(seen)
    assert (images["camera"] == picture).all()
    assert state.dtype == np.float32
    assert state.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0, 1, 0, 8])
    seen["arm"]["angles"][1, 0] = np.inf
    with pytest.raises(WorldError, match="arm_angles 2 as not finite"):
        view.split(seen)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.MultiDiscrete([2, 3]), "here actions are Discrete, or a Box"),
        (spaces.Box(-np.inf, np.inf, (2,)), "finite bounds"),
        (spaces.Box(0, 5, (2,), np.int64), "Box of floats"),
    ],
)
def test_other_actions_are_refused(space, words):
    with pytest.raises(UsageError, match=words):
        action_spec("Made-v0", space)


def test_actions_arrive_as_the_environment_takes_them():
    assert to_action(spaces.Discrete(3, start=-1), 2) == 1
    box = spaces.Box(-2, 2, (2, 1), np.float64)
    taken = to_action(box, np.array([0.5, -1.5], np.float32))
    assert box.contains(taken)
    assert taken.tolist() == [[0.5], [-1.5]]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"env_id": "Cartpole-v1"}, "did you mean CartPole-v1"),
        ({"env_id": "tests.broken_worlds:Broken-raise-v0"}, "no environment of this name"),  # would import a module
        ({"env_id": "Blackjack-v1"}, r"shows Tuple\(.*a Dict of these"),
        ({"stage": "complex_tasks"}, "has no stages, so leave this out"),
    ],
)
def test_what_cannot_be_is_said(keys, words):
    with pytest.raises(UsageError, match=words):
        GymVectorEnv(1, **keys)


@pytest.mark.parametrize("refused", ["observation_space", "action_space"])
def test_an_environment_that_is_refused_is_closed(monkeypatch, refused):
    made = gymnasium.make("CartPole-v1")
    setattr(made, refused, spaces.Text(3))
    closed = []
    monkeypatch.setattr(made, "close", lambda: closed.append(True))
    monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: made)
    with pytest.raises(UsageError, match=r"Text\("):
        GymVectorEnv(1)
    assert closed == [True]


def test_it_steps_as_the_library_does():
    ours, theirs = GymVectorEnv(1, env_id="Pendulum-v1"), gymnasium.make("Pendulum-v1")
    seen, _ = ours.reset(seed=[1_000_000_003])
    expected, _ = theirs.reset(seed=1_000_000_003)
    assert seen["state"][0].tolist() == expected.tolist()
    for push in (2.0, -0.5, 5.0):  # the last is cut to the bounds
        seen, reward, *_ = ours.step(np.array([[push]], np.float32))
        expected, theirs_reward, *_ = theirs.step(np.array([min(push, 2.0)], np.float32))
        assert seen["state"][0].tolist() == expected.tolist()
        assert reward[0] == np.float32(theirs_reward)


def test_success_is_a_return_of_at_least_the_threshold():
    # A cart that is always pushed to the left drops its pole after 8 to 10 steps, with a reward of 1 each.
    lengths = [episode.length for episode in Success(GymVectorEnv, split="test", episodes=8, num_envs=4)(Left()).episodes]
    assert set(lengths) == {8, 9, 10}
    report = Success(lambda n: GymVectorEnv(n, success_return=9.0), split="test", episodes=8, num_envs=4)(Left())
    assert report.metrics["success"] == np.mean([length >= 9 for length in lengths])
    assert report.metrics["reward"] == np.mean(lengths)


def test_without_a_threshold_success_does_not_apply():
    environment = GymVectorEnv(2, success_return=None)
    report = Success(lambda n: environment, split="test", episodes=4, num_envs=2, conditions=["plain", "random"])(Left())
    assert "success_return" in report.not_applicable["success"]
    assert not [name for name in report.metrics if "success" in name]
    assert report.metrics["reward"] == report.metrics["length"] > 7
    assert {result.outcome for result in report.episodes if isinstance(result, EpisodeResult)} == {"ended"}
    settings = {"best": "auto", "mode": "auto", "patience": 0, "conditions": ["plain"]}
    lacking = environment.not_applicable
    choice = make_choice(settings, environment.io_spec, has_environment=True, has_held_out=True, not_applicable=lacking)
    assert (choice.best, choice.mode) == ("reward", "max")


def test_pixels_are_what_the_environment_draws():
    environment = GymVectorEnv(1, observation="pixels", image_size=50)
    assert (list(environment.io_spec.images), environment.io_spec.state_size) == (["pixels"], 0)
    first, _ = environment.reset(seed=[5])
    for _ in range(5):
        last, *_ = environment.step(np.array([[1]]))
    library = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    library.reset(seed=5)
    whole = library.render()
    height, width = whole.shape[0] // 50, whole.shape[1] // 50
    means = whole.reshape(50, height, 50, width, 3).mean((1, 3))
    assert np.abs(first["images"]["pixels"][0] - means).max() <= 1
    assert (first["images"]["pixels"] != last["images"]["pixels"]).any()


def test_imitation_of_an_environment_without_expert_is_refused(tmp_path):
    config = compose(["dataset=gym", "dataset.env_id=Acrobot-v1", f"output={tmp_path}"])
    assert environment_maker(config, Stage("none"))(2).io_spec.tasks == ("Acrobot-v1",)
    with pytest.raises(UsageError, match=r"no expert.*set dataset\.path to demonstrations that exist"):
        open_demonstrations(config, Stage("none"))


def test_a_space_that_changes_on_reset_is_told():
    env = make_broken(1, "change")
    env.reset(seed=[1])
    with pytest.raises(WorldError, match="shows 3 numbers, and has announced 2: an environment whose spaces change cannot be"):
        env.reset(seed=[3])
