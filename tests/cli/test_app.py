"""Exit codes, messages, and which of them go where."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from microgesture.cli import app as commands
from microgesture.cli.app import BUG_REPORT, app
from microgesture.cli.console import Debug
from microgesture.core import errors
from microgesture.core.errors import FormatError, MicrogestureError, MissingExtra

COMMANDS = [
    *("analyze", "recognize", "simulate", "prepare", "inspect", "train", "test", "submit", "compare"),
    *("import-checkpoint", "export"),
    *("transfer", "emotion", "agree", "check", "convert", "systems", "datasets", "info", "doctor", "version"),
]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The application with one command more, `fail KIND`, that raises."""
    kinds: dict[str, BaseException] = {
        "extra": MissingExtra("pose", "reading poses from video"),
        "format": FormatError("a.csv", "column 'x' is missing", place="line 1", remedy="export it again"),
        "full": OSError(errno.ENOSPC, "No space left on device", "out/report.html"),
        "denied": PermissionError(errno.EACCES, "Permission denied", "out"),
        "absent": FileNotFoundError(errno.ENOENT, "No such file or directory", "clip.mp4"),
        "bug": ZeroDivisionError("division by zero"),
        "memory": MemoryError(),
        "ctrl-c": KeyboardInterrupt(),
        "pipe": BrokenPipeError(errno.EPIPE, "Broken pipe"),
        "socket": OSError(errno.ECONNREFUSED, "Connection refused"),
    }
    other = typer.Typer(cls=commands._Commands, pretty_exceptions_enable=False)

    @other.command()
    def fail(kind: str, debug: Debug = False) -> None:
        raise kinds[kind]

    @other.command()
    def other_command() -> None: ...

    return other


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("extra", 69, "reading poses from video needs the extra 'pose': pip install 'microgesture[pose]'"),
        ("format", 65, "a.csv, line 1: column 'x' is missing. Export it again"),
        ("full", 74, "[Errno 28] No space left on device: 'out/report.html'"),
        ("denied", 77, "[Errno 13] Permission denied: 'out'"),
        ("absent", 66, "[Errno 2] No such file or directory: 'clip.mp4'"),
        ("memory", 74, "not enough memory"),
        ("bug", 70, f"ZeroDivisionError: division by zero; {BUG_REPORT}"),
        ("socket", 70, f"ConnectionRefusedError: [Errno 111] Connection refused; {BUG_REPORT}"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(failing: typer.Typer, kind: str, code: int, message: str) -> None:
    result = CliRunner().invoke(failing, ["fail", kind])
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"microgesture: {message}\n", "")


def test_ctrl_c_ends_with_130(failing: typer.Typer) -> None:
    result = CliRunner().invoke(failing, ["fail", "ctrl-c"])
    assert (result.exit_code, result.stderr) == (130, "interrupted; what was finished is kept\n")


def test_debug_shows_the_traceback(failing: typer.Typer) -> None:
    result = CliRunner().invoke(failing, ["fail", "format", "--debug"])
    assert result.exit_code == 65
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("microgesture: a.csv, line 1: column 'x' is missing. Export it again\n")


def test_help_lists_every_command_and_exit_code() -> None:
    text = " ".join(run("--help").stdout.split())
    for command in COMMANDS:
        assert command in text
    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, MicrogestureError)
    }
    for code in {0, 1, 130, *codes}:
        assert f" {code} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"microgesture {command}" in result.stdout.partition("Example")[2]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "version"])
def test_every_command_can_be_quiet_and_debugged(command: str) -> None:
    text = run(command, "--help").stdout
    assert "--quiet" in text
    assert "--debug" in text


