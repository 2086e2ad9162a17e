"""Zip archives (npz, xlsx) whose contents are known to fit before anything is unpacked."""

from __future__ import annotations

import zipfile
import zlib

from microgesture.core.errors import FormatError
from microgesture.formats.source import PathLike, check_file

INFLATED_LIMIT = 2 << 30
"""Bytes all members may have together."""
RATIO_LIMIT = 200
"""Inflated bytes per stored byte."""
HARMLESS = 16 << 20
"""Below this inflated size the ratio does not matter: a track of missing joints is all zeros."""
MEMBER_LIMIT = 100_000

# what zipfile raises on bad bytes; NotImplementedError: unknown methods, RuntimeError: encrypted members
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


def open_zip(path: PathLike) -> zipfile.ZipFile:
    """The archive, its declared sizes checked (zipfile never inflates a member beyond what it declares).

    Raises:
        NoInput, NotPermitted, FormatError: not a zip archive, or above a ceiling.
    """
    file = check_file(path)
    try:
        archive = zipfile.ZipFile(file)
    except ZIP_ERRORS as error:
        raise damaged(path, error) from error
    members = archive.infolist()
    inflated = sum(m.file_size for m in members)
    try:
        if len(members) > MEMBER_LIMIT or inflated > INFLATED_LIMIT:
            raise FormatError(
                path,
                f"{len(members):,} members of {inflated:,} bytes in all",
                place="zip directory",
                expected=f"at most {MEMBER_LIMIT:,} and {INFLATED_LIMIT:,} bytes",
                remedy="split it into several files",
            )
        if inflated > HARMLESS and inflated > RATIO_LIMIT * file.stat().st_size:
            raise FormatError(
                path,
                f"would inflate {file.stat().st_size:,} bytes to {inflated:,}",
                place="zip directory",
                expected=f"at most {RATIO_LIMIT} : 1",
                remedy="if you trust it, store it without compression",
            )
        for m in members:
            if m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FormatError(
                    path,
                    f"compression method {m.compress_type}",
                    place=f"member {m.filename[:60]!r}",
                    expected="stored or deflated",
                    remedy="write it again with the usual compression",
                )
    except BaseException:
        archive.close()
        raise
    return archive


def damaged(path: PathLike, error: BaseException, place: str = "zip directory") -> FormatError:
    """The `FormatError` for bytes that are not a sound archive."""
    words = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return FormatError(path, f"not a sound archive ({words})", place=place, remedy="copy or write the file again")
