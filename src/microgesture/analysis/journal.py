"""The journal of an analysis: what has been recognised so far, on disk, line by line.

Each line is a JSON object with a SHA-256 over itself. A line is on the disk before the next one is begun, so a
process killed at any moment loses at most the piece it was working on; a line that was torn or altered since is
recognised by its checksum, dropped and worked out again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import write_bytes, writing


class Journal:
    """Posteriors per (person, piece), with the warnings met there. Use it in a `with` block.

    Args:
        path: the file; created if absent.
        header: what the results depend on (input, model, label space). A journal with another header is not
            continued but begun anew.

    Raises:
        NotPermitted, CannotCreate, OutputFailed: as in `core.durable`.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.damaged = 0
        """Lines of an earlier run that did not match their checksum."""
        self._done: dict[tuple[int, int], tuple[NDArray[np.float32], tuple[str, ...]]] = {}
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        kept = [_line(header)]
        if lines and lines[0] == kept[0]:
            for line in filter(None, lines[1:]):
                entry = _checked(line)
                if entry is None:
                    self.damaged += 1
                    continue
                data = np.frombuffer(base64.b64decode(entry["posteriors"]), "<f4").reshape(entry["shape"])
                self._done[entry["person"], entry["piece"]] = (data, tuple(entry["unusual"]))
                kept.append(line)
        if lines != [*kept, b""]:
            write_bytes(path, b"\n".join([*kept, b""]))
        with writing(path):
            self._file = open(path, "ab")  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._done)

    def get(self, person: int, piece: int) -> tuple[NDArray[np.float32], tuple[str, ...]] | None:
        """Posteriors (n, K) and warnings of a piece, or None if it has to be worked out."""
        return self._done.get((person, piece))

    def add(self, person: int, piece: int, posteriors: NDArray[np.float32], unusual: tuple[str, ...]) -> None:
        """Record a piece; on return it is on the disk."""
        data = np.ascontiguousarray(posteriors, "<f4")
        entry = {
            "person": person,
            "piece": piece,
            "shape": list(data.shape),
            "unusual": list(unusual),
            "posteriors": base64.b64encode(data.tobytes()).decode(),
        }
        with writing(self.path):
            self._file.write(_line(entry) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        self._done[person, piece] = (data, unusual)


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, sort_keys=True, ensure_ascii=False)
    return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "entry": text}, ensure_ascii=False).encode()


def _checked(line: bytes) -> dict[str, Any] | None:
    """The entry of a line, or None if the line is not what was written."""
    try:
        outer = json.loads(line)
        text = outer["entry"]
        if hashlib.sha256(text.encode()).hexdigest() != outer["sha256"]:
            return None
        entry: dict[str, Any] = json.loads(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry
