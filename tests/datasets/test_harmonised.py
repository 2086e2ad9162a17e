from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.normalise import body_normalise
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import BODY_LEVEL, IMIGUE, MA52, SMG, to_unified
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.clips import ClipDataset, Clips, EndlessDataset
from microgesture.datasets.harmonised import UNSEEN_IN_SMG, Harmonised, Together, own_head, unified_ids, view
from microgesture.datasets.imigue import IMiGUE
from microgesture.datasets.prepare import prepare, source_of
from microgesture.datasets.simulated import Simulated
from microgesture.datasets.store import RECORDINGS
from microgesture.learning.recipe import read_recipe
from microgesture.simulation.lookalikes.write import Size, write_lookalike


class Lines:
    """Every class once; every joint moves along a straight line, 3 units a second, joint j starting at j."""

    persons = 1
    splits: tuple[str, ...] = ("train", "test")

    def __init__(
        self, taxonomy: str = "imigue", joints: str = "imigue22", fps: float = 30.0, coordinates: int = 2, key: str = ""
    ) -> None:
        self.taxonomy: Taxonomy = {"imigue": IMIGUE, "smg": SMG, "ma52": MA52}[taxonomy]
        self.skeleton: Skeleton = SKELETONS[joints]
        self.key, self.fps, self.coordinates = key or taxonomy, fps, coordinates

    def clips(self, split: str) -> Clips:
        n, t, v = len(self.taxonomy), 31, len(self.skeleton)
        line = np.arange(v)[:, None] + 3 * (np.arange(t) / self.fps)[:, None, None] + np.zeros(self.coordinates)
        return Clips(
            np.tile(line, (n, 1, 1))[:, None].astype(np.float32), np.ones((n * t, 1, v), np.float32),
            np.arange(n + 1) * t, np.arange(n), np.arange(n) % 3, self.skeleton, self.taxonomy, f"lines {split}",
        )  # fmt: skip


def test_joints_rate_and_depth_are_the_common_ones() -> None:
    alike = Harmonised(Lines("smg", "kinect25", 28.0, 3), fps=25.0, coordinates=2)
    assert isinstance(alike, ClipDataset)
    assert not isinstance(alike, EndlessDataset)
    assert (alike.key, alike.skeleton.name, alike.fps, alike.coordinates) == ("smg", "upper12", 25.0, 2)
    clips = alike.clips("train")
    xy, score = clips[0]
    # 30 steps of 1/28 s hold 26 steps of 1/25 s
    assert xy.shape == (1, 27, 12, 2)
    assert score.shape == xy.shape[:3]
    kinect = SKELETONS["kinect25"]
    wrist = alike.skeleton.index("r_wrist")
    np.testing.assert_allclose(xy[0, :, wrist, 0], kinect.index("r_wrist") + 3 * np.arange(27) / 25, atol=1e-5)
    nose = xy[0, :, alike.skeleton.index("nose"), 1]
    np.testing.assert_allclose(nose, kinect.index("head") + 3 * np.arange(27) / 25, atol=1e-5)
    unseen = [alike.skeleton.joints[j] for j in np.flatnonzero((score == 0).all((0, 1)))]
    assert tuple(unseen) == UNSEEN_IN_SMG


def test_joints_can_be_hidden_from_a_model() -> None:
    plain, hidden = (Harmonised(Lines(), hide=hide).clips("train")[3] for hide in ((), UNSEEN_IN_SMG))
    gone = [SKELETONS["upper12"].index(joint) for joint in UNSEEN_IN_SMG]
    rest = [j for j in range(12) if j not in gone]
    assert not hidden[0][:, :, gone].any()
    assert not hidden[1][:, :, gone].any()
    for a, b in zip(plain, hidden, strict=True):
        np.testing.assert_array_equal(a[:, :, rest], b[:, :, rest])
    with pytest.raises(UsageError, match="hide names r_knee; the joints of upper12 are nose, neck"):
        Harmonised(Lines(), hide=["r_knee"])


