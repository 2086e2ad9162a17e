"""Reading `.npz` stores of arrays that came from elsewhere: never a pickle, never more than a ceiling."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, NoInput, NotPermitted

CEILING = 2 << 30  # bytes inflated
RATIO = 200  # inflated to stored


def read_arrays(path: Path, *names: str, what: str) -> dict[str, NDArray[Any]]:
    """The named numeric arrays of an `.npz` file.

    Args:
        what: what the file holds, for messages.

    Raises:
        NoInput: there is no such file.
        FormatError: it is damaged, lacks an array, holds objects, or would inflate beyond 2 GiB or 200-fold.
    """
    if not path.is_file():
        raise NoInput(f"{path}: {what} is not there. Set MICROGESTURE_DATA or --data.root to the folder of the data")
    again = "fetch it again"
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.file_size > min(CEILING, RATIO * max(entry.compress_size, 1 << 10)):
                    raise FormatError(
                        path, f"inflates to {entry.file_size:,} bytes", place=entry.filename, remedy=again
                    )
        with np.load(path, allow_pickle=False) as store:
            missing = [name for name in names if name not in store.files]
            if missing:
                raise FormatError(path, f"lacks {', '.join(missing)}", expected=", ".join(names), remedy=again)
            arrays = {name: store[name] for name in names}
    except PermissionError as error:
        raise NotPermitted(f"{path}: may not be read ({error.strerror})") from error
    except FormatError:
        raise
    except (OSError, ValueError, EOFError, KeyError, IndexError, TypeError, SyntaxError, NotImplementedError) as error:
        raise FormatError(
            path, f"cannot be read ({error})", expected="an .npz file of numbers", remedy=again
        ) from error
    except (zipfile.BadZipFile, zlib.error, MemoryError, RuntimeError, OverflowError) as error:
        raise FormatError(path, f"is damaged ({error})", expected="an .npz file of numbers", remedy=again) from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise FormatError(path, f"holds {array.dtype}", place=name, expected="numbers", remedy=again)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FormatError(path, "holds numbers that are not finite", place=name, remedy=again)
    return arrays
