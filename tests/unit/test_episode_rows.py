"""The rows of meta/episodes: any facts in, files of the same columns out."""

import pyarrow as pa
import pytest

from vla_train.data.episode_rows import common_schema, conformed, episode_table


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
