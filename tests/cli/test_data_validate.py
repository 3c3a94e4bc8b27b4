"""``vla-data validate`` names all that is damaged."""

import re

import av

from tests import formats
from tests.recordings import LENGTHS, encode, numbers_of, write_v21


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


def test_pictures_are_looked_at_one_by_one(data, tmp_path):
    source = formats.write_image_folder(tmp_path / "source")
    for name in ("0-1", "1-0"):
        (source / f"images/{name}.jpg").write_bytes(b"nothing")
    told = data("validate", source, expect=3)
    assert "0-1.jpg" in told
    assert "1-0.jpg" in told
