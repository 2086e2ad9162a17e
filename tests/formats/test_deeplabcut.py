"""Tables of DeepLabCut: one person or several, layouts of ours and of others, exact round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.mutations import COUNT, hold_the_contract
from tests.formats.test_pose_files import same
from tests.strategies import people

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.deeplabcut import read_deeplabcut, write_deeplabcut

HEAD = (
    "scorer,net,net,net,net,net,net\nbodyparts,snout,snout,snout,tail,tail,tail\ncoords,x,y,likelihood,x,y,likelihood\n"
)


@pytest.mark.parametrize("layout", ["coco17", "imigue22", "canonical"])
def test_tracks_come_back_exactly(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"

    @settings(max_examples=max(300, COUNT // 10), deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(people(SKELETONS[layout], max_frames=4))
    def round_trip(tracks: tuple[PoseTrack, ...]) -> None:
        write_deeplabcut(path, tracks)
        again = read_deeplabcut(path, fps=tracks[0].fps, size=tracks[0].size)
        assert all(same(a, b) for a, b in zip(tracks, again, strict=True))

    round_trip()


@settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(SKELETONS)))
def test_every_layout_is_known_by_its_joints(tmp_path: Path, layout: str) -> None:
    skeleton = SKELETONS[layout]
    track = PoseTrack(np.ones((1, len(skeleton), 2)), np.ones((1, len(skeleton))), 25, (0, 0), skeleton)  # type: ignore[arg-type]
    write_deeplabcut(tmp_path / "d.csv", [track])
    assert read_deeplabcut(tmp_path / "d.csv", fps=25)[0].skeleton is skeleton


def test_a_table_of_another_project(tmp_path: Path) -> None:
    text = "\ufeff" + HEAD + "0,1,2,0.5,3,4,1\n2,5,6,0.25,,,\n"
    (tmp_path / "d.csv").write_text(text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    (track,) = read_deeplabcut(tmp_path / "d.csv", fps=50, size=(640, 480))
    assert track.skeleton == Skeleton("deeplabcut", ("snout", "tail"), ())
    assert (track.fps, track.size, track.person) == (50, (640, 480), 0)
    assert track.xy.tolist() == [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]]
    assert track.score.tolist() == [[0.5, 1], [0, 0], [0.25, 0]]


def test_several_individuals_and_a_given_layout(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(
        "scorer,a,a,a,a\nindividuals,李明,李明,Bea,Bea\nbodyparts,nose,nose,neck,neck\ncoords,x,y,x,y\n0,1,2,3,4\n"
    )
    skeleton = SKELETONS["openpose18"]
    first, second = read_deeplabcut(tmp_path / "d.csv", fps=25, skeleton=skeleton)
    assert (first.person, second.person) == (0, 1)
    assert first.xy[0, skeleton.index("nose")].tolist() == [1, 2]
    assert second.xy[0, skeleton.index("neck")].tolist() == [3, 4]
    assert np.count_nonzero(first.score) == np.count_nonzero(second.score) == 1
    with pytest.raises(
        FormatError, match=r"header: body part 'neck' is no joint of layout 'coco17'; expected nose, l_eye"
    ):
        read_deeplabcut(tmp_path / "d.csv", fps=25, skeleton=SKELETONS["coco17"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scorer,a\nbodyparts,nose\n0,1\n", r"header: header row 'coords' is missing; expected rows that begin with"),
        ("scorer,a\nbodyparts,nose,nose\ncoords,x,y\n", r"header: header rows of different lengths"),
        (HEAD.replace("likelihood", "z"), r"header, column 4: coordinate 'z' of 'snout'; expected x, y and likel"),
        (
            HEAD.replace(",x,y,likelihood\n", ",x,x,likelihood\n"),
            r"header, column 6: coordinate 'x' of 'tail' occurs twice",
        ),
        (
            "scorer,a,a,a\nbodyparts,nose,nose,neck\ncoords,x,y,x\n",
            r"header: half of 'neck' is missing; expected x and y of 1 to 1,000 body parts",
        ),
        ("scorer\nbodyparts\ncoords\n", r"header: 0 body parts"),
        (HEAD, r"table: no frames; expected one row per frame"),
        (HEAD + "0,1,2,0.5,3,4\n", r"line 4: 6 cells; expected 7 as in the header"),
        (HEAD + "0,1,2,0.5,3,4,2\n", r"line 4: tail is at 3, 4 with confidence 2"),
        (HEAD + "0,1,2,0.5,3,4,1\n0,1,2,0.5,3,4,1\n", r"line 5: frame 0 occurs twice"),
        (HEAD + "labeled-data/img001.png,1,2,0.5,3,4,1\n", r"line 4: frame is 'labeled-data/img001.png'"),
        (
            HEAD + "".join(f"{9000 * i},1,2,1,3,4,1\n" for i in range(2)) + "1_0,1,2,1,3,4,1\n",
            r"line 6: frame is '1_0'",
        ),
    ],
)
def test_messages(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(FormatError, match=r"d\.csv, " + message):
        read_deeplabcut(tmp_path / "d.csv", fps=25)


def test_frame_numbers_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microgesture.formats.pose_table.INFLATED_LIMIT", 1000)
    (tmp_path / "d.csv").write_text(HEAD + "0,1,2,1,3,4,1\n9000,1,2,1,3,4,1\n")
    with pytest.raises(FormatError, match=r"frames: 9,001 frames in 2 rows; expected numbers that count up"):
        read_deeplabcut(tmp_path / "d.csv", fps=25)


def test_all_problems_are_named(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(HEAD + "0,1,2,1,3,4,1\n1,1\n2,1,x,1,3,4,1\n3,1,2,1,3,4,1\n")
    problems: list[FormatError] = []
    (track,) = read_deeplabcut(tmp_path / "d.csv", fps=25, problems=problems)
    assert [p.place for p in problems] == ["line 5", "line 6"]
    assert track.score[:, 0].tolist() == [1, 0, 0, 1]


def test_mutated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    skeleton, path = SKELETONS["coco17"], tmp_path / "d.csv"
    track = PoseTrack(rng.uniform(0, 640, (3, 17, 2)), rng.uniform(0, 1, (3, 17)), 25, (0, 0), skeleton, None, 1)  # type: ignore[arg-type]
    write_deeplabcut(path, [track])
    hold_the_contract(lambda p: read_deeplabcut(p, fps=25), path.read_bytes(), path)
