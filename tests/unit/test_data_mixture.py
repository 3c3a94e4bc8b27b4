"""Datasets side by side: the toy dataset (episodes of 3 and 2 frames) twice, under two names, the second with other tasks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.toy_dataset import SPEC, open_toy, toy_processor, write_toy
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import Mixture, common_spec, joined
from vla_train.errors import DataError, Notice
from vla_train.sources.dataset import DatasetSource
from vla_train.spec import ActionSpec, ImageSpec, Spec
from vla_train.types import Transition


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    write_toy(folder / "near", num_episodes=2)  # 5 frames
    write_toy(folder / "far", num_episodes=4, spec=replace(SPEC, tasks=("pick", "go")))  # 10 frames
    processor = toy_processor(folder / "near")
    options = {"history": 2, "chunk": 2, "validation": 0.5}
    return {name: DemonstrationDataset(folder / name, processor, **options) for name in ("near", "far")}


@pytest.fixture(scope="module")
def mixture(parts):
    return Mixture(parts)


def assert_equal(one, other):
    for left, right in zip(one.tensors(), other.tensors(), strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)


def test_frames_of_several_datasets_come_in_the_order_asked_for(mixture, parts):
    near, far = parts["near"], parts["far"]
    both = mixture.gather(np.array([7, 1, 14, 4]))  # frames 2 and 9 of the second dataset, 1 and 4 of the first
    for row, (part, frame) in enumerate([(far, 2), (near, 1), (far, 9), (near, 4)]):
        alone = part.gather(np.array([frame]))
        assert_equal(both[row : row + 1].observation, _with_task(alone, both, row).observation)
        assert torch.equal(both.action[row : row + 1], alone.action)
        assert torch.equal(both.valid[row : row + 1], alone.valid)


def _with_task(alone, both, row):
    return replace(alone, observation=replace(alone.observation, task=both.observation.task[row : row + 1]))


def test_tasks_are_numbered_by_the_common_spec(mixture):
    assert mixture.spec.tasks == ("go", "pick")
    assert mixture.gather(np.arange(15)).observation.task.tolist() == [0] * 3 + [1] * 2 + ([0] * 3 + [1] * 2) * 2


def test_frames_are_known_by_their_dataset(mixture, parts):
    for split in ("train", "validation"):
        found = mixture.by_part(mixture.frames(split))
        assert found["near"].tolist() == parts["near"].frames(split).tolist()
        assert (found["far"] - 5).tolist() == parts["far"].frames(split).tolist()
    assert mixture.by_part(np.array([0, 4]))["far"].tolist() == []


def test_numbers_are_those_of_all_training_frames_together(mixture, parts):
    states = np.concatenate([part.states[part.frames("train")] for part in parts.values()]).astype(np.float64)
    found = mixture.statistics()["state"]
    assert found.count == len(states)
    np.testing.assert_allclose(found.mean, states.mean(axis=0))
    np.testing.assert_array_equal(found.max, states.max(axis=0))
    assert mixture.num_frames == 15
    assert mixture.num_episodes == 6
    assert mixture.instructions == parts["near"].instructions + parts["far"].instructions
    assert mixture.episode_of.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5]


def test_transitions_do_not_cross_from_one_dataset_to_the_next(mixture, parts):
    last = mixture.gather_transitions(np.array([4]), 0.9)
    alone = parts["near"].gather_transitions(np.array([4]), 0.9)
    assert isinstance(last, Transition)
    assert torch.equal(last.next_observation.state, alone.next_observation.state)
    assert torch.equal(last.reward, alone.reward)


def test_until_gives_what_has_come_so_far(mixture, parts):
    assert mixture.until("near") is parts["near"]
    assert list(mixture.until("far").parts) == ["near", "far"]
    assert mixture.until("mixed") is mixture
    assert joined({"near": parts["near"]}) is parts["near"]


def test_the_fingerprint_is_that_of_all_parts(mixture, parts):
    assert Mixture(dict(reversed(parts.items()))).fingerprint != mixture.fingerprint
    assert Mixture(parts).fingerprint == mixture.fingerprint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state_size": 3}, "state: 2 numbers, not 3 as in far\\Z"),
        ({"images": {"top": ImageSpec(4, 4, channels=1)}}, "camera 'top'"),
        ({"images": {**SPEC.images, "side": ImageSpec(4, 4)}}, r"camera 'side': missing in near \(there are \['top'\]\)\Z"),
        ({"action": ActionSpec("discrete", 1, choices=4)}, "action kind"),
        ({"state_names": ("step", "episode")}, "another meaning"),
    ],
)
def test_what_does_not_fit_together_is_told_by_name(changes, said):
    with pytest.raises(DataError, match=f"near and far cannot be learned together(.|\n)*{said}"):
        common_spec({"near": SPEC, "far": replace(SPEC, **changes)})


def test_one_spec_for_all(tmp_path):
    other = replace(SPEC, tasks=("pick", "push"), horizon=7)
    common = common_spec({"near": SPEC, "far": other})
    assert (common.tasks, common.horizon) == (("go", "pick", "push"), 7)
    with pytest.raises(ValueError, match="one Processor"):
        Mixture({name: open_toy(write_toy(tmp_path / name)) for name in ("near", "far")})


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_source_draws_from_it_by_weight_and_goes_on_where_it_was(mixture, prefetch):
    indices = list(mixture.by_part(mixture.frames("train")).values())

    def source():
        return DatasetSource(mixture, batch_size=4, seed=0, prefetch=prefetch, indices=indices, weights=[1.0, 3.0])

    first, second = source(), source()
    whole = [next(first) for _ in range(9)]
    second.load_state_dict({"batches": 5})
    for batch in whole[5:]:
        assert_equal(next(second), batch)
    first.close()
    second.close()


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    """The toy dataset twice, as two domains; the actions of the second are called otherwise and have other bounds."""
    folder = tmp_path_factory.mktemp("domains")
    other = replace(SPEC, action=replace(SPEC.action, names=("right", "up"), low=(-50.0, -50.0), high=(50.0, 50.0)))
    for name, spec in (("near", SPEC), ("far", other)):
        write_toy(folder / name, num_episodes=2, spec=spec)
    specs = {name: open_toy(folder / name).spec for name in ("near", "far")}
    with pytest.warns(Notice, match="dx, dy in near and right, up in far: taken to mean the same, in this order"):
        spec = common_spec(specs, domains=True)
    processor = toy_processor(folder / "near")
    processor.spec = spec
    options = {"history": 1, "chunk": 1, "validation": 0.0}
    parts = {name: DemonstrationDataset(folder / name, processor, domain=i, **options) for i, name in enumerate(specs)}
    return spec, Mixture(parts)


def test_domains_share_a_spec_without_the_bounds_that_differ(domains):
    spec, mixture = domains
    assert spec.domains == mixture.spec.domains == ("near", "far")
    assert (spec.action.names, spec.action.low, spec.action.high) == (("dx", "dy"), (), ())
    assert Spec.from_json(spec.to_json()) == spec


def test_every_frame_knows_its_domain(domains):
    _, mixture = domains
    assert mixture.gather(np.array([0, 7, 4, 5])).observation.domain.tolist() == [0, 1, 0, 1]
    assert mixture.gather_transitions(np.array([6, 1]), 0.9).next_observation.domain.tolist() == [1, 0]


def test_domains_that_differ_in_size_or_in_what_is_relative_are_refused():
    with pytest.raises(DataError, match="state: 2 numbers, not 3"):
        common_spec({"near": SPEC, "far": replace(SPEC, state_size=3)}, domains=True)
    relative = replace(SPEC, action=replace(SPEC.action, relative_to=(0, -1)))
    with pytest.raises(DataError, match=r"give both the same dataset.mix.NAME.relative"):
        common_spec({"near": SPEC, "far": relative}, domains=True)


@pytest.mark.parametrize("domains", [True, False])
@pytest.mark.parametrize(
    ("mine", "theirs", "message"),
    [
        (
            ImageSpec(8, 8, 1, "depth", depth_range=(0.0, 2.0)),
            (0.0, 2000.0),
            r"camera 'cam': depth from 0 to 2, not from 0 to 2000",
        ),
        (ImageSpec(8, 8, 1, "depth", depth_range=(0.0, 2.0)), None, "camera 'cam': depth from 0 to 2, not as bytes"),
        (ImageSpec(7, 7, 2, "symbols", symbols=(11, 6)), (20, 6), r"camera 'cam': \[11, 6\] symbols, not \[20, 6\]"),
    ],
)
def test_pixels_of_another_meaning_are_not_mixed(mine, theirs, message, domains):
    key = "symbols" if mine.kind == "symbols" else "depth_range"
    one = Spec({"cam": mine}, 2, ActionSpec("continuous", 2))
    other = replace(one, images={"cam": replace(mine, **{key: theirs})})
    with pytest.raises(DataError, match=message):
        common_spec({"real": one, "sim": other}, domains=domains)
    assert common_spec({"real": one, "again": one}, domains=domains).images == {"cam": mine}
