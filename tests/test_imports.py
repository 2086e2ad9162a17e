"""What may not be imported before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "mediapipe", "plotly", "pandas", "cv2", "av", "scipy", "sklearn", "jsonargparse")


@pytest.mark.parametrize(
    "statement",
    [
        "import microgesture",
        "from microgesture import Segment, Timeline, taxonomy, skeleton, FormatError",
        "import microgesture.systems.catalogue, microgesture.datasets.catalogue",
        "import microgesture.cli.app",
        "from microgesture.cli.app import app; app(['systems', '--json'], standalone_mode=False)",
        "from microgesture.cli.app import app; app(['datasets', '--json'], standalone_mode=False)",
        "from microgesture.cli.app import app; app(['analyze', '--help'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    check = f"import sys; heavy = [m for m in {HEAVY!r} if m in sys.modules]; sys.exit(' '.join(heavy) or 0)"
    done = subprocess.run([sys.executable, "-c", f"{statement}\n{check}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
