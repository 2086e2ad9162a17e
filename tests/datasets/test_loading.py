from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from tests.learning.toy import Toy

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.datasets.augment import Noise
from microgesture.datasets.clips import ClipDataset, Clips, EndlessDataset
from microgesture.datasets.loading import Loading, test_loader, train_loader
from microgesture.datasets.pictures import Pictures
from microgesture.datasets.simulated import Simulated, SimulatedMotions
from microgesture.layers.batch import PoseBatch

test_loader.__test__ = False  # type: ignore[attr-defined]
NAMES = ("swipe left", "circle_cw", "brighten")


def epochs(loading: Loading, data: ClipDataset, seed: int = 0, numbers: tuple[int, ...] = (0, 1)) -> list[PoseBatch]:
    loader = train_loader(data, loading, seed)
    batches = []
    for number in numbers:
        loader.sampler.set_epoch(number)  # type: ignore[union-attr]
        batches += list(loader)
    return batches


def test_batches_have_the_contract() -> None:
    batch = next(iter(train_loader(Toy(), Loading(frames=10, batch=7, streams=["joint", "bone"]), 0)))
    assert batch.xy.shape == (7, 1, 10, 22, 4)
    assert batch.score.shape == (7, 1, 10, 22)
    assert batch.xy.dtype == batch.score.dtype == torch.float32
    assert batch.label is not None
    assert batch.label.dtype == torch.int64
    assert Loading(streams=["joint", "bone"]).channels(Toy()) == 5
    # body coordinates: the neck is the origin, the shoulders are one apart
    joint = test_batch = next(iter(test_loader(Toy().clips("test"), Loading(frames=10)))).xy[..., :2]
    width = (joint[:, 0, :, 2] - joint[:, 0, :, 5]).norm(dim=-1)
    assert test_batch[:, :, :, 1].abs().max() < 0.2
    assert width.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("data", [Toy(), Simulated("smg", length=8, epoch_clips=8)], ids=["stored", "endless"])
def test_what_is_drawn_depends_on_seed_and_epoch_alone(data: ClipDataset) -> None:
    loading = Loading(frames=8, batch=4, augment=[Noise(0.1)])
    first, again = epochs(loading, data), epochs(loading, data)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.xy, b.xy)
    # resuming at epoch 1 gives what an uninterrupted run sees there
    late = epochs(loading, data, numbers=(1,))
    assert torch.equal(late[0].xy, first[len(first) // 2].xy)
    assert not torch.equal(first[0].xy, first[len(first) // 2].xy)
    assert not torch.equal(first[0].xy, epochs(loading, data, seed=1)[0].xy)


def test_views_of_a_clip_follow_each_other() -> None:
    clips = Toy().clips("test")
    loading = Loading(frames=8, batch=5, sampling="uniform", views=3)
    labels = torch.cat([b.label for b in test_loader(clips, loading) if b.label is not None]).numpy()
    np.testing.assert_array_equal(labels, np.repeat(clips.label, 3))


def test_no_batch_of_a_single_clip() -> None:
    assert [len(b) for b in train_loader(Toy(25), Loading(batch=8), 0)] == [8, 8, 8]
    assert [len(b) for b in train_loader(Toy(26), Loading(batch=8), 0)] == [8, 8, 8, 2]


def test_impossible_loading_is_refused() -> None:
    with pytest.raises(UsageError, match=r"loading\.batch is 0"):
        Loading(batch=0)
    with pytest.raises(UsageError, match=r"loading.streams is empty"):
        Loading(streams=[])


@pytest.mark.parametrize("sampling", ["resample", "uniform"])
def test_short_clips_end_in_empty_frames_where_asked(sampling: Literal["resample", "uniform"]) -> None:
    """Toy clips have 16 frames; as the baselines' arrays do, 20 begin with them and end in nothing."""
    clips = Toy().clips("test")
    plain = next(iter(test_loader(clips, Loading(frames=16, batch=4))))
    loading = Loading(frames=20, pad_to=20, sampling=sampling, batch=4)
    for batch in (next(iter(test_loader(clips, loading))), next(iter(train_loader(Toy(), loading, 0)))):
        assert batch.xy.shape[2] == 20
        assert batch.score[:, :, :16].all()
        assert not batch.score[:, :, 16:].any()
        assert not batch.xy[:, :, 16:].any()
    shown = next(iter(test_loader(clips, loading)))
    torch.testing.assert_close(shown.xy[:, :, :16], plain.xy, msg="what is normalised are the clip's own frames")
    assert torch.equal(next(iter(test_loader(clips, Loading(frames=16, pad_to=9, batch=4)))).xy, plain.xy)
    few = next(iter(test_loader(clips, Loading(frames=10, pad_to=40, sampling="uniform", batch=4))))
    assert 0 < (few.score > 0).float().mean() < 0.8, "empty frames are sampled too"


def test_new_clips_are_padded_too() -> None:
    data = Simulated("smg", length=8, epoch_clips=8)
    batch = next(iter(train_loader(data, Loading(frames=12, pad_to=12, batch=4), 0)))
    assert not batch.score[:, :, 8:].any()
    assert batch.score[:, :, :8].any()


def test_where_nothing_can_be_padded() -> None:
    with pytest.raises(UsageError, match=r"loading\.pad_to is -1; it must be at least 0"):
        Loading(pad_to=-1)
    with pytest.raises(UsageError, match=r"leave out loading\.augment, \.streams and \.pad_to"):
        Loading(pad_to=90, pictures=Pictures(frames=2, height=8, width=8))


def test_the_simulator_is_an_endless_dataset() -> None:
    data = Simulated("smg", length=8, epoch_clips=8, test_clips=17)
    assert isinstance(data, EndlessDataset)
    assert not isinstance(Toy(), EndlessDataset)
    test = data.clips("test")
    np.testing.assert_array_equal(test.xy, data.clips("test").xy)
    assert (test.counts == 1).all()
    people = [person for split in data.splits for person in set(data.clips(split).subject)]
    assert len(people) == len(set(people)), "someone is in two splits"
    for wrong, words in (
        ({"length": 0}, "length is 0"),
        ({"fps": 0.0}, "fps is 0.0; it must be positive"),
        ({"taxonomy": "smgg"}, "smg"),
    ):
        with pytest.raises(UsageError, match=words):
            Simulated(**({"taxonomy": "smg"} | wrong))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no split 'dev'; choose train, val, test"):
        data.clips("dev")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"label": np.zeros(0, np.int64), "subject": np.zeros(0, np.int64)}, "holds no clips; expected at least one"),
        ({"label": np.full(24, 3)}, r"labels lie in 3..3; expected 0..2"),
        ({"offsets": np.arange(25) * 15}, "clip borders are not rising"),
        ({"offsets": np.arange(24) * 16}, "24 labels, 24 subjects and 24 offsets do not belong together"),
        ({"xy": np.zeros((384, 1, 21, 2), np.float32)}, r"coordinates have shape \(384, 1, 21, 2\)"),
        ({"score": np.ones((384, 22), np.float32)}, r"scores have shape \(384, 22\)"),
        ({"xy": np.full((384, 1, 22, 2), np.nan, np.float32)}, "clip 0: coordinates or scores are not finite"),
    ],
)
def test_clips_that_do_not_fit_together_are_refused(changes: dict[str, np.ndarray], words: str) -> None:
    good = Toy().clips("train")
    parts = {name: getattr(good, name) for name in Clips.__dataclass_fields__} | changes
    with pytest.raises(FormatError, match=words):
        Clips(**parts)


