"""Which devices a run may compute on."""

import pytest
import torch

from vla_train import runtime
from vla_train.errors import UsageError


@pytest.fixture(autouse=True)
def restored():
    """The settings of this process, which ``start`` changes."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.set_flush_denormal(False)


def test_the_processor_is_a_device():
    started = runtime.start(device="cpu", threads=1)
    assert (started.device, started.threads, started.precision) == (torch.device("cpu"), 1, "fp32")


@pytest.mark.parametrize("name", ["mps", "xpu", "meta", "cpu:0", "gpu", "", "cuda:", "cuda:-1", "cuda:x", "cuda:0 ", "CPU"])
def test_any_other_kind_is_refused(name):
    with pytest.raises(UsageError, match=f"^device {name}: vla-train computes on cpu, cuda or cuda:N") as error:
        runtime.start(device=name, threads=1)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:99999999999999999999", 1)])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, name, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UsageError, match=f"^device {name}: torch sees {count or 'no'} CUDA device"):
        runtime.start(device=name, threads=1)


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtime.start(device="auto", threads=1).device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.start(device="auto", threads=1).device.type == "cuda"


def test_numbers_too_small_to_count_with_quickly_are_zero():
    """What is left of an average after 830 steps without gradient: below the smallest normal float32, 1.2e-38."""
    assert (torch.full((1000,), 1.2e-38) * 0.5).count_nonzero() == 1000
    runtime.start(device="cpu", threads=1)
    assert (torch.full((1000,), 1.2e-38) * 0.5).count_nonzero() == 0
