"""The command `microgesture`: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from microgesture.cli.agree import agree
from microgesture.cli.analyze import analyze
from microgesture.cli.check import check
from microgesture.cli.compare import compare
from microgesture.cli.console import complain, settings
from microgesture.cli.convert import convert
from microgesture.cli.doctor import doctor, version
from microgesture.cli.emotion import emotion
from microgesture.cli.export import export
from microgesture.cli.import_checkpoint import import_checkpoint
from microgesture.cli.info import info
from microgesture.cli.inspect import inspect
from microgesture.cli.listing import datasets, systems
from microgesture.cli.prepare import prepare
from microgesture.cli.recognize import recognize
from microgesture.cli.simulate import simulate
from microgesture.cli.stream import stream
from microgesture.cli.submit import submit
from microgesture.cli.train import test, train
from microgesture.cli.transfer import transfer
from microgesture.core.errors import MicrogestureError

EPILOG = (
    "Exit codes: 0 done, 1 a check found a difference, 2 usage, 65 bad input data, 66 no such input, 69 an extra is"
    " missing, 70 a bug of ours, 73 cannot create the output, 74 disk full or I/O error, 75 try again,"
    " 77 not permitted, 130 Ctrl-C."
)
BUG_REPORT = "this is a bug in microgesture. Please report it with the command and the output of --debug"


class _Commands(TyperGroup):
    """Ends every command with the exit code of `core/errors.py` and one clear message."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("interrupted; what was finished is kept")
            # an interrupt that hits source run by exec (dataclasses, while modules load) leaves a mark with which
            # CPython kills itself at the end instead of returning our code; running any source clears it
            exec("")
            raise typer.Exit(130) from None
        except MicrogestureError as error:
            _explain(error, str(error))
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            raise typer.Exit(_exit_code_of(error)) from None
        except MemoryError as error:
            _explain(error, "not enough memory")
            raise typer.Exit(74) from None
        except Exception as error:
            # usage errors and the orderly exit of the library below are not ours to explain
            if type(error).__module__.partition(".")[0] in ("typer", "click"):
                raise
            _explain(error, f"{type(error).__name__}: {error}; {BUG_REPORT}")
            raise typer.Exit(70) from None


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    # what libraries warn each other of does not help a user
    if settings.debug or Path(filename).is_relative_to(Path(__file__).parents[1]):
        complain(f"warning: {message}")


def _explain(error: BaseException, text: str) -> None:
    if settings.debug:
        traceback.print_exception(error)
    complain(f"microgesture: {text}")


def _exit_code_of(error: OSError) -> int:
    """Exit code of an error the system raised and no reader or writer of ours translated."""
    if isinstance(error, BrokenPipeError):
        # whoever read our output has seen enough; Python's own flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    codes = {errno.ENOSPC: 74, errno.EDQUOT: 74, errno.EIO: 74, errno.EFBIG: 74}
    codes |= {errno.EACCES: 77, errno.EPERM: 77, errno.EROFS: 77, errno.ENOENT: 66}
    code = codes.get(error.errno or 0, 70)
    _explain(error, str(error) if code != 70 else f"{type(error).__name__}: {error}; {BUG_REPORT}")
    return code


app = typer.Typer(
    name="microgesture",
    cls=_Commands,
    help="Finds, names and counts micro-gestures in video and pose recordings.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(analyze)
app.command()(recognize)
app.command()(stream)
app.command()(simulate)
app.command()(prepare)
app.command()(inspect)
# `--data.x y` goes to the recipe's own parser
_RECIPE = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(context_settings=_RECIPE)(train)
app.command(context_settings=_RECIPE)(test)
app.command(context_settings=_RECIPE)(submit)
app.command()(compare)
app.command()(transfer)
app.command()(emotion)
app.command("import-checkpoint")(import_checkpoint)
app.command()(export)
app.command()(check)
app.command()(convert)
app.command()(agree)
app.command()(systems)
app.command()(datasets)
app.command()(info)
app.command()(doctor)
app.command()(version)


def main() -> None:
    """Entry point of the console script."""
    app()
