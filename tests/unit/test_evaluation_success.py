"""The Success evaluator: on the corridor by hand, and on tabletop with agents that listen and agents that do not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.fakes import CORRIDOR, Corridor, CountingAgent
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.errors import UsageError
from vla_train.evaluation.baselines import Expert
from vla_train.evaluation.conditions import NO_BASELINE, SILENT, Baseline
from vla_train.evaluation.divergence import distances, together
from vla_train.evaluation.figures import metric_names
from vla_train.evaluation.success import Success, check_execution
from vla_train.evaluation.table import Row, table_rows
from vla_train.rollouts import play
from vla_train.seeds import seeds
from vla_train.spec import ActionSpec

CONDITIONS = ("plain", "swapped", "foreign", "empty", "random", "chance")


def corridor_report(environment=None, agent=None, **changes):
    settings = {"split": "validation", "episodes": 10, "num_envs": 4, "conditions": CONDITIONS} | changes
    return Success(lambda num_envs: environment or Corridor(num_envs), **settings)(agent or CountingAgent(chunk=1))


def test_corridor_by_hand():
    # Validation seeds begin at 1,000,000,000 (a multiple of 5): goals 1, 2, 3, 4, 5 and again. Walking on reaches all but the 5.
    metrics = corridor_report().metrics
    assert metrics["success"] == 0.8
    assert (metrics["success/near"], metrics["success/far"]) == (1.0, pytest.approx(4 / 6))
    assert metrics["length"] == pytest.approx((1 + 2 + 3 + 4 + 4) / 5)
    assert metrics["swapped/success"] == 1.0  # the alternatives are places 1 to 3
    assert metrics["foreign/success"] == metrics["empty/success"] == 0.8  # this agent walks on whatever it hears
    assert metrics["first_touched"] == pytest.approx(1 / 5)  # all of them touch door 1 first
    assert metrics["first_touched_episodes"] == 10
    assert metrics["chance/success"] < 0.8
    assert metrics["crashes"] == 0


def test_what_does_not_apply_says_why():
    environment = Corridor(4)
    environment.not_applicable = {
        "alternatives": "one mission only",
        "expert": "nobody knows the way",
        "first_touched": "nothing to touch",
    }
    report = corridor_report(environment)
    assert report.not_applicable == {
        "swapped": "one mission only",
        "chance": "nobody knows the way",
        "first_touched": "nothing to touch",
    }
    assert not any(name.startswith(("swapped", "chance", "first_touched")) for name in report.metrics)


def test_scenes_without_another_goal_are_left_out_and_counted():
    class Sparse(Corridor):
        def alternatives(self):
            return [others if goal.key == "1" else [] for goal, others in zip(self.goals, super().alternatives(), strict=True)]

    metrics = corridor_report(Sparse(4)).metrics
    assert metrics["swapped/episodes"] == 2
    assert metrics["swapped/excluded"] == 8


def test_crashes_are_counted_and_are_no_successes():
    metrics = corridor_report(Corridor(4, broken_seed=1_000_000_001), conditions=("plain",)).metrics
    assert (metrics["crashes"], metrics["episodes"], metrics["success"]) == (1, 10, 0.7)


def test_a_language_blind_policy_is_played_on_the_same_seeds_or_said_to_be_missing():
    report = corridor_report(conditions=("plain", "blind"))
    assert report.not_applicable["blind"] == NO_BASELINE
    asked = "baseline=<a checkpoint that was trained with model.language=none>"
    assert Row("language-blind policy", "not given", asked) in table_rows(report)
    assert json.loads(json.dumps(report.not_applicable))["blind"] == f"not given: {asked}"
    report = corridor_report(conditions=("plain", "blind"), baseline=Baseline(CountingAgent(chunk=4), execute=None))
    assert report.metrics["blind/success"] == 0.8
    assert report.metrics["blind/episodes"] == 10
    assert [r.seed for r in report.episodes if r.condition == "blind"] == [
        r.seed for r in report.episodes if r.condition == "plain"
    ]


def test_nobody_asks_for_a_language_blind_policy_where_nothing_is_said():
    class Silent(Corridor):
        def reset(self, *, seed, options=None):
            super().reset(seed=seed, options=options)
            self.goals = [replace(goal, instruction="") for goal in self.goals]
            return self._observation(), {}

    report = corridor_report(Silent(4), conditions=("plain", "garbage", "blind"))
    assert report.not_applicable["blind"] == report.not_applicable["garbage"] == SILENT


class Listener(CountingAgent):
    """Walks on for "walk", else stands still; walks by 0.5 to the third place."""

    def act(self, images, instruction, state, rows=None):
        speed = {"w": 1.0, "W": 0.0}
        chunk = super().act(images, instruction, state, rows)
        return chunk * np.array([0.5 if text == "walk 3" else speed.get(text[:1], 0.0) for text in instruction])[:, None, None]


class Polyglot(Corridor):
    def paraphrases(self, seeds):
        return [("walk on to" if seed % 5 else "Wander to") + f" {seed % 5 + 1}" for seed in seeds]


def test_garbage_and_paraphrases():
    report = corridor_report(Polyglot(4), Listener(chunk=1), conditions=("plain", "garbage", "paraphrase"))
    told = {result.instruction for result in report.episodes if result.condition == "garbage"}
    assert all(len(text) == 23 and text.count(" ") == 3 for text in told)
    assert len(told) == 10
    metrics = report.metrics
    assert metrics["success"] == 0.6  # walk 3 is too slow: places 1, 2 and 4
    assert metrics["paraphrase/success"] == 0.6  # "walk on to 3" is fast, "Wander to 1" is not understood
    assert metrics["paraphrase/gap"] == 0.0
    assert metrics["paraphrase/gap_low"] < 0 < metrics["paraphrase/gap_high"]
    reason = corridor_report(conditions=("plain", "paraphrase")).not_applicable["paraphrase"]
    assert reason == "the environment words each goal in one way only"


def test_plans_apart_under_a_swap_by_hand():
    # Seeds give the places 1 to 5; the swapped goals are places 1 to 3. Only "walk 3" plans 0.5 where all others plan 1.
    environment = Corridor(4)
    report = corridor_report(environment, Listener(chunk=2), conditions=("swapped",), episodes=10)
    own = {seed: seed % 5 + 1 for seed in range(1_000_000_000, 1_000_000_010)}
    swapped = {result.seed: int(result.goal[-1]) for result in report.episodes}
    apart = [0.5 * ((own[seed] == 3) != (place == 3)) for seed, place in swapped.items()]
    assert report.metrics["swapped/divergence"] == pytest.approx(np.mean(apart))
    assert sum(apart) > 0
    assert corridor_report(agent=CountingAgent(chunk=2), conditions=("swapped",)).metrics["swapped/divergence"] == 0.0


def test_distances_of_plans():
    one, two = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    two[1] = [[3.0, 4.0], [0.0, 0.0]]
    wide = ActionSpec("continuous", 2, low=(-1.0, -2.0), high=(1.0, 2.0))
    assert distances(one, two, wide).tolist() == pytest.approx([0.0, 13**0.5 / 2])
    codes = np.array([[[0], [1], [2], [3]]])
    assert distances(codes, np.array([[[0], [1], [0], [0]]]), ActionSpec("discrete", 1, choices=4)).tolist() == [0.5]


def test_without_bounds_plans_have_no_distance():
    environment = Corridor(4)
    environment.io_spec = replace(CORRIDOR, action=ActionSpec("continuous", 1))
    report = corridor_report(environment, conditions=("swapped",))
    assert "no bounds" in report.not_applicable["swapped/divergence"]


def test_baselines_are_played_once():
    class Watched(Corridor):
        asked = 0

        def expert_action(self, goals=None):
            self.asked += 1
            return super().expert_action(goals)

    environment = Watched(4)
    success = Success(lambda num_envs: environment, split="test", episodes=8, num_envs=4, conditions=("plain", "chance"))
    first = success(CountingAgent(chunk=1))
    asked = environment.asked
    assert asked > 0
    assert success(CountingAgent(chunk=1)).metrics["chance/success"] == first.metrics["chance/success"]
    assert environment.asked == asked


def test_several_stages_stand_side_by_side_and_together():
    far = Corridor(4)
    far.stage = "resting"
    far.step = lambda actions: Corridor.step(far, np.zeros_like(actions))
    success = Success(Corridor, lambda n: far, split="test", episodes=5, num_envs=4, video_episodes=2)
    report = success(CountingAgent(chunk=1))
    assert report.metrics["walking/success"] == 0.8
    assert report.metrics["resting/success"] == 0.0
    assert report.metrics["success"] == 0.4
    assert report.frames is not None


def test_what_episodes_do_not_tell_is_taken_together_over_stages():
    metrics = {"a/swapped/divergence": 0.1, "a/swapped/episodes": 3.0, "a/swapped/excluded": 2.0, "a/success": 1.0}
    metrics |= {"b/swapped/divergence": 0.5, "b/swapped/episodes": 1.0, "c/foreign/excluded": 1.0, "b/foreign/excluded": 4.0}
    found = together(metrics, ["a", "b", "c"])
    assert found == {"swapped/divergence": pytest.approx(0.2), "swapped/excluded": 2.0, "foreign/excluded": 5.0}


def test_progress_is_told_for_each_condition():
    told = []
    environment = Corridor(4, broken_seed=1_000_000_002)
    corridor_report(environment, episodes=3, conditions=("plain", "empty"), progress=lambda *words: told.append(words))
    for condition in ("plain", "empty"):
        counts = [(done, total) for label, done, total in told if label == f"evaluating walking, {condition}"]
        assert counts[0] == (0, 3)
        assert counts[-1] == (3, 3)
        assert sorted(set(counts)) == [(0, 3), (1, 3), (2, 3), (3, 3)]  # a crash is an episode that has ended
        assert counts == sorted(counts)


CATEGORIES = replace(CORRIDOR, action=ActionSpec("discrete", 1, choices=3))


@pytest.mark.parametrize(
    ("spec", "execute", "ensemble", "message"),
    [
        (CORRIDOR.with_window(1, 4), 5, False, "execute=5.*4 actions at once.*execute to 1 to 4"),
        (CORRIDOR.with_window(1, 4), 0, False, "execute=0.*1 to 4"),
        (CORRIDOR, 2, False, "1 action at once.*execute to 1,"),
        (CATEGORIES, None, True, "set ensemble=false"),
    ],
)
def test_execution_that_cannot_be_is_refused(spec, execute, ensemble, message):
    with pytest.raises(UsageError, match=message):
        check_execution(spec, execute, ensemble)


@pytest.mark.parametrize(("execute", "ensemble"), [(None, False), (1, False), (4, False), (None, True), (9, True)])
def test_execution_that_can_be(execute, ensemble):
    check_execution(CORRIDOR.with_window(1, 4), execute, ensemble)  # under ensembling `execute` has no effect
    check_execution(CATEGORIES.with_window(1, 4), min(execute or 1, 4), False)


def best_metrics(metrics):
    """Those of a report's metrics that are no counts, times and distances, and not best of a policy that does nothing."""
    counts = ("episodes", "excluded", "latency", "_zero", "held_out/frames", "divergence")
    counts += ("foreign/", "empty/", "random/", "chance/")
    return {name for name in metrics if not any(count in name for count in counts)}


