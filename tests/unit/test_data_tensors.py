"""Tensors in a file: converted from a pickled one once, and read with the words of each episode."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.formats import ACTIONS, PIXELS, STATES, TEXTS, pixels, write_tensors
from vla_train.data.choice import Choice
from vla_train.data.reader import open_reader
from vla_train.errors import DataError

SCRIPT = Path(__file__).parents[2] / "scripts/convert_tensor_file.py"


@pytest.fixture
def convert(monkeypatch, capsys):
    """The script as a user runs it, in this process, which has torch already: its exit code and what it says of errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["convert", *map(str, words)])
        code = runpy.run_path(str(SCRIPT))["main"]()
        return code, capsys.readouterr().err

    return run


def test_texts_of_tensors_go_by_the_number_of_the_episode(tmp_path):
    write_tensors(tmp_path)
    parts = load_file(tmp_path / "demos.safetensors")
    save_file(parts | {"episode_indices": 9 - parts["episode_indices"]}, tmp_path / "demos.safetensors")
    metadata = open_reader(tmp_path, Choice(), "tensors").metadata
    assert metadata.instructions == list(reversed(TEXTS))


def test_a_file_of_tensors_is_converted_once(tmp_path, convert):
    """Pictures of channels first, as floats: both are usual."""
    observations = [
        {"image": torch.tensor([10.0 * e, t, 200.0]).view(3, 1, 1).expand(3, 8, 8) / 255, "state": torch.tensor([e, t]) * 1.0}
        for e, t in STATES
    ]
    content = {"observations": observations, "actions": torch.tensor(ACTIONS) * 1.0, "language": list(TEXTS)}
    torch.save(content | {"episode_indices": torch.tensor([0, 0, 0, 1, 1])}, tmp_path / "demos.pt")
    with pytest.raises(DataError, match=r"is pickled, .*convert_tensor_file.py"):
        open_reader(tmp_path / "demos.pt")
    assert convert(tmp_path / "demos.pt") == (0, "")
    reader = open_reader(tmp_path / "demos.safetensors")
    assert pixels(reader, "image") == PIXELS
    assert reader.columns().state.tolist() == STATES
    code, said = convert(tmp_path / "demos.pt")
    assert (code, "exists" in said) == (2, True), "nothing is overwritten"


class Poison:
    def __reduce__(self):
        return (open, ("poisoned", "w"))


def test_a_pickle_that_runs_something_is_refused(tmp_path, monkeypatch, convert):
    monkeypatch.chdir(tmp_path)
    torch.save({"observations": [], "language": Poison()}, tmp_path / "bad.pt")
    code, said = convert(tmp_path / "bad.pt")
    assert (code, said.startswith(f"{tmp_path / 'bad.pt'} is not read: ")) == (3, True)
    assert not (tmp_path / "poisoned").exists()
    assert not list(tmp_path.glob("*.safetensors"))
