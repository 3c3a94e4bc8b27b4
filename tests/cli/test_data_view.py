"""``vla-data view``: the page, in a real browser."""

import pytest

from tests import browser
from tests.toy_dataset import SPEC, episode
from vla_train.data.writer import LeRobotWriter


def test_a_page_of_episodes(data, tmp_path):
    hostile = "<script>alert(1)</script> & [red]cup[/red]"
    writer = LeRobotWriter(tmp_path / "toy", SPEC, "toy")
    for e in range(3):
        writer.add_episode(**episode(e, instruction=hostile if e == 2 else "go"))
    writer.finish()
    page = tmp_path / "page.html"
    data("view", tmp_path / "toy", "episodes=2,0", f"output={page}", "columns=action,observation.state")
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; [red]cup[/red]" in text
    assert "is there already" in data("view", tmp_path / "toy", f"output={page}", expect=2)
    assert "the episodes 0 to 2" in data("view", tmp_path / "toy", "episodes=3", expect=3)
    assert "has no column 'nothing'" in data("view", tmp_path / "toy", "columns=nothing", expect=3)
    if browser.PROGRAM is None:
        pytest.skip("no Chromium here to open the page")
    window = browser.Browser(tmp_path / "profile")
    try:
        window.open(page)
        assert window.value("[...document.querySelectorAll('h2')].map(one => one.innerText)") == ["Episode 2", "Episode 0"]
        widths = window.value("[...document.querySelectorAll('.strip img')].map(one => one.naturalWidth)")
        assert widths == [4] * 6, "three steps of either episode"
        assert all(
            size > 500 for size in window.value("[...document.querySelectorAll('.curves img')].map(one => one.naturalWidth)")
        )
        assert window.complaints == []
    finally:
        window.close()
