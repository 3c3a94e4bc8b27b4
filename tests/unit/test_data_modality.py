"""What ``modality.json`` of the GR00T flavour names besides parts of columns: cameras, and the column of the instruction."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from tests.recordings import FEATURES, LENGTHS, number, write_v21
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader

COLUMN = "annotation.human.action.task_description"


def write(folder, modality, texts=None):
    """A dataset with that file; ``texts`` are the values of a further column of whole numbers, one an episode."""
    features = FEATURES | ({COLUMN: {"dtype": "int64", "shape": [1], "names": None}} if texts else {})
    write_v21(folder, features=features)
    for episode, length in enumerate(LENGTHS) if texts else ():
        path = folder / f"data/chunk-000/episode_{episode:06d}.parquet"
        pq.write_table(pq.read_table(path).append_column(COLUMN, pa.array([texts[episode]] * length)), path)
    (folder / "meta/modality.json").write_text(json.dumps(modality))
    return folder


def test_cameras_have_the_names_that_it_gives(tmp_path):
    folder = write(
        tmp_path, {"video": {"front": {"original_key": "observation.images.top"}, "none": {"original_key": "nowhere"}}}
    )
    reader = open_reader(folder, Choice(state=(), action=("action.arm",), cameras=("front",)))
    (block,) = reader.frames(["front"])
    assert number(block["front"][5]) == 16
    again = open_reader(folder, Choice(state=(), action=("action.arm",), rename={"front": "middle"}, cameras=("middle",)))
    assert list(again.metadata.spec.images) == ["middle"]


def test_the_instruction_is_that_of_the_column_that_it_names(tmp_path):
    """Episodes 0, 1, 2 have task_index 0, 1, 2; the column says 2, 2, 0."""
    folder = write(tmp_path, {"annotation": {"human.action.task_description": {}, "human.validity": {}}}, texts=[2, 2, 0])
    reader = open_reader(folder, Choice(state=(), action=("action.arm",), cameras=()))
    assert reader.metadata.instructions == ["open the box", "open the box", "push the cup"]
    columns = reader.columns()
    assert [columns.texts[columns.text[row]] for row in (0, 5, 9)] == ["open the box", "open the box", "push the cup"]


def test_where_it_names_task_index_that_is_the_instruction(tmp_path):
    folder = write(tmp_path, {"annotation": {"human.action.task_description": {"original_key": "task_index"}}})
    reader = open_reader(folder, Choice(state=(), action=("action.arm",), cameras=()))
    assert reader.metadata.instructions == ["push the cup", "lift the ball", "open the box"]
