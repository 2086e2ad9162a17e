"""`prepare`: resumes to the same bytes, never leaves half a store that opens, says what it found."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from microgesture.core.errors import CheckFailed, FormatError, NoInput, TryAgain, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.datasets import prepare as module
from microgesture.datasets.prepare import Cut, Finding, Found, Recorded, StateCut, Unit, prepare, prepared, source_of
from microgesture.datasets.store import FILES, INDEX, open_store


@dataclass(frozen=True)
class Toy:
    """Recordings of 30 frames made from the number in their file."""

    key: ClassVar[str] = "toy"
    skeleton: ClassVar = SKELETONS["imigue22"]
    taxonomy: ClassVar = SMG
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    fps: ClassVar[float] = 25.0
    states: ClassVar[tuple[str, ...]] = ("calm", "tense")
    expected: ClassVar = {"train": {"recordings": 3, "clips": 6}, "test": {"recordings": 1}}
    expected_classes: ClassVar = {}

    pause: float = 0.0
    bad: int = -1

    def find(self, root: Path) -> Found:
        files = sorted(root.glob("*.txt"))
        if not files:
            raise CheckFailed(f"{root}: this is no toy; looked for *.txt")
        return Found(tuple(Unit(f.stem, (f,), {"number": i}) for i, f in enumerate(files)))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        time.sleep(self.pause)
        number = int(unit.facts["number"])
        if number == self.bad:
            raise FormatError(unit.files[0], "is torn", place="line 3", remedy="fetch it again")
        rng = np.random.default_rng(number)
        xy = rng.normal(0, 100, (1, 30, 22, 2)).astype(np.float32)
        score = rng.random((1, 30, 22)).astype(np.float32)
        cuts = [Cut(f"{unit.name}_{k}", (number + k) % 17, 10 * k, 10 * k + 10) for k in range(2)]
        state = [StateCut("whole", number % 2, 0, 30, "train")]
        yield Recorded(unit.name, "train" if number < 3 else "test", xy, score, 25.0, cuts, state, subject=number)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for i in range(6):
        (folder / f"r{i}.txt").write_text(str(i))
    return folder


def content(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (INDEX, *FILES)}


def test_what_was_written_is_read(root: Path, tmp_path: Path) -> None:
    report = prepare(Toy(), root, tmp_path / "s", workers=1)
    store = open_store(tmp_path / "s")
    store.verify()
    assert report.rows["train"] == {
        "recordings": 3, "recordings_official": 3, "clips": 6, "clips_official": 6, "withheld": 0,
    }  # fmt: skip
    for i in range(6):
        rng = np.random.default_rng(i)
        xy, score = store.frames(i)
        assert np.array_equal(xy[0], rng.normal(0, 100, (30, 22, 2)).astype(np.float32))
        assert np.array_equal(score[0], rng.random((30, 22)).astype(np.float32))
    clips = store.select(np.array([3, 0]), "some")
    assert clips.names == ["r1_1", "r0_0"]
    assert clips.label.tolist() == [2, 0]
    assert np.array_equal(clips[0][0], store.frames(1, 10, 10)[0])
    assert clips.counts.tolist() == [1, 0, 1, *[0] * 14]
    assert store.states.to_pylist()[5] == {
        "name": "whole", "label": 1, "recording": 5, "start": 0, "frames": 30, "split": "train",
    }  # fmt: skip
    assert [(s.start, s.end, s.label) for s in store.timeline(1)] == [(0.0, 0.4, 1), (0.4, 0.8, 2)]
    assert store.track(2).fps == 25


def test_any_number_of_processes_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    prepare(Toy(), root, tmp_path / "a", workers=1)
    prepare(Toy(), root, tmp_path / "b", workers=3)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_finished_store_is_left_alone(root: Path, tmp_path: Path) -> None:
    first = prepare(Toy(), root, tmp_path / "s", workers=1)
    before = (tmp_path / "s" / INDEX).stat().st_mtime_ns
    assert prepare(Toy(), root, tmp_path / "s", workers=1) == first
    assert (tmp_path / "s" / INDEX).stat().st_mtime_ns == before
    (root / "r9.txt").write_text("new")
    with pytest.raises(UsageError, match=r"holds a store made from other files or with other options; .*--fresh"):
        prepare(Toy(), root, tmp_path / "s", workers=1)
    assert prepare(Toy(), root, tmp_path / "s", workers=1, fresh=True).rows["test"]["recordings"] == 4


def test_half_a_store_does_not_open(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_join", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(Toy(), root, tmp_path / "s", workers=1)
    with pytest.raises(NoInput, match="its preparation was interrupted: call prepare again, it goes on"):
        open_store(tmp_path / "s")
    monkeypatch.undo()
    read = []
    monkeypatch.setattr(module, "_read_unit", lambda *a: read.append(a))
    prepare(Toy(), root, tmp_path / "s", workers=1)
    assert not read  # every unit was kept
    monkeypatch.undo()
    prepare(Toy(), root, tmp_path / "whole", workers=1)
    assert content(tmp_path / "s") == content(tmp_path / "whole")


KILLED = """
import sys
from tests.datasets.test_prepare import Toy
from microgesture.datasets.prepare import prepare
print("go", flush=True)
prepare(Toy(pause=0.05), sys.argv[1], sys.argv[2], workers=1)
"""


def test_killed_at_random_moments_it_ends_with_the_same_bytes(root: Path, tmp_path: Path) -> None:
    for i in range(6, 16):
        (root / f"r{i:02}.txt").write_text(str(i))
    prepare(Toy(pause=0.05), root, tmp_path / "whole", workers=2)
    draw, killed = random.Random(5), 0
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    while killed < 10:
        command = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "s")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(draw.uniform(0.0, 0.4))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
        if (tmp_path / "s" / INDEX).exists():  # it came to its end: once more from the beginning
            assert content(tmp_path / "s") == content(tmp_path / "whole")
            shutil.rmtree(tmp_path / "s")
    prepare(Toy(pause=0.05), root, tmp_path / "s", workers=2)
    assert content(tmp_path / "s") == content(tmp_path / "whole")
    assert not (tmp_path / "s" / "parts").exists()


def test_a_unit_that_cannot_be_read_leaves_the_others(root: Path, tmp_path: Path) -> None:
    report = prepare(Toy(bad=1), root, tmp_path / "s", workers=2)
    assert report.refused == 1
    assert report.summary("refused") == [
        "refused: the file cannot be read (1): r1.txt, line 3: is torn. Fetch it again"
    ]
    assert report.explained[0].startswith("train: 2 recordings, official 3: 1 x refused: the file cannot be read")
    assert open_store(tmp_path / "s").recordings.num_rows == 5


def test_strict_turns_deviations_into_errors(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckFailed, match=r"not as published \(--strict\):\n  test: 3 recordings, official 1: the files"
    ):
        prepare(Toy(), root, tmp_path / "s", workers=1, strict=True)
    assert not (tmp_path / "s" / INDEX).exists()
    for i in (4, 5):
        (root / f"r{i}.txt").unlink()
    prepare(Toy(), root, tmp_path / "s", workers=1, strict=True)


def test_findings_are_summarised(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Toy, unit: Unit) -> Iterator[Recorded | Finding]:
        for line in range(100):
            yield Finding("refused", "the row cannot be read", str(unit.files[0]), f"line {line}", "'x'")

    monkeypatch.setattr(Toy, "read", read)
    report = prepare(Toy(), root, tmp_path / "s", workers=1)
    (line,) = report.summary("refused")
    assert line == (
        "refused: the row cannot be read (600): r0.txt, line 0: 'x'; r0.txt, line 1: 'x'; r0.txt, line 2: 'x'; "
        "and 597 more"
    )


def test_cuts_that_cannot_be_are_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Toy, unit: Unit) -> Iterator[Recorded]:
        cuts = [Cut("late", 1, 20, 31), Cut("label", 17, 0, 5), Cut("fine", -1, 0, 30)]
        yield Recorded(
            unit.name, "train", np.zeros((1, 30, 22, 2), np.float32), np.ones((1, 30, 22), np.float32), 25, cuts
        )

    monkeypatch.setattr(Toy, "read", read)
    report = prepare(Toy(), root, tmp_path / "s", workers=1)
    told = report.summary("refused")
    assert told[0].startswith("refused: a segment lies outside its recording (6): r0, clip late: frames 20 to 31 of 30")
    assert told[1].startswith("refused: a label is out of range (6): r0, clip label: 17; expected 0..16")
    assert told[2].startswith("refused: the name of a clip occurs twice (1): clip fine")


def test_values_that_are_no_numbers_are_missing_joints(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Toy, unit: Unit) -> Iterator[Recorded]:
        xy, score = np.ones((1, 3, 22, 2), np.float32), np.ones((1, 3, 22), np.float32)
        xy[0, 1, 4, 0], score[0, 2, 5] = np.nan, np.inf
        yield Recorded(unit.name, "train", xy, score, 25, [Cut("c" + unit.name, 1, 0, 3)])

    monkeypatch.setattr(Toy, "read", read)
    prepare(Toy(), root, tmp_path / "s", workers=1)
    xy, score = open_store(tmp_path / "s").frames(0)
    assert np.isfinite(xy).all()
    assert np.isfinite(score).all()
    assert (score[0, 1, 4], score[0, 2, 5], score[0, 0, 0]) == (0, 0, 1)


def test_wrong_roots(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="nowhere: there is no such folder"):
        prepare(Toy(), tmp_path / "nowhere", tmp_path / "s")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckFailed, match="this is no toy"):
        prepare(Toy(), tmp_path / "empty", tmp_path / "s")
    with zipfile.ZipFile(tmp_path / "empty" / "train.zip", "w") as archive:
        archive.writestr("a.txt", "x" * 1000)
    with pytest.raises(CheckFailed, match=r"train\.zip: is a zip archive; unpack it and name the folder"):
        prepare(Toy(), tmp_path / "empty", tmp_path / "s")
    data = (tmp_path / "empty" / "train.zip").read_bytes()
    (tmp_path / "empty" / "train.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckFailed, match=r"train\.zip: is not a whole archive .*: the download broke off\. Fetch it"):
        prepare(Toy(), tmp_path / "empty", tmp_path / "s")
    with pytest.raises(CheckFailed, match=r"train\.zip: is not a whole archive"):
        prepare(Toy(), tmp_path / "empty" / "train.zip", tmp_path / "s")


def test_a_folder_that_may_not_be_listed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Toy, root: Path) -> Found:
        raise PermissionError(13, "Permission denied", str(root / "secret"))

    monkeypatch.setattr(Toy, "find", refuse)
    with pytest.raises(CheckFailed, match=r"secret: may not be read \(Permission denied\); check its permissions"):
        prepare(Toy(), root, tmp_path / "s")


def test_lists_that_cannot_be_read(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Toy, root: Path) -> Found:
        raise FormatError(root / "list.csv", "is torn", place="line 3", remedy="fetch it again")

    monkeypatch.setattr(Toy, "find", refuse)
    with pytest.raises(CheckFailed, match=r"list\.csv, line 3: is torn\. Fetch it again"):
        prepare(Toy(), root, tmp_path / "s")


def test_two_at_once(root: Path, tmp_path: Path) -> None:
    from microgesture.core.durable import held

    (tmp_path / "s").mkdir()
    with held(tmp_path / "s"), pytest.raises(TryAgain, match="another process works in this folder"):
        prepare(Toy(), root, tmp_path / "s")


@pytest.mark.parametrize("name", [INDEX, *FILES])
def test_damage_is_found(root: Path, tmp_path: Path, name: str) -> None:
    prepare(Toy(), root, tmp_path / "s", workers=1)
    path = tmp_path / "s" / name
    good, draw = path.read_bytes(), random.Random(3)
    for _ in range(30):
        bad = bytearray(good)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(FormatError, match=f"{name.partition('.')[0]}|SHA-256|digest"):
            open_store(tmp_path / "s").verify()
    path.write_bytes(good[:-3])
    with pytest.raises(FormatError, match=name):
        open_store(tmp_path / "s")


def test_data_as_distributed_are_prepared_into_the_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROGESTURE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "source_of", lambda key: Toy())
    with pytest.warns(UserWarning, match="holds data as distributed; they are prepared once"):
        first = prepared("toy", root)
    assert first.path.parent == tmp_path / "home" / "cache" / "stores"
    assert prepared("toy", root).path == first.path  # without a word
    (root / "r9.txt").write_text("new")
    with pytest.warns(UserWarning, match="has changed; its data are prepared anew"):
        assert prepared("toy", root).recordings.num_rows == 7
    with pytest.raises(NoInput, match="there is no such folder"):
        prepared("toy", tmp_path / "nowhere")


def test_options_of_a_source() -> None:
    assert source_of("imigue", {"frame_offset": "1", "test_labels": "false"}) == source_of(
        "imigue", {"frame_offset": 1, "test_labels": False}
    )
    with pytest.raises(UsageError, match=r"imigue has no option 'offset'; known: frame_offset, fps, test_labels"):
        source_of("imigue", {"offset": 1})
    with pytest.raises(UsageError, match="option frame_offset is 'x'; expected a value like 0"):
        source_of("imigue", {"frame_offset": "x"})
    with pytest.raises(UsageError, match="no data set 'octopus' to prepare; known: deemo"):
        source_of("octopus")
