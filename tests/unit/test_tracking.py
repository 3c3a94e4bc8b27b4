"""Metrics on disk: every row once, whatever happened before; TensorBoard and pictures read back by their own readers."""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vla_train.errors import UsageError
from vla_train.tracking.console import Console
from vla_train.tracking.tracker import Tracker
from vla_train.tracking.video import encode_gif, write_mp4


def tracker(run: Path, resume_step: int | None = None, tensorboard: bool = False) -> Tracker:
    return Tracker(run, tensorboard=tensorboard, console=Console("none"), resume_step=resume_step)


def jsonl(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def csv_rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value and name != "time"} for row in csv.DictReader(file)]


def test_rows_are_there_at_once_and_columns_may_grow(tmp_path: Path) -> None:
    log = tracker(tmp_path)
    rows: list[dict[str, float]] = []
    for step, metrics in [
        (10, {"loss": 0.5}),
        (20, {"loss": 0.25, "success": 1.0}),
        (30, {"loss": 1 / 3}),
        (40, {"grip, left": 2.0}),
    ]:
        log.write(step, metrics)
        rows.append({"step": step, **metrics})
        assert jsonl(tmp_path) == rows  # without closing anything
        assert csv_rows(tmp_path) == rows


def test_a_step_stands_once(tmp_path: Path) -> None:
    log = tracker(tmp_path)
    log.write(10, {"loss": 0.123456789})
    log.write(10, {"loss": 1.0})
    assert jsonl(tmp_path) == csv_rows(tmp_path) == [{"step": 10, "loss": 1.0}]  # nothing of the longer row is left behind
    log.write(10, {"success": 0.5})
    log.write(20, {"loss": 2.0})
    expected = [{"step": 10, "loss": 1.0, "success": 0.5}, {"step": 20, "loss": 2.0}]
    assert jsonl(tmp_path) == expected
    assert csv_rows(tmp_path) == expected
    with pytest.raises(ValueError, match="step 10 comes after step 20"):
        log.write(10, {"loss": 0.0})


def test_tensors_and_what_json_cannot_say(tmp_path: Path) -> None:
    tracker(tmp_path).write(1, {"a": torch.tensor(0.5), "nan": math.nan, "inf": math.inf})
    assert jsonl(tmp_path) == [{"step": 1, "a": 0.5, "nan": "nan", "inf": "inf"}]
    again = tracker(tmp_path, resume_step=1)
    again.write(2, {"a": 1.0})
    assert jsonl(tmp_path)[0]["inf"] == "inf"
    assert csv_rows(tmp_path)[0]["inf"] == math.inf


def test_a_resume_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    log = tracker(tmp_path)
    for step in (10, 20, 30, 40):
        log.write(step, {"loss": float(step)} | ({"late": 1.0} if step > 20 else {}))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50, "lo')  # killed in the middle of a line
    again = tracker(tmp_path, resume_step=20)
    assert jsonl(tmp_path) == csv_rows(tmp_path) == [{"step": 10, "loss": 10.0}, {"step": 20, "loss": 20.0}]
    again.write(20, {"success": 0.5})  # the evaluation of the step that the run goes on from
    again.write(30, {"loss": -1.0})
    expected = [{"step": 10, "loss": 10.0}, {"step": 20, "loss": 20.0, "success": 0.5}, {"step": 30, "loss": -1.0}]
    assert jsonl(tmp_path) == csv_rows(tmp_path) == expected


def test_a_resume_before_the_first_row(tmp_path: Path) -> None:
    tracker(tmp_path).write(10, {"loss": 1.0})
    tracker(tmp_path, resume_step=5).write(10, {"loss": 2.0})
    assert jsonl(tmp_path) == csv_rows(tmp_path) == [{"step": 10, "loss": 2.0}]


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path: Path) -> None:
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[1] = 200
    with tracker(tmp_path, tensorboard=True) as log:
        for step in (10, 20, 30):
            log.write(step, {"loss": float(step)})
        log.histogram(20, "action/x", torch.tensor([0.0, 0.0, 1.0]))
        log.video(20, "rollouts", frames, fps=10.0)
    with tracker(tmp_path, resume_step=20, tensorboard=True) as log:
        log.write(30, {"loss": -1.0})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 10.0), (20, 20.0), (30, -1.0)]
    assert events.Histograms("action/x")[0].histogram_value.num == 3
    gif = events.Images("rollouts")[0].encoded_image_string
    assert gif.startswith(b"GIF89a")
    assert gif == (tmp_path / "pictures/rollouts_000020.gif").read_bytes()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97), (300, 301)])
def test_videos_play_back_as_they_were(tmp_path: Path, height: int, width: int) -> None:
    frames = np.zeros((5, height, width, 3), np.uint8)
    for number in range(5):
        frames[number, : height // 2] = (40 * number, 255 - 40 * number, 128)
    write_mp4(tmp_path / "v.mp4", frames, fps=10.0)
    (tmp_path / "v.gif").write_bytes(encode_gif(frames, fps=10.0))
    for name, side in (("v.mp4", 256), ("v.gif", 128)):
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            assert float(stream.average_rate or 0) == pytest.approx(10)
            back = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
        assert len(back) == 5
        assert min(back.shape[1:3]) >= side
        assert back.shape[1] % 2 == back.shape[2] % 2 == 0
        times = back.shape[1] // height
        wanted = frames.repeat(times, 1).repeat(times, 2)
        difference = np.abs(back[:, : wanted.shape[1], : wanted.shape[2]].astype(int) - wanted)
        assert difference.mean() < 4, name
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert (container.streams.video[0].codec_context.name, container.streams.video[0].codec_context.pix_fmt) == (
            "h264",
            "yuv420p",
        )


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.float32)]
)
def test_what_is_no_video(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a video is uint8 \[t, y, x, 3\]"):
        write_mp4(tmp_path / "v.mp4", frames, 10.0)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    log = tracker(tmp_path)
    log.write(1, {"loss": 1.0})
    os.unlink(tmp_path / "metrics.jsonl")
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UsageError, match=r"cannot be written .*resume="):
        log.write(2, {"loss": 1.0})
