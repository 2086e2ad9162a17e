"""Opening an input: is it there, is it a file, is it of a sensible size, is it text? And rates and sizes as text."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from microgesture.core.errors import FormatError, NoInput, NotPermitted, UsageError

PathLike = str | os.PathLike[str]

TEXT_LIMIT = 128 << 20
"""Bytes a text file (CSV, JSON, VTT) may have; 10^6 events need about that as JSON."""
EVENT_LIMIT = 1_000_000
"""Segments a timeline may have."""


def check_file(path: PathLike) -> Path:
    """The path of an existing, non-empty regular file that may be read.

    Raises:
        NoInput: missing, a folder, a pipe or a device (reading those could wait for ever).
        NotPermitted: the system refuses to open it.
        FormatError: it has 0 bytes.
    """
    file = Path(path)
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise NoInput(f"{file}: is a folder, expected a file")
        if not stat.S_ISREG(status.st_mode):
            raise NoInput(f"{file}: is a pipe or device, expected a file; save the data to a file first")
        with file.open("rb"):
            pass
    except PermissionError as error:
        raise NotPermitted(f"{file}: may not be read ({error.strerror})") from error
    except FileNotFoundError as error:
        raise NoInput(f"{file}: does not exist") from error
    except (OSError, ValueError) as error:  # symlink loops, names too long, NUL bytes
        raise NoInput(f"{file}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error
    if status.st_size == 0:
        raise FormatError(file, "the file is empty (0 bytes)", remedy="copy or record it again")
    return file


def read_bytes(path: PathLike, limit: int = TEXT_LIMIT) -> bytes:
    """Content of a file of at most `limit` bytes.

    Raises:
        NoInput, NotPermitted, FormatError: see `check_file`; larger than the limit; unreadable half-way.
    """
    file = check_file(path)
    try:
        size = file.stat().st_size
        if size > limit:
            raise FormatError(
                file,
                f"the file has {size:,} bytes",
                expected=f"at most {limit:,}",
                remedy="split it into several files",
            )
        with file.open("rb") as handle:
            return handle.read(size)  # not the limit: that much would be reserved first
    except OSError as error:
        raise FormatError(file, f"reading failed ({error.strerror})", remedy="check the disk") from error


def read_text(path: PathLike, limit: int = TEXT_LIMIT) -> str:
    """UTF-8 text of a file, without byte order mark.

    Raises:
        NoInput, NotPermitted, FormatError: see `read_bytes`; or the bytes are not UTF-8.
    """
    data = read_bytes(path, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            path,
            f"byte 0x{data[error.start]:02x} is not UTF-8 text",
            place=f"byte {error.start}",
            remedy="save it as text in UTF-8; if it is not a text file, the wrong file was named",
        ) from error


_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(?:/(\d{1,9}))?", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})[xX×](\d{1,5})", re.ASCII)


def frame_rate(text: str) -> float:
    """Frames per second as people and containers write them: a number, or a fraction.

    Raises:
        UsageError: anything else, or outside 0.1 to 1000.

    Example:
        >>> round(frame_rate("30000/1001"), 3), frame_rate("25")
        (29.97, 25.0)
    """
    found = _RATE.fullmatch(text.strip())
    divisor = float(found[2] or 1) if found else 0.0
    rate = float(found[1]) / divisor if found and divisor else 0.0
    if not 0.1 <= rate <= 1000:
        raise UsageError(f"frame rate {text[:40]!r}; expected 0.1 to 1000 per second, such as 25, 29.97 or 30000/1001")
    return rate


def frame_size(text: str) -> tuple[int, int]:
    """Width and height of a picture in pixels.

    Raises:
        UsageError: not two whole numbers from 1 to 16,384.

    Example:
        >>> frame_size("1280x720")
        (1280, 720)
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or not all(0 < int(side) <= 16_384 for side in found.groups()):
        raise UsageError(f"size {text[:40]!r}; expected width x height in pixels, such as 1280x720")
    return int(found[1]), int(found[2])
