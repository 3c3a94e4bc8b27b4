"""A reading finds the words that it is asked for."""

import pytest
import torch

from vla_train.models.language import Reading


def plain_reading() -> Reading:
    """Asks for whatever is known: one query, two features, and keys that are the words themselves."""
    reading = Reading(2, 2, queries=1)
    with torch.no_grad():
        for layer in (reading.ask, reading.keys):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    return reading


def test_it_weighs_words_by_what_is_asked():
    words = torch.tensor([[[2**0.5, 0.0], [0.0, 2**0.5]]])
    read = plain_reading()(torch.tensor([[1.0, 0.0]]), words, torch.ones(1, 2, dtype=torch.bool))
    # scores over the root of 2 features: 1 and 0; weights e / (e + 1) and 1 / (e + 1)
    assert read[0].tolist() == pytest.approx([0.731059 * 2**0.5, 0.268941 * 2**0.5], abs=1e-5)


def test_padding_is_not_read():
    words = torch.tensor([[[1.0, 0.0], [0.0, 9.0]]])
    read = plain_reading()(torch.tensor([[0.0, 5.0]]), words, torch.tensor([[True, False]]))
    assert read[0].tolist() == pytest.approx([1.0, 0.0])
