"""Writing files so that a crash, a full disk or Ctrl-C never leaves half of one."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microgesture.core.errors import CannotCreate, NotPermitted, OutputFailed, TryAgain


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder (and its parents) or say why it cannot be created.

    Raises:
        NotPermitted: the system refused.
        CannotCreate: anything else, e.g. a file of that name stands in the way.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise NotPermitted(f"{folder}: may not be created ({error.strerror})") from error
    except OSError as error:
        raise CannotCreate(f"{folder}: cannot be created ({error.strerror})") from error
    if not os.access(folder, os.W_OK):
        raise NotPermitted(f"{folder}: folder is not writable; choose another with --out")
    return folder


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success flush it to disk and rename it into place.

    On any error the temporary file is removed and what stood at `path` stays as it was.

    Raises:
        NotPermitted, CannotCreate, OutputFailed: with the path and the system's reason.
    """
    target = Path(path)
    # the suffix is kept at the end: some writers choose the format by it
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    with writing(target):
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, target)
            _flush(target.parent)
        finally:  # inside `writing`: where a folder is missing or closed, removing fails as creating did
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the system's errors inside the block into ours, naming `path`.

    Raises:
        NotPermitted, CannotCreate, OutputFailed: with the path and the system's reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise NotPermitted(f"{path}: may not be written ({error.strerror})") from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            raise CannotCreate(f"{path}: cannot be created ({error.strerror})") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise OutputFailed(f"{path}: writing failed ({error.strerror}); the old content is untouched") from error
        raise


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the system lets go of it however the process ends.

    Raises:
        TryAgain: another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        with writing(folder / ".lock"):
            lock.acquire(timeout=0)
    except Timeout:
        raise TryAgain(
            f"{folder}: another process works in this folder; wait for it, or choose another with --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text durably (see `replacing`)."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes durably (see `replacing`)."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def sha256(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
