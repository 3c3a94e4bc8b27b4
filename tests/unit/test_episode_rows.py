"""The rows of meta/episodes: any facts in, files of the same columns out."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.toy_dataset import SPEC, episode
from vla_train.data import lerobot_meta
from vla_train.data.episode_rows import common_schema, conformed, episode_table
from vla_train.data.episode_writer import WriterLock
from vla_train.data.reader import open_reader
from vla_train.data.writer import LeRobotWriter


def together(*parts):
    """The rows of tables that were made apart, each with the columns of all."""
    tables = [episode_table(rows) for rows in parts]
    schema = common_schema([table.schema for table in tables])
    return schema, pa.concat_tables([conformed(table, schema) for table in tables]).to_pylist()


@pytest.mark.parametrize(
    ("first", "then", "kind", "values"),
    [
        ([None], [3], "int64", [None, 3]),
        ([3], [None], "int64", [3, None]),
        ([1, 2], [0.5], "double", [1.0, 2.0, 0.5]),
        ([7], ["red"], "string", ["7", "red"]),
        (["red"], [{"hue": 1}], "string", ["red", '{"hue": 1}']),
        ([[1, 2]], [[0.5]], "list<item: double>", [[1.0, 2.0], [0.5]]),
        ([1, "red"], ["blue"], "string", ["1", '"red"', "blue"]),  # of one part: all JSON
    ],
)
def test_a_fact_has_one_type_in_all_files(first, then, kind, values):
    schema, rows = together([{"x": value} for value in first], [{"x": value} for value in then])
    assert str(schema.field("x").type) == kind
    assert [row["x"] for row in rows] == values


def test_a_fact_that_only_some_have_is_empty_for_others():
    schema, rows = together([{"a": 1, "b": "x"}], [{"c": [1.0], "a": 2}])
    assert schema.names == ["a", "b", "c"]
    assert rows == [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": None, "c": [1.0]}]


def add(folder, **facts):
    lock = WriterLock(folder)
    try:
        writer = LeRobotWriter(folder, SPEC, "toy", append=True, lock=lock)
        writer.add_episode(**episode(0) | {"metadata": facts})
        writer.finish()
    finally:
        lock.close()


def test_a_writer_that_dies_between_two_files_leaves_what_the_next_one_mends(tmp_path, monkeypatch):
    written = []

    def dying(path, table):
        written.append(path.name)
        if len(written) == 2:
            raise OSError("no space left")
        really(path, table)

    for seed in range(3):
        add(tmp_path, seed=seed)
    really = lerobot_meta.write_table
    monkeypatch.setattr(lerobot_meta, "write_table", dying)
    with pytest.raises(OSError, match="no space left"):
        add(tmp_path, seed=3, player="person")
    monkeypatch.setattr(lerobot_meta, "write_table", really)
    files = sorted((tmp_path / "meta/episodes").rglob("*.parquet"))
    assert [("player" in pq.read_schema(file).names) for file in files] == [True, False, False]
    assert [row["seed"] for row in open_reader(tmp_path).metadata.episodes] == [0, 1, 2]
    add(tmp_path, seed=3)
    files = sorted((tmp_path / "meta/episodes").rglob("*.parquet"))
    assert len({pq.read_schema(file) for file in files}) == 1
    assert [row["seed"] for row in open_reader(tmp_path).metadata.episodes] == [0, 1, 2, 3]
