"""Windows, padding, tokens and transitions of the toy dataset (rows 0 1 2 are episode 0, rows 3 4 episode 1), by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.toy_dataset import INSTRUCTIONS, SPEC, episode, open_toy, toy_processor, write_toy
from vla_train.data.choice import Choice
from vla_train.data.dataset import DemonstrationDataset
from vla_train.data.mixture import joined
from vla_train.data.reader import open_reader
from vla_train.data.records import content_fingerprint
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import DataError
from vla_train.spec import ImageSpec


@pytest.fixture
def folder(tmp_path):
    return write_toy(tmp_path / "toy")


def test_history_stops_at_the_beginning_of_the_episode(folder):
    observation = open_toy(folder, history=3).gather(np.array([0, 2, 3, 4])).observation
    assert observation.state.tolist() == [
        [[0, 0], [0, 0], [0, 0]],
        [[0, 0], [0, 1], [0, 2]],
        [[1, 0], [1, 0], [1, 0]],
        [[1, 0], [1, 0], [1, 1]],
    ]
    assert observation.present.tolist() == [[False, False, True], [True] * 3, [False, False, True], [False, True, True]]
    pixels = observation.images["top"]
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (4, 3, 3, 4, 4))
    assert pixels[:, :, :, 2, 1].tolist() == [[[10 * e, t, 200] for e, t in window] for window in observation.state.tolist()]


def test_the_chunk_stops_at_the_end_of_the_episode(folder):
    batch = open_toy(folder, chunk=3).gather(np.array([0, 1, 4]))
    assert batch.action.tolist() == [[[0, 0], [1, -1], [2, -2]], [[1, -1], [2, -2], [2, -2]], [[11, -1]] * 3]
    assert batch.valid.tolist() == [
        [[True] * 2] * 3,
        [[True] * 2, [True] * 2, [False] * 2],
        [[True] * 2, [False] * 2, [False] * 2],
    ]


def test_of_an_experts_word_on_what_another_does_only_the_first_action_of_a_chunk_counts(tmp_path):
    writer = LeRobotWriter(tmp_path / "toy", SPEC, "toy")
    for number, player in enumerate(("expert", "mixture")):
        values = episode(0)
        writer.add_episode(**values | {"metadata": values["metadata"] | {"seed": number, "player": player}})
    dataset = open_toy(writer.finish(), chunk=2)
    mixture = joined({"first": dataset, "second": dataset})
    alone = dataset.gather(np.arange(6)).valid[..., 0].tolist()
    assert alone == [[True, True], [True, True], [True, False]] + [[True, False]] * 3
    assert mixture.gather(np.arange(12)).valid[..., 0].tolist() == alone * 2
    assert dataset.transition_frames("train").tolist() == [0, 1, 2]  # what follows on a label is another's doing
    assert mixture.transition_frames("train").tolist() == [0, 1, 2, 6, 7, 8]


def test_of_labels_that_are_relative_to_the_state_only_the_first_are_counted(tmp_path):
    writer = LeRobotWriter(tmp_path / "toy", replace(SPEC, state_names=SPEC.action.names), "toy")
    for player in ("expert", "mixture"):
        writer.add_episode(**episode(0) | {"metadata": {"player": player}})
    reader = open_reader(writer.finish(), Choice(relative=("action",)))
    dataset = DemonstrationDataset(reader, toy_processor(tmp_path / "toy"), history=1, chunk=3, validation=0.0)
    assert dataset.statistics()["relative_action"].count == (3 + 2 + 1) + 3


def test_tokens_and_tasks_follow_the_episode(folder):
    dataset = open_toy(folder)
    observation = dataset.gather(np.array([4, 0])).observation
    tokens, mask = dataset.processor.tokenize([INSTRUCTIONS[1], INSTRUCTIONS[0]])
    assert observation.tokens.tolist() == tokens.tolist()
    assert observation.token_mask.tolist() == mask.tolist()
    assert observation.task.tolist() == [1, 0]  # "pick" and "go" in the Spec's tasks
    assert observation.domain.tolist() == [0, 0]


def test_metadata(folder):
    dataset = open_toy(folder, history=4, chunk=2)
    assert dataset.spec == SPEC.with_window(4, 2)
    assert dataset.instructions == list(INSTRUCTIONS)
    assert (dataset.num_episodes, dataset.num_frames) == (2, 5)


def test_an_open_reader_is_not_opened_and_hashed_again(folder, monkeypatch):
    hashed = []

    def counting(path):
        hashed.append(path)
        return content_fingerprint(path)

    monkeypatch.setattr("vla_train.data.lerobot_table.content_fingerprint", counting)
    processor = toy_processor(folder)
    hashed.clear()
    reader = open_reader(folder)
    dataset = DemonstrationDataset(reader, processor, history=1, chunk=1, validation=0.0)
    assert hashed == [folder]
    assert (dataset.folder, dataset.fingerprint) == (folder, reader.metadata.fingerprint)
    assert dataset.fingerprint == open_toy(folder).fingerprint
    assert (folder / "cache").is_dir()


def test_frames_of_the_splits(folder):
    dataset = open_toy(folder, validation=0.5)
    frames = {0: [0, 1, 2], 1: [3, 4]}
    assert dataset.frames("train").tolist() == frames[int(dataset.episodes["train"][0])]
    assert dataset.frames("validation").tolist() == frames[int(dataset.episodes["validation"][0])]
    with pytest.raises(ValueError, match="'test'"):
        dataset.frames("test")


def test_transitions_of_one_step(folder):
    """Rewards are 1 2 3 | 1 2. Row 2 terminates; row 4 is cut short, so its next observation is not on record."""
    dataset = open_toy(folder)
    assert dataset.transition_frames("train").tolist() == [0, 1, 2, 3]
    batch = dataset.gather_transitions(np.array([0, 1, 2, 3]), discount=0.5)
    assert batch.reward.tolist() == [1, 2, 3, 1]
    assert batch.discount.tolist() == [0.5] * 4
    assert batch.terminated.tolist() == [False, False, True, False]
    assert batch.truncated.tolist() == [False] * 4
    assert batch.next_observation.state.tolist() == [[[0, 1]], [[0, 2]], [[0, 2]], [[1, 1]]]
    assert batch.next_observation.images["top"][:, 0, 1, 0, 0].tolist() == [1, 2, 2, 1]


def test_transitions_of_a_chunk(folder):
    """Two actions at once, discount 1/2: row 0 gets 1 + 2/2 and sees step 2; row 2 has one step left and terminates."""
    dataset = open_toy(folder, chunk=2)
    assert dataset.transition_frames("train").tolist() == [0, 1, 2]
    batch = dataset.gather_transitions(np.array([0, 1, 2]), discount=0.5)
    assert batch.reward.tolist() == [2, 3.5, 3]
    assert batch.discount.tolist() == [0.25, 0.25, 0.5]
    assert batch.terminated.tolist() == [False, True, True]
    assert batch.next_observation.state[0].tolist() == [[0, 2]]


def test_a_gathered_batch_is_the_callers_own(folder):
    dataset = open_toy(folder)
    batch = dataset.gather(np.array([0]))
    for tensor in batch.tensors():
        tensor.zero_()
    assert dataset.gather(np.array([0])).observation.images["top"].max() == 200
    assert dataset.gather(np.array([1])).action.tolist() == [[[1, -1]]]


def test_resized_frames_are_what_is_gathered(folder):
    processor = toy_processor(folder, image_size=2)
    dataset = DemonstrationDataset(folder, processor, history=1, chunk=1, validation=0.0)
    pixels = dataset.gather(np.arange(5)).observation.images["top"]
    assert tuple(pixels.shape) == (5, 1, 3, 2, 2)
    assert pixels[:, 0, :, 1, 1].tolist() == [[0, 0, 200], [0, 1, 200], [0, 2, 200], [10, 0, 200], [10, 1, 200]]


def test_data_without_pictures_or_state(tmp_path):
    spec = replace(SPEC, images={}, state_size=0, state_names=())
    writer = LeRobotWriter(tmp_path, spec, "toy")
    writer.add_episode(**episode(0, spec, state=np.zeros((3, 0))))
    writer.finish()
    observation = open_toy(tmp_path, history=2).gather(np.array([0, 2])).observation
    assert observation.images == {}
    assert tuple(observation.state.shape) == (2, 2, 0)
    assert not (tmp_path / "cache").exists()


def test_a_camera_that_the_data_lacks_is_named(folder, tmp_path):
    spec = replace(SPEC, images={"wrist": ImageSpec(4, 4)})
    other = write_toy(tmp_path / "other", spec=spec)
    with pytest.raises(DataError, match=r"lacks the cameras \['wrist'\] \(it has \['top'\]\)"):
        DemonstrationDataset(folder, toy_processor(other), history=1, chunk=1, validation=0.0)
