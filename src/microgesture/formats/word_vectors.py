"""Vectors of words: text as GloVe, word2vec and fastText write it, a word and its numbers per line, or npz."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.errors import FormatError
from microgesture.formats.safe_npz import read_arrays
from microgesture.formats.source import PathLike, check_file

LINE_LIMIT = 1 << 20
"""Bytes of a line; 300 numbers take 3,000. The file may be of any size: it is read line by line, up to the last word
that is wanted."""

_Vectors = dict[str, NDArray[np.float32]]


def read_word_vectors(path: PathLike, words: Collection[str]) -> _Vectors:
    """The vectors of `words`, all of one length; the first one where a word stands twice.

    Args:
        path: text with lines `word v1 v2 ...`, or .npz with `words` (N,) and `vectors` (N, E).
        words: as they stand in the file; those of published files are in small letters.

    Raises:
        NoInput, NotPermitted, FormatError: damaged, above a ceiling, or a word is missing.
    """
    wanted = set(words)
    found = _from_npz(path, wanted) if Path(path).suffix.lower() == ".npz" else _from_text(path, wanted)
    missing = sorted(wanted - found.keys())
    if missing:
        more = ", ..." if len(missing) > 10 else ""
        raise FormatError(
            path,
            f"has no vector for {len(missing)} of {len(wanted)} words: {', '.join(missing[:10])}{more}",
            remedy="add them, or take a larger file",
        )
    return found


def _from_text(path: PathLike, wanted: set[str]) -> _Vectors:
    file = check_file(path)
    found: _Vectors = {}
    number, size = 0, 0
    try:
        with file.open("rb") as stream:
            while len(found) < len(wanted) and (line := stream.readline(LINE_LIMIT + 1)):
                number += 1
                place = f"line {number}"
                if len(line) > LINE_LIMIT:
                    raise FormatError(
                        path, f"has more than {LINE_LIMIT:,} bytes", place=place, expected="a word's vector"
                    )
                first, *rest = line.split(None, 1)[:2] or [b""]
                word = first.decode("utf-8", "replace")
                if word not in wanted or word in found:
                    continue
                vector = _numbers(path, place, word, b"".join(rest))
                size = size or len(vector)
                if len(vector) != size:
                    problem = f"{len(vector)} numbers for '{word}', {size} for the words before"
                    raise FormatError(path, problem, place=place, expected="vectors of one length")
                found[word] = vector
    except OSError as error:
        raise FormatError(path, f"reading failed ({error.strerror})", remedy="check the disk") from error
    return found


def _numbers(path: PathLike, place: str, word: str, text: bytes) -> NDArray[np.float32]:
    try:
        vector = _single([float(part) for part in text.split()])
    except ValueError as error:
        raise FormatError(
            path, f"'{word}' is not followed by numbers", place=place, expected="word v1 v2 ..."
        ) from error
    if not vector.size or not np.isfinite(vector).all():
        problem = "no numbers" if not vector.size else "numbers that are not finite"
        raise FormatError(path, f"{problem} for '{word}'", place=place, expected="word v1 v2 ...")
    return vector


def _single(numbers: ArrayLike) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # too large a number is infinite then, and refused as such
        return np.asarray(numbers).astype(np.float32)


def _from_npz(path: PathLike, wanted: set[str]) -> _Vectors:
    arrays = read_arrays(path)
    words, vectors = arrays.get("words"), arrays.get("vectors")
    sound = words is not None and vectors is not None and words.dtype.kind == "U" and vectors.dtype.kind == "f"
    if words is None or vectors is None or not sound or vectors.ndim != 2 or words.shape != vectors.shape[:1]:
        shapes = ", ".join(f"{name} {array.dtype.str}{array.shape}" for name, array in list(arrays.items())[:4])
        problem = f"holds {shapes or 'no arrays'}"
        raise FormatError(path, problem, expected="words (N,) of text and vectors (N, E) of floats")
    found: _Vectors = {}
    for i, word in enumerate(words.tolist()):
        if word in wanted and word not in found:
            found[word] = _single(vectors[i])
            if not found[word].size or not np.isfinite(found[word]).all():
                raise FormatError(path, f"the vector of '{word}' is empty or not finite", place=f"row {i}")
    return found
