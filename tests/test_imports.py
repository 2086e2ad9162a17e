"""What may not be imported before it is needed, and that what is imported is declared."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

import microgesture

SOURCE = Path(microgesture.__file__).parent

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


# where the name in `import` differs from the one in `pip install`
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "yaml": "pyyaml", "sklearn": "scikit-learn"}
DISTRIBUTIONS |= {"pympi": "pympi-ling"}


def test_dependencies_are_those_that_are_imported() -> None:
    declared = requires("microgesture") or []
    core = {named(line) for line in declared if "extra ==" not in line}
    extras = {named(line) for line in declared if "extra ==" in line}
    imported = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(str(node.module).partition(".")[0])
    wanted = {DISTRIBUTIONS.get(m, m) for m in imported - set(sys.stdlib_module_names) - {"microgesture"}}
    assert wanted - core - extras == set(), "imported but not declared"
    assert core - wanted == set(), "declared but not imported"


def named(requirement: str) -> str:
    return re.split(r"[\[<>=; ]", requirement, maxsplit=1)[0].lower()