def test_the_own_rate_and_layout_change_nothing() -> None:
    lines = Lines(fps=25.0)
    alike = Harmonised(lines, joints="imigue22", fps=25.0)
    for (a, b), (c, d) in zip(lines.clips("train"), alike.clips("train"), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert alike.clips("train").names == lines.clips("train").names


def test_the_same_body_is_the_same_in_metres_and_pixels() -> None:
    draw = np.random.default_rng(0)
    metres = draw.normal(0, 0.3, (20, 12, 2))
    pixels = metres * 400 + (640, 200)
    upper = SKELETONS["upper12"]
    a, b = (body_normalise(xy, np.ones((20, 12)), upper).xy for xy in (metres, pixels))
    np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("key", ["imigue", "smg", "ma52"])
def test_unified_labels_follow_the_map_and_the_rest_is_left_out(key: str) -> None:
    table = to_unified(key)
    alike = Harmonised(Lines(key), labels="unified")
    clips = alike.clips("test")
    assert clips.taxonomy.key == alike.taxonomy.key == "unified"
    assert clips.label.tolist() == [u for u in table if u >= 0]
    assert clips.names == [str(i) for i, u in enumerate(table) if u >= 0]
    assert clips.counts.sum() == len(clips)
    assert alike.unified_ids == tuple(sorted(set(clips.label.tolist()))) == unified_ids(Lines(key))
    silent = Harmonised(Lines(key), labels="unified", illustrative=False)
    assert 10 not in silent.clips("test").label
    assert silent.unified_ids == tuple(u for u in alike.unified_ids if u != 10)


def test_uncertain_and_loose_classes_only_on_demand() -> None:
    strict, loose = (Harmonised(Lines("ma52"), labels="unified", loose=each).clips("test") for each in (False, True))
    assert {"3", "4", "19", "20"}.isdisjoint(strict.names)
    assert {"2", "3", "4", "19", "20"} <= set(loose.names)
    assert loose.label[loose.names.index("3")] == 17


def test_body_level_and_own_labels() -> None:
    body = Harmonised(Lines("smg"), labels="body")
    assert body.clips("test").label.tolist() == list(BODY_LEVEL["smg"])
    assert len(body.taxonomy) == 7
    own = Harmonised(Lines("smg"), illustrative=False)
    assert own.clips("test").label.tolist() == list(range(16))
    assert own.taxonomy == SMG


def test_recordings_keep_their_own_rates(tmp_path: Path) -> None:
    write_lookalike("imigue", tmp_path / "raw", Size(recordings=3, minutes=0.3, films=False), 0)
    prepare(source_of("imigue"), tmp_path / "raw", tmp_path / "store", workers=1)
    data = IMiGUE(str(tmp_path / "store"))
    inside = data.clips("train")
    rate = inside.store.column(RECORDINGS, "fps")[inside.recording]
    clips = Harmonised(data, fps=rate[0] / 2).clips("train")
    for i in range(len(clips)):
        assert clips[i][0].shape[1] == (inside.length[i] - 1) // 2 + 1
    np.testing.assert_allclose(view(inside, 99.0, "all").rate, rate)
    assert Harmonised(data).simulated
    assert "harmonised to upper12" in clips.source


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="int is no dataset of clips"):
        Harmonised(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"fps is -1; it must lie in 0\.\.1000"):
        Harmonised(Lines(), fps=-1)
    with pytest.raises(UsageError, match="coordinates is 3, but imigue has 2"):
        Harmonised(Lines(), coordinates=3)
    with pytest.raises(UsageError, match="no pose layout 'upper11'; did you mean upper12"):
        Harmonised(Lines(), joints="upper11")
    with pytest.raises(UsageError, match="loose does nothing for labels 'own'"):
        Harmonised(Lines(), loose=True)
    other = Lines()
    other.taxonomy = Taxonomy("toy", "Toy", IMIGUE.labels, IMIGUE.groups)
    with pytest.raises(UsageError, match="no class of 'toy' is among the unified classes"):
        Harmonised(other, labels="unified")
    with pytest.raises(UsageError, match="no body level is known for the classes of 'toy'"):
        Harmonised(other, labels="body")
    clips = Harmonised(Lines()).clips("test")
    with pytest.raises(FormatError, match=r"lines test, harmonised to upper12, nobody: holds no clips"):
        clips.where(np.zeros(len(clips), bool), "nobody")


