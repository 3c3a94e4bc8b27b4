"""``vla-data validate --fix`` mends ``meta/`` as the reader reads it, and never against it."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.killed_writer import SPEC, told
from tests.recordings import LENGTHS, write_v21, write_v30
from vla_train.data.choice import Choice
from vla_train.data.episode_writer import WriterLock
from vla_train.data.reader import open_reader
from vla_train.data.writer import LeRobotWriter

CHOICE = Choice(cameras=(), state=("state.arm",), action=("action.arm",))
EPISODES = "meta/episodes/chunk-000/file-{:03d}.parquet"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def change_info(folder, **changes):
    path = folder / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change(path, name, values):
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, pa.array(values)), path)


def test_lines_may_stand_in_any_order(data, tmp_path):
    """Their numbers count, for who counts and mends as for who reads."""
    source = write_v21(tmp_path / "source")
    path = source / "meta/episodes.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in reversed(lines(path))))
    told_of = data("validate", source, "--fix", "pictures=false")
    assert "lengths" not in told_of
    assert [row["length"] for row in lines(path)] == [*reversed(LENGTHS)]
    rows = lines(path)
    rows[0]["length"] = 99  # of the last episode
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert "mended: meta/ says other lengths than the data files have: episode 2: 99, but 6" in data("validate", source, "--fix")
    assert {row["episode_index"]: row["length"] for row in lines(path)} == dict(enumerate(LENGTHS))
    open_reader(source, CHOICE).columns()


def test_a_length_that_is_no_number_is_mended(data, tmp_path):
    source = write_v21(tmp_path / "source")
    path = source / "meta/episodes.jsonl"
    path.write_text("".join(f"{json.dumps(row | {'length': []})}\n" for row in lines(path)))
    assert "episode 0: [], but 5" in data("validate", source, "--fix", "pictures=false")
    assert [row["length"] for row in lines(path)] == [*LENGTHS]


def test_rows_in_another_order_are_not_mended(data, tmp_path):
    """Of version 3.0 nobody reads such rows, so lengths must not be written to them."""
    source = write_v30(tmp_path / "source")
    path = source / EPISODES.format(0)
    pq.write_table(pq.read_table(path).take([2, 1, 0]), path)
    before = path.read_bytes()
    assert "needs a row for every episode_index from 0 on" in data("validate", source, "--fix", expect=3)
    assert path.read_bytes() == before


def test_what_somebody_writes_is_not_counted_away(data, tmp_path):
    source = write_v21(tmp_path / "source")
    change_info(source, total_frames=1)
    before = (source / "meta/info.json").read_bytes()
    lock = WriterLock(source)
    assert "another process is writing" in data("validate", source, "--fix", expect=2)
    assert (source / "meta/info.json").read_bytes() == before
    lock.close()
    data("validate", source, "--fix", "pictures=false")
    assert not (source / ".writing.lock").exists()


def unfinished(folder):
    """Three episodes that were committed, and a file of ``meta/episodes`` that its writer was writing when it died."""
    writer = LeRobotWriter(folder, SPEC, "toy", commit_every=0)
    for e in range(3):
        writer.add_episode(**told(e))
        writer.commit()
    (folder / EPISODES.format(3)).write_bytes(b"torn")
    return folder


def test_files_that_do_not_count_are_no_part_of_what_is_mended(data, tmp_path):
    source = unfinished(tmp_path / "source")
    change(source / EPISODES.format(1), "length", [9])
    change(source / EPISODES.format(2), "stats/action/max", [[500.0, 500.0]])
    told_of = data("validate", source, "--fix")
    assert "mended: meta/ says other lengths than the data files have: episode 1: 9, but 2" in told_of
    assert "mended: statistics in meta/episodes do not fit the data: episode 2" in told_of
    assert (source / EPISODES.format(3)).read_bytes() == b"torn"
    assert "nothing wrong" in data("validate", source)


def test_a_file_that_cannot_be_read_leaves_the_others_as_they_are(data, tmp_path, monkeypatch):
    source = write_v30(tmp_path / "source")
    shutil.copy(source / EPISODES.format(0), source / EPISODES.format(1))
    rows = pq.read_table(source / EPISODES.format(0))
    change_of = {0: rows[:2], 1: rows[2:]}
    for number, table in change_of.items():
        pq.write_table(table, source / EPISODES.format(number))
    change(source / EPISODES.format(0), "length", [1, 1])
    before = (source / EPISODES.format(0)).read_bytes()
    read = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda path: read(path) if "000.parquet" in str(path) else read(tmp_path / "none"))
    assert "cannot be mended" in data("validate", source, "--fix", "pictures=false", expect=2)
    assert (source / EPISODES.format(0)).read_bytes() == before


DEEP = "[" * 200_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("meta/episodes.jsonl", DEEP, r"line 1 of .*meta/episodes.jsonl is not JSON"),
        ("meta/episodes_stats.jsonl", DEEP, r"line 1 of .*meta/episodes_stats.jsonl is not JSON"),
        ("meta/episodes.jsonl", '{"episode_index": 0}\n[1]', r"line 2 of .*episodes.jsonl is no JSON object"),
        (
            "meta/episodes_stats.jsonl",
            '{"episode_index": 0}',
            r"episodes_stats.jsonl needs an episode_index and stats in every line",
        ),
        (
            "meta/episodes_stats.jsonl",
            '{"episode_index": 0, "stats": {"action.arm": 1}}',
            r"statistics in meta/episodes_stats.jsonl",
        ),
        ("meta/stats.json", '{"action.arm": {"min": "low"}}', r"statistics in .*meta/stats.json are something else than numbers"),
        ("meta/episodes.jsonl", None, r"meta/episodes.jsonl cannot be read"),
        (
            "meta/tasks.jsonl",
            '{"task_index": 0, "task": "\\ud800"}',
            r"line 1 of .*tasks.jsonl is not JSON .*surrogates not allowed",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(data, tmp_path, name, content, message):
    source = write_v21(tmp_path / "source")
    (source / name).unlink(missing_ok=True)
    (source / name).mkdir() if content is None else (source / name).write_text(content)
    for words in ([], ["--fix"]):
        assert re.search(message, data("validate", source, "pictures=false", *words, expect=3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunks_size": "a"}, "chunks_size in meta/info.json is 'a'"),
        ({"codebase_version": "v1.6"}, "is LeRobot v1.6; this program reads"),
    ],
)
def test_who_counts_says_what_the_reader_says(data, tmp_path, changes, message):
    source = write_v21(tmp_path / "source")
    change_info(source, **changes)
    assert message in data("validate", source, "--fix", expect=3)


def test_only_the_files_that_data_path_names_are_counted(data, tmp_path):
    source = write_v21(tmp_path / "source")
    shutil.copy(source / "data/chunk-000/episode_000000.parquet", source / "data/chunk-000/old_copy.parquet")
    data("validate", source, "--fix", "pictures=false")  # makes statistics
    assert "nothing wrong" in data("validate", source, "pictures=false")
    (source / "data/chunk-000").rename(source / "data/rows")
    change_info(source, data_path="data/rows/episode_{episode_index:06d}.parquet")
    assert "nothing wrong" in data("validate", source, "pictures=false")


def test_an_episode_that_meta_does_not_know_is_found(data, tmp_path):
    source = write_v21(tmp_path / "source")
    path = source / "meta/episodes.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in lines(path)[:2]))
    told_of = data("validate", source, "--fix", expect=3)
    assert "meta/ describes 2 episodes, but the data files hold 3: fetch the missing part" in told_of
