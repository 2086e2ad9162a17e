"""The main job: what is written, and that no interruption loses or changes anything."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.analysis.fakes import HandUp, invented_track
from tests.analysis.kill_everywhere import TIMELINES, contents, run

from microgesture.analysis.analyze import JOURNAL, analyze
from microgesture.analysis.poses import TrackPoses
from microgesture.analysis.states import State
from microgesture.core.errors import CannotCreate, NoInput, NotPermitted, OutputFailed, TryAgain, UsageError
from microgesture.core.taxonomies import SMG
from microgesture.formats.timeline_json import read_timeline_json
from microgesture.learning.motions import Calibration


def test_the_hand_is_found_where_it_was_raised(tmp_path: Path) -> None:
    result = run(tmp_path / "out", 64.0)
    ups = [s for s in result.timeline if s.label == 6]
    # the hand goes up for half of every eight seconds, seen above the chest for a little less
    assert [round(s.start) % 8 for s in ups] == [0] * 8
    assert all(3.0 <= s.duration <= 4.0 for s in ups)
    assert result.evidence[0].classes[6].count == 8
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*TIMELINES, "analysis.json", JOURNAL, ".lock"}
    assert read_timeline_json(tmp_path / "out" / "timeline.json") == result.timeline


def test_analysis_json_tells_what_the_results_rest_on(tmp_path: Path) -> None:
    states = (State(0, 30, "calm"), State(30, 60, "tense"))
    run(tmp_path, states=states)
    told = json.loads((tmp_path / "analysis.json").read_text())
    assert told["settings"]["model_digest"] == "hand-up-1"
    assert told["settings"]["decoding"]["on"] > 0
    assert told["versions"]["numpy"] == np.__version__
    assert told["quality"][0]["visible"] == 1.0
    assert told["rates"][0]["comparisons"][0]["states"] == ["calm", "tense"]
    assert "never to judge" in told["rates"][0]["meaning"]["emotion"]
    assert told["warnings"] == ["person 1: the hands move 3.1 times as fast as in training (in 100% of the recording)"]


def test_a_finished_run_is_not_done_again_unless_asked(tmp_path: Path) -> None:
    run(tmp_path)
    before, again, fresh = contents(tmp_path), HandUp(), HandUp()
    run(tmp_path, recogniser=again)
    assert again.calls == 0
    run(tmp_path, recogniser=fresh, resume=False)
    assert fresh.calls == 4
    assert contents(tmp_path) == before


def test_other_settings_or_another_recording_begin_anew(tmp_path: Path) -> None:
    run(tmp_path)
    other = HandUp()
    run(tmp_path, recogniser=other, taxonomy=SMG)
    assert other.calls == 4
    other = HandUp()
    run(tmp_path, recogniser=other, taxonomy=SMG, seconds=66.0)
    assert other.calls == 4


def test_posteriors_of_another_calibration_are_not_used_again(tmp_path: Path) -> None:
    for shift, calls in ((0.0, 4), (0.0, 0), (-1.0, 4)):
        calibrated = HandUp()
        calibrated.calibration = Calibration(shift=shift)  # type: ignore[attr-defined]
        run(tmp_path, recogniser=calibrated)
        assert calibrated.calls == calls


def test_killed_at_every_durable_step_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    # a process of its own: forking one that other tests have filled with threads may hang
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.analysis.kill_everywhere", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20  # journal header, 4 pieces, 6 files with 3 steps each


@pytest.mark.parametrize("damage", ["torn", "flipped", "header", "emptied"])
def test_a_damaged_journal_is_noticed_and_mended(tmp_path: Path, damage: str) -> None:
    run(tmp_path)
    expected, journal = contents(tmp_path), tmp_path / JOURNAL
    data = bytearray(journal.read_bytes())
    if damage == "torn":
        journal.write_bytes(data[:-500])
    elif damage == "flipped":
        data[len(data) // 2] ^= 4
        journal.write_bytes(data)
    elif damage == "header":
        data[20] ^= 4
        journal.write_bytes(data)
    else:
        journal.write_bytes(b"")
    again = HandUp()
    run(tmp_path, recogniser=again)
    assert again.calls == {"torn": 1, "flipped": 1, "header": 4, "emptied": 4}[damage]
    now = contents(tmp_path)
    assert all(now[name] == expected[name] for name in (*TIMELINES, "analysis.json"))


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    def interrupted(stage: str, done: float, total: float) -> None:
        if stage == "recognising" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupted)
    assert not (tmp_path / "timeline.csv").exists()
    again = HandUp()
    run(tmp_path, recogniser=again)
    assert again.calls == 2


def test_two_analyses_of_one_folder_do_not_collide(tmp_path: Path) -> None:
    def second(stage: str, done: float, total: float) -> None:
        if stage == "recognising" and done == 1:
            with pytest.raises(TryAgain) as caught:
                run(tmp_path)
            told.append(str(caught.value))

    told: list[str] = []
    run(tmp_path, progress=second)
    assert told == [f"{tmp_path}: another process works in this folder; wait for it, or choose another with --out"]
    assert run(tmp_path).timeline.segments  # the lock is let go of


def test_a_missing_recording_is_said_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"none\.mp4: does not exist"):
        analyze(tmp_path / "none.mp4", tmp_path / "out", recogniser=HandUp())
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NotPermitted, match="may not be created"):
        run(tmp_path / "out")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CannotCreate) as caught:
        run(tmp_path / "out")
    assert str(caught.value) == f"{tmp_path / 'out'}: cannot be created (File exists)"
    assert (tmp_path / "out").read_text() == "mine"


def test_a_refused_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # what a read-only folder answers, for root too
    with pytest.raises(NotPermitted) as caught:
        run(tmp_path)
    assert str(caught.value) == f"{tmp_path}: folder is not writable; choose another with --out"


def test_a_full_disk_leaves_old_results_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    before, real = contents(tmp_path), os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputFailed) as caught:
        run(tmp_path, taxonomy=SMG)
    assert str(caught.value) == (
        f"{tmp_path / JOURNAL}: writing failed (No space left on device); the old content is untouched"
    )
    monkeypatch.setattr(os, "fsync", real)
    assert contents(tmp_path) == before
    assert not list(tmp_path.glob("*.tmp*"))


def test_nobody_in_the_recording_is_a_warning_and_an_empty_timeline(tmp_path: Path) -> None:
    track = invented_track(30.0)
    poses = TrackPoses([type(track)(track.xy, track.score * 0, track.fps, track.size, track.skeleton)])
    model = HandUp()
    result = run(tmp_path, poses=poses, recogniser=model)
    assert model.calls == 0
    assert len(result.timeline) == 0
    assert result.warnings == ("person 1: nobody was found in any frame",)
    assert json.loads((tmp_path / "analysis.json").read_text())["rates"][0]["total"]["high"] is None


def test_persons_keep_their_numbers(tmp_path: Path) -> None:
    still = invented_track(30.0, person=1)
    still = type(still)(still.xy[:1].repeat(len(still), 0), still.score, still.fps, still.size, still.skeleton)
    result = run(tmp_path, poses=TrackPoses([invented_track(30.0), still]))
    assert {s.person for s in result.timeline if s.label == 6} == {0}
    assert [e.person for e in result.evidence] == [0, 1]


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_very_short_recordings(tmp_path: Path, frames: int) -> None:
    result = run(tmp_path, seconds=frames / 25)
    assert result.posteriors[0].shape == (len(result.times), 32)
    assert all(s.end <= frames / 25 + 1e-9 for s in result.timeline)


def test_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="persons is 0, expected at least 1"):
        run(tmp_path, persons=0)
    with pytest.raises(UsageError, match="imigue"):
        run(tmp_path, taxonomy="imigu")


def test_a_model_that_returns_nonsense_is_our_bug(tmp_path: Path) -> None:
    class Broken(HandUp):
        def windows(self, *args: object) -> np.ndarray:  # type: ignore[override]
            return np.full((1, 1), np.nan, np.float32)

    with pytest.raises(RuntimeError, match="not finite for 80 windows"):
        run(tmp_path, recogniser=Broken())