def test_missing_joints_may_hold_anything() -> None:
    good = Toy().clips("train")
    xy, score = good.xy.copy(), good.score.copy()
    xy[40:50, 0, 7], score[40:50, 0, 7] = np.nan, 0
    parts = {name: getattr(good, name) for name in Clips.__dataclass_fields__}
    clips = Clips(**(parts | {"xy": xy, "score": score}))
    batch = next(iter(test_loader(clips, Loading(frames=8))))
    assert torch.isfinite(batch.xy).all()


def test_motions_carry_soft_targets() -> None:
    data = SimulatedMotions([8, 12], epoch_clips=40, test_clips=40, idle=0.5)
    batch = next(iter(train_loader(data, Loading(batch=40), 0)))
    assert batch.xy.shape[2] in (8, 12)
    assert batch.soft is not None
    assert batch.label is not None
    assert batch.soft.shape == (40, len(data.taxonomy))
    assert set(batch.soft.unique().tolist()) <= {-1.0, 0.0, 1.0}
    shows = batch.label >= 0
    assert 5 < int(shows.sum()) < 35
    assert (batch.soft[shows, batch.label[shows]] == 1).all()
    assert (data.clips("test").label >= 0).all()
    assert data.clips("test")[0][0].shape[1] == 12
    with pytest.raises(UsageError, match=r"idle is 1\.0; it must lie in 0\.\.1"):
        SimulatedMotions(idle=1.0)
    with pytest.raises(UsageError, match=r"lengths are \[\]; each must be at least 1"):
        SimulatedMotions([])
    with pytest.raises(UsageError, match=r"loading\.augment, \.streams, \.pad_to and \.pictures do nothing here"):
        train_loader(data, Loading(streams=["bone"]), 0)


def test_every_view_is_also_seen_in_a_mirror() -> None:
    clips, order = Toy().clips("test"), list(Toy.skeleton.flip)
    loading = Loading(frames=8, batch=4, sampling="uniform", views=3, flip=True, streams=["joint", "bone"])
    assert loading.samples == 6
    batch = next(iter(test_loader(clips, loading)))
    assert batch.label is not None
    np.testing.assert_array_equal(batch.label.numpy(), np.repeat(clips.label[:4], 6))
    mirrored = batch.xy[1::2][..., order, :] * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    torch.testing.assert_close(mirrored, batch.xy[::2])
    assert torch.equal(batch.score[1::2][..., order], batch.score[::2])
    plain = next(iter(test_loader(clips, Loading(8, ["joint", "bone"], "uniform", 3, batch=4))))
    assert torch.equal(batch.xy[::2], plain.xy)
    assert next(iter(test_loader(clips, Loading(8, flip=True, batch=4)))).xy.shape[0] == 8


def test_no_mirror_images_of_sided_classes_or_of_a_single_hand() -> None:
    class Swipes(Toy):
        taxonomy = Taxonomy("swipes", "Swipes", tuple(Label(i, n, "arm") for i, n in enumerate(NAMES)), ("arm",))

    class Hand(Toy):
        skeleton = SKELETONS["hand21"]

    loading = Loading(frames=8, flip=True)
    with pytest.raises(UsageError, match="would turn classes of 'swipes' into others: 'swipe left', 'circle_cw'"):
        train_loader(Swipes(), loading, 0)
    with pytest.raises(UsageError, match="would turn classes of 'swipes'"):
        test_loader(Swipes().clips("test"), loading)
    with pytest.raises(UsageError, match="pairs of right and left; the layout 'hand21' has none"):
        train_loader(Hand(), loading, 0)
