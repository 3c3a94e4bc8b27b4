"""Nested state as safetensors and JSON: what comes back is what went in, bit for bit, with its sharing."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vla_train.checkpoint import load_nested, random_state, save_nested, set_random_state
from vla_train.checkpoint.nested import decode, unshare


def round_trip(folder: Path, state: dict[str, Any]) -> dict[str, Any]:
    save_nested(folder, "state", state)
    return load_nested(folder, "state")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -0.0,
        0.1 + 0.2,
        5e-324,
        math.inf,
        -math.inf,
        2**200 + 1,
        "ünï\n",
        "",
        [],
        (),
        {},
        [1, [2.5, None], (3, (4,))],
        {0: "a", -1: {"b": (True,)}},
        {("a", 1): 2, None: 3, 1.5: 4, False: 5},
        {"$tensor": "a trap"},
        {"a/b": 1, "a": {"b": 2}},
    ],
    ids=repr,
)
def test_json_values_keep_type_and_value(tmp_path: Path, value: Any) -> None:
    assert repr(round_trip(tmp_path, {"value": value})) == repr({"value": value})


def test_nan_stays_nan(tmp_path: Path) -> None:
    assert math.isnan(round_trip(tmp_path, {"value": math.nan})["value"])


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_tensors_keep_dtype_shape_and_bits(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.arange(math.prod(shape)).reshape(shape) * 0.3).to(dtype)
    back = round_trip(tmp_path, {"list": [tensor]})["list"][0]
    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint32).reshape(2, 3).T,
        np.array(2.5),
        np.zeros((0, 2), np.float32),
        np.array([True]),
        np.float32(1 / 3),
        np.int64(7),
    ],
    ids=repr,
)
def test_numpy_keeps_its_type(tmp_path: Path, array: Any) -> None:
    back = round_trip(tmp_path, {"array": array})["array"]
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    if isinstance(back, np.ndarray):
        back[...] = 0  # arrays that come back can be written into


def test_places_that_collide_stay_apart(tmp_path: Path) -> None:
    state = {"a/b": torch.tensor(1), "a": {"b": torch.tensor(2)}}
    back = round_trip(tmp_path, state)
    assert (int(back["a/b"]), int(back["a"]["b"])) == (1, 2)


def test_an_optimizer_continues_bit_for_bit(tmp_path: Path) -> None:
    def updates(model: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for number in range(count):
            optimizer.zero_grad()
            (model(torch.ones(2, 3) * number) ** 2).sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    updates(model, optimizer, 3)
    saved = round_trip(tmp_path, {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    updates(model, optimizer, 2)

    other = torch.nn.Linear(3, 2)
    other_optimizer = torch.optim.AdamW(other.parameters())
    other.load_state_dict(saved["model"])
    other_optimizer.load_state_dict(saved["optimizer"])
    updates(other, other_optimizer, 2)
    assert torch.equal(model.weight, other.weight)


def test_shared_storage_is_stored_once_and_shared_again(tmp_path: Path) -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    state = {"row": weight[1], "weight": weight, "tied": weight, "transposed": weight.T, "other": torch.ones(12)}
    back = round_trip(tmp_path, state)
    assert set(load_file(tmp_path / "state.safetensors")) == {"weight", "other"}
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor), name
    back["weight"][1, 2] = -1.0
    assert back["tied"][1, 2] == back["transposed"][2, 1] == back["row"][2] == -1.0


def test_alias_table_as_written(tmp_path: Path) -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    save_nested(tmp_path, "state", {"weight": weight, "column": weight[:, 1]})
    # Column 1 of a 3 x 4 matrix: 3 elements, 4 apart, from the second on.
    assert json.loads((tmp_path / "state.json").read_text()) == {
        "tree": {"weight": {"$tensor": "weight"}, "column": {"$tensor": "column"}},
        "aliases": {"column": {"of": "weight", "shape": [3], "stride": [4], "offset": 1}},
    }


def test_a_slice_does_not_drag_its_buffer_in(tmp_path: Path) -> None:
    buffer = torch.zeros(1_000_000)
    back = round_trip(tmp_path, {"head": buffer[:10], "overlap": buffer[5:15]})
    assert (tmp_path / "state.safetensors").stat().st_size < 1000
    assert back["overlap"].shape == (10,)


def test_expanded_and_channels_last_tensors(tmp_path: Path) -> None:
    state = {
        "expanded": torch.tensor([1.0, 2.0]).expand(3, 2),
        "image": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    state["tied"] = state["image"]
    back = round_trip(tmp_path, state)
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, np.array(["text"]), np.array([object()]), b"bytes"], ids=lambda value: type(value).__name__
)
def test_what_cannot_be_held_is_named_with_its_place(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match="source/buffer/1"):
        save_nested(tmp_path, "state", {"source": {"buffer": [0, value]}})


@pytest.mark.parametrize(
    "alias",
    [
        {"of": "a", "shape": [5], "stride": [1], "offset": 0},  # larger than what it is a view of
        {"of": "a", "shape": [2], "stride": [1], "offset": 3},  # runs past its end
        {"of": "a", "shape": [2], "stride": [-1], "offset": 3},
        {"of": "a", "shape": [10**12], "stride": [0], "offset": 0},  # a bomb: 4 TB once it is copied
        {"of": "a", "shape": ["2"], "stride": [1], "offset": 0},
    ],
)
def test_impossible_aliases_are_refused(alias: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        unshare({"a": torch.zeros(4)}, {"b": alias})


@pytest.mark.parametrize("tree", [{"$python": "os.system"}, {"$tensor": "b"}, {"$tuple": [], "x": 1}, {"$float": "1e5"}])
def test_foreign_tags_are_refused(tree: Any) -> None:
    with pytest.raises((ValueError, KeyError)):
        decode(tree, {"a": torch.zeros(1)})


def test_random_state_repeats_the_numbers(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float, float]:
        return random.random(), random.gauss(0, 1), float(np.random.standard_normal()), float(torch.rand(()))

    draw()  # gauss and standard_normal keep a second number for the next call: that is state too
    saved = round_trip(tmp_path, random_state())
    first = [draw() for _ in range(3)]
    set_random_state(saved)
    assert [draw() for _ in range(3)] == first
    generator = np.random.default_rng(7)  # PCG64 has 128-bit integers
    again = np.random.default_rng(8)
    again.bit_generator.state = round_trip(tmp_path, {"rng": generator.bit_generator.state})["rng"]
    assert generator.random() == again.random()
