from __future__ import annotations

import pickle

import pytest

from microgesture.core import errors
from microgesture.core.errors import FormatError, MicrogestureError, MissingExtra

CODES = {
    "MicrogestureError": 70,
    "CheckFailed": 1,
    "UsageError": 2,
    "FormatError": 65,
    "NoInput": 66,
    "MissingExtra": 69,
    "CannotCreate": 73,
    "OutputFailed": 74,
    "TryAgain": 75,
    "NotPermitted": 77,
}


def test_exit_codes() -> None:
    kinds = {
        k.__name__: k.exit_code
        for k in vars(errors).values()
        if isinstance(k, type) and issubclass(k, MicrogestureError)
    }
    assert kinds == CODES
    assert errors.__doc__ is not None
    assert all(f"{code}" in errors.__doc__ for code in CODES.values())


def test_format_error_says_where_what_and_what_to_do() -> None:
    error = FormatError("a.csv", "x is nan", place="line 12", expected="a number", remedy="mark gaps with 0")
    assert str(error) == "a.csv, line 12: x is nan; expected a number. Mark gaps with 0"
    assert str(FormatError("a.csv", "is empty")) == "a.csv: is empty"


@pytest.mark.parametrize(
    "error",
    [
        FormatError("a.csv", "x is nan", place="line 12", expected="a number", remedy="mark gaps with 0"),
        FormatError("a.csv", "is empty"),
        MissingExtra("pose", "reading videos"),
        errors.UsageError("no such thing"),
    ],
)
def test_errors_travel_between_processes(error: MicrogestureError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_a_missing_extra_names_its_remedy() -> None:
    assert str(MissingExtra("pose", "reading videos")) == (
        "reading videos needs the extra 'pose': pip install 'microgesture[pose]'"
    )