@pytest.mark.parametrize("conditions", [CONDITIONS, ("plain",), ("swapped", "chance")])
def test_the_names_of_metrics_are_those_of_a_real_evaluation(tabletop, conditions):
    spec = tabletop.io_spec
    metrics = tabletop_report(tabletop, Follower(tabletop), *conditions, episodes=32)
    names = metric_names(conditions, spec.tasks, has_environment=True, has_held_out=False, discrete=False)
    assert len(names) == len(set(names))
    assert best_metrics(metrics) <= set(names)
    absent = {name for name in names if name not in metrics}
    assert all(name.rpartition("/")[2] in spec.tasks for name in absent)  # a kind of task that no episode had


def test_the_names_leave_out_what_does_not_apply():
    environment = Corridor(4)
    environment.not_applicable = {"alternatives": "one mission", "expert": "nobody", "first_touched": "nothing to touch"}
    metrics = corridor_report(environment).metrics
    not_applicable = environment.not_applicable
    names = metric_names(
        CONDITIONS, CORRIDOR.tasks, has_environment=True, has_held_out=True, discrete=True, not_applicable=not_applicable
    )
    held_out = {"held_out/loss", "held_out/action_accuracy", "held_out/agreement"}
    assert best_metrics(metrics) | held_out == set(names)


