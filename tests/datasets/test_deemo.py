from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from microgesture.core.errors import CheckFailed
from microgesture.core.taxonomies import IMIGUE
from microgesture.datasets.deemo import DEEMO, records
from microgesture.datasets.prepare import Report, prepare, source_of
from microgesture.datasets.store import open_store
from microgesture.simulation.lookalikes.write import Size, write_lookalike


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lookalike("deemo", tmp_path_factory.mktemp("deemo"), Size(recordings=5, minutes=0.3, films=False), 4)


@pytest.fixture
def root(release: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(release, tmp_path / "root"))


def made(root: Path, **options: str) -> Report:
    return prepare(source_of("deemo", options), root, root.parent / "store", workers=1, fresh=True)


def spoil(root: Path, **changes: Any) -> None:
    """Change the first record."""
    rows = json.loads((root / "records.json").read_text())
    rows[0] |= changes
    (root / "records.json").write_text(json.dumps(rows))


def test_videos_with_stretches_and_emotions_of_clips(root: Path) -> None:
    report = made(root)
    assert {s: r["recordings"] for s, r in report.rows.items()} == {"train": 3, "val": 1, "test": 1}
    assert report.simulated
    assert not report.refused
    told, store = records(root), open_store(root.parent / "store")
    assert store.taxonomy == IMIGUE, "all names are iMiGUE's"
    states = store.states.to_pylist()
    assert [s["name"] for s in states] == [r.id for r in told]
    assert [store.states_of[s["label"]] for s in states] == [r.label for r in told]
    assert (states[1]["start"], states[1]["frames"]) == (225, 225), "the second half of 18 s at 25 per second"
    assert store.clips.num_rows == sum(len(r.nfbl) for r in told)
    assert told[0].text
    assert all(any(name in clue for clue in told[0].clues) for _, _, name in told[0].nfbl)
    data = DEEMO(str(root.parent / "store"))
    assert data.taxonomy == IMIGUE
    assert data.clips("test")[0][0].shape[2] == 22
    assert DEEMO().taxonomy == IMIGUE, "assumed, before the data are there"


def test_classes_are_those_of_the_list_or_of_the_records(root: Path) -> None:
    spoil(root, nfbl=[{"start": 1, "end": 2, "label": "Twirling a pen"}])
    report = made(root)
    assert report.taxonomy.key == "deemo"
    assert "Twirling a pen" in report.taxonomy.names
    assert DEEMO(str(root.parent / "store")).taxonomy == report.taxonomy
    (root / "nfbl_classes.txt").write_text("Twirling a pen\n手势\n")
    report = made(root)
    assert report.taxonomy.names == ("Twirling a pen", "手势")
    assert "body language that cannot be" in "\n".join(report.summary("refused"))
    (root / "nfbl_classes.txt").write_text("a\nA\n")
    with pytest.raises(CheckFailed, match=r"nfbl_classes.txt: 2 classes; expected every class once"):
        made(root)


def test_a_segment_told_by_two_clips_is_one(root: Path) -> None:
    row = {"start": 1.0, "end": 2.0, "label": "Head up"}
    rows = json.loads((root / "records.json").read_text())
    before = sum(len(r["nfbl"]) for r in rows[2:])
    rows[0]["nfbl"] = rows[1]["nfbl"] = [row]
    (root / "records.json").write_text(json.dumps(rows))
    assert sum(r["clips"] or 0 for r in made(root).rows.values()) == before + 1


def test_splits_that_are_stated_win_for_all_clips_of_a_video(root: Path) -> None:
    spoil(root, split="test")
    assert [r.split for r in records(root)[:2]] == ["test", "test"]
    rows = json.loads((root / "records.json").read_text())
    rows[1]["split"] = "train"
    (root / "records.json").write_text(json.dumps(rows))
    with pytest.raises(CheckFailed, match=r"clips of videos/0000\.mp4 lie in test and in train"):
        made(root)


def test_a_video_without_poses_is_told(root: Path) -> None:
    (root / "poses" / "0001.npz").unlink()
    assert "no poses (1): poses/0001.npz: there is no film either" in "\n".join(made(root).summary("missing"))
    shutil.rmtree(root / "poses")
    with pytest.raises(CheckFailed, match=r"5 videos and no poses. Looked for poses/0000.npz"):
        made(root)


def test_videos_of_one_stem_are_told_apart_by_their_folder(root: Path) -> None:
    spoil(root, video="more/0001.mp4")
    (root / "poses" / "more").mkdir()
    (root / "poses" / "videos").mkdir()
    shutil.copy(root / "poses" / "0000.npz", root / "poses" / "more" / "0001.npz")
    shutil.move(root / "poses" / "0001.npz", root / "poses" / "videos" / "0001.npz")
    made(root)
    names = open_store(root.parent / "store").recordings.column("name").to_pylist()
    assert {"more/0001", "videos/0001", "0000"} <= set(names)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"label": "glad"}, "record 0: 'label' is 'glad'; expected negative or positive"),
        ({"split": "later"}, "'split' is 'later'; expected train, val, test"),
        ({"video": "/etc/a.mp4"}, "'video' is '/etc/a.mp4'; expected a file below the root"),
        ({"video": "../a.mp4"}, "expected a file below the root"),
        ({"video": None}, "'video' is None; expected text"),
        ({"clues": [1]}, r"'clues' is \[1\]; expected a list of texts"),
        ({"nfbl": ["Head up"]}, "expected a list of {start, end, label}"),
        ({"nfbl": [{"start": "soon", "end": 2, "label": "Head up"}]}, "'start' is 'soon'; expected seconds"),
        ({"start": 5, "end": 2}, "the clip runs from 5 to 2 s; expected start < end"),
        ({"id": "0001_0"}, "the id '0001_0' occurs twice"),
    ],
)
def test_wrong_records_are_refused(root: Path, changes: dict[str, Any], words: str) -> None:
    spoil(root, **changes)
    with pytest.raises(CheckFailed, match=words):
        made(root)


def test_rows_that_cannot_be_are_told(root: Path) -> None:
    spoil(root, nfbl=[{"start": 3, "end": 2, "label": "Head up"}], label=None)
    report = made(root)
    assert "record 0000_0: the segment runs from 3.000 s to 2.000 s" in "\n".join(report.summary("refused"))
    assert open_store(root.parent / "store").states.column("label").to_pylist()[0] == -1


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"this is not DEEMO in our layout. Looked for records.json"):
        made(tmp_path)
    for text, words in (("[]", "holds no records; expected a list of objects"), ("[1]", "record 0: is no object")):
        (tmp_path / "records.json").write_text(text)
        with pytest.raises(CheckFailed, match=words):
            made(tmp_path)
