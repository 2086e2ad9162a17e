from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from microgesture.core.errors import FormatError, UsageError
from microgesture.layers.batch import PoseBatch, VideoBatch
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


def video() -> VideoBatch:
    """Two persons in a picture, the second one twice as large and further right; joint 0 is missing."""
    xy, score = torch.ones(1, 2, 4, 3, 2), torch.ones(1, 2, 4, 3)
    xy[..., 0, :] = score[..., 0] = 0
    origin, scale = torch.tensor([[[10.0, 20.0], [60.0, 20.0]]]), torch.tensor([[5.0, 10.0]])
    return VideoBatch(xy, score, rgb=torch.zeros(1, 2, 48, 96, 3, dtype=torch.uint8), origin=origin, scale=scale)


def test_joints_on_the_pictures() -> None:
    places = video().pixels()
    assert places.shape == (1, 2, 4, 3, 2)
    assert places[0, :, 0].tolist() == [[[0, 0], [15, 25], [15, 25]], [[0, 0], [70, 30], [70, 30]]]
    deep = replace(video(), xy=torch.ones(1, 2, 4, 3, 3), origin=torch.zeros(1, 2, 3))
    with pytest.raises(UsageError, match="joints of 3 coordinates do not lie in pictures"):
        deep.pixels()


def test_video_is_a_pose_batch_and_moves_as_a_whole() -> None:
    moved = video().to("meta")
    assert isinstance(moved, VideoBatch)
    assert moved.rgb.device.type == moved.origin.device.type == moved.xy.device.type == "meta"
    assert video().features(3).shape == (1, 2, 4, 3, 3)


def test_pictures_that_hold_nothing_and_places_that_are_not_finite() -> None:
    with pytest.raises(FormatError, match="clips of 2 pictures of 96 x 0 pixels hold nothing"):
        replace(video(), rgb=torch.zeros(1, 2, 0, 96, 3)).pixels()
    with pytest.raises(FormatError, match="clip 0: origin or scale is not finite"):
        replace(video(), scale=torch.tensor([[5.0, float("nan")]])).pixels()
    with pytest.raises(FormatError, match="clip 0: coordinates or scores are not finite"):
        replace(video(), score=torch.full((1, 2, 4, 3), float("nan"))).pixels()
