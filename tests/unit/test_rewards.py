"""Rewards made of terms: numbers worked by hand in a corridor, and that nothing is lost when a run stops in the middle."""

import numpy as np
import pytest

from tests.fakes import Corridor, walk
from tests.scripted import Scripted
from vla_train import config
from vla_train.build import worlds
from vla_train.checkpoint.nested import decode, encode
from vla_train.envs.contract import Environment
from vla_train.envs.tabletop.stages import STAGES
from vla_train.envs.tabletop.vector_env import TabletopVectorEnv
from vla_train.errors import UsageError
from vla_train.rewards import Reward
from vla_train.rewards.terms import Completion, Penalty
from vla_train.sources.tally import Tally
from vla_train.spec import ActionSpec

OFF = {"completion": 0.0, "progress": 0.0, "action": 0.0, "discount": 0.5}


class Measured(Corridor):
    """The corridor, which tells how many places remain."""

    def remaining(self):
        return np.array([abs(goal.data - place) for goal, place in zip(self.goals, self.place, strict=True)])


def rewarded(world=Measured, num_envs=2, **weights):
    environment = Reward(**OFF | weights)(world(num_envs))
    environment.reset(seed=[1, 2][:num_envs])  # the goals are the places 2 and 3
    return environment


def steps(environment, *actions):
    """The reward [t, n] of actions [t, n]."""
    return np.array([environment.step(np.array(action, float)[:, None])[1] for action in actions]).tolist()


def test_it_is_an_environment():
    assert isinstance(rewarded(completion=1.0), Environment)


def test_completion_is_paid_once_and_nothing_after_the_end():
    environment = rewarded(completion=3.0)
    assert steps(environment, [1, 1], [1, 1], [1, 1], [1, 1]) == [[0, 0], [3, 0], [0, 3], [0, 0]]
    environment.reset(seed=[1, 2], options={"reset_mask": np.array([True, False])})
    assert steps(environment, [1, 1], [1, 1]) == [[0, 0], [3, 0]], "the row that ended keeps still"


def test_completion_is_not_paid_again_where_the_episode_goes_on():
    world = Corridor(1)
    world.reset(seed=[1])
    completion = Completion(world)
    completion.begin(np.ones(1, bool))
    paid = []
    for place in (1.0, 2.0, 2.0, 1.0, 2.0):  # the goal is place 2
        world.place[:] = place
        paid += completion(np.zeros((1, 1)), np.zeros(1, bool)).tolist()
    assert paid == [0, 1, 0, 0, 1], "only where it is reached anew"


def test_progress_is_the_discounted_change_of_what_remains():
    environment = rewarded(progress=2.0)
    # Row 0: 2 places remain, then 1, then none and it terminates. 2 x (0.5 x -1 + 2) = 3; 2 x (0 + 1) = 2.
    # Row 1: 3 remain, then 4, then 4 again. 2 x (0.5 x -4 + 3) = 2; 2 x (0.5 x -4 + 4) = 4.
    assert steps(environment, [1, -1], [1, 0]) == [[3, 2], [2, 4]]


def test_effort_is_the_mean_square_in_units_of_the_bounds():
    effort = Penalty(ActionSpec("continuous", 2, low=(-2.0, 0.0), high=(2.0, 0.5)))
    # (1 / 2, 0.25 / 0.5): (0.25 + 0.25) / 2; what is beyond the bounds is executed at the bounds: (1 + 0) / 2.
    assert effort(np.array([[1.0, 0.25], [9.0, -1.0]]), np.zeros(2, bool)).tolist() == [-0.25, -0.5]
    without = Penalty(ActionSpec("continuous", 1))
    assert without(np.array([[3.0]]), np.zeros(1, bool)).tolist() == [-9.0]


def test_terms_are_weighted_added_and_told_apart():
    environment = rewarded(completion=1.0, progress=1.0, action=0.5)
    *_, info = environment.step(np.array([[1.0], [0.5]]))
    assert {name: value.tolist() for name, value in info["reward_terms"].items()} == {
        "completion": [0, 0],
        "progress": [1.5, 3 - 0.5 * 2.5],
        "action": [-0.5, -0.125],
    }
    assert steps(rewarded(completion=1.0, progress=1.0, action=0.5), [1, 0.5]) == [[1.0, 1.625]]


