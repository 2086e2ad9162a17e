from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.datasets.augment import Noise
from microgesture.datasets.clips import EndlessBatches, PicturedClips
from microgesture.datasets.loading import Loading, test_loader, train_loader
from microgesture.datasets.pictures import Pictures
from microgesture.datasets.simulated import Simulated
from microgesture.datasets.simulated_pictures import SimulatedPictures, draw_figures
from microgesture.evaluation.records import is_simulated
from microgesture.layers.batch import VideoBatch
from microgesture.learning.recipe import read_recipe
from microgesture.learning.runs import facts_of

test_loader.__test__ = False  # type: ignore[attr-defined]

RECIPES = Path(__file__).parents[2] / "recipes" / "simulated"
CANONICAL = SKELETONS["canonical"]
SMALL = SimulatedPictures("smg", length=12, epoch_clips=8, test_clips=6, pictures=3, height=40, width=48)


def figure(joints: dict[str, tuple[float, float]], scale: float = 10.0, frames: int = 1) -> np.ndarray:
    """A figure of the joints named, on 40 x 48 pixels, always in the same colours."""
    xy, score = np.zeros((frames, len(CANONICAL), 2), np.float32), np.zeros((frames, len(CANONICAL)), np.float32)
    for name, place in joints.items():
        xy[:, CANONICAL.index(name)], score[:, CANONICAL.index(name)] = place, 1
    return draw_figures(xy, score, CANONICAL, scale, (40, 48), np.random.default_rng(5)).astype(float)


def test_a_limb_is_where_its_joints_are_and_as_thick_as_it_should_be() -> None:
    empty, arm = figure({}), figure({"r_shoulder": (12, 8.5), "r_elbow": (36, 8.5)}, scale=20)
    changed = np.abs(arm - empty).sum(-1)[0] > 60
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    # 0.11 of 20 pixels to each side of the line, and round ends
    assert (rows.min(), rows.max()) == (6, 10)
    assert columns.min() == pytest.approx(12 - 2.2, abs=1)
    assert columns.max() == pytest.approx(36 + 2.2 - 1, abs=1)


def test_edges_are_soft() -> None:
    # the same line moved by half a pixel covers as much
    empty = figure({})
    cover = [np.abs(figure({"r_shoulder": (12, y), "r_elbow": (36, y)}, 20) - empty).sum() for y in (20.0, 20.25, 20.5)]
    assert max(cover) / min(cover) < 1.05
    one = np.abs(figure({"r_shoulder": (12, 20.25), "r_elbow": (36, 20.25)}, 20) - empty).sum(-1)[0, :, 24]
    middle = one[20]
    assert any(0.1 * middle < value < 0.9 * middle for value in one)


def test_what_is_not_seen_or_lies_outside_is_not_drawn() -> None:
    empty = figure({})
    np.testing.assert_array_equal(figure({"r_shoulder": (12, 8)}), empty)
    np.testing.assert_array_equal(figure({"r_shoulder": (120, 8), "r_elbow": (140, 8)}), empty)


def test_pictures_lie_under_the_joints() -> None:
    batch = SMALL.fresh_batch(16, (1,))
    assert isinstance(batch, VideoBatch)
    assert batch.rgb.shape == (16, 3, 40, 48, 3)
    assert batch.xy.shape == (16, 1, 12, len(CANONICAL), 2)
    clips = SMALL.clips("test")
    torch.testing.assert_close(
        torch.from_numpy(clips[0][0][None]), next(iter(test_loader(clips, Loading(12)))).pixels()[:1], atol=1e-3, rtol=0
    )
    neck = batch.pixels()[:, 0, :, CANONICAL.index("neck")].median(1).values
    assert ((neck > torch.tensor([0.4 * 48, 0.25 * 40])) & (neck < torch.tensor([0.6 * 48, 0.37 * 40]))).all()
    # a torso has one colour down from the neck, more than the background has there
    at = neck.round().long()
    column = torch.stack([batch.rgb[i, 0, y + 3 : y + 9, x].float() for i, (x, y) in enumerate(at.tolist())])
    side = torch.stack([batch.rgb[i, 0, y + 3 : y + 9, 2].float() for i, (_, y) in enumerate(at.tolist())])
    assert (column.mean(1) - side.mean(1)).abs().sum(-1).median() > 40
    moving = (batch.rgb.float().diff(dim=1).abs().sum(-1) > 90).float().mean()
    assert 0 < moving < 0.3


