"""JSON without its traps: NaN and infinity, numbers beyond float, bottomless nesting, doubled keys."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any, NoReturn

from microgesture.core.durable import write_text
from microgesture.core.errors import FormatError
from microgesture.formats.source import TEXT_LIMIT, PathLike, read_text

DEPTH_LIMIT = 64

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def write_json(path: PathLike, value: object) -> None:
    """Write JSON durably, UTF-8, one space of indentation; NaN and infinity are a ValueError."""
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def read_json(path: PathLike, limit: int = TEXT_LIMIT) -> Any:
    """The value of a JSON file.

    Raises:
        NoInput, NotPermitted, FormatError: not UTF-8, not JSON, deeper than 64, NaN or infinity, a key twice.
    """
    return parse_json(path, read_text(path, limit))


def parse_json(path: PathLike, text: str, place: str | None = None) -> Any:
    """As `read_json`, for text that stands at `place` in a file."""
    depth = 0
    for token in _TOKENS.finditer(text):
        sign = token[0][0]
        depth += (sign in "[{") - (sign in "]}")
        if depth > DEPTH_LIMIT:
            raise FormatError(
                path,
                f"nested deeper than {DEPTH_LIMIT} levels",
                place=place or _place(text, token.start()),
                remedy="this is not a file of the expected kind",
            )

    def refuse(word: str) -> NoReturn:
        raise FormatError(
            path,
            f"the number {word[:20]}",
            place=place or "a number",
            expected="finite numbers",
            remedy="write null for a missing value",
        )

    def real(word: str) -> float:
        value = float(word)
        return value if isfinite(value) else refuse(word)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        held = dict(pairs)
        if len(held) != len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:i]))
            raise FormatError(
                path, f"key {twice[:40]!r} occurs twice", place=place or "an object", remedy="remove one of them"
            )
        return held

    try:
        return json.loads(text, parse_constant=refuse, parse_float=real, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise FormatError(
            path,
            f"not valid JSON ({error.msg})",
            place=place or f"line {error.lineno}, column {error.colno}",
            remedy="restore the file or write it again",
        ) from error
    except (ValueError, RecursionError) as error:  # whole numbers of more than 4,300 digits
        raise FormatError(
            path, "a number has too many digits", place=place or "a number", remedy="correct it"
        ) from error


def _place(text: str, offset: int) -> str:
    return f"line {text.count(chr(10), 0, offset) + 1}"
