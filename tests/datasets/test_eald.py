from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from microgesture.core.errors import CheckFailed, FormatError
from microgesture.core.taxonomies import IMIGUE
from microgesture.datasets import eald as module
from microgesture.datasets.eald import EALD, records
from microgesture.datasets.prepare import Report, prepare, source_of
from microgesture.datasets.store import open_store
from microgesture.formats.pose_npz import read_npz
from microgesture.simulation.lookalikes.write import Size, write_lookalike


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lookalike("eald", tmp_path_factory.mktemp("eald"), Size(recordings=5, minutes=0.3, films=False), 4)


@pytest.fixture
def root(release: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(release, tmp_path / "root"))


def made(root: Path, **options: str) -> Report:
    return prepare(source_of("eald", options), root, root.parent / "store", workers=1, fresh=True)


def test_interviews_with_stretches_and_an_emotion_each(root: Path) -> None:
    report = made(root)
    assert {s: r["recordings"] for s, r in report.rows.items()} == {"train": 3, "val": 1, "test": 1}
    assert report.simulated
    assert not report.refused
    assert [line.split(":")[1].strip() for line in report.summary()] == [
        "classes are assumed to be iMiGUE's (1)",
        "splits are ours (1)",
    ]
    store = open_store(root.parent / "store")
    told = list(records(root))
    assert store.states_of == ("negative", "positive")
    assert [store.states_of[s["label"]] for s in store.states.to_pylist()] == [r.label for r in told]
    assert [s["split"] for s in store.states.to_pylist()] == [r.split for r in told]
    for number, record in enumerate(told):
        held = [(IMIGUE[s.label].name, s.start, s.end) for s in store.timeline(number)]
        assert [name for name, _, _ in held] == [name for _, _, name in record.nfbl]
        for (_, start, end), (a, b, _) in zip(held, record.nfbl, strict=True):
            assert abs(start - a) <= 0.041
            assert abs(end - b) <= 0.041
    data = EALD(str(root.parent / "store"))
    assert data.clips("train")[0][0].shape[2] == 22
    assert EALD(joints="canonical").skeleton.name == "canonical"


def test_files_beside_are_named(root: Path) -> None:
    assert next(iter(records(root))).video == ""
    for folder, suffix in (("videos", ".mp4"), ("audio", ".wav")):
        (root / folder).mkdir()
        (root / folder / f"interview_000{suffix}").write_bytes(b"x")
    first = next(iter(records(root)))
    assert (first.video, first.audio) == ("videos/interview_000.mp4", "audio/interview_000.wav")


def test_splits_that_are_stated_win_and_subjects_stay_together(root: Path) -> None:
    ben = "interview_00{0},Positive,,ben{0}\r\n"
    rows = "".join("interview_002,,test,anna\r\n" if i == 2 else ben.format(i) for i in range(5))
    (root / "labels.csv").write_text(f"video,emotion,split,subject\r\n{rows}", newline="")
    # the others are placed by person: anna, ben0, ben1, ben3, ben4
    assert [r.split for r in records(root)] == ["test", "train", "test", "val", "train"]
    made(root)
    store = open_store(root.parent / "store")
    assert store.states.column("label").to_pylist() == [1, 1, -1, 1, 1], "an empty emotion is withheld"
    assert store.recordings.column("split").to_pylist()[2] == "test"
    assert store.recordings.column("subject").to_pylist() == [1, 2, 0, 3, 4]


def test_rows_that_cannot_be_are_told(root: Path) -> None:
    rows = "start,end,class\n1,2,Head up\n3,2,Head up\n1,2,Dancing\nsoon,2,Head up\n900,901,Head up\n"
    (root / "nfbl" / "interview_000.csv").write_text(rows)
    (root / "nfbl" / "interview_001.csv").unlink()
    (root / "poses" / "interview_002.npz").unlink()
    report = made(root)
    told = "\n".join(report.summary())
    assert "cannot be read (3): nfbl/interview_000.csv, line 3: the segment runs from 3.000" in told
    assert "line 4: taxonomy 'imigue' has no label 'Dancing'" in told
    assert "line 5: start is 'soon'" in told
    assert "a segment holds no frame of its recording (1)" in told
    assert "no body language (1)" in told
    assert "no poses (1)" in told
    assert "there is no film either" in told
    with pytest.raises(FormatError, match=r"nfbl/interview_000.csv, line 3: the segment runs from 3.000"):
        list(records(root))


def test_films_are_estimated_on_demand(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poses = root / "poses" / "interview_000.npz"
    track = read_npz(poses)[0]
    poses.unlink()
    (root / "videos").mkdir()
    (root / "videos" / "interview_000.mp4").write_bytes(b"film")
    assert "set estimate=true to find the person in the film" in "\n".join(made(root).summary("missing"))
    monkeypatch.setattr(module, "estimated", lambda film, persons: (track,))
    report = made(root, estimate="true")
    assert not report.summary("missing")
    assert open_store(root.parent / "store").recordings.to_pylist()[0]["video"] == "videos/interview_000.mp4"


@pytest.mark.parametrize(
    "text, words",
    [
        ("video,emotion\na,glad\n", "labels.csv, line 2: 'glad'; expected negative or positive"),
        ("video,emotion,split\na,positive,later\n", "'later'; expected train or val or test"),
        ("video,emotion\na,\na,\n", "line 3: video 'a' occurs twice"),
        ("video,emotion\n../a,\n", "video '../a' is no name of a file"),
        ("video,emotion\n", "lists no video"),
        ("video\na\n", "column 'emotion' is missing"),
        ("video,emotion\na,positive\n", r"1 interviews and no poses. Looked for poses/a.npz"),
    ],
)
def test_wrong_tables_are_refused(root: Path, text: str, words: str) -> None:
    (root / "labels.csv").write_text(text)
    with pytest.raises(CheckFailed, match=words):
        made(root)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"this is not EALD in our layout. Looked for labels.csv"):
        made(tmp_path)
