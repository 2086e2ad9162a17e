"""Every error a user can meet, as one tree, with the exit code the command ends with.

    MicrogestureError            70  our bug, if nothing below fits
    |- CheckFailed                1  a check found what must not be, e.g. in the files of a data set
    |- UsageError                 2  the command or recipe says something impossible
    |- FormatError               65  a file or value is not what it should be
    |- NoInput                   66  the named input does not exist or cannot be opened
    |- MissingExtra              69  an optional part of the package is not installed
    |- CannotCreate              73  the output cannot be created
    |- OutputFailed              74  writing failed half-way (disk full, I/O error)
    |- TryAgain                  75  another process holds the folder
    `- NotPermitted              77  the system refused access

Ctrl-C ends a command with 130.  `1` means that a check or comparison found a difference.
A reader returns a valid object or raises `FormatError`; no other exception leaves it.
"""

from __future__ import annotations

from os import PathLike


class MicrogestureError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what a command ends with."""

    exit_code = 70


class CheckFailed(MicrogestureError):
    """A check found what must not be; the message lists it, summarised."""

    exit_code = 1


class UsageError(MicrogestureError):
    """Arguments or a recipe that cannot be carried out."""

    exit_code = 2


class FormatError(MicrogestureError):
    """A file or value is not what it should be: names the file, the place, the problem and the remedy.

    Args:
        path: the offending file, or a word for where the data came from (`"<stdin>"`).
        problem: what is wrong, with the value met.
        place: where in the file, e.g. `"line 12"` or `"frame 3"`.
        expected: what should have stood there.
        remedy: what the user can do.
    """

    exit_code = 65

    def __init__(
        self,
        path: str | PathLike[str],
        problem: str,
        *,
        place: str | None = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.path, self.problem, self.place = str(path), problem, place
        self.expected, self.remedy = expected, remedy
        where = f"{path}, {place}" if place else f"{path}"
        text = f"{where}: {problem}"
        if expected:
            text += f"; expected {expected}"
        if remedy:
            text += f". {remedy[0].upper()}{remedy[1:]}"
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        # readers run in child processes; keyword-only arguments need their own way through pickle
        return (_rebuild, (type(self), self.path, self.problem, self.place, self.expected, self.remedy))


def _rebuild(
    kind: type[FormatError],
    path: str,
    problem: str,
    place: str | None,
    expected: str | None,
    remedy: str | None,
) -> FormatError:
    return kind(path, problem, place=place, expected=expected, remedy=remedy)


class NoInput(MicrogestureError):
    """The named input does not exist or cannot be opened."""

    exit_code = 66


class MissingExtra(MicrogestureError):
    """An optional dependency is missing; the message is one line with the command that installs it."""

    exit_code = 69

    def __init__(self, extra: str, needed_for: str) -> None:
        self.extra, self.needed_for = extra, needed_for
        super().__init__(f"{needed_for} needs the extra '{extra}': pip install 'microgesture[{extra}]'")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.extra, self.needed_for))


class CannotCreate(MicrogestureError):
    """An output file or folder cannot be created."""

    exit_code = 73


class OutputFailed(MicrogestureError):
    """Writing failed half-way: disk full or an I/O error. What stood there before is untouched."""

    exit_code = 74


class TryAgain(MicrogestureError):
    """Another process works on the same folder."""

    exit_code = 75


class NotPermitted(MicrogestureError):
    """The system refused access."""

    exit_code = 77
