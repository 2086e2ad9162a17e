from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import NoReturn

import pytest

from microgesture.core.durable import make_folder, replacing, sha256, write_bytes, write_text
from microgesture.core.errors import CannotCreate, NotPermitted, OutputFailed


def test_written_text_replaces_the_old_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "old")
    write_text(path, "nöw")
    assert path.read_bytes() == "nöw".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_an_interrupted_write_keeps_the_old_content(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_name_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "clip.mp4") as temporary:
        assert temporary.suffix == ".mp4"
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"film")
    assert (tmp_path / "clip.mp4").read_bytes() == b"film"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOSPC, OutputFailed, "No space left on device"),
        (errno.EDQUOT, OutputFailed, "untouched"),
        (errno.EIO, OutputFailed, "writing failed"),
        (errno.EACCES, NotPermitted, "Permission denied"),
        (errno.EROFS, NotPermitted, "may not be written"),
    ],
)
def test_system_errors_become_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], words: str
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "notes.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(kind, match=words) as error:
        write_text(path, "new")
    assert str(path) in str(error.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_bug_of_ours_is_not_dressed_up(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd"), replacing(tmp_path / "x"):
        raise OSError(errno.EBADF, "odd")


def test_writing_where_nothing_can_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotCreate, match=r"file/x.txt: cannot be created \(Not a directory\)"):
        write_text(tmp_path / "file" / "x.txt", "new")
    with pytest.raises(CannotCreate, match=r"none/x.txt: cannot be created \(No such file or directory\)"):
        write_text(tmp_path / "none" / "x.txt", "new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotCreate, match=r"folder: cannot be created \(Is a directory\)"):
        write_bytes(tmp_path / "folder", b"new")


def test_make_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotCreate, match=r"file: cannot be created \(File exists\)"):
        make_folder(tmp_path / "file")
    with pytest.raises(CannotCreate, match=r"file/x: cannot be created \(Not a directory\)"):
        make_folder(tmp_path / "file" / "x")
    # a refusal is imitated: tests may run as root, whom nobody refuses
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NotPermitted, match=r"a: folder is not writable; choose another with --out"):
        make_folder(tmp_path / "a")


def test_make_folder_refused_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(NotPermitted, match=r"a: may not be created \(Permission denied\)"):
        make_folder(tmp_path / "a")


def test_sha256_reads_in_pieces(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000  # more than one piece of 1 MiB
    (tmp_path / "x").write_bytes(data)
    assert sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()
