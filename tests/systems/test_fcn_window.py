from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.systems.golden import numbered
from tests.systems.test_aed_bilstm import UPPER, window

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.layers.batch import WindowBatch
from microgesture.systems.fcn_window import FCNWindow, Votes


def small(**options: Any) -> FCNWindow:
    torch.manual_seed(0)
    joints = ["nose", "neck", "r_wrist", "l_wrist"]
    sizes = {"widths": (16, 16, 16), "window": 16, "stride": 4, "joints": joints, "fps": 15.0} | options
    return FCNWindow(UPPER, numbered(3), 128, 1, **sizes)


def test_default_sizes() -> None:
    model = FCNWindow(SKELETONS["kinect25"], SMG, 512, 1, in_channels=4)
    convs = (75 * 8 + 1) * 128 + (128 * 5 + 1) * 256 + (256 * 3 + 1) * 128
    assert sum(p.numel() for p in model.parameters()) == convs + 2 * (128 + 256 + 128) + 129 * 18 == 342_802
    assert model.shortest == 16


@pytest.mark.parametrize("frames, begins", [
    (1, [0]), (16, [0]), (17, [0, 4]), (20, [0, 4]), (21, [0, 4, 8]), (32, [0, 4, 8, 12, 16]),
])  # fmt: skip
def test_short_windows_cover_the_recording(frames: int, begins: list[int]) -> None:
    model = small().eval()
    assert model._begins(frames).tolist() == begins
    assert model(window(frames, 1, gestures=0)).logits.shape == (1, len(begins), 4)
    assert begins[-1] + 16 >= frames


def test_votes_by_hand() -> None:
    """Three windows of 16 frames at 0, 4, 8: where they overlap their mean decides; 3 is the background."""
    model, batch = small(shortest=0), window(24, 1, gestures=0)
    p = torch.tensor([[0.1, 0.1, 0.1, 0.7], [0.8, 0.1, 0.05, 0.05], [0.1, 0.7, 0.1, 0.1]])
    (found,) = model.detections(Votes(p.log()[None]), batch)
    # frames 0-3: 3; 4-7: (0.45, .1, ., 0.375) -> 0; 8-15: (0.333, 0.3, ., 0.283) -> 0; 16-19: (0.45, 0.4) -> 0; then 1
    assert [found.label.tolist(), (24 * found.start).tolist(), (24 * found.end).tolist()] == [[0, 1], [4, 20], [20, 24]]
    assert found.score.tolist() == pytest.approx([(8 * 0.45 + 8 / 3) / 16, 0.7])
    (longer,) = small(shortest=0.5).detections(Votes(p.log()[None]), batch)
    assert longer.label.tolist() == [0]


def test_a_window_is_learnt_by_heart_and_found_again() -> None:
    model, batch = small(stride=2, window=12), window(150, 2)
    model.observe([window(150, 1, seed=0)])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        model.losses(model(batch), batch)["class"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = model.detections(model(batch), batch)
    for one, (segments, classes) in zip(found, batch.targets(), strict=True):
        assert one.label.tolist() == classes.tolist()
        assert abs(torch.from_numpy(one.start) - segments[:, 0]).max() < 0.07


def test_gradients_reach_everything() -> None:
    model, batch = small(), window()
    model.losses(model(batch), batch)["class"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_no_gesture_one_frame_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small().train()
    for batch in (window(50, 2, gestures=0), window(1, 2, gestures=0)):
        assert torch.isfinite(model.losses(model(batch), batch)["class"])
    model.eval()
    with torch.no_grad():
        whole = model(window()).logits
        monkeypatch.setattr("microgesture.systems.fcn_window._CHUNK", 5)
        assert torch.allclose(model(window()).logits, whole, atol=1e-6)


def test_padding_changes_nothing() -> None:
    model, batch = small(shortest=0).eval(), window(75, 1)
    padded = WindowBatch(
        torch.cat((batch.xy, torch.zeros(1, 1, 25, 12, 2)), 2),
        torch.cat((batch.score, torch.zeros(1, 1, 25, 12)), 2),
        valid=torch.tensor([0.75]),
    )
    with torch.no_grad():
        one, two = (model.detections(model(b), b)[0] for b in (batch, padded))
    assert len(one)
    assert one.start.tolist() == pytest.approx((two.start / 0.75).tolist())
    assert one.end.tolist() == pytest.approx((two.end / 0.75).tolist())
    assert one.score.tolist() == pytest.approx(two.score.tolist(), abs=1e-5)


def test_wrong_sizes() -> None:
    with pytest.raises(UsageError, match=r"widths is \[8, 8\]; the network has 3 convolutions"):
        small(widths=(8, 8))
    with pytest.raises(UsageError, match="stride is 20 and window 16; expected 1 <= stride <= window"):
        small(stride=20)