def test_half_of_the_chunk_is_executed_unless_told_otherwise():
    for execute, planned in ((None, 8), (4, 5)):  # the lengths are 1, 2, 3, 4, 4
        agent = CountingAgent(chunk=4)
        corridor_report(agent=agent, episodes=5, conditions=("plain",), execute=execute)
        assert agent.planned == planned


def test_latency_of_a_batch_and_of_a_single_row():
    metrics = corridor_report(conditions=("plain",), single_row_calls=20).metrics
    assert metrics["latency_ms_p50"] > 0
    assert metrics["single_latency_calls"] == 20
    assert 0 < metrics["single_latency_ms_p50"] <= metrics["single_latency_ms_p99"]


class Follower(Expert):
    """Does what it is told: an expert for the goal whose words it hears."""

    def act(self, images, instruction, state, rows=None):
        environment = self._environment
        everything = [[own, *others] for own, others in zip(environment.goals, environment.alternatives(), strict=True)]
        targets = environment.goals
        for row, told in zip(rows, instruction, strict=True):
            targets[row] = next((goal for goal in everything[row] if goal.instruction == told), everything[row][0])
        return environment.expert_action(targets)[rows][:, None]


@pytest.fixture(scope="module")
def tabletop():
    return TabletopVectorEnv(32, "basic_navigation", cameras=[])


