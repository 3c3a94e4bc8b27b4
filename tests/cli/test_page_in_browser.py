"""The page of an evaluation in a real browser."""

import json

import pytest

from tests import browser, toy_report, toy_runs
from vla_train.evaluation.report import write_report
from vla_train.reporting.evaluation_page import write_page

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here (Debian: apt-get install chromium)")

ROWS = "[...document.querySelectorAll('table.bars tr')].map(row => [...row.cells].map(cell => cell.innerText.trim()))"
TILES = "[...document.querySelectorAll('.tile')].map(tile => tile.innerText)"
PICTURES = "[...document.querySelectorAll('img')].map(one => one.complete && one.naturalWidth)"
VIDEOS = "[...document.querySelectorAll('video')].map(one => [one.videoWidth, one.duration, one.controls, one.error])"
FILLED = "document.querySelector('.fill').getBoundingClientRect().width / document.querySelector('.bar').clientWidth"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    report = write_report(folder, toy_report.report(), toy_report.SETTINGS)["report"]
    page = write_page(report, toy_report.report(), [toy_runs.write(folder / "run")], fps=4.0)
    window = browser.Browser(folder / "profile")
    yield window, page, json.loads(report.read_text())["metrics"]
    window.close()


def test_a_browser_shows_the_page(opened):
    window, page, metrics = opened
    window.open(page)
    headings = window.value("[...document.querySelectorAll('h1, h2')].map(one => one.innerText)")
    assert headings[0] == "run, step_000040"
    sections = ["Success", "Episodes", "Grounding", "Zero-shot", "Robustness", "Held-out demonstrations", "Learning curves"]
    assert [heading for heading in headings if heading in sections] == sections

    rows = {row[0].splitlines()[0]: row[2] for row in window.value(ROWS)}
    wanted = {"this policy": "success", "go": "success/go", "chance": "chance/success", "swapped instruction": "swapped/success"}
    wanted["unseen: pairs"] = "zero_shot/pairs/success"
    assert {name: rows[name] for name in wanted} == {name: f"{100 * metrics[key]:.1f} %" for name, key in wanted.items()}
    assert rows["language-blind policy"] == ""  # not given, and not 0 %
    width = window.value(
        "document.querySelector('.fill').getBoundingClientRect().width / document.querySelector('.bar').clientWidth"
    )
    assert width == pytest.approx(metrics["success"], abs=0.01)

    first, second, third = window.value(TILES)
    assert first.startswith("✗ failed 8 steps")
    assert toy_report.HOSTILE in first  # as text
    assert "touched first: nothing · named: ball" in first
    assert second.startswith("✗ crashed")
    assert third.startswith("✓ success")
    assert "3 of 8 episodes, failures first: 2 of 3 that failed, 1 of 5 successes." in window.value("document.body.innerText")

    assert all(size > 0 for size in window.value(PICTURES))
    assert len(window.value(PICTURES)) == 2
    assert window.value(VIDEOS) == [[256, 2, True, None]] * 3  # 4 frames, and the last one for a second more
    assert window.value("document.title") == "run, step_000040"
    assert window.value("document.scripts.length") == 0
    assert window.complaints == []


def test_a_phone_need_not_scroll_sideways(opened):
    window, page, _ = opened
    window.open(page, width=400)
    assert window.value("document.documentElement.scrollWidth") <= 400
    assert min(window.value("[...document.querySelectorAll('.tile')].map(one => one.clientWidth)")) > 150


def test_a_dark_screen_gets_a_dark_page_and_dark_curves(opened):
    window, page, _ = opened
    colour, shown = "getComputedStyle(document.body).backgroundColor", "document.querySelector('.curves img').currentSrc"
    window.open(page)
    light = window.value(colour), window.value(shown)
    window.open(page, dark=True)
    dark = window.value(colour), window.value(shown)
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    assert window.complaints == []
