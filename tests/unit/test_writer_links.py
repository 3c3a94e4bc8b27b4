"""A stranger's dataset, to which episodes are added, cannot have the writer change files that lie elsewhere."""

import shutil

import pytest

from tests.killed_writer import SPEC, told
from vla_train.data.reader import open_reader
from vla_train.data.writer import LeRobotWriter
from vla_train.errors import DataError


@pytest.fixture
def dataset(tmp_path):
    return write(tmp_path / "given", 1)


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    return path


def write(folder, count, **options):
    writer = LeRobotWriter(folder, SPEC, "toy", **options)
    for _ in range(count):
        writer.add_episode(**told(writer.num_episodes))
    return writer.finish()


@pytest.mark.parametrize("name", [".writing.lock", "meta/info.json.partial", "data/chunk-000/file-001.parquet.partial"])
def test_a_link_to_a_file_elsewhere_is_refused(dataset, mine, name):
    (dataset / name).symlink_to(mine)
    with pytest.raises(DataError, match=r"is a link to .*mine.txt, outside of the dataset"):
        write(dataset, 1, append=True)
    assert mine.read_text() == "mine"
    assert (dataset / name).is_symlink()


@pytest.mark.parametrize("name", ["data", "meta", "meta/episodes"])
def test_a_link_to_a_folder_elsewhere_is_refused(dataset, tmp_path, name):
    shutil.move(dataset / name, tmp_path / "elsewhere")
    (dataset / name).symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="outside of the dataset"):
        write(dataset, 1, append=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["meta/info.json", "meta/stats.json", "meta/tasks.parquet", "data/chunk-000/file-001.parquet"])
@pytest.mark.parametrize("video", [None, "h264"])
def test_a_partial_file_never_follows_a_link_even_one_that_comes_later(tmp_path, mine, name, video):
    writer = LeRobotWriter(tmp_path / "given", SPEC, "toy", video=video, append=True)
    writer.add_episode(**told(0))
    writer.commit()
    places = [name] if video is None else [name, "videos/observation.images.top/chunk-000/file-001.mp4"]
    for place in places:
        (tmp_path / "given" / f"{place}.partial").symlink_to(mine)
    writer.add_episode(**told(1))
    assert open_reader(writer.finish()).metadata.num_episodes == 2
    assert mine.read_text() == "mine"
