"""The times that JSON formats record: kept as they are, and what they cannot tell is told."""

import json

import numpy as np
import pytest

from tests.formats import LENGTHS, write_collector, write_image_folder
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.data_tools.contents import open_contents
from vla_train.errors import DataError


def image_folder(folder, times):
    """``times``: of each episode the seconds of its steps, of which the pictures are those of the first."""
    write_image_folder(folder)
    first = json.loads((folder / "metadata.json").read_text())[0]
    rows = [first | {"sequence_id": e, "timestamp": t} for e, seconds in enumerate(times) for t in seconds]
    (folder / "metadata.json").write_text(json.dumps(rows))
    return folder


def collector(folder, times):
    write_collector(folder)
    first = json.loads((folder / "demo_0.json").read_text())[0]
    for e, seconds in enumerate(times):
        (folder / f"demo_{e}.json").write_text(json.dumps([first | {"timestamp": t} for t in seconds]))
    return folder


WRITERS = {"image_folder": image_folder, "collector": collector}
GAP = [[0, 0.1, 0.2, 5.3, 5.4, 5.5], [100, 100.1, 100.2, 100.3]]
SECONDS = [0, 0.1, 0.2, 5.3, 5.4, 5.5, 0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("kind", WRITERS)
def test_the_recorded_times_are_kept_from_the_beginning_of_each_episode(tmp_path, kind):
    path = WRITERS[kind](tmp_path / "data", GAP)
    contents = open_contents(path)
    assert contents.table.rate == 10.0
    assert np.allclose(contents.seconds(), SECONDS, atol=1e-9, rtol=0)
    assert np.allclose(open_contents(path, [1]).seconds(), SECONDS[6:], atol=1e-9, rtol=0)
    assert contents.table.notes == ()
    assert "timestamp" not in open_reader(path, Choice(cameras=(), state=())).metadata.spec.state_names


def test_recorders_that_round_to_milliseconds_have_the_rate_that_they_had(tmp_path):
    """30 steps/s: of the steps of 33, 34 and 33 ms the median alone would be 30.303, ten steps off after 1,000."""
    times = [[round(step / 30, 3) for step in range(31)]]
    assert open_contents(image_folder(tmp_path / "data", times)).table.rate == 30.0


@pytest.mark.parametrize("kind", WRITERS)
def test_episodes_of_several_rates_are_no_dataset(tmp_path, kind):
    times = [[0, 0.1, 0.2, 0.3], [0, 0.02, 0.04, 0.06], [0, 0.11, 0.21, 0.3]]
    message = r"other steps per second \(10 in {0}\D*0\D*, 50 in {0}\D*1\D*\): give each rate a folder of its own"
    with pytest.raises(DataError, match=message.format("(sequence|demo_)")):
        open_reader(WRITERS[kind](tmp_path / "data", times))


@pytest.mark.parametrize("lost", [[0, 0.1, 0.2, 0.7, 0.8], [0, 0.5], [0, 0.5, 0.6]])
def test_frames_that_are_missing_are_no_other_rate(tmp_path, lost):
    assert open_reader(image_folder(tmp_path / "data", [[0, 0.1, 0.2, 0.3, 0.4], lost])).table.rate == 10.0


@pytest.mark.parametrize("times", [[["2026-01-01T00:00:00"] * 4 + ["2026-01-01T00:00:01"] * 4], [[0.0], [5.0]]])
def test_times_that_tell_no_rate_are_told_to_be_assumed(tmp_path, times):
    contents = open_contents(image_folder(tmp_path / "data", times))
    (note,) = contents.table.notes
    assert note.startswith("its timestamps tell no rate")
    assert note.endswith("10 steps/s are assumed")
    steps = [step for seconds in times for step in range(len(seconds))]
    assert contents.seconds().tolist() == [step / 10 for step in steps]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_gap_is_found_and_converted_as_it_is(data, tmp_path, kind):
    path = WRITERS[kind](tmp_path / "data", GAP)
    assert "odd:" in (told := data("inspect", path))
    assert "times that are no multiples of 1/10 s" in told
    for source in (path, tmp_path / "made"):
        told = data("validate", source, expect=3)
        assert "frames are missing in 1 places, first 5.1 s after step 2 of episode 0" in told
        if source == path:
            data("convert", path, tmp_path / "made")
    assert np.allclose(open_contents(tmp_path / "made").seconds(), SECONDS, atol=1e-6, rtol=0)


def test_even_times_are_nothing_odd(data, tmp_path):
    path = write_collector(tmp_path / "data")
    assert "times that" not in data("inspect", path)
    assert "nothing wrong" in data("validate", path)
    assert open_contents(path).seconds().tolist() == [t / 4 for length in LENGTHS for t in range(length)]


def test_no_camera_is_called_like_the_times(tmp_path):
    folder = collector(tmp_path / "data", [[0, 0.1]])
    rows = json.loads((folder / "demo_0.json").read_text())
    (folder / "demo_0.json").write_text(json.dumps([row | {"image_path": {"timestamp": "images/top-0.png"}} for row in rows]))
    with pytest.raises(DataError, match="'timestamp' is no name of a camera"):
        open_reader(folder)