def test_a_new_goal_begins_anew():
    environment = rewarded(progress=1.0)
    environment.set_goals([0], [walk(1)])
    assert steps(environment, [1, 1])[0][0] == 1.0, "1 place remained, and the goal is reached"


def test_no_terms_no_reward():
    assert steps(rewarded(), [1, 1]) == [[0, 0]]


def test_terms_are_logged_apart():
    tally = Tally(2)
    for step in range(2):
        terms = {"completion": np.array([step, 0.0]), "action": np.array([-0.25, -0.5])}
        tally.add(sum(terms.values()), np.array([step == 1, False]), None, terms)
    tree, tensors = encode(tally.state_dict())
    other = Tally(2)
    other.load_state_dict(decode(tree, tensors))
    found = other.take()
    assert {name: found[name] for name in found if name.startswith("return")} == {
        "return": 0.5,
        "return_completion": 1.0,
        "return_action": -0.5,
    }
    assert found == tally.take()
    assert "return" not in tally.take(), "no episode has ended since"


@pytest.mark.parametrize("stage", STAGES)
def test_put_into_the_middle_of_an_episode_it_gives_the_same_rewards_to_the_bit(stage):
    reward = Reward(completion=1.0, progress=1.0, action=0.1, language=1.0, discount=0.99, scorer="overlap")
    first, second = (reward(TabletopVectorEnv(3, stage, cameras=[])) for _ in range(2))
    first.reset(seed=[3, 1, 4])
    for step in range(24):
        if step % 8 == 7:
            tree, tensors = encode({"scenes": first.get_scenes()})
            second.set_scenes(range(3), decode(tree, tensors)["scenes"])
            actions = first.expert_action()
            mine, theirs = first.step(actions), second.step(actions)
            assert (mine[1] == theirs[1]).all()
            assert mine[4]["reward_terms"].keys() == theirs[4]["reward_terms"].keys() == reward.weights.keys()
        else:
            first.step(first.expert_action())


def test_the_tabletop_counts_towards_the_goal():
    environment = Reward(**OFF | {"completion": 1.0, "progress": 1.0, "discount": 1.0})(TabletopVectorEnv(8, cameras=[]))
    environment.reset(seed=range(8))
    remained = environment.inner.remaining()
    total = sum(environment.step(environment.expert_action())[1] for _ in range(40))
    assert environment.success.all()
    assert total == pytest.approx(1.0 + remained), "undiscounted, the changes add up to all that remained"


@pytest.mark.parametrize(
    ("world", "weights", "words"),
    [
        (Corridor, {"progress": 1.0}, "how far the goal is"),
        (Corridor, {"language": 1.0}, "environment=tabletop"),
        (Scripted, {"action": 1.0}, "numbered ones have none"),
        (lambda n: Scripted(n, lacking=["success"]), {"completion": 1.0}, "it is scripted"),
    ],
)
def test_what_does_not_apply_is_told(world, weights, words):
    with pytest.raises(UsageError, match=words):
        Reward(**OFF | weights)(world(1))


def test_a_reward_is_refused_where_nothing_is_played():
    with pytest.raises(UsageError, match=r"reward=shaped .* source=dataset plays nothing"):
        worlds.collects(config.compose(["reward=shaped"]))
    assert worlds.collects(config.compose(["reward=shaped", "paradigm=ppo"]))


def test_its_discount_is_the_paradigms():
    assert config.compose(["reward=shaped", "paradigm=ppo", "paradigm.gamma=0.9"])["reward"]["discount"] == 0.9


def test_configs_from_before_there_were_rewards_are_read():
    import yaml

    old = yaml.safe_load(config.dump(config.compose([])))
    del old["reward"], old["choices"]["reward"]
    assert config.load_saved(yaml.safe_dump(old))["choices"]["reward"] == "environment"
