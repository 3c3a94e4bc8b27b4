"""What every YAML of ``augmentation`` promises, on demonstrations of the tabletop: the same samples in whatever batches."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_dataset import write_toy
from vla_train import config as configuration
from vla_train.build import augmenting, train
from vla_train.build.augmenting import _symmetry, added_words, make_augmentation
from vla_train.build.objects import environment_maker
from vla_train.collection.demonstrations import Demonstrations
from vla_train.curricula import Mixed
from vla_train.data.augmentation import Augmentation
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.reader import open_reader
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.errors import UsageError
from vla_train.processor import Processor, train_tokenizer
from vla_train.sources.dataset import DatasetSource
from vla_train.spec import Stage
from vla_train.types import Transition

CHOICES = sorted(file.stem for file in (Path(__file__).parents[2] / "configs" / "augmentation").glob("*.yaml"))
WORDS = ("environment.image_size=24", "environment.min_objects=2", "environment.max_objects=3")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Pushes and grasps, 8 episodes."""

    def maker(num_envs):
        return TabletopVectorEnv(num_envs, "simple_manipulation", image_size=24, min_objects=2, max_objects=3)

    settings = {"image_size": 24, "min_objects": 2, "max_objects": 3}
    folder = Demonstrations(episodes=8).ensure(maker, settings, output=tmp_path_factory.mktemp("data"), name="tabletop")
    reader = open_reader(folder)
    words = [*reader.metadata.instructions, *added_words(composed("language"))]
    processor = Processor(reader.metadata.spec, train_tokenizer(words, 600), cameras=None, image_size=None, max_tokens=24)
    return DemonstrationDataset(folder, processor, history=2, chunk=4, validation=0.25)


def composed(choice, *words):
    return configuration.compose([f"augmentation={choice}", "curriculum=simple_manipulation", *WORDS, *words])


def augmentation(dataset, choice, *words):
    return make_augmentation(composed(choice, *words), dataset, [Stage("simple_manipulation")])


def source(dataset, choice, *words, **options):
    keys = {"batch_size": 16, "seed": 0, "prefetch": 0, "indices": [dataset.frames("train")]} | options
    return DatasetSource(dataset, augmentation=augmentation(dataset, choice, *words), **keys)


