"""Reading annotated states, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from microgesture.analysis.states import State, read_states
from microgesture.core.errors import FormatError


def write(folder: Path, text: str) -> Path:
    path = folder / "states.csv"
    path.write_text(text)
    return path


def test_columns_may_come_in_any_order_and_case(tmp_path: Path) -> None:
    path = write(tmp_path, "State,END,start,note\nstressed,20,10,x\nrelaxed,10,0,\n")
    assert read_states(path) == (State(0, 10, "relaxed"), State(10, 20, "stressed"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,end\n0,1\n", "line 1: column 'state' is missing; expected the columns start, end (seconds) and state"),
        (
            "start,end,state\n0,x,a\n",
            "line 2: '0' to 'x' is no stretch of time; expected seconds with 0 <= start",
        ),
        ("start,end,state\n5,1,a\n", "line 2: '5' to '1' is no stretch of time"),
        ("start,end,state\n0,nan,a\n", "line 2: '0' to 'nan' is no stretch of time"),
        ("start,end,state\n0,1,\n", "line 2: the state has no name"),
        ("start,end,state\n0,5,a\n4,6,b\n", "states 'a' and 'b' overlap at 4 s. Give every moment at most one state"),
        ("start,end,state\n0\n", "line 2: the state has no name"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FormatError) as caught:
        read_states(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_an_empty_table_holds_no_states(tmp_path: Path) -> None:
    assert read_states(write(tmp_path, "start,end,state\n")) == ()
