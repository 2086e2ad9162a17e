"""Progress in logs, silence with --quiet, tables for people and for pipes."""

from __future__ import annotations

import re

import pytest

from microgesture.cli import console
from microgesture.cli.console import settings


@pytest.fixture(autouse=True)
def fresh_settings() -> None:
    settings.quiet = settings.debug = False


def test_progress_in_a_log_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    with console.progress() as show:
        for second in range(26):
            now = float(second)
            show("poses", second, 25)
            show("poses", second, 25)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["poses: 0 %", "poses: 40 %", "poses: 80 %", "poses: 100 %"]
    assert captured.out == ""


def test_progress_of_unknown_length_shows_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as show:
        show("frames", 120, 0)
    assert capsys.readouterr().err == "frames: 120\n"


@pytest.mark.parametrize(("quiet", "wanted"), [(True, True), (False, False)])
def test_progress_can_be_silenced(quiet: bool, wanted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    settings.quiet = quiet
    with console.progress(wanted) as show:
        show("poses", 1, 2)
    assert capsys.readouterr().err == ""


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with console.progress() as show:
        show("poses", 1, 2)
        show("poses", 2, 2)
    shown = capsys.readouterr().err
    assert "\x1b[" in shown
    assert "100%" in shown


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    with console.progress() as show:
        show("poses", 2, 2)
    assert capsys.readouterr().err == "poses: 100 %\n"


def test_quiet_leaves_data_and_complaints(capsys: pytest.CaptureFixture[str]) -> None:
    settings.quiet = True
    console.say("hello")
    console.complain("trouble")
    console.data("42")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("42\n", "trouble\n")


def test_json_refuses_what_readers_refuse() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        console.data_json({"score": float("nan")})


def test_a_table_is_drawn_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console.table(("key", "what"), [("a", "[x] y")])
    assert capsys.readouterr().out == "key\twhat\na\t[x] y\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    console.table(("key", "what"), [("a", "[x] y")])
    drawn = capsys.readouterr().out
    assert "[x] y" in drawn  # square brackets are text, not markup
    assert drawn.splitlines()[1].split() == ["key", "what"]


@pytest.mark.parametrize(
    ("width", "shown"), [(80, "key title long"), (79, "key long"), (40, "key long"), (39, "key"), (9, "key")]
)
def test_a_narrow_terminal_gets_fewer_columns_and_is_told(
    width: int, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    console.table(("key", "title", "long"), [("k" * 5, "t" * 37, "l" * 28)], optional=("title", "long"))
    captured = capsys.readouterr()
    head = re.sub(r"\x1b\[[0-9;]*m", "", captured.out.splitlines()[1])
    assert head.split() == shown.split()
    missing = [name for name in ("title", "long") if name not in shown]
    assert captured.err == (f"left out to fit: {', '.join(missing)}; --json shows them\n" if missing else "")