def samples(stream, count, batch_size):
    """The tensors of so many samples."""
    batches = [next(stream) for _ in range(count // batch_size)]
    stream.close()
    return [torch.cat(parts) for parts in zip(*(batch.tensors() for batch in batches), strict=True)]


def equal(ours, theirs):
    return all(left.dtype == right.dtype and torch.equal(left, right) for left, right in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("choice", CHOICES)
def test_a_sample_is_the_same_whatever_makes_its_batch(dataset, choice):
    whole = samples(source(dataset, choice), 96, 16)
    assert equal(whole, samples(source(dataset, choice, prefetch=3), 96, 16))
    assert equal(whole, samples(source(dataset, choice, batch_size=48), 96, 48))
    resumed = source(dataset, choice, prefetch=1)
    resumed.load_state_dict({"batches": 4})
    assert equal([part[64:] for part in whole], samples(resumed, 32, 16))
    plain = samples(DatasetSource(dataset, batch_size=16, seed=0, prefetch=0, indices=[dataset.frames("train")]), 96, 16)
    assert equal(whole, plain) == (choice == "none")
    assert [part.shape for part in whole] == [part.shape for part in plain]


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice != "none"])
def test_an_epoch_differs_from_the_one_before_and_from_another_seed(dataset, choice):
    frames = dataset.frames("train")
    stream = source(dataset, choice, batch_size=len(frames))
    epochs = []
    for number in range(2):
        in_order = torch.from_numpy(np.argsort(stream._order(number * len(frames), (number + 1) * len(frames))))
        epochs.append(next(stream)[in_order].tensors())
    assert not equal(*epochs), "the same frames, one epoch later"
    assert not equal(samples(source(dataset, choice), 16, 16), samples(source(dataset, choice, seed=1), 16, 16))


@pytest.mark.parametrize("choice", CHOICES)
def test_transitions_are_changed_as_one(dataset, choice):
    """What the first observation shows at the chunk's last step, the next observation shows in the same place."""
    keys = {"batch_type": Transition, "indices": [dataset.transition_frames("train")]}
    batch = next(source(dataset, choice, **keys))
    plain = next(DatasetSource(dataset, batch_size=16, seed=0, prefetch=0, **keys))
    moved = batch.next_observation.state[:, -1, :2] - batch.observation.state[:, -1, :2]
    as_recorded = plain.next_observation.state[:, -1, :2] - plain.observation.state[:, -1, :2]
    torch.testing.assert_close(moved.norm(dim=1), as_recorded.norm(dim=1))
    assert equal([batch.reward, batch.discount, batch.terminated], [plain.reward, plain.discount, plain.terminated])
    assert torch.equal(batch.observation.tokens, batch.next_observation.tokens)


def test_what_is_judged_is_never_changed(dataset):
    indices = dataset.frames("validation")[:4]
    before = dataset.gather(indices).tensors()
    next(source(dataset, "full"))
    assert equal(before, dataset.gather(indices).tensors())


def test_data_of_which_nothing_is_known_are_refused(dataset):
    with pytest.raises(UsageError, match=r"how actions and state move with the pictures is not known.*augmentation\.plane"):
        make_augmentation(_without_world("geometry"), dataset, [Stage("none")])
    with pytest.raises(UsageError, match=r"which words are colours.*is not known"):
        make_augmentation(
            _without_world("symmetry", "augmentation.flips=[]", "augmentation.rotation=false"), dataset, [Stage("none")]
        )
    with pytest.raises(UsageError, match="randomization=none"):
        augmentation(dataset, "symmetry", "randomization=light")


def test_all_that_is_not_known_is_told_at_once(dataset):
    with pytest.raises(UsageError) as refused:
        make_augmentation(_without_world("full"), dataset, [Stage("none")])
    lines = str(refused.value).splitlines()
    assert len(lines) == 2
    assert "set augmentation.flips=[] augmentation.rotation=false" in lines[0]
    assert "set augmentation.colours=none augmentation.shapes=false" in lines[1]


@pytest.mark.parametrize(
    ("plane", "messages"),
    [
        ("{camera: [top]}", ["there is no 'camera'. Did you mean cameras?"]),
        ("{cameras: [top], state: x, action: [dx]}", ["state=x is no list of words"]),
        ("{cameras: [top], state: [x], action: [dx], period: pi}", ["period=pi must be a number"]),
        ("{cameras: [tip], state: [x], action: [dx]}", ["the data have no camera 'tip'. Did you mean top? They have top"]),
        (
            "{cameras: [top], action: [dx, dz]}",
            ["0 numbers of the state are declared (none), but there are 5: ", "action declares 'dz'"],
        ),
    ],
)
def test_a_plane_that_does_not_fit_is_refused_with_all_that_is_wrong(dataset, plane, messages):
    with pytest.raises(UsageError) as refused:
        augmentation(dataset, "geometry", f"augmentation.plane={plane}")
    assert [message for message in messages if message not in str(refused.value)] == []


def test_what_is_done_is_told_and_what_is_not(dataset):
    told = str(augmentation(dataset, "full"))
    assert told.startswith("pictures, numbers and words are mirrored or turned together (8 of 8 moves; 100 % of the samples)")
    assert [part for part in ("colours (legal) change", "synonyms 30 %", "cutout of top change (50 %") if part not in told] == []
    symbols = replace(dataset.processor.image_specs["top"], kind="symbols", symbols=(3, 3, 3))
    known = {"spec": dataset.spec, "cameras": {"view": symbols}, "scenes": [], "symmetries": dict}
    alone = Augmentation(**known, images=0.5, brightness=0.1)
    assert alone.changes == []
    assert str(alone) == "nothing is done about light, colour and the like, for no camera has colour pictures"


def test_what_a_world_does_not_allow_is_refused_before_demonstrations_are_made(tmp_path):
    """In BabyAI's pixels colours cannot be exchanged."""
    pytest.importorskip("minigrid")
    words = ["dataset=babyai", "dataset.episodes=4", "augmentation=symmetry", "runtime.device=cpu", f"output={tmp_path}"]
    with pytest.raises(UsageError, match=r"set dataset\.view=symbolic, or set augmentation\.colours=none"):
        train(configuration.compose(words), words)
    assert list(tmp_path.iterdir()) == []


def test_what_recordings_do_not_allow_is_refused_before_a_frame_is_decoded(tmp_path):
    write_toy(tmp_path / "toy")
    words = ["dataset=lerobot", f"dataset.path={tmp_path / 'toy'}", "augmentation=full", f"output={tmp_path / 'out'}"]
    with pytest.raises(UsageError, match=r"augmentation\.plane"):
        train(configuration.compose([*words, "dataset.validation=0"]), words)
    assert not (tmp_path / "out").exists()


def test_every_stage_of_a_curriculum_is_asked_and_only_where_something_moves_or_is_renamed(dataset, monkeypatch):
    asked = []

    def maker(config, stage):
        asked.append(stage.name)
        return environment_maker(config, stage)

    monkeypatch.setattr(augmenting, "environment_maker", maker)
    stages = Mixed(["simple_manipulation", "complex_tasks"]).stages()
    assert len(make_augmentation(composed("full"), dataset, stages).changes) == 4
    assert asked == ["simple_manipulation", "complex_tasks"], "once each"
    for choice in ("none", "language", "images"):
        make_augmentation(composed(choice), dataset, stages)
    assert len(asked) == 2


def test_stages_that_do_not_declare_the_same_are_refused(dataset):
    """Two levels of BabyAI: keys may change places with balls where there is one room, and not where there are doors."""
    pytest.importorskip("minigrid")
    one_room, rooms = Stage("GoToLocal"), Stage("GoTo", 1)
    symmetries = {stage.name: _symmetry(_babyai("symmetry"), stage) for stage in (one_room, rooms)}
    assert symmetries["GoToLocal"].plane == symmetries["GoTo"].plane
    with pytest.raises(UsageError, match="what is renamed in GoTo is not what is renamed in GoToLocal"):
        make_augmentation(_babyai("symmetry", "augmentation.flips=[]", "augmentation.rotation=false"), dataset, [one_room, rooms])


def _babyai(choice, *words):
    return configuration.compose([f"augmentation={choice}", "environment=babyai", "environment.view=symbolic", *words])


def test_the_owner_of_recordings_declares_their_plane(dataset):
    numbers = "state: [x, y, yaw, '', ''], action: [dx, dy, dyaw, '']"
    plane = f"augmentation.plane={{cameras: [top], {numbers}, period: 3.141592653589793, limited: true}}"
    declared = make_augmentation(_without_world("geometry", plane), dataset, [Stage("none")])
    keys = {"batch_size": 16, "seed": 0, "prefetch": 0, "indices": [dataset.frames("train")]}
    theirs = DatasetSource(dataset, augmentation=declared, **keys)
    ours = source(dataset, "geometry")
    assert equal(next(theirs).tensors(), next(ours).tensors())


def _without_world(choice, *words):
    return configuration.compose([f"augmentation={choice}", "environment=none", "curriculum=none", *words])
