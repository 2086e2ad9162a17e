"""What the pages say is true: examples run, commands, options, targets and links exist, limits match the code."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from microgesture.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for _, kind, body in FENCE.findall(page.read_text()) if kind == language]


def name(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_python_examples(page: str) -> None:
    result = doctest.testfile(str(ROOT / page), module_relative=False)
    assert result.attempted >= 4
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_python_examples_import_exists(page: Path) -> None:
    for line in re.findall(r"^(?:>>> )?(from microgesture[\w.]* import .*)$", page.read_text(), re.MULTILINE):
        exec(line, {})


def test_functions_named_beside_the_commands_exist() -> None:
    table = (ROOT / "docs" / "api.md").read_text().split("## ", 1)[0]
    named = [path for path in re.findall(r"`([\w.]+\.\w+)`", table) if path != "microgesture.MicrogestureError"]
    assert len(named) >= 10
    for path in named:
        module, _, thing = f"microgesture.{path.removeprefix('microgesture.')}".rpartition(".")
        assert hasattr(import_module(module), thing), path


def test_shell_examples_with_output_of_the_readme(tmp_path: Path) -> None:
    examples = [
        example
        for block in blocks(ROOT / "README.md", "console")
        for example in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]
    assert len(examples) >= 2
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command, expected in examples:
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.stdout == expected, command


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_options_exist(page: Path) -> None:
    text = "\n".join(
        [*blocks(page, "sh"), *blocks(page, "console"), *re.findall(r"`(microgesture [^`]*)`", page.read_text())]
    )
    for line in re.findall(r"microgesture ([a-z]\w*[^\n#>]*)", text):
        command, *arguments = shlex.split(line)
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, f"{page.name}: no command '{command}'"
        for option in (a for a in arguments if a.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown.stdout), f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^make ([a-z]+)|`make ([a-z]+)", page.read_text(), re.MULTILINE)
    assert {a or b for a, b in named} <= targets


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index


def test_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| .* \| ([\d,]+) ?\w* ?\| `([\w.]+)\.(\w+)` \|$", (ROOT / "docs/limits.md").read_text(), re.M)
    assert len(rows) >= 17
    for figure, module, constant in rows:
        value = getattr(import_module(f"microgesture.{module}"), constant)
        assert int(figure.replace(",", "")) == value, f"{module}.{constant}"