def pair(**options: Any) -> list[Harmonised]:
    return [Harmonised(Lines("imigue"), **options), Harmonised(Lines("smg", "kinect25", 28.0), **options)]


def test_together_in_the_unified_space() -> None:
    parts = pair(labels="unified")
    both = Together(parts)
    assert (both.key, both.taxonomy.key, both.splits) == ("imigue+smg", "unified", ("train", "test"))
    clips = both.clips("train")
    first, second = (part.clips("train") for part in parts)
    assert len(clips) == len(first) + len(second)
    assert clips.label.tolist() == [*first.label, *second.label]
    assert clips.part.tolist() == [0] * len(first) + [1] * len(second)
    np.testing.assert_array_equal(clips[len(first) + 2][0], second[2][0])
    # people of different data sets are different people
    assert set(clips.subject[: len(first)]).isdisjoint(clips.subject[len(first) :])
    assert both.unified_ids == tuple(sorted(set(clips.label.tolist())))
    chosen = clips.where(clips.part == 1, "smg")
    assert chosen.label.tolist() == second.label.tolist()
    np.testing.assert_array_equal(chosen.rate, 25.0)


def test_together_with_heads_keeps_classes_apart() -> None:
    both = Together(pair(), heads=True)
    assert len(both.taxonomy) == 32 + 17 + 25
    assert [(head.key, head.first, head.classes) for head in both.heads] == [("imigue", 0, 32), ("smg", 32, 17)]
    assert both.heads[1].to_unified == to_unified("smg")
    assert both.taxonomy[32].name == f"smg: {SMG[0].name}"
    assert both.taxonomy[49 + 5].name == "unified: fold_arms"
    assert both.clips("train").label.tolist() == list(range(49))
    p = np.arange(1.0, 75)[None]
    np.testing.assert_allclose(own_head(both.heads[1], p), p[:, 32:49] / p[:, 32:49].sum())


def test_together_refuses_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="1 data set is not several"):
        Together([Lines()])
    with pytest.raises(UsageError, match="a data set is named twice: imigue, imigue"):
        Together([Lines(), Lines()])
    with pytest.raises(UsageError, match=r"joints differ \(imigue imigue22, smg kinect25\): wrap them in .*Harmonised"):
        Together([Lines(), Lines("smg", "kinect25")])
    with pytest.raises(UsageError, match=r"fps differ \(imigue 30\.0, smg 28\.0\)"):
        Together([Lines(), Lines("smg", fps=28.0)])
    with pytest.raises(UsageError, match=r"labels differ \(imigue, smg\): wrap them as Harmonised"):
        Together(pair())
    with pytest.raises(UsageError, match=r"imigue\+smg has no split 'val'; choose train, test"):
        Together(pair(labels="unified")).clips("val")


RECIPE = """\
system: {class_path: microgesture.systems.stgcnpp.STGCNpp, init_args: {width: 8, growth: [1], strides: [1]}}
data:
  class_path: microgesture.datasets.harmonised.Together
  init_args:
    data:
      - class_path: microgesture.datasets.harmonised.Harmonised
        init_args: {labels: unified, fps: 15, data: {class_path: microgesture.datasets.simulated.Simulated, ARGS}}
      - class_path: microgesture.datasets.harmonised.Harmonised
        init_args: {labels: unified, fps: 15, data: {class_path: microgesture.datasets.imigue.IMiGUE}}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.002}}
"""


def test_a_recipe_nests_data_sets_and_says_what_is_wrong_inside(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(RECIPE.replace("ARGS", "init_args: {taxonomy: smg}"))
    data = read_recipe(path).dataset
    assert isinstance(data, Together)
    assert data.key == "simulated+imigue"
    assert isinstance(data.parts[0], Harmonised)
    assert isinstance(data.parts[0].data, Simulated)
    path.write_text(RECIPE.replace("ARGS", "init_args: {taxonomie: smg}"))
    with pytest.raises(UsageError, match=r"both\.yaml:7 .*taxonomie' is no known key; did you mean 'taxonomy'"):
        read_recipe(path)
    path.write_text(RECIPE.replace("ARGS", "init_args: {taxonomy: mg}"))
    with pytest.raises(UsageError, match=r"the simulator knows no 'mg'"):
        read_recipe(path)
