from __future__ import annotations

import pytest
import torch
from torch import nn

from microgesture.core.errors import UsageError
from microgesture.layers.norm import JointNorm, PersonJointNorm, conv_norm


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


@pytest.mark.parametrize("bias", [True, False])
def test_without_learning_the_norm_is_in_the_convolution(bias: bool) -> None:
    conv, bn = nn.Conv2d(4, 6, (3, 1), (2, 1), (2, 0), (2, 1), groups=2, bias=bias), nn.BatchNorm2d(6)
    x = torch.randn(3, 4, 9, 5)
    for value in (bn.weight, bn.bias):
        nn.init.normal_(value)
    conv_norm(conv, bn, x * 3 + 1)  # moves the statistics
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(conv_norm(conv, bn.eval(), x), bn(conv(x)), atol=1e-5, rtol=1e-5)
            bn.weight.mul_(2)  # and nothing is kept from before
        bn.train()
        conv_norm(conv, bn, x)
        assert bn.num_batches_tracked == 2
