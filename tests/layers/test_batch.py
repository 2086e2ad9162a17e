from __future__ import annotations

import pytest
import torch

from microgesture.core.errors import FormatError, UsageError
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_loss


def batch(**more: torch.Tensor) -> PoseBatch:
    return PoseBatch(torch.randn(3, 1, 4, 5, 2), torch.rand(3, 1, 4, 5), **more)


def test_features_put_the_score_last() -> None:
    clips = batch()
    x = clips.features(3)
    assert torch.equal(x[..., :2], clips.xy)
    assert torch.equal(x[..., 2], clips.score)
    assert clips.features(2) is clips.xy


def test_features_of_another_number_of_channels() -> None:
    with pytest.raises(UsageError, match="reads 4 channels per joint, the batch has 2 coordinates"):
        batch().features(4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_name_the_clip(value: float) -> None:
    clips = batch()
    clips.score[1, 0, 2, 3] = value
    with pytest.raises(FormatError, match="clip 1: coordinates or scores are not finite"):
        clips.features(3)


@pytest.mark.parametrize(
    ("persons", "frames", "words"), [(0, 5, "0 persons, 5 frames and 3 joints"), (2, 0, "2 persons, 0 frames")]
)
def test_clips_of_nobody_are_refused(persons: int, frames: int, words: str) -> None:
    batch = PoseBatch(torch.zeros(4, persons, frames, 3, 2), torch.zeros(4, persons, frames, 3))
    with pytest.raises(FormatError, match=rf"<batch>: clips of {words}.* hold nothing\. Leave such clips out"):
        batch.features(3)


def test_to_moves_what_is_there() -> None:
    moved = batch(label=torch.arange(3)).to("meta")
    assert moved.xy.device.type == moved.label.device.type == "meta"
    assert moved.weight is None
    assert len(moved) == 3


def test_class_loss_by_hand() -> None:
    """Two classes and logits (0, 0): ln 2 for a label, 2 ln 2 for both classes at once, weights average."""
    logits = torch.zeros(3, 2)
    ln2 = torch.tensor(2.0).log()
    torch.testing.assert_close(class_loss(logits, batch(label=torch.tensor([0, 1, 1]))), ln2)
    torch.testing.assert_close(class_loss(logits, batch(soft=torch.ones(3, 2))), 2 * ln2)
    logits = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    weighted = batch(label=torch.tensor([0, 1, 1]), weight=torch.tensor([3.0, 1.0, 0.0]))
    torch.testing.assert_close(class_loss(logits, weighted), (3 * ln2 + 50) / 4)


def test_class_loss_without_targets() -> None:
    with pytest.raises(UsageError, match="neither labels nor soft targets"):
        class_loss(torch.zeros(3, 2), batch())
