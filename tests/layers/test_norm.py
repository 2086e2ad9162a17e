from __future__ import annotations

import pytest
import torch

from microgesture.core.errors import UsageError
from microgesture.layers.norm import JointNorm, PersonJointNorm


def test_each_joint_and_channel_is_normalised_over_clips_persons_and_frames() -> None:
    y = JointNorm(5, 3)(torch.randn(4, 2, 6, 5, 3) * 7 + 2)
    torch.testing.assert_close(y.mean((0, 1, 2)), torch.zeros(5, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var((0, 1, 2), correction=0), torch.ones(5, 3), atol=1e-4, rtol=0)


def test_each_person_has_its_own_statistics() -> None:
    x = torch.randn(4, 2, 6, 5, 3)
    x[:, 1] += 10
    y = PersonJointNorm(2, 5, 3)(x)
    torch.testing.assert_close(y.mean((0, 2)), torch.zeros(2, 5, 3), atol=1e-5, rtol=0)


def test_another_number_of_persons_is_refused() -> None:
    with pytest.raises(UsageError, match="built for 2 persons, the batch has 1"):
        PersonJointNorm(2, 5, 3)(torch.randn(4, 1, 6, 5, 3))
