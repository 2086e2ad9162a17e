"""What all tests share: fixed random choices, no network, and the folder of real recordings (not in the repository)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

NIGHTLY = bool(os.environ.get("MICROGESTURE_NIGHTLY"))

settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("nightly", max_examples=20_000, deadline=None, database=None)
settings.load_profile("nightly" if NIGHTLY else "ci")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Nothing may leave the machine: connections elsewhere than to itself fail."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)

    socket.socket.connect = local_only  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def data() -> Path:
    """Real recordings; they are not part of the repository."""
    folder = Path(os.environ.get("MICROGESTURE_DATA", Path(__file__).parents[1] / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; name their folder with MICROGESTURE_DATA")
    return folder