def test_the_same_seed_gives_the_same_pictures_and_splits_are_fixed() -> None:
    one, again, other = SMALL.fresh_batch(4, (3, 1)), SMALL.fresh_batch(4, (3, 1)), SMALL.fresh_batch(4, (3, 2))
    assert torch.equal(one.rgb, again.rgb)
    assert torch.equal(one.xy, again.xy)
    assert not torch.equal(one.rgb, other.rgb)
    test, same, val = SMALL.clips("test"), SMALL.clips("test"), SMALL.clips("val")
    np.testing.assert_array_equal(test.pictures(4), same.pictures(4))
    np.testing.assert_array_equal(test.pictures(4), test.pictures(4))
    assert not np.array_equal(test.pictures(4), val.pictures(4))
    assert not np.array_equal(test.pictures(4), test.pictures(5))


def test_loaders_give_pictures_for_every_split() -> None:
    assert isinstance(SMALL, EndlessBatches)
    assert isinstance(SMALL.clips("val"), PicturedClips)
    assert not isinstance(Simulated("smg", test_clips=2).clips("val"), PicturedClips)
    loading = Loading(frames=8, batch=4)
    (fresh, *_), fixed = train_loader(SMALL, loading, 0), list(test_loader(SMALL.clips("val"), loading))
    assert isinstance(fresh, VideoBatch)
    assert [type(batch) for batch in fixed] == [VideoBatch, VideoBatch]
    assert fixed[1].rgb.shape == (2, 3, 40, 48, 3)  # type: ignore[attr-defined]
    assert fixed[0].xy.shape[2] == 8
    views = next(iter(test_loader(SMALL.clips("val"), Loading(frames=8, sampling="uniform", views=2, batch=3))))
    assert isinstance(views, VideoBatch)
    assert len(views.rgb) == len(views.xy) == len(views.origin) == 6


def test_mirror_images_of_pictures_and_joints_fit_together() -> None:
    batch = next(iter(test_loader(SMALL.clips("test"), Loading(frames=12, flip=True, batch=6))))
    assert isinstance(batch, VideoBatch)
    plain, turned = batch.rgb[::2], batch.rgb[1::2]
    assert torch.equal(turned, plain.flip(3))
    xy, order = batch.pixels(), list(CANONICAL.flip)
    seen = batch.score[::2] > 0
    torch.testing.assert_close((48 - xy[1::2, ..., order, 0])[seen], xy[::2, ..., 0][seen], atol=1e-3, rtol=0)
    torch.testing.assert_close(xy[1::2, ..., order, 1][seen], xy[::2, ..., 1][seen], atol=1e-3, rtol=0)


def test_drawing_is_quick() -> None:
    clips = SimulatedPictures("imigue", length=32, test_clips=24, height=56, width=56).clips("val")
    clips.pictures(0)
    start = time.process_time()
    for i in range(24):
        clips.pictures(i)
    # 290 per second on one core when nothing else runs; the bound leaves room for slow machines
    assert 24 / (time.process_time() - start) > 60


@pytest.mark.parametrize(
    "options, words",
    [
        ({"pictures": 0}, "pictures is 0"),
        ({"height": 4}, "height is 4"),
        ({"width": 7}, "width is 7; it must be at least 8"),
        ({"length": 0}, "length is 0"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SimulatedPictures("smg", **options)


def test_what_would_do_nothing_is_refused() -> None:
    for loading in (Loading(augment=[Noise()]), Loading(streams=["bone"]), Loading(pictures=Pictures())):
        with pytest.raises(UsageError, match=r"augment, \.streams, \.pad_to and \.pictures do nothing here"):
            train_loader(SMALL, loading, 0)
    with pytest.raises(UsageError, match=r"loading\.pictures needs a data set with films"):
        test_loader(SMALL.clips("val"), Loading(pictures=Pictures()))
    with pytest.raises(UsageError, match="no split 'dev'"):
        SMALL.clips("dev")


def test_it_says_that_nobody_was_recorded() -> None:
    import microgesture.datasets.simulated_pictures as module

    assert is_simulated(SMALL.key, "")
    assert "drawings, not pictures of people" in str(module.__doc__)


@pytest.mark.parametrize("key", ["tsm", "manet", "rgbpose", "pcan", "proto_mg_rgb"])
def test_the_recipes_learn_from_a_batch(key: str) -> None:
    few = ["data.epoch_clips=6", "data.test_clips=4", "loading.batch=6", "loading.workers=0"]
    plan = read_recipe(RECIPES / f"{key}.yaml", few)
    torch.manual_seed(0)
    system = plan.system.build(**facts_of(plan).arguments(plan.system.cls))
    (batch,) = train_loader(plan.dataset, plan.loading, 0)
    terms = system.losses(system(batch), batch)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in system.parameters())
    assert sum(float(p.grad.abs().sum()) for p in system.parameters() if p.grad is not None) > 0
    with torch.no_grad():
        out = system.eval()(next(iter(test_loader(plan.dataset.clips("val"), plan.loading))))
    assert len(out if isinstance(out, torch.Tensor) else out.logits) == 4
