"""`microgesture convert`: between formats of one kind, saying what is lost, refusing what makes no sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_npz import read_npz, write_npz
from microgesture.formats.timelines import read_raters, read_timeline, write_timeline

LINE = Timeline((Segment(0.5, 1.5, 2, 0.75), Segment(1, 3, 5, person=1)), SMG, 60.0)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def track(layout: str = "mediapipe33", frames: int = 3) -> PoseTrack:
    joints = len(SKELETONS[layout])
    xy = np.random.default_rng(0).uniform(100, 400, (1, joints, 2)) + np.arange(frames)[:, None, None]
    return PoseTrack(xy, np.ones((frames, joints)), 30000 / 1001, (640, 480), SKELETONS[layout])  # type: ignore[arg-type]


def test_a_timeline_goes_all_the_way_round() -> None:
    write_timeline(LINE, "a.json")
    for source, target in (("a.json", "b.eaf"), ("b.eaf", "c.boris"), ("c.boris", "d.vtt"), ("d.vtt", "e.json")):
        result = run(source, target, "--taxonomy", "smg")
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"{target}\n", "")
    assert read_timeline("e.json", SMG) == LINE


def test_json_states_its_label_space_and_media_are_linked() -> None:
    write_timeline(LINE, "a.json")
    assert run("a.json", "b.eaf", "--media", "talk.mp4").exit_code == 0
    assert 'RELATIVE_MEDIA_URL="./talk.mp4"' in Path("b.eaf").read_text()
    result = run("a.json", "b.boris", "--media", "talk.mp4", "--fps", "30000/1001", "--quiet")
    assert result.exit_code == 0
    assert str(30000 / 1001) in Path("b.boris").read_text()
    result = run("a.json", "b.vtt", "--media", "talk.mp4")
    assert result.stderr == "b.vtt: vtt does not hold the name of the recording\n"


def test_what_is_lost_is_said() -> None:
    write_timeline({"anna": LINE}, "a.eaf")
    result = run("a.eaf", "b.csv", "--taxonomy", "smg")
    assert (result.exit_code, result.stdout) == (0, "b.csv\n")
    assert result.stderr.splitlines() == [
        "b.csv: csv does not hold the duration of the recording (60.000 s)",
        "b.csv: csv does not hold the rater (anna)",
    ]
    assert run("a.eaf", "b.csv", "--taxonomy", "smg", "--quiet").stderr == ""
    assert run("a.eaf", "b.dat", "--to", "boris-csv", "--taxonomy", "smg").exit_code == 0
    assert "Behavior type" in Path("b.dat").read_text()


def test_raters_are_kept_or_one_is_asked_for() -> None:
    other = Timeline((Segment(4, 5, 2),), SMG, 60.0)
    write_timeline({"anna": LINE, "李明": other}, "a.eaf")
    assert run("a.eaf", "b.boris", "--taxonomy", "smg").exit_code == 0
    assert read_raters("b.boris", SMG) == {"anna": LINE, "李明": other}
    result = run("a.eaf", "b.csv", "--taxonomy", "smg")
    assert (result.exit_code, result.stderr) == (
        65,
        "microgesture: a.eaf, raters: holds 2 raters; expected one of anna, 李明. Name one with rater="
        " (--rater on the command line)\n",
    )
    assert not Path("b.csv").exists()
    assert run("a.eaf", "b.csv", "--taxonomy", "smg", "--rater", "李明").exit_code == 0
    assert read_timeline("b.csv", SMG).segments == other.segments


def test_tiers_without_an_annotator_get_a_name(tmp_path: Path) -> None:
    write_timeline({"anna": LINE, "bo": LINE}, "a.eaf")
    text = Path("a.eaf").read_text().replace(' ANNOTATOR="bo"', "")
    Path("a.eaf").write_text(text)
    assert run("a.eaf", "b.eaf", "--taxonomy", "smg").exit_code == 0
    assert read_raters("b.eaf", SMG) == {"anna": LINE, "unknown": LINE}


def test_poses_go_all_the_way_round() -> None:
    wrote = track()
    write_npz("a.npz", [wrote])
    result = run("a.npz", "b.csv", "--to", "mediapipe")
    assert (result.exit_code, result.stdout) == (0, "b.csv\n")
    assert result.stderr == "b.csv: mediapipe does not hold the size of the picture (640 x 480)\n"
    assert run("b.csv", "c.csv", "--to", "deeplabcut", "--size", "640x480").exit_code == 0
    assert run("c.csv", "d.pkl", "--fps", "30000/1001", "--size", "640x480").exit_code == 0
    assert run("d.pkl", "e.npz", "--fps", "30000/1001", "--layout", "mediapipe33").exit_code == 0
    (again,) = read_npz("e.npz")
    np.testing.assert_array_equal(again.xy, wrote.xy)
    assert (again.fps, again.size, again.skeleton) == (wrote.fps, wrote.size, wrote.skeleton)
    result = run("a.npz", "frames")
    assert result.stderr.splitlines()[0] == "openpose needs layout openpose25: 21 of its 25 joints are in mediapipe33"
    assert len(list(Path("frames").glob("*_keypoints.json"))) == 3
    assert run("frames", "f.npz", "--fps", "25").exit_code == 0


def test_a_recording_without_people_is_said() -> None:
    empty = np.zeros((2, 33, 2), np.float32)
    write_npz("a.npz", [PoseTrack(empty, empty[..., 0], 25, (9, 9), SKELETONS["mediapipe33"])])
    result = run("a.npz", "b.csv", "--to", "deeplabcut", "-q")
    assert (result.exit_code, result.stderr) == (0, "warning: a.npz: nobody is seen in any frame\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone.eaf", "b.csv"], 66, "gone.eaf: does not exist"),
        (["a.eaf", "b.npz"], 2, "a.eaf: holds a timeline, and b.npz would hold poses (npz); neither becomes the other"),
        (["a.npz", "b.eaf"], 2, "a.npz: holds poses, and b.eaf would hold a timeline (eaf); neither becomes the other"),
        (["a.npz", "b.csv", "--to", "csv"], 2, "a.npz: holds poses, and b.csv would hold a timeline (csv)"),
        (["a.npz", "b.csv"], 2, "b.csv: the format is not clear; choose one of npz, openpose, mediapipe, deeplabcut"),
        (["a.eaf", "b"], 2, "b: the format is not clear; choose one of csv, boris-csv, events, json, boris, eaf, vtt"),
        (["a.eaf", "b.csv", "--to", "xml"], 2, "b.csv: the format is not clear; choose one of csv, boris-csv"),
        (["a.eaf", "./a.eaf"], 2, "a.eaf: is the input; give the output another name"),
        (["a.txt", "b.csv"], 65, "a.txt: neither a timeline nor a pose file. See 'microgesture convert --help'"),
        (["hand.npz", "frames"], 2, "layout 'own' shares no joint with 'openpose25', which openpose needs"),
        (["a.npz", "c.csv", "--to", "mediapipe", "--size", "12"], 2, "size '12'; expected width x height in pixels"),
    ],
)
def test_nonsense_is_refused(arguments: list[str], code: int, message: str) -> None:
    from microgesture.core.skeleton import Skeleton

    write_timeline(LINE, "a.eaf")
    write_npz("a.npz", [track()])
    own = Skeleton("own", ("tail",), ())
    write_npz("hand.npz", [PoseTrack(np.ones((1, 1, 2)), np.ones((1, 1)), 25, (9, 9), own)])  # type: ignore[arg-type]
    Path("a.txt").write_text("x")
    before = sorted(p.name for p in Path().iterdir())
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stderr.startswith(f"microgesture: {message}")
    assert result.stdout == ""
    assert sorted(p.name for p in Path().iterdir()) == before
