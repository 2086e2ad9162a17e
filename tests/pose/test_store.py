"""A store gives back what was put in, in pieces, and notices every change to its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import FormatError, NoInput
from microgesture.pose.assemble import CANONICAL
from microgesture.pose.store import PoseStore, Recording, create_store, fingerprint, open_store

INFO = Recording("talk.mp4", 10.0, (640, 360), 0.0)


def filled(folder: Path, chunks: int = 3, persons: int = 2) -> tuple[PoseStore, np.ndarray, np.ndarray]:
    """A store of `chunks` x 200 frames at 10 frames per second; the second person is seen in the first chunk only."""
    random = np.random.default_rng(0)
    xy = random.normal(300, 50, (persons, 200 * chunks, len(CANONICAL), 2)).astype(np.float32)
    score = random.uniform(0.1, 1, xy.shape[:3]).astype(np.float32)
    score[1:, 200:] = 0
    store = create_store(folder, INFO, persons, {"bytes": 1}, {"side": 720})
    for k in range(chunks):
        part = slice(200 * k, 200 * (k + 1))
        store.append(np.arange(part.start, part.stop) / 10, xy[:, part], score[:, part])
    store.finish(["half of it is green"])
    return store, xy, score


def test_what_was_written_is_read_whole_and_in_pieces(tmp_path: Path) -> None:
    _, xy, score = filled(tmp_path)
    store = open_store(tmp_path)
    assert (store.frames, store.persons, store.complete, store.notes) == (600, 2, True, ("half of it is green",))
    assert store.info == Recording("talk.mp4", 10.0, (640, 360), pytest.approx(60.0))
    whole = store.track(0)
    assert np.array_equal(whole.xy, xy[0])
    assert np.array_equal(whole.score, score[0])
    assert whole.skeleton is CANONICAL
    for start, end in ((0.0, 20.0), (19.95, 20.05), (12.3, 47.0), (59.9, 1e9), (5.0, 5.0), (100.0, 200.0)):
        piece = store.track(1, start, end)
        inside = (whole.times >= start) & (whole.times < end)
        assert np.array_equal(piece.times, whole.times[inside])
        assert np.array_equal(piece.score, score[1, inside])
        assert piece.person == 1


def test_shares_of_frames_with_each_person(tmp_path: Path) -> None:
    store, _, _ = filled(tmp_path)
    assert store.seen == (1.0, pytest.approx(1 / 3))
    assert store.seen_share == 1.0


def test_memory_holds_two_chunks_at_most(tmp_path: Path) -> None:
    filled(tmp_path, chunks=6)
    store = open_store(tmp_path)
    store.track(0)
    assert len(store._loaded) == 2


def test_no_such_person(tmp_path: Path) -> None:
    store, _, _ = filled(tmp_path)
    with pytest.raises(IndexError, match=r"no person 2: .* holds 2, counted from 0"):
        store.track(2)


def test_every_flipped_bit_of_a_chunk_is_noticed_and_the_file_named(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "poses-00001.npz"
    data = path.read_bytes()
    for at in np.random.default_rng(1).integers(0, len(data), 60):
        broken = bytearray(data)
        broken[at] ^= 1 << (at % 8)
        path.write_bytes(broken)
        with pytest.raises(FormatError, match=r"poses-00001\.npz: .*SHA-256.* Delete the folder"):
            open_store(tmp_path).track(0)
        with pytest.raises(FormatError, match=r"poses-00001\.npz"):
            open_store(tmp_path).verify()
        assert len(open_store(tmp_path).track(0, 0, 20)) == 200  # the others can still be read


def test_a_missing_chunk_is_named(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "poses-00002.npz").unlink()
    with pytest.raises(FormatError, match=r"poses-00002\.npz: the file is missing"):
        open_store(tmp_path).verify()


def test_a_chunk_of_another_shape_is_refused_though_its_checksum_fits(tmp_path: Path) -> None:
    filled(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text())
    index["chunks"][0]["frames"] = 199
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match=r"poses-00000\.npz: is not a chunk of poses \(shapes \(2, 200, 47, 2\)"):
        open_store(tmp_path).track(0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 99}, "it has version 99, this is version 1"),
        ({"format": "other"}, "it was not written by this package"),
        ({"persons": 0}, "its numbers contradict each other"),
        ({"chunks": [{"file": "x"}]}, "is not a readable index"),
        ({"recording": None}, "is not a readable index"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    filled(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | change))
    with pytest.raises(FormatError, match=words):
        open_store(tmp_path)


def test_an_index_may_not_name_files_elsewhere(tmp_path: Path) -> None:
    filled(tmp_path)
    text = (tmp_path / "index.json").read_text().replace("poses-00000.npz", "../poses-00000.npz")
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(FormatError, match="files outside the folder"):
        open_store(tmp_path)


def test_every_truncated_index_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    text = (tmp_path / "index.json").read_text().rstrip()
    for length in range(0, len(text), 37):
        (tmp_path / "index.json").write_text(text[:length])
        with pytest.raises(FormatError, match=r"index\.json"):
            open_store(tmp_path)


def test_a_folder_without_index_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="holds no poses"):
        open_store(tmp_path)


def test_a_new_store_gives_up_the_old_chunks(tmp_path: Path) -> None:
    filled(tmp_path)
    create_store(tmp_path, INFO, 1, {}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["index.json"]


def test_the_fingerprint_sees_size_time_and_both_ends(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(bytes(3 << 20))
    first = fingerprint(file)
    shutil.copy2(file, tmp_path / "b")
    assert fingerprint(tmp_path / "b") == first
    for at in (0, (3 << 20) - 1):
        data = bytearray(3 << 20)
        data[at] = 1
        (tmp_path / "b").write_bytes(data)
        assert fingerprint(tmp_path / "b")["sha256_ends"] != first["sha256_ends"]
