"""NumPy archives (.npz) of plain numbers and text: sizes are checked before anything is allocated, no pickles."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from microgesture.core.durable import replacing
from microgesture.core.errors import FormatError
from microgesture.formats.safe_zip import INFLATED_LIMIT, ZIP_ERRORS, damaged, open_zip
from microgesture.formats.source import PathLike, read_bytes

# what reading a header raises on bad bytes: it is a Python literal
_HEADER_ERRORS = (*ZIP_ERRORS, SyntaxError, TypeError, KeyError, tokenize.TokenError, MemoryError, RecursionError)


def write_arrays(path: PathLike, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays durably, uncompressed: the same arrays give the same bytes, and zeros cannot look like a bomb."""
    for name, array in arrays.items():
        if array.dtype.kind not in "biufSU":
            raise ValueError(f"array '{name}' has type {array.dtype}, expected numbers or text")
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_arrays(path: PathLike) -> dict[str, NDArray[Any]]:
    """All arrays of an archive.

    Raises:
        NoInput, NotPermitted, FormatError: damaged, above 2 GiB or 200 : 1, or an array of Python objects.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with open_zip(path) as archive:
        for member in archive.infolist():
            place = f"array {member.filename[:60]!r}"
            try:
                data = archive.read(member)
                arrays[member.filename.removesuffix(".npy")] = _array(data)
            except _HEADER_ERRORS as error:
                raise damaged(path, error, place) from error
    return arrays


def read_array(path: PathLike) -> NDArray[Any]:
    """The array of a `.npy` file.

    Raises:
        NoInput, NotPermitted, FormatError: as `read_arrays`.
    """
    data = read_bytes(path, INFLATED_LIMIT)
    try:
        return _array(data)
    except _HEADER_ERRORS as error:
        raise damaged(path, error, "header") from error


def _array(data: bytes) -> NDArray[Any]:
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)  # type: ignore[no-untyped-call]
    read: Any = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy version {version[0]}.{version[1]}")
    shape, fortran, dtype = read(stream)
    if dtype.kind not in "biufSU":
        raise ValueError(f"type {dtype.str[:20]} is not numbers or text")
    count = 1
    for side in shape:
        if side < 0:
            raise ValueError("a negative side")
        count *= side
    body = len(data) - stream.tell()
    if count * dtype.itemsize != body:
        raise ValueError(f"the header promises {str(count * dtype.itemsize)[:20]} bytes, {body} follow")
    if not body:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def text_array(text: str) -> NDArray[Any]:
    """Text as bytes in an array, for JSON that travels inside an archive."""
    return np.frombuffer(text.encode(), np.uint8)


def text_of(path: PathLike, arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    """What `text_array` was given."""
    array = arrays.get(name)
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise FormatError(
            path,
            f"array '{name}' is missing or not text",
            place="archive",
            expected=f"'{name}' as bytes",
            remedy="name a file of the expected kind, or write it again",
        )
    try:
        return array.tobytes().decode()
    except UnicodeDecodeError as error:
        raise FormatError(
            path, f"array '{name}' is not UTF-8 text", place=f"array '{name}'", remedy="write the file again"
        ) from error
