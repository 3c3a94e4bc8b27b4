"""Generalized advantages, worked by hand."""

import pytest
import torch

from vla_train.paradigms.advantages import generalized_advantages


def advantages(ends: dict[str, list[bool]], gae_lambda: float = 0.5) -> list[float]:
    """Of three steps in one row, whose second one ends an episode."""
    column = {name: torch.tensor(values)[:, None] for name, values in ends.items()}
    found = generalized_advantages(
        reward=torch.tensor([[1.0], [2.0], [3.0]]),
        value=torch.tensor([[4.0], [5.0], [6.0]]),
        next_value=torch.tensor([[5.0], [8.0], [10.0]]),
        terminated=column.get("terminated", torch.zeros(3, 1, dtype=torch.bool)),
        truncated=column.get("truncated", torch.zeros(3, 1, dtype=torch.bool)),
        gamma=0.5,
        gae_lambda=gae_lambda,
    )
    return found.flatten().tolist()


# delta_0 = 1 + 0.5 * 5 - 4 = -0.5, delta_1 = 2 + 0.5 * 8 - 5 = 1, delta_2 = 3 + 0.5 * 10 - 6 = 2; gamma * lambda = 0.25.


def test_a_truncation_in_the_middle_is_valued_by_the_true_final_observation_and_ends_the_sum():
    assert advantages({"truncated": [False, True, False]}) == [-0.5 + 0.25 * 1, 1.0, 2.0]


def test_after_a_termination_nothing_follows():
    # delta_1 = 2 - 5 = -3
    assert advantages({"terminated": [False, True, False]}) == [-0.5 + 0.25 * -3, -3.0, 2.0]


def test_an_episode_that_goes_on_takes_in_what_comes_later():
    assert advantages({}) == [-0.5 + 0.25 * (1 + 0.25 * 2), 1 + 0.25 * 2, 2.0]


def test_with_lambda_1_an_advantage_is_the_return_less_the_value():
    # The return of the first step: 1 + 0.5 * 2 + 0.25 * 8 = 4, and its value was 4; but next values telescope only where they
    # are the values of the next rows: V(s_1) = 5 in both.
    assert advantages({"truncated": [False, True, False]}, gae_lambda=1.0)[0] == pytest.approx(0.0)


def test_rows_do_not_touch_one_another():
    reward = torch.rand(5, 2)
    nothing = torch.zeros(5, 2, dtype=torch.bool)
    settings = {"gamma": 0.9, "gae_lambda": 0.8}
    both = generalized_advantages(reward, reward, reward, nothing, nothing, **settings)
    one = generalized_advantages(reward[:, :1], reward[:, :1], reward[:, :1], nothing[:, :1], nothing[:, :1], **settings)
    assert torch.equal(both[:, :1], one)
