"""What a guarded environment cuts, aborts, takes from the reward and tells, against a pendulum (action within -2 and 2)."""

import numpy as np
import pytest

from tests.scripted import Scripted
from vla_train.envs import contract
from vla_train.envs.contract import Environment
from vla_train.envs.guarded import Guarded, Limits
from vla_train.envs.gym import GymVectorEnv
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.envs.wrapper import OFFERED
from vla_train.errors import UsageError
from vla_train.rollouts import play

SPEED = "observation 2"


def pendulum():
    return GymVectorEnv(2, env_id="Pendulum-v1")


def guarded(environment=None, **limits) -> Guarded:
    return Limits(**({"action": None, "state": None, "penalty": 1.0, "effort": 0.0} | limits))(environment or pendulum())


def step(environment, *actions):
    return environment.step(np.array(actions, np.float32)[:, None])


def test_it_is_an_environment_and_without_limits_changes_nothing():
    plain, safe = pendulum(), guarded()
    assert isinstance(safe, Environment)
    for environment in (plain, safe):
        environment.reset(seed=[3, 4])
    for _ in range(5):
        one, other = step(plain, 1.0, -3.0), step(safe, 1.0, -3.0)
        assert np.array_equal(one[0]["state"], other[0]["state"])
        assert np.array_equal(one[1], other[1])
        assert not other[4]["limited"].any(), "the world's own bounds cut for everybody"


@pytest.mark.parametrize(
    "protocol", [contract.Changeable, contract.Rewords, contract.Symmetric, contract.Measured, contract.Told]
)
def test_what_a_world_offers_besides_it_offers_with_limits_too(protocol):
    world = TabletopVectorEnv(1, stage="basic_navigation")
    assert isinstance(world, protocol)
    assert isinstance(guarded(world), protocol)
    assert not isinstance(guarded(), protocol), "a pendulum has nothing of it"


def test_all_that_can_be_offered_is_handed_on():
    protocols = [
        kind
        for name, kind in vars(contract).items()
        if getattr(kind, "_is_protocol", False) and name not in ("Protocol", "Environment")
    ]
    members = {name for kind in protocols for name in (*vars(kind), *kind.__annotations__) if not name.startswith("_")}
    assert members <= set(OFFERED)


def test_actions_are_held_within_limits():
    plain, safe = pendulum(), guarded(action={"0": [-0.5, 0.25]})
    for environment in (plain, safe):
        environment.reset(seed=[3, 4])
    expected = step(plain, 0.25, -0.4)
    found = step(safe, 1.5, -0.4)
    assert np.array_equal(found[0]["state"], expected[0]["state"])
    assert found[4]["limited"].tolist() == [True, False]


def test_an_episode_that_goes_too_far_is_aborted_once_and_pays():
    plain, safe = pendulum(), guarded(state={SPEED: [-1.0, 1.0]}, penalty=7.0)
    for environment in (plain, safe):
        environment.reset(seed=[0, 1])
    over = np.zeros(2, bool)
    for _ in range(20):
        state, reward, *_ = step(plain, 2.0, 2.0)
        _, paid, terminated, truncated, info = step(safe, 2.0, 2.0)
        beyond = ~over & (abs(state["state"][:, 2]) > 1.0)
        assert info["aborted"].tolist() == beyond.tolist() == terminated.tolist()
        assert np.allclose(paid, np.where(over, 0.0, reward - 7.0 * beyond))
        assert not truncated.any()
        over |= beyond
    assert over.all()
    assert not safe.success.any()
    safe.reset(seed=[0, 1], options={"reset_mask": np.array([True, False])})
    assert step(safe, 0.0, 0.0)[1].tolist() != [0.0, 0.0], "row 0 plays again"


def test_what_the_reward_is_the_sum_of_is_told_apart():
    safe = guarded(state={SPEED: [-0.5, 0.5]}, penalty=7.0, effort=0.5)
    safe.reset(seed=[0, 1])
    for _ in range(8):
        _, reward, _, _, info = step(safe, 2.0, 1.0)
        terms = info["reward_terms"]
        assert set(terms) == {"environment", "safety", "effort"}
        assert np.allclose(sum(terms.values()), reward)
        assert (terms["safety"] == -7.0 * info["aborted"]).all()


def test_evaluated_episodes_say_what_was_not_safe():
    """Full force one way: two of three pendulums are soon too fast, and each step wants more than is allowed. A world
    without limits has nothing to say."""
    limits = {"action": {"0": [-1.5, 1.5]}, "state": {SPEED: [-2.0, 2.0]}}

    class Pushes:
        def reset(self, rows=None): ...

        def observe(self, images, instruction, state, rows=None): ...

        def act(self, images, instruction, state, rows=None):
            return np.full((len(state), 1, 1), 2.0, np.float32)

    together = play(Pushes(), guarded(**limits), [3, 4, 5])
    found = [(episode.aborted, episode.length, episode.limited) for episode in together]
    assert found == [(False, 200, 200), (True, 5, 5), (True, 2, 2)]
    plain = play(Pushes(), pendulum(), [3])
    assert (plain[0].aborted, plain[0].limited, plain[0].length) == (None, None, 200)


def test_effort_by_hand():
    """Half of the bound is 0.5, its square 0.25; weighted by 4 that is 1."""
    plain, safe = pendulum(), guarded(effort=4.0)
    for environment in (plain, safe):
        environment.reset(seed=[3, 4])
    difference = step(plain, 1.0, 2.0)[1] - step(safe, 1.0, 2.0)[1]
    assert difference.tolist() == pytest.approx([1.0, 4.0], abs=1e-5)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"state": {"speed": [0.0, 1.0]}}, "there is no 'speed' in the state, which has observation 0, observation 1"),
        ({"action": {"1": [0.0, 1.0]}}, "there is no '1' in the action, which has no names, but the positions 0 to 0"),
        ({"action": {"0": [1.0, 0.0]}}, "safety.action.0: 1.0 is above 0.0"),
        ({"action": {"0": [3.0, 4.0]}}, "allows nothing for number 0: 3.0 to 2.0 are outside the bounds"),
        ({"environment": Scripted(2), "effort": 1.0}, "are for continuous actions"),
    ],
)
def test_limits_that_mean_nothing_are_refused(limits, message):
    with pytest.raises(UsageError, match=message):
        guarded(**limits)


def test_scenes_come_back_with_limits():
    safe = guarded(state={"2": [-1.0, 1.0]})
    safe.reset(seed=[0, 1])
    step(safe, 0.1, 0.1)
    again = guarded(state={"2": [-1.0, 1.0]})
    again.set_scenes([0, 1], safe.get_scenes())
    assert np.array_equal(step(again, 0.2, 0.2)[0]["state"], step(safe, 0.2, 0.2)[0]["state"])