def tabletop_report(environment, agent, *conditions, episodes=64):
    success = Success(lambda n: environment, split="validation", episodes=episodes, num_envs=32, conditions=conditions)
    return success(agent).metrics


def test_the_expert_succeeds_on_tabletop_and_random_does_not(tabletop):
    metrics = tabletop_report(tabletop, Expert(tabletop), "plain", "random", "chance", episodes=256)
    assert metrics["success"] >= 0.99
    assert metrics["random/success"] <= 0.03
    assert metrics["chance/success"] <= 0.30
    assert metrics["first_touched"] >= 0.99


def test_swapped_success_is_high_for_who_listens(tabletop):
    metrics = tabletop_report(tabletop, Follower(tabletop), "swapped")
    assert metrics["swapped/success"] >= 0.99


def test_swapped_success_is_low_for_who_does_not_listen(tabletop):
    range_of_seeds = seeds("validation", 64)
    original = {episode.seed: episode.goal for episode in play(Expert(tabletop), tabletop, range_of_seeds)}
    deaf = Expert(tabletop, original)
    reset = tabletop.reset

    def remembering(*, seed, options=None):
        """Tell the deaf expert which seeds its rows were reset from."""
        rows = list(range(32)) if options is None else np.flatnonzero(options["reset_mask"]).tolist()
        deaf.begin(rows, [int(seed[row]) for row in rows])
        return reset(seed=seed, options=options)

    tabletop.reset = remembering
    try:
        metrics = tabletop_report(tabletop, deaf, "swapped")
    finally:
        del tabletop.reset
    assert metrics["swapped/success"] <= 0.25


def test_tabletop_episodes_do_not_depend_on_the_number_of_rows():
    results = []
    for num_envs in (1, 3, 8):
        environment = TabletopVectorEnv(num_envs, "basic_navigation", cameras=[])
        success = Success(lambda n, made=environment: made, split="test", episodes=9, num_envs=8, conditions=CONDITIONS)
        results.append([replace(episode) for episode in success(Follower(environment)).episodes])
    assert results[0] == results[1] == results[2]
    assert len(results[0]) == 9 * len(CONDITIONS)
