"""What a person sees: plain lines in a pipe, a live panel on a real pseudo-terminal, and a terminal that is given back."""

import os
import pty
import re
import subprocess
import sys

import pytest

from vla_train.tracking import words
from vla_train.tracking.console import Console, Pace

ROW = {
    "train/loss": 0.25,
    "train/learning_rate": 1e-3,
    "train/gradient_norm": 0.5,
    "updates_per_s": 120.4,
    "samples_per_s": 15411.2,
    "data_wait": 0.003,
    "memory_gb": 0.5,
    "progress": 0.25,
    "minutes": 1.0,
}


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Console("plain") as console:
        console.start(2000)
        console.message("run folder: outputs/x")
        console.update(500, ROW)
        console.update(1000, {"evaluation/held_out/loss": 0.5, "evaluation/success_low": 0.9, "evaluation/success": 0.931})
        console.update(1500, {"evaluation/surprise": 3.0, "evaluation/held_out/action_accuracy": float("nan")})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "run folder: outputs/x"
    assert re.fullmatch(
        r"   500/2000   25 %  loss      0.25  rate 1.0e-03  gradient     0.5  updates/s     120  samples/s  15,411  "
        r"data wait   0.3 %  memory 0.50 GB  \d+:\d\d left",
        lines[1],
    )
    assert lines[2] == "  1000/2000   50 %  evaluation:  success 93.1 %  held out loss 0.5"
    assert lines[3] == "  1500/2000   75 %  evaluation:  surprise 3"
    assert len(lines) == 4


def test_none_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Console("none") as console:
        console.start(10)
        console.message("a")
        console.update(1, ROW)
        console.progress("evaluating", 1, 2)
    assert capsys.readouterr().out == ""


def test_auto_is_plain_where_there_is_no_terminal() -> None:
    assert Console("auto").mode == "plain"
    with pytest.raises(ValueError, match="colourful"):
        Console("colourful")


def test_plain_progress_speaks_seldom(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    console = Console("plain")
    for done in range(1, 41):
        console.progress("evaluating", done, 40)
        clock += 1.0
    assert capsys.readouterr().out.splitlines() == [f"evaluating: {done}/40" for done in (11, 21, 31)]


def test_plain_progress_of_fast_work_is_silent_and_of_many_parts_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 100.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    console = Console("plain")
    for step in range(3):  # training, then an evaluation of three parts of 2 s each
        console.update(step, {"train/loss": 1.0})
        clock += 60.0
        for part in "abc":
            console.progress(part, 0, 2)
            clock += 2.0
            console.progress(part, 2, 2)
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith(("a", "b", "c"))]
    for part in "abcdef":  # the last evaluation turns out to be slow: it goes on after its first 6 s
        console.progress(part, 0, 2)
        clock += 4.0
        console.progress(part, 2, 2)
    assert capsys.readouterr().out.splitlines() == ["a: 2/2", "d: 2/2"]  # 10 s and 22 s after its beginning


def test_time_left_is_of_this_session(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    pace = Pace(1000)
    pace.update(500, None)  # resumed here
    assert pace.left is None
    clock = 10.0
    pace.update(600, None)  # 100 updates in 10 s: 400 more take 40 s
    assert pace.left == pytest.approx(40.0)
    clock = 15.0
    assert pace.left == pytest.approx(35.0)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("success", 0.931, "93.1 %"),
        ("memory_gb", 0.5, "0.50 GB"),
        ("updates_per_s", 3.14, "3.1"),
        ("loss", float("nan"), "nan"),
        ("x", 1e9, "1e+09"),
    ],
)
def test_numbers(name: str, value: float, shown: str) -> None:
    assert words.number(name, value) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(-1.0, "0:00"), (59.6, "1:00"), (3599.4, "59:59"), (3600.0, "1:00:00")])
def test_durations(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


LIVE = """
import sys, time
from vla_train.tracking.console import Console
console = Console("auto")
assert console.mode == "live"
console.start(2000)
console.update(500, {"train/loss": 0.25, "progress": 0.25})
console.update(500, {"evaluation/success": 0.931})
console.progress("evaluating", 30, 100)
time.sleep(0.7)  # the panel is drawn twice a second
console.message("a message")
print("a print")
if sys.argv[1] == "raise":
    raise RuntimeError("boom")
console.close()
console.message("after")
"""


def on_a_terminal(argument: str) -> tuple[int, str]:
    """Run the script above on a pseudo-terminal; its exit status and everything it drew."""
    main, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen([sys.executable, "-c", LIVE, argument], stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    drawn = b""
    while True:
        try:
            drawn += os.read(main, 65536)
        except OSError:  # the terminal's other end was closed
            break
    os.close(main)
    return process.wait(timeout=30), drawn.decode()


@pytest.mark.parametrize("ending", ["close", "raise"])
def test_the_live_view_draws_and_gives_the_terminal_back(ending: str) -> None:
    status, drawn = on_a_terminal(ending)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    for wanted in (
        "500/2,000",
        "25 %",
        "loss 0.25",
        "evaluation at 500",
        "success 93.1 %",
        "evaluating",
        "30/100",
        "a message",
        "a print",
    ):
        assert wanted in text
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")  # the cursor is shown again after it was hidden
    assert status == (0 if ending == "close" else 1)
    assert ("after" if ending == "close" else "RuntimeError: boom") in text


def test_success_in_each_stage_stands_behind_that_in_all():
    row = {"success": 0.7, "walk/success": 0.9, "carry/success": 0.5, "chance/success": 0.1, "swapped/success": 0.6}
    row |= {"garbage/success": 0.2, "blind/success": 0.3}  # conditions, which are no stages
    shown = words.evaluation({f"evaluation/{name}": value for name, value in row.items()})
    assert [(part.name, part.value) for part in shown] == [
        ("success", "70.0 %"),
        ("walk", "90.0 %"),
        ("carry", "50.0 %"),
        ("swapped success", "60.0 %"),
        ("garbage success", "20.0 %"),
    ]
