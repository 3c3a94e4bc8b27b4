"""The examples of layouts in docs/data.md are read as they stand there."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_train.data.reader import open_reader
from vla_train.errors import DataError

EXAMPLES = re.findall(r"```json\n(\[.*?\])\n```", (Path(__file__).parents[2] / "docs/data.md").read_text(), re.DOTALL)


def write(folder, name, text, pictures):
    (folder / "images").mkdir(parents=True)
    (folder / name).write_text(text)
    for picture in pictures:
        cv2.imwrite(str(folder / "images" / picture), np.zeros((8, 8, 3), np.uint8))
    return folder


def test_the_folder_with_metadata(tmp_path):
    folder = write(tmp_path / "kitchen", "metadata.json", EXAMPLES[0], ["0001.jpg", "0002.jpg", "0003.jpg"])
    reader = open_reader(folder)
    assert reader.metadata.instructions == ["lift the cup", "push the box"]
    assert reader.metadata.spec.rate == 10.0
    assert reader.columns().action.tolist() == np.float32([[0.1, 0.0, 1.0], [0.1, 0.1, 1.0], [0.0, 0.2, 0.0]]).tolist()


def test_the_folder_of_a_collector(tmp_path):
    folder = write(tmp_path / "table", "demo_000.json", EXAMPLES[1], ["0.png", "1.png"])
    (folder / "demo_001.json").write_text(EXAMPLES[1])
    reader = open_reader(folder)
    assert reader.metadata.num_episodes == 2
    assert reader.metadata.spec.state_names == ("robot_state.arm.0", "robot_state.arm.1", "robot_state.gripper.0")
    assert sum(len(block["image"]) for block in reader.frames(["image"])) == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"episodes": [{"timestamp": 0}]}, "an object with the keys 'episodes', of which 'episodes' may be that list"),
        ([{"timestamp": 0}, 3], "a list whose entry 1 is '3'"),
        ("text", "but is 'text'"),
    ],
)
def test_what_is_no_list_of_rows_is_told_with_what_it_is(tmp_path, content, said):
    folder = write(tmp_path / "table", "notes.json", json.dumps(content), ["0.png"])
    with pytest.raises(DataError, match=rf"notes\.json must be a list with an object for each frame.*{re.escape(said)}.*move it"):
        open_reader(folder)
