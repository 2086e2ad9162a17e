"""Inputs that went wrong on their way: the same ones in every run."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from microgesture.core.errors import FormatError

COUNT = int(os.environ.get("MICROGESTURE_FUZZ") or (200_000 if os.environ.get("MICROGESTURE_NIGHTLY") else 2_000))
"""Mutated inputs per reader of text or arrays; `MICROGESTURE_FUZZ` sets another figure."""

_TOKENS = (
    *(b"NaN", b"inf", b"-1", b"1e999", b"9" * 30, b"\x00", b"\xff\xfe", b'"', b"'", b",", b"\n\n", b"\r", b"<", b"]]>"),
    *(b"{", b"[", b"}", b"=1+1", b"-->", b"99:59:59.999", b"\xe2\x80\xae", b"0x10", b"1_0", b";", b"null", b"true"),
)


def mutated(original: bytes, seed: int) -> bytes:
    """`original` with one to eight wounds: bits, bytes, cuts, repeats, swaps, tokens that hurt, a lost end."""
    rng = random.Random(seed)
    data = bytearray(original)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
        low, high = min(at, other), min(max(at, other), min(at, other) + 64)
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 2:
            del data[low:high]
        elif kind == 3:
            data[at:at] = data[low:high]
        elif kind == 4:
            data[at:at] = rng.choice(_TOKENS)
        elif kind == 5:
            data[low:high] = rng.choice(_TOKENS)
        elif kind == 6 and rng.random() < 0.3:
            del data[at:]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(data)


def hold_the_contract(read: Callable[[Path], object], original: bytes, path: Path, count: int = COUNT) -> None:
    """Every mutant is read, or refused by a FormatError with file, place or problem, and remedy.

    A reader that refuses everything (or nothing) would pass by accident: both must happen.
    """
    path.write_bytes(original)
    read(path)
    refused = 0
    for seed in range(count):
        data = mutated(original, seed)
        path.write_bytes(data)
        try:
            read(path)
        except FormatError as error:
            refused += 1
            if error.path != str(path) or not error.problem or not error.remedy:
                pytest.fail(f"seed {seed}: the message lacks file or remedy: {error}")
            if len(str(error)) > 1500:
                pytest.fail(f"seed {seed}: a message of {len(str(error))} characters")
        except Exception as error:  # noqa: BLE001 - this is the test: no other exception may leave a reader
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
    assert 0 < refused < count


def truncations(data: bytes, step: int, end: int | None = None) -> Iterator[bytes]:
    """The first `step`, `2 * step`, ... bytes."""
    for length in range(step, min(len(data), end or len(data)), step):
        yield data[:length]