def test_no_command_prints_help_and_is_a_usage_error() -> None:
    result = run()
    assert result.exit_code == 2
    assert "Usage: " in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["anlyze", "a.mp4"], "No such command 'anlyze'"),
        (["analyze"], "Missing argument 'INPUT'"),
        (["recognize", "a.mp4", "--tap", "3"], "No such option: --tap"),
        (["recognize", "a.mp4", "--top", "many"], "Invalid value for '--top'"),
        (["recognize", "a.mp4", "--persons", "65"], "Invalid value for '--persons'"),
        (["recognize", "a.mp4", "--taxonomy", "klingon"], "no taxonomy 'klingon'; known: imigue, smg, ma52, ma52_body"),
        (["recognize", "a.mp4", "--taxonomy", "imigu"], "no taxonomy 'imigu'; did you mean imigue or smg?"),
        (["recognize", "a.mp4", "--top", "33"], "top 33 is outside 1..32, the classes of 'imigue'"),
        (["recognize", "a.mp4", "--top", "18", "--taxonomy", "smg"], "top 18 is outside 1..17, the classes of 'smg'"),
        (["recognize", "a.mp4", "--top", "0"], "top 0 is outside 1..32, the classes of 'imigue'"),
        (["systems", "--status", "ready"], "unknown status 'ready'; known: planned, available"),
        (
            ["simulate", "--out", "x", "--like", "ntu", "--clips", "3"],
            "unknown data set 'ntu' for --like; known: imigue, smg, ma52",
        ),
        (["simulate", "--out", "x"], "say either --clips N or --minutes M"),
        (["simulate", "--out", "x", "--clips", "3", "--minutes", "1"], "say either --clips N or --minutes M"),
    ],
)
def test_usage_errors_end_with_2_and_write_nothing(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    said = " ".join(result.stderr.replace("│", " ").split())
    assert message in said
    assert (result.exit_code, result.stdout) == (2, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("analyze", "none.mp4"),
        ("recognize", "none.gif"),
        ("info", "none.npz"),
        ("train", "none.yaml"),
        ("test", "none.yaml"),
    ],
)
def test_missing_input_ends_with_66(command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(command, name)
    assert (result.exit_code, result.stdout, result.stderr) == (66, "", f"microgesture: {name}: does not exist\n")
    assert not list(tmp_path.iterdir())


def test_systems_as_json_and_as_tab_separated_table() -> None:
    rows = json.loads(run("systems", "--json").stdout)
    lines = [line.split("\t") for line in run("systems").stdout.splitlines()]
    assert lines[0][:2] == ["key", "title"]
    assert [row["key"] for row in rows] == [line[0] for line in lines[1:]]
    assert {"h2oformer", "u_s_vae", "deemo_llama", "stgcnpp"} <= {row["key"] for row in rows}


def test_systems_can_be_filtered() -> None:
    available = json.loads(run("systems", "--json", "--status", "available").stdout)
    planned = json.loads(run("systems", "--json", "--status", "planned").stdout)
    assert {row["status"] for row in available} == {"available"}
    assert {"stgcn", "stgcnpp", "ctrgcn"} <= {row["key"] for row in available}
    assert len(available) + len(planned) == len(json.loads(run("systems", "--json").stdout))


def test_datasets_as_json() -> None:
    rows = json.loads(run("datasets", "--json").stdout)
    assert {"imigue", "smg", "ma52", "spontaneous2019", "eald", "deemo"} <= {row["key"] for row in rows}


def test_a_reader_that_stops_early_gets_no_complaint() -> None:
    command = f"{sys.executable} -m microgesture systems --json | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_ctrl_c_in_the_middle_ends_with_130_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "microgesture", "simulate", "--minutes", "600", "--out", str(out)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # shells start background jobs deaf to SIGINT, and children inherit that: hear it, whoever runs the tests
    with subprocess.Popen(
        command, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **piped
    ) as process:
        while not out.exists():  # the command is at work from here on
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        for _ in range(10):  # Python loses an interrupt that hits a destructor: press again, as people do
            process.send_signal(signal.SIGINT)
            try:
                said, complained = process.communicate(timeout=5)
                break
            except subprocess.TimeoutExpired:
                continue
    assert (process.returncode, said, complained) == (130, "", "interrupted; what was finished is kept\n")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("variable", ["NO_COLOR=1", "TERM=dumb", ""])
def test_without_a_terminal_there_is_no_colour(variable: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR")}
    environment |= dict([variable.split("=")]) if variable else {}
    done = subprocess.run(
        [sys.executable, "-m", "microgesture", "recognize"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2
    assert "\x1b[" not in done.stdout + done.stderr
