"""The pictures and the page of a report."""

import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests import toy_runs
from vla_train.errors import DataError, UsageError
from vla_train.reporting import curves, write
from vla_train.reporting.page import Page, html
from vla_train.reporting.panels import panels
from vla_train.reporting.runs import read
from vla_train.reporting.settings import groups

VOID = {"meta", "img", "source", "br", "link"}
HOSTILE = """<script>alert(1)</script>"'&<img src=x onerror=alert(2)>$\\frac{1}$\x1b[31m\u202e"""


class Parsed(HTMLParser):
    """A page's elements; fails where one is not closed, or closed twice."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


def page(runs, folder):
    return html(Page(groups(runs), b"light", b"dark", "today", [], folder))


def drawn(runs, **options):
    found = groups(runs)
    picture = Image.open(io.BytesIO(curves.draw(found, panels(runs), "updates", **options)))
    return np.asarray(picture.convert("RGBA"))


def has(picture, colour):
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return bool((np.abs(picture[..., :3].astype(int) - wanted) <= 3).all(-1).any())


def test_a_moving_average_by_hand():
    """40 values with a reach of one: the mean of three neighbours, of two at the ends."""
    values = np.arange(40.0) ** 2
    expected = [(0 + 1) / 2, (0 + 1 + 4) / 3, (1 + 4 + 9) / 3]
    smooth = curves.smoothed(values)
    np.testing.assert_allclose(smooth[:3], expected)
    np.testing.assert_allclose(smooth[-1], (38**2 + 39**2) / 2)
    assert curves.smoothed(values[:29]) is not None
    np.testing.assert_array_equal(curves.smoothed(values[:29]), values[:29])


def test_the_mean_of_two_curves_covers_what_both_cover():
    first = (np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 20.0]))
    second = (np.array([5.0, 15.0]), np.array([1.0, 3.0]))
    steps, values = curves.mean([first, second])
    np.testing.assert_array_equal(steps, [5, 10, 15])
    np.testing.assert_allclose(values, [(5 + 1) / 2, (10 + 2) / 2, (15 + 3) / 2])


def test_panels_are_the_usual_ones_and_what_else_was_logged(tmp_path):
    usual = ["loss, training", "loss, held out", "success in evaluation", "gradient norm", "learning rate", "updates per second"]
    plain = read(toy_runs.write(tmp_path / "plain"))
    assert [panel.title for panel in panels([plain])] == usual
    more = {"step": 50, "train/policy_entropy": 0.1, "evaluation/swapped/success": 0.5}
    other = read(toy_runs.write(tmp_path / "other", metrics=[*toy_runs.rows(), more]))
    assert [panel.title for panel in panels([plain, other])] == [*usual, "success, swapped", "policy entropy"]
    assert drawn([plain, other]).shape[0] > drawn([plain]).shape[0]  # a third line of panels


def test_the_picture_has_a_colour_for_each_group(tmp_path):
    first, second = read(toy_runs.write(tmp_path / "a")), read(toy_runs.write(tmp_path / "b", steps=80))
    seed = read(toy_runs.write(tmp_path / "c", seed=1))
    both, alone = drawn([first, second]), drawn([first, seed])
    assert has(both, curves.COLOURS[0])
    assert has(both, curves.COLOURS[1])
    assert has(alone, curves.COLOURS[0])
    assert not has(alone, curves.COLOURS[1])


def test_the_dark_picture_has_no_background(tmp_path):
    run = read(toy_runs.write(tmp_path / "a"))
    assert drawn([run])[0, 0].tolist() == [255, 255, 255, 255]
    assert drawn([run], dark=True)[0, 0, 3] == 0


@pytest.mark.parametrize("number", [1, 2, 20, 45])
def test_any_number_of_runs_is_drawn(tmp_path, number):
    runs = [read(toy_runs.write(tmp_path / str(index), steps=index)) for index in range(number)]
    assert drawn(runs).ndim == 3
    assert len({curves.look(index) for index in range(40)}) == 40


def test_nothing_of_a_run_is_markup(tmp_path):
    """Names, values, messages and commands come from strangers: they are text, in the page and in the picture."""
    changes = {"name": HOSTILE, "model__width": HOSTILE, f"model__{HOSTILE}": HOSTILE, "choices__model": HOSTILE}
    record = {"command": HOSTILE, "outcome": HOSTILE, "seed": HOSTILE, "runtime": HOSTILE, "source": {"commit": HOSTILE}}
    rows = [*toy_runs.rows(), {"step": 50, f"train/{HOSTILE}": 1.0, f"evaluation/{HOSTILE}/success": 1.0}]
    hostile = toy_runs.write(tmp_path / HOSTILE.replace("/", ":"), rows, record, **changes)
    finding = {"kind": HOSTILE, "severity": HOSTILE, "message": HOSTILE}
    (hostile / "report.json").write_text(json.dumps({"diagnostics": {"findings": [finding]}}))
    evaluation = hostile / "evaluations" / "<b>step"
    evaluation.mkdir(parents=True)
    metrics = {"success": 0.5, HOSTILE: 1.0, "swapped/success": HOSTILE, "foreign/success": 10**400}
    settings = {"seeds": HOSTILE, "step": [HOSTILE]}
    (evaluation / "report.json").write_text(
        json.dumps({"metrics": metrics, "settings": settings, "not_applicable": {HOSTILE: HOSTILE}})
    )
    (evaluation / "rollouts.mp4").write_bytes(b"video")
    runs = [read(hostile), read(toy_runs.write(tmp_path / "other"))]
    text = page(runs, tmp_path / "page")
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "section", "div", "table", "thead", "tbody"}
    allowed |= {"tr", "th", "td", "i", "b", "ul", "li", "picture", "source", "img", "span", "details", "summary", "pre", "figure"}
    allowed |= {"video", "figcaption", "a"}
    parsed = Parsed(text)
    assert {tag for tag, _ in parsed.elements} <= allowed
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert {attributes["href"] for tag, attributes in parsed.elements if tag == "a"} == {
        "../%3Cscript%3Ealert%281%29%3C%3Ascript%3E%22%27%26%3Cimg%20src%3Dx%20onerror%3Dalert%282%29%3E%24%5Cfrac%7B1%7D%24%1B%5B31m"
        "%E2%80%AE/evaluations/%3Cb%3Estep/rollouts.mp4"
    }
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("&lt;script&gt;") > 8


def test_a_dollar_is_no_formula_in_a_picture(tmp_path):
    runs = [read(toy_runs.write(tmp_path / name, choices__model=f"$\\frac{name}$")) for name in "ab"]
    assert drawn(runs).size


def test_a_page_needs_nothing_else(tmp_path):
    run = read(toy_runs.write(tmp_path / "run"))
    (run.folder / "pictures").mkdir()
    (run.folder / "pictures" / "rollouts_000040.mp4").write_bytes(b"video")
    parsed = Parsed(page([run], tmp_path / "page"))
    sources = [attributes[key] for _, attributes in parsed.elements for key in ("src", "srcset") if attributes.get(key)]
    assert len(sources) == 3
    assert all(source.startswith("data:") for source in sources)
    (policy,) = [attributes["content"] for _, attributes in parsed.elements if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'")


def test_a_page_tells_findings_evaluations_and_what_was_not_logged(tmp_path):
    run = toy_runs.write(tmp_path / "run", toy_runs.rows(1), {"outcome": "the loss is not finite " * 5, "exit_status": 5})
    findings = [
        {"kind": "slow_layer", "severity": "note", "message": "a note"},
        {"kind": "overfitting", "severity": "warning", "message": "train shorter"},
    ]
    (run / "report.json").write_text(json.dumps({"diagnostics": {"findings": findings}}))
    evaluation = run / "evaluations" / "step_000010-1"
    evaluation.mkdir(parents=True)
    metrics = {"success": 0.5, "success_low": 0.4, "success_high": 0.6}
    reasons = {"chance": "there is one goal only"}
    (evaluation / "report.json").write_text(json.dumps({"settings": {"step": 10}, "metrics": metrics, "not_applicable": reasons}))
    damaged = run / "evaluations" / "damaged"
    damaged.mkdir()
    (damaged / "report.json").write_text("{")
    words = Parsed(page([read(run)], tmp_path / "page")).words
    assert words.index("overfitting") < words.index("slow layer")
    assert ": train shorter" in words
    assert "50.0 % (40.0 to 60.0)" in words
    assert "not applicable: chance: there is one goal only" in words
    assert any(word.startswith("run: the loss is not finite") for word in words)


def test_what_only_some_runs_lack_is_told_in_words(tmp_path):
    run = read(toy_runs.write(tmp_path / "run"))
    recorded = read(toy_runs.write(tmp_path / "recorded", toy_runs.rows(1), choices__environment="none"))
    words = Parsed(page([run, recorded], tmp_path / "page")).words
    assert "recorded: no success in evaluation: recorded data without an environment to succeed in" in words
    assert not any(word.startswith("run: no ") for word in words)


def test_a_report_overwrites_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(write, "draw", lambda *_, **options: b"picture")  # which takes a second
    run, other = toy_runs.write(tmp_path / "run"), toy_runs.write(tmp_path / "other", seed=1)
    assert [write.report([run]), write.report([run]), write.report([run, other])] == [0, 0, 0]
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("index.html")} == {
        "run/report/index.html",
        "run/report-2/index.html",
        "outputs/reports/1/index.html",
    }
    with pytest.raises(UsageError, match="is there already"):
        write.report([run], tmp_path / "run" / "report")
    assert "settings that differ" in capsys.readouterr().out


def test_a_broken_run_is_told_and_the_others_drawn(tmp_path, capsys):
    whole = toy_runs.write(tmp_path / "whole")
    empty = toy_runs.write(tmp_path / "empty", metrics=[], record={"outcome": "running"})
    assert write.report([empty, tmp_path / "nowhere", whole], tmp_path / "out") == UsageError.exit_code
    told = capsys.readouterr().err
    assert "nowhere: there is no such folder" in told
    assert "empty: nothing was logged yet" in told
    assert "nothing was logged yet" in (tmp_path / "out" / "index.html").read_text()
    with pytest.raises(DataError, match="nothing was logged yet"):
        write.report([empty])
    with pytest.raises(DataError, match="nothing was logged yet"):
        write.report([empty / "checkpoints"])


def test_a_neighbour_without_metrics_is_a_note(tmp_path, capsys):
    """Whoever reports on all of ``outputs`` did not ask for the run that was refused at its start."""
    toy_runs.write(tmp_path / "all" / "whole")
    refused = toy_runs.write(tmp_path / "all" / "refused", metrics=[], record={"outcome": "head=x does not fit"})
    assert write.report([tmp_path / "all"], tmp_path / "out") == 0
    note = f"left out, {refused}: nothing was logged before it ended (head=x does not fit)"
    assert f"note: {note}" in capsys.readouterr().err
    assert note in (tmp_path / "out" / "index.html").read_text()
    assert write.report([tmp_path / "all", refused], tmp_path / "named") == DataError.exit_code
    (refused / "metrics.jsonl").write_text("?\n")
    assert write.report([tmp_path / "all"], tmp_path / "damaged") == DataError.exit_code


def test_names_are_whole_however_many_columns_there_are(tmp_path, capsys):
    longest = "2026-11-22_02-32-05_" + "a" * 60
    several = [toy_runs.write(tmp_path / name, model__kind=name * 3) for name in (longest, "b" * 70)]
    write.report(several, tmp_path / "out")
    assert longest in capsys.readouterr().out
