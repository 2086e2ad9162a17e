"""From files to poses: pose files of our own and of others, and a real clip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.analysis.fakes import HandUp, invented_track

from microgesture.analysis.analyze import analyze
from microgesture.analysis.recognise import recognise
from microgesture.core.errors import FormatError, UsageError
from microgesture.formats.pose_npz import write_npz
from microgesture.report.html import write_report
from microgesture.report.skeleton_video import write_skeleton_video


def test_a_pose_file_gives_what_its_tracks_give(tmp_path: Path) -> None:
    track = invented_track(40.0)
    late = replace(track, times=track.times + 100.0)  # recordings may be cut out of longer ones
    write_npz(tmp_path / "talk.npz", [late])
    result = analyze(tmp_path / "talk.npz", tmp_path / "out", recogniser=HandUp())
    assert [round(s.start) for s in result.timeline if s.label == 6] == [0, 8, 16, 24, 32]
    assert result.timeline.duration == pytest.approx(40.0)
    assert (tmp_path / "out" / "pose" / "index.json").exists()
    again = HandUp()
    assert analyze(tmp_path / "talk.npz", tmp_path / "out", recogniser=again).timeline == result.timeline
    assert again.calls == 0
    assert recognise(tmp_path / "talk.npz", recogniser=HandUp())["people"][0]["frames"] == 1000


def test_openpose_does_not_say_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "frame.json"
    points = np.tile([100.0, 100.0, 0.9], 25).tolist()
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": points}]}))
    with pytest.raises(UsageError) as caught:
        recognise(path, recogniser=HandUp())
    assert str(caught.value) == f"{path}: a file of OpenPose does not say its frame rate; give it with --fps"
    assert recognise(path, fps=25.0, recogniser=HandUp())["people"][0]["frames"] == 1
    folder = tmp_path / "clip"
    folder.mkdir()
    path.rename(folder / "clip_000000000000_keypoints.json")
    assert recognise(folder, fps=25.0, recogniser=HandUp())["people"][0]["frames"] == 1
    assert len(analyze(folder, tmp_path / "out", fps=25.0, recogniser=HandUp()).times) == 1


def test_people_of_a_pose_file_keep_their_distance_in_time(tmp_path: Path) -> None:
    track = invented_track(4.0)
    write_npz(tmp_path / "two.npz", [track, replace(track, times=track.times + 2.0, person=1)])
    with pytest.raises(FormatError, match="its persons have different times"):
        analyze(tmp_path / "two.npz", tmp_path / "out", persons=2, recogniser=HandUp())
    alone = analyze(tmp_path / "two.npz", tmp_path / "out", recogniser=HandUp())
    assert "two.npz holds 2 people; followed: 1" in alone.warnings


@pytest.mark.parametrize("name", ["a.npz", "a.csv", "a.mp4", "a.gif"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    for run in (
        lambda: analyze(tmp_path / name, tmp_path / "out", recogniser=HandUp()),
        lambda: recognise(tmp_path / name, recogniser=HandUp()),
    ):
        with pytest.raises(FormatError) as caught:
            run()
        assert str(caught.value) == f"{tmp_path / name}: the file is empty (0 bytes). Copy or record it again"
    assert not (tmp_path / "out").exists()


def test_text_renamed_to_mp4_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_text("not a video at all\n" * 50)
    with pytest.raises(FormatError, match=r"talk\.mp4, container: cannot be read as a video"):
        analyze(tmp_path / "talk.mp4", tmp_path / "out", recogniser=HandUp())


def test_a_real_clip_from_file_to_report(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="needs the extra [pose]")
    clip = data / "clips" / "imigue_folding-arms.gif"
    result = analyze(clip, tmp_path, recogniser=HandUp())
    assert result.quality[0].visible > 0.9
    assert result.quality[0].view in ("frontal", "three-quarter")
    page = write_report(result).read_text("utf-8")
    assert "imigue_folding-arms.gif" in page
    assert write_skeleton_video(result).stat().st_size > 1000
