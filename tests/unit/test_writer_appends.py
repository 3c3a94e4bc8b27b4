"""Episodes are added to whatever the reader takes, or it is said why not, before a file is touched."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.killed_writer import SPEC, told
from vla_train.data.reader import open_reader
from vla_train.data.records import content_fingerprint
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import DataError

TASKS, EPISODES = "meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"


@pytest.fixture
def dataset(tmp_path):
    """Two episodes, each with an instruction of its own."""
    return written(tmp_path, 2)


def written(folder, count, **options):
    writer = LeRobotWriter(folder, SPEC, "toy", append=True, **options)
    for _ in range(count):
        writer.add_episode(**told(writer.num_episodes))
    return writer.finish()


def changed(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def test_tasks_without_a_name(dataset):
    """As LeRobot's older releases write them: the column of texts is the nameless index of pandas."""
    changed(dataset / TASKS, lambda table: table.rename_columns(["task_index", "__index_level_0__"]))
    reader = open_reader(written(dataset, 2))
    assert [row["tasks"][0] for row in reader.metadata.episodes] == [told(e)["instruction"] for e in range(4)]
    assert reader.columns().text.tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 1, 1]
    assert pq.read_schema(dataset / TASKS).names == ["task_index", "task"]


@pytest.mark.parametrize("video", [None, "h264"])
def test_where_nothing_tells_in_which_file_an_episode_lies(tmp_path, video):
    dataset = written(tmp_path, 2, video=video)
    kind = "videos/observation.images.top" if video else "data"
    changed(dataset / EPISODES, lambda table: table.drop_columns([f"{kind}/chunk_index"]))
    before = content_fingerprint(dataset)
    with pytest.raises(DataError, match=f"does not say in which file of {kind} each episode lies. Convert it with vla-data"):
        written(dataset, 1, video=video)
    assert content_fingerprint(dataset) == before


def test_a_text_that_stands_twice_among_the_tasks(dataset):
    """A third one would get the number of the second."""
    changed(dataset / TASKS, lambda table: table.set_column(1, "task", pa.array([told(0)["instruction"]] * 2)))
    with pytest.raises(DataError, match=r"tasks.parquet has 'go to the red cup' twice"):
        written(dataset, 1)
