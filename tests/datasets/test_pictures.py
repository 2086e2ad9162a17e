"""Pictures of clips: the right moments, on the canvas, where the joints are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.datasets.imigue import IMiGUE, Source
from microgesture.datasets.loading import Loading, test_loader, train_loader
from microgesture.datasets.pictures import Pictures, filmed
from microgesture.datasets.prepare import prepare
from microgesture.datasets.smg import SMG
from microgesture.datasets.smg import Source as SMGSource
from microgesture.datasets.store import Film
from microgesture.formats.video import VideoWriter
from microgesture.layers.batch import VideoBatch
from microgesture.simulation.lookalikes.write import Size, write_lookalike

test_loader.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 40 frames at 10 per second whose brightness is 6 times the number of the frame."""
    path = tmp_path_factory.mktemp("film") / "counting.mp4"
    with VideoWriter(path, 10.0, (64, 36)) as video:
        for i in range(40):
            video.write(np.full((36, 64, 3), 6 * i, np.uint8), i / 10)
    return path


def test_the_middle_of_every_part(counting: Path) -> None:
    rgb, factor = Pictures(frames=4, height=36, width=64).read(Film(counting, 1.0, 20, 10.0, 640))
    # frames 10 to 30 in four parts of five: 12, 17, 22, 27
    assert np.abs(rgb[:, 10:20, 10:20].mean((1, 2, 3)) - 6 * np.array([12, 17, 22, 27])).max() < 3
    assert factor == pytest.approx(0.1)  # joints are given for a picture ten times as wide


def test_proportions_are_kept_on_the_canvas(counting: Path) -> None:
    rgb, factor = Pictures(frames=1, height=72, width=64).read(Film(counting, 3.0, 4, 10.0, 0))
    assert rgb.shape == (1, 72, 64, 3)
    assert rgb[0, :36].mean() > 100
    assert not rgb[0, 36:].any()
    assert factor == 1.0


def test_random_pictures_lie_in_their_parts(counting: Path) -> None:
    seen = [Pictures(2, 36, 64).read(Film(counting, 0.0, 40, 10.0, 0), np.random.default_rng(i))[0] for i in range(5)]
    numbers = np.array([rgb[:, 10:20, 10:20].mean((1, 2, 3)) / 6 for rgb in seen])
    assert (numbers[:, 0] < 20.5).all()
    assert (numbers[:, 1] > 19.5).all()
    assert len(np.unique(numbers.round())) > 4


def test_films_that_do_not_fit(counting: Path) -> None:
    rgb, _ = Pictures(4, 36, 64).read(Film(counting, 3.5, 20, 10.0, 0))  # ends before the clip does
    assert np.array_equal(rgb[2], rgb[3])
    with pytest.raises(FormatError, match=r"counting\.mp4.*holds no picture from 8\.\d+ s on"):
        Pictures(4, 36, 64).read(Film(counting, 8.0, 20, 10.0, 0))
    with pytest.raises(NoInput, match="nowhere"):
        Pictures().read(Film(counting.with_name("nowhere.mp4"), 0, 9, 10.0, 0))
    with pytest.raises(UsageError, match=r"pictures\.height is 0; it must be at least 1"):
        Pictures(height=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    raw = write_lookalike("imigue", folder / "raw", Size(recordings=3, minutes=0.3), seed=5)
    prepare(Source(), raw, folder / "store", workers=1)
    return folder / "store"


def test_joints_lie_on_the_drawn_person(store: Path) -> None:
    data = IMiGUE(str(store))
    loading = Loading(frames=16, batch=4, pictures=Pictures(16, 90, 160))
    batch = next(iter(test_loader(data.clips("train"), loading)))
    assert isinstance(batch, VideoBatch)
    assert batch.rgb.shape == (len(batch), 16, 90, 160, 3)
    at = batch.pixels()  # (B, M, T, V, 2)
    wrist = data.skeleton.index("r_elbow")
    drawn = 0
    for clip in range(len(batch)):
        x, y = at[clip, 0, 8, wrist].round().long().tolist()
        patch = batch.rgb[clip, 8, max(0, y - 4) : y + 5, max(0, x - 4) : x + 5].float()
        drawn += bool(patch.numel()) and float(patch.std()) > 10  # a limb is drawn there, paper is even
    assert drawn >= len(batch) - 1


def test_training_and_views(store: Path) -> None:
    data = IMiGUE(str(store))
    loading = Loading(frames=8, batch=2, pictures=Pictures(4, 36, 64), sampling="uniform", views=3)
    batch = next(iter(test_loader(data.clips("train"), loading)))
    assert isinstance(batch, VideoBatch)
    assert len(batch.rgb) == len(batch) == 6
    assert torch.equal(batch.rgb[0], batch.rgb[2])  # one clip's pictures serve its views
    first, again = (next(iter(train_loader(data, replace(loading, views=1), seed))) for seed in (1, 1))
    assert isinstance(first, VideoBatch)
    assert isinstance(again, VideoBatch)
    assert torch.equal(first.rgb, again.rgb)


def test_what_pictures_do_not_go_with(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"leave out loading\.augment, \.streams and \.pad_to"):
        Loading(pictures=Pictures(), streams=["bone"])
    raw = write_lookalike("imigue", tmp_path / "raw", Size(recordings=3, minutes=0.3, films=False), seed=5)
    prepare(Source(), raw, tmp_path / "store", workers=1)
    clips = IMiGUE(str(tmp_path / "store")).clips("train")
    with pytest.raises(UsageError, match="has no film; prepare the data with their films"):
        next(iter(test_loader(clips, Loading(pictures=Pictures()))))


def test_recordings_with_their_films(store: Path, counting: Path, tmp_path: Path) -> None:
    data = IMiGUE(str(store))
    (one,) = filmed(data, "train")
    assert one.film is not None
    assert one.film.is_file()
    assert one.film.name == f"{one.name}.mp4"
    assert [r.film for r in filmed(data, "train")[:1]] == [one.film]
    raw = write_lookalike("smg", tmp_path / "raw", Size(recordings=3, minutes=0.2, films=False), seed=5)
    (raw / "Sample0001.mp4").write_bytes(counting.read_bytes())
    prepare(SMGSource(), raw, tmp_path / "store", workers=1)
    smg = SMG(str(tmp_path / "store"))
    assert filmed(smg, "train")[0].film == raw / "Sample0001.mp4"  # joints in space need not lie in pictures here
    with pytest.raises(UsageError, match="recording 'Sample0031' has no film; prepare the data with their films"):
        filmed(smg, "val")[0]
    with pytest.raises(UsageError, match="imigue has no split 'none'"):
        filmed(data, "none")
