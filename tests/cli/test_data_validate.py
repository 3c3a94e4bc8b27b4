"""``vla-data validate`` names all that is damaged."""

import json
import re

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import formats
from tests.recordings import LENGTHS, encode, numbers_of, write_v21, write_v30
from vla_train.data_tools import pictures
from vla_train.data_tools.contents import open_contents


def test_validate_goes_on_after_damage_and_names_it_all(data, tmp_path):
    """Of three videos the first is torn, the second damaged within, the third short: the other two do not hide any of them."""
    source = write_v21(tmp_path / "source")
    videos = sorted(source.rglob("*.mp4"))
    videos[0].write_bytes(videos[0].read_bytes()[:300])
    with av.open(str(videos[1])) as video:
        entry = video.streams.video[0].index_entries[2]
    content = bytearray(videos[1].read_bytes())
    content[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    videos[1].write_bytes(content)
    encode(videos[2], numbers_of(2, LENGTHS[2] - 1))
    told = data("validate", source, expect=3)
    assert re.search("episode 0: .*episode_000000.mp4 cannot be opened", told)
    assert re.search("episode 1: .*episode_000001.mp4", told)
    assert re.search(f"episode 2: .*episode_000002.mp4 holds {LENGTHS[2] - 1} of its {LENGTHS[2]} frames", told)


@pytest.mark.parametrize("more", [1, 7])
def test_a_video_that_goes_on_after_its_episode_is_of_another_one(data, tmp_path, more):
    source = write_v21(tmp_path / "source")
    encode(sorted(source.rglob("*.mp4"))[1], numbers_of(1, LENGTHS[1] + more))
    said = rf"episode 1: .*episode_000001.mp4 goes on to {(LENGTHS[1] + more - 1) / 30:.2f} s, its episode to 0.10 s"
    assert re.search(said, data("validate", source, expect=3))
    assert re.search(said, data("convert", source, tmp_path / "made", expect=3))
    data("convert", source, tmp_path / "made", "episodes=0,2")


def test_rows_that_are_fewer_than_the_pictures_they_show_have_their_video(data, tmp_path):
    """Rows at 15 steps/s beside a video of 30, whose last picture is between two steps."""
    source = write_v21(tmp_path / "source", lengths=(4, 4), fps=15)
    for episode, path in enumerate(sorted(source.rglob("*.parquet"))):
        rows = pq.read_table(path)
        at = rows.schema.get_field_index("timestamp")
        pq.write_table(rows.set_column(at, "timestamp", pa.array([t / 15 for t in range(4)], pa.float32())), path)
        encode(sorted(source.rglob("*.mp4"))[episode], numbers_of(episode, 8))
    assert "nothing wrong" in data("validate", source, "--fix")


def test_pictures_are_looked_at_one_by_one(data, tmp_path):
    source = formats.write_image_folder(tmp_path / "source")
    for name in ("0-1", "1-0"):
        (source / f"images/{name}.jpg").write_bytes(b"nothing")
    told = data("validate", source, expect=3)
    assert "0-1.jpg" in told
    assert "1-0.jpg" in told


def test_a_bad_picture_does_not_make_all_that_follow_be_begun_again(tmp_path, monkeypatch):
    source = formats.write_image_folder(tmp_path)  # of five pictures the first is good
    for path in sorted(source.glob("images/*.jpg"))[1:]:
        path.write_bytes(b"nothing")
    asked, decoded = [], pictures._decoded
    monkeypatch.setattr(pictures, "PART", 2)
    monkeypatch.setattr(pictures, "_decoded", lambda *args: asked.append(len(args[3])) or decoded(*args))
    assert len(pictures.unreadable(open_contents(source))) == 4
    assert asked == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("write", "name", "lost"), [(write_v21, "episode_000001", "episode 1"), (write_v30, "file-000", "episodes 0, 1")]
)
def test_a_data_file_that_is_gone_is_named_once_with_what_was_in_it(data, tmp_path, write, name, lost):
    source = write(tmp_path / "source", **({"data_files": ((0, 1), (2,))} if write is write_v30 else {}))
    (source / f"data/chunk-000/{name}.parquet").unlink()
    for words in ([], ["--fix"]):
        told = data("validate", source, *words, expect=3)
        assert f"{name}.parquet is missing, with {lost}: fetch it again" in told
        assert (told.count("wrong:"), "--fix" in told, "mended:" in told) == (1, False, False)


def test_rows_that_are_lost_are_not_mended_by_counting_the_others(data, tmp_path):
    source = write_v30(tmp_path / "source")
    path = source / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path)[:-2], path)
    before = (source / "meta/info.json").read_text()
    for words in ([], ["--fix"]):
        told = data("validate", source, *words, expect=3)
        assert "episode 2: 6, but 4; neither fits the data files: fetch or make these again" in told
        assert "--fix mends" not in told
    assert (source / "meta/info.json").read_text() == before


def test_one_damage_is_one_problem(data, tmp_path):
    source = write_v21(tmp_path / "source")
    path = source / "data/chunk-000/episode_000001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["action.grip"]), path)
    assert data("validate", source, expect=3).count("has no column 'action.grip'") == 1


def test_an_episode_without_words_is_wrong_for_all_who_could_train_on_it(data, tmp_path):
    source = write_v21(tmp_path / "source")
    for name in ("meta/tasks.jsonl", "meta/episodes.jsonl"):
        path = source / name
        path.write_text(path.read_text().replace('"lift the ball"', '""'))
    told = data("validate", source, expect=3)
    assert "wrong: no instruction in episodes 1: say it with vla-data convert instruction='...'" in told
    assert "episodes without an instruction" not in told
    assert "odd" in data("inspect", source)
    assert "has no instruction in episodes 1" in data("convert", source, tmp_path / "new", expect=3)
    data("convert", source, tmp_path / "some", "episodes=0,2")
    data("convert", source, tmp_path / "new", "instruction=lift it")
    assert "nothing wrong" in data("validate", tmp_path / "new")


def test_nothing_is_mended_through_a_link_that_leads_out(data, tmp_path):
    source = write_v21(tmp_path / "source")
    (source / "meta").rename(tmp_path / "mine")
    (source / "meta").symlink_to(tmp_path / "mine")
    info = tmp_path / "mine/info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"total_frames": 1}))
    before = info.read_bytes()
    assert "meta is a link to" in data("validate", source, "--fix", expect=3)
    assert info.read_bytes() == before
