"""The record of one result: what was measured, on what, with which weights. A run keeps it as `test.json`.

A record holds no date, no path and no name of a machine: the same model on the same clips gives the same bytes, but
for the latency, which is measured anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, NoInput
from microgesture.formats.safe_json import read_json, write_json
from microgesture.formats.safe_npz import read_arrays, write_arrays
from microgesture.formats.source import PathLike

FORMAT, VERSION = "microgesture-result", 1
RECORD, PREDICTIONS = "test.json", "predictions.npz"
_AGAIN = "measure the model again with `microgesture test`"
_NAME = re.compile(r"[A-Za-z0-9_@.+-]{1,80}")
# what a field may hold; None: it may be left open
_TEXT, _OPEN_TEXT, _COUNT = (str,), (str, type(None)), (int,)
_OPEN_COUNT, _OPEN_NUMBER = (int, type(None)), (int, float, type(None))
_FIELDS: dict[str, tuple[type, ...]] = {
    "format": _TEXT,
    "version": _COUNT,
    "system": _TEXT,
    "key": _TEXT,
    "recipe": _OPEN_TEXT,
    "dataset": _TEXT,
    "taxonomy": _TEXT,
    "protocol": _OPEN_TEXT,
    "split": _TEXT,
    "source": _TEXT,
    "simulated": (bool,),
    "commit": _OPEN_TEXT,
    "seed": _OPEN_COUNT,
    "clips": _COUNT,
    "metrics": (dict,),
    "parameters": _OPEN_COUNT,
    "flops": _OPEN_NUMBER,
    "latency_ms": _OPEN_NUMBER,
    "weights_sha256": _OPEN_TEXT,
}


def record(
    *,
    system: str,
    dataset: str,
    taxonomy: str,
    split: str,
    source: str,
    metrics: Mapping[str, Any],
    clips: int,
    recipe: str | None = None,
    protocol: str | None = None,
    simulated: bool | None = None,
    commit: str | None = None,
    seed: int | None = None,
    parameters: int | None = None,
    flops: float | None = None,
    latency_ms: float | None = None,
    weights_sha256: str | None = None,
) -> dict[str, Any]:
    """A result record, checked.

    Args:
        system: class path; its key follows from it.
        dataset, taxonomy: their keys.
        protocol: how training and test were divided, e.g. `"cross-subject"`; None if there is only one way.
        source: where the clips came from, in words.
        metrics: nested; shares in [0, 1], intervals as `[low, high]`, None for what could not be computed. Beside
            `top1` and `accuracy` stands `majority_floor`.
        clips: number of test clips, or of recordings where long ones are searched.
        simulated: the clips come from a simulator or are a stand-in for the data set; None: see `is_simulated`.
        flops: per clip, see `learning.cost`.
        latency_ms: milliseconds per clip, one thread, batches of one.

    Raises:
        FormatError: a field is not what it should be.

    Example:
        >>> made = record(system="microgesture.systems.stgcn.STGCN", dataset="smg", taxonomy="smg", split="test",
        ...               source="SMG", metrics={"top1": 0.5, "majority_floor": 0.4}, clips=610)
        >>> made["key"], made["simulated"]
        ('stgcn', False)
    """
    made: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "system": system,
        "key": system_key(system),
        "recipe": recipe,
        "dataset": dataset,
        "taxonomy": taxonomy,
        "protocol": protocol,
        "split": split,
        "source": source,
        "simulated": is_simulated(dataset, source) if simulated is None else simulated,
        "commit": commit,
        "seed": seed,
        "clips": clips,
        "metrics": _plain(metrics),
        "parameters": parameters,
        "flops": flops,
        "latency_ms": latency_ms,
        "weights_sha256": weights_sha256,
    }
    _check("<result>", made)
    return made


def system_key(class_path: str) -> str:
    """Key of a system: its module for systems of this package, else the name of the class.

    Example:
        >>> system_key("microgesture.systems.stgcnpp.STGCNpp"), system_key("mine.Net")
        ('stgcnpp', 'Net')
    """
    parts = class_path.split(".")
    return parts[2] if parts[:2] == ["microgesture", "systems"] and len(parts) > 3 else parts[-1]


def is_simulated(dataset: str, source: str) -> bool:
    """Whether the name of a data set or the words about its source say that no person was recorded."""
    words = f"{dataset} {source}".casefold()
    return any(word in words for word in ("simulat", "look-alike", "lookalike", "synthetic"))


def write_record(path: PathLike, result: Mapping[str, Any]) -> None:
    """Write a record durably.

    Raises:
        FormatError: it is no record.
        NotPermitted, CannotCreate, OutputFailed: see `core.durable`.
    """
    _check(path, dict(result))
    write_json(path, dict(result))


def read_record(path: PathLike) -> dict[str, Any]:
    """The record in a file, or of the run in a folder.

    Raises:
        NoInput, NotPermitted: see `formats.source`; the folder holds no record.
        FormatError: not a record, with the field that is wrong.
    """
    file = record_file(path)
    found = read_json(file)
    _check(file, found)
    result: dict[str, Any] = found
    return result


def record_file(path: PathLike) -> Path:
    """The file of a record; that of a folder is its `test.json`.

    Raises:
        NoInput: the folder has none.
    """
    given = Path(path)
    if not given.is_dir():
        return given
    if not (given / RECORD).exists():
        raise NoInput(f"{given}: holds no {RECORD}; run `microgesture test {given}` first")
    return given / RECORD


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a system said about every test clip.

    Args:
        names: (N,) text, of the clips.
        label: (N,) true classes.
        probabilities: (N, K).
    """

    names: NDArray[np.str_]
    label: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the most probable class is the true one."""
        hits: NDArray[np.bool_] = self.probabilities.argmax(1) == self.label
        return hits


def write_predictions(path: PathLike, predictions: Predictions) -> None:
    """Write `predictions.npz`, the optional neighbour of a record; the same predictions give the same bytes."""
    write_arrays(path, vars(predictions))


def read_predictions(path: PathLike) -> Predictions:
    """Predictions of every clip.

    Raises:
        NoInput, NotPermitted, FormatError: see `read_arrays`; arrays are missing or do not belong together.
    """
    arrays = read_arrays(path)
    kinds = {"names": "SU", "label": "iu", "probabilities": "f"}
    for name, kind in kinds.items():
        array = arrays.get(name)
        dimensions = 2 if name == "probabilities" else 1
        if array is None or array.dtype.kind not in kind or array.ndim != dimensions:
            found = "is missing" if array is None else f"has type {array.dtype} and shape {array.shape}"
            raise FormatError(
                path,
                f"array '{name}' {found}",
                place=f"array '{name}'",
                expected="names (N,) as text, label (N,) as whole numbers, probabilities (N, K) as floats",
                remedy=_AGAIN,
            )
    sizes = {len(arrays[name]) for name in kinds}
    if len(sizes) != 1:
        shown = ", ".join(f"{len(arrays[name])} {name}" for name in kinds)
        raise FormatError(path, f"{shown} do not belong together", place="archive", remedy=_AGAIN)
    probabilities = arrays["probabilities"].astype(np.float64)
    if 0 in probabilities.shape or not np.isfinite(probabilities).all():
        raise FormatError(
            path,
            "probabilities are empty or not finite",
            place="array 'probabilities'",
            expected="numbers in [0, 1]",
            remedy=_AGAIN,
        )
    return Predictions(arrays["names"].astype(np.str_), arrays["label"].astype(np.int64), probabilities)


def flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested metrics as dotted names.

    Example:
        >>> list(flat({"top1": 0.5, "ma52": {"f1_mean": 0.25}}))
        [('top1', 0.5), ('ma52.f1_mean', 0.25)]
    """
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _plain(value: Any) -> Any:
    """The same with JSON's own types: metrics may come as numbers of numpy, intervals as tuples."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _check(path: PathLike, found: Any) -> None:
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FormatError(path, "not a result record", place="field 'format'", expected=f'"{FORMAT}"', remedy=_AGAIN)
    if found.get("version") != VERSION:
        raise FormatError(
            path,
            f"version {str(found.get('version'))[:20]}",
            place="field 'version'",
            expected=f"{VERSION}",
            remedy="read it with the package that wrote it, or " + _AGAIN,
        )
    missing = [name for name in _FIELDS if name not in found]
    unknown = [name for name in found if name not in _FIELDS]
    if missing or unknown:
        what = f"field '{missing[0]}' is missing" if missing else f"unknown field '{unknown[0][:40]}'"
        raise FormatError(path, what, place="record", expected=", ".join(_FIELDS), remedy=_AGAIN)
    for name, kinds in _FIELDS.items():
        value = found[name]
        boolean = isinstance(value, bool) and bool not in kinds  # bool is an int in Python
        if not isinstance(value, kinds) or boolean or value == "":
            words = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise FormatError(path, f"{value!r:.60}", place=f"field '{name}'", expected=words, remedy=_AGAIN)
    for name in ("clips", "parameters", "flops", "latency_ms"):
        value, least = found[name], 1 if name == "clips" else 0
        if value is not None and not (isfinite(value) and value >= least):
            raise FormatError(
                path, f"{value}", place=f"field '{name}'", expected=f"a number from {least} on", remedy=_AGAIN
            )
    _check_metrics(path, found["metrics"])


def _check_metrics(path: PathLike, metrics: dict[str, Any]) -> None:
    for name, value in flat(metrics):
        numbers = value if isinstance(value, list) else [value]
        sound = all(n is None or isinstance(n, bool) or (type(n) in (int, float) and isfinite(n)) for n in numbers)
        if isinstance(value, list):
            sound = sound and len(value) == 2 and None not in value and value[0] <= value[1]
        if not sound or not _NAME.fullmatch(name):
            raise FormatError(
                path,
                f"{value!r:.60}",
                place=f"metric '{name[:80]}'",
                expected="a finite number, true, false, null, or an interval [low, high]",
                remedy=_AGAIN,
            )
    for name in ("top1", "top5", "accuracy", "majority_floor"):
        if (value := metrics.get(name)) is not None and not (isinstance(value, (int, float)) and 0 <= value <= 1):
            raise FormatError(path, f"{value}", place=f"metric '{name}'", expected="a share in [0, 1]", remedy=_AGAIN)
    bare = next((name for name in ("top1", "accuracy") if name in metrics), None)
    if bare and metrics.get("majority_floor") is None:
        raise FormatError(
            path,
            f"'{bare}' stands without 'majority_floor'",
            place="metrics",
            expected="what the most frequent class alone would reach",
            remedy=_AGAIN,
        )
