"""Files for the challenges of the field: written, checked, then packed, so that a wrong one is never sent.

The same predictions give the same bytes: archives are stored uncompressed and carry a fixed date. Sources of the
formats: MiGA (github.com/mikecheninoulu/SMG, classification and online starter code; the pages of MiGA 2023-2025), MAC
2024 (github.com/VUT-HFUT/MAC_2024_baseline), MAC 2025 and Codabench 9066 (github.com/kunli-cs/MAC20205_starter_kit,
github.com/VUT-HFUT/Micro-Action).
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import ceil, isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.durable import make_folder, replacing, write_bytes
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import BODY_LEVEL, IMIGUE, MA52, imigue_code
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.safe_csv import guard
from microgesture.formats.safe_zip import ZIP_ERRORS, damaged, open_zip
from microgesture.formats.source import PathLike, read_text

_MEMORY = "<predictions>"
_REMEDY = "correct the predictions and write the file again"
TOP = 5
BODY_PARTS = 7


@dataclass(frozen=True, eq=False)
class ClipPredictions:
    """What a system says about pre-cut clips.

    Args:
        names: N, as the challenge lists them, in its order.
        probabilities: (N, K), K classes of the taxonomy.
        body_probabilities: (N, 7) of a system that judges body parts by itself.

    Raises:
        FormatError: shapes do not fit, a number is not in [0, 1]; the message names the clip.
    """

    names: Sequence[str]
    probabilities: ArrayLike
    taxonomy: Taxonomy
    body_probabilities: ArrayLike | None = None

    def __post_init__(self) -> None:
        if not len(self.names):
            raise FormatError(_MEMORY, "holds no clips", remedy="check the split that was asked for")
        for i, name in enumerate(self.names):
            if not name or any(sign in name for sign in "\r\n\0"):
                raise FormatError(_MEMORY, f"name {name!r:.60}", place=f"clip {i}", expected="one line of text")
        self._check(self.probabilities, len(self.taxonomy), "probabilities")
        if self.body_probabilities is not None:
            self._check(self.body_probabilities, BODY_PARTS, "body probabilities")

    def _check(self, given: ArrayLike, classes: int, what: str) -> None:
        table, shape = np.asarray(given), (len(self.names), classes)
        if table.shape != shape or table.dtype.kind not in "fiu":
            raise FormatError(_MEMORY, f"{what} have shape {table.shape} and type {table.dtype}", expected=f"{shape}")
        wrong = np.argwhere(~((table >= 0) & (table <= 1)))  # NaN is neither
        if len(wrong):
            i, k = map(int, wrong[0])
            place = f"clip {i} ('{self.names[i]}'), class {k}"
            raise FormatError(
                _MEMORY, f"{what}: {table[i, k]}", place=place, expected="a number in [0, 1]", remedy=_REMEDY
            )

    def ranked(self) -> NDArray[np.intp]:
        """(N, K) classes, the most probable first; of equal ones the lower id first."""
        return _ranked(np.asarray(self.probabilities, np.float64))

    def body(self, rule: Literal["own", "pooled", "mapped"] | None = None) -> NDArray[np.intp]:
        """(N, up to 7) body parts, the most probable first.

        Args:
            rule: `"own"` takes `body_probabilities`; `"pooled"` sums the classes of each part; `"mapped"` takes the
                parts of the classes in their order, repeats and all, as the starter kits do. None takes the
                system's own if it has them, else the pooled ones.

        Raises:
            UsageError: there are no own ones, or the rule or the parts of the taxonomy are unknown.
        """
        rule = rule or ("pooled" if self.body_probabilities is None else "own")
        if rule == "own":
            if self.body_probabilities is None:
                raise UsageError("body=own, but the predictions hold no body probabilities")
            return _ranked(np.asarray(self.body_probabilities, np.float64))
        if self.taxonomy.key not in BODY_LEVEL:
            raise UsageError(f"no body parts are known for taxonomy '{self.taxonomy.key}'")
        part = np.array(BODY_LEVEL[self.taxonomy.key], np.intp)
        if rule == "mapped":
            return np.asarray(part[self.ranked()], np.intp)
        if rule == "pooled":
            return _ranked(np.asarray(self.probabilities, np.float64) @ np.eye(BODY_PARTS)[part])
        raise UsageError(f"body={rule} is unknown; choose own, pooled or mapped")


@dataclass(frozen=True, eq=False)
class Detections:
    """What a system finds in long recordings.

    Args:
        timelines: name of the recording -> what was found.
        fps: name of the recording -> frames per second, for files that count in frames.

    Raises:
        FormatError: there are no recordings, they do not share a label space, a name or rate is missing or wrong.
    """

    timelines: Mapping[str, Timeline]
    fps: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.timelines:
            raise FormatError(_MEMORY, "holds no recordings", remedy="check the split that was asked for")
        if len({line.taxonomy.digest for line in self.timelines.values()}) > 1:
            keys = ", ".join(sorted({line.taxonomy.key for line in self.timelines.values()}))
            raise FormatError(_MEMORY, f"recordings of different label spaces: {keys}", expected="one of them")
        for name in self.timelines:
            if not re.fullmatch(r"[\w.-]{1,100}", name):  # it becomes the name of a file
                raise FormatError(
                    _MEMORY, f"name {name!r:.60}", place="recording", expected="letters, digits, '_', '-' and '.'"
                )
            rate = self.fps.get(name)
            if rate is None or not (isfinite(rate) and rate > 0):
                raise FormatError(
                    _MEMORY, f"{rate} frames per second", place=f"recording '{name}'", expected="a number above 0"
                )

    @property
    def taxonomy(self) -> Taxonomy:
        """The label space of all recordings."""
        return next(iter(self.timelines.values())).taxonomy


@dataclass(frozen=True)
class Options:
    """What the pages of the challenges leave open or have changed over the years.

    Args:
        header: names of the columns for `miga-classification`; None writes no header, as the starter code does.
        base: number of the first class in `miga-classification`, 0 or 1.
        body: how body parts are chosen, see `ClipPredictions.body`.
        codes: labels of `miga-online`: `"distributed"` as in the label files (iMiGUE 1..31 and 99, SMG 1..17), or
            `"id"` from 0.
        naming: files of `miga-online`: `"id"` gives `<name>_prediction.csv`, `"2023"` `Sequence<name>_prediction.csv`.
    """

    header: tuple[str, str] | None = None
    base: int = 0
    body: Literal["own", "pooled", "mapped"] | None = None
    codes: Literal["distributed", "id"] = "distributed"
    naming: Literal["id", "2023"] = "id"

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[object, ...]] = {
            "base": (0, 1),
            "codes": ("distributed", "id"),
            "naming": ("id", "2023"),
        }
        allowed["body"] = (None, "own", "pooled", "mapped")
        for name, values in allowed.items():
            if (value := getattr(self, name)) not in values:
                raise UsageError(f"{name}={value} is unknown; choose {' or '.join(map(str, values))}")
        if self.header is not None and len(self.header) != 2:
            raise UsageError(f"header={self.header}: expected the names of two columns")


_Predictions = ClipPredictions | Detections
_Files = dict[str, str]
_Problems = Iterator[str]


@dataclass(frozen=True)
class Challenge:
    """One kind of file.

    Args:
        key: name in commands.
        title: whose it is.
        file: name of the file that is written.
        kind: what it is made of.
        taxonomies: keys of the label spaces it accepts; empty: any.
        write: predictions and options -> texts by name.
        check: (name of the text, text, options, expected names) -> problems.
        sizes: clips or recordings of the full test sets.
        unique: a clip may stand in it only once.
    """

    key: str
    title: str
    file: str
    kind: type[ClipPredictions] | type[Detections]
    taxonomies: tuple[str, ...]
    write: Callable[[Any, Options], _Files]
    check: Callable[[_Files, Options, Sequence[str] | None], _Problems]
    sizes: tuple[int, ...] = ()
    unique: bool = True


def write_submission(challenge: str, predictions: _Predictions, folder: PathLike, **options: Any) -> Path:
    """Write the file a challenge expects, checked before it is packed.

    Args:
        challenge: a key of `CHALLENGES`.
        folder: where the file goes; its name is the challenge's own.
        options: see `Options`.

    Returns:
        The file.

    Raises:
        UsageError: no such challenge or option, or predictions of another kind or label space.
        FormatError: what was made is not what the challenge accepts; nothing is left behind.
    """
    kind, chosen = _challenge(challenge), _options(options)
    if not isinstance(predictions, kind.kind):
        raise UsageError(f"{challenge} is made from {kind.kind.__name__}, got {type(predictions).__name__}")
    if kind.taxonomies and predictions.taxonomy.key not in kind.taxonomies:
        raise UsageError(
            f"{challenge} takes labels of {' or '.join(kind.taxonomies)}, got those of '{predictions.taxonomy.key}'"
        )
    names = list(predictions.names if isinstance(predictions, ClipPredictions) else predictions.timelines)
    _tell(kind, names)
    files = kind.write(predictions, chosen)
    problems = list(kind.check(files, chosen, names))
    target = make_folder(folder) / kind.file
    if problems:
        raise FormatError(target, _some(problems), expected=kind.title, remedy="correct the predictions")
    if target.suffix == ".zip":
        with replacing(target) as temporary:
            _pack(temporary, files)
    else:
        write_bytes(target, files[kind.file].encode())
    return target


def validate_submission(
    path: PathLike, challenge: str, expected_names: Sequence[str] | None = None, **options: Any
) -> list[str]:
    """What is wrong with a file for a challenge, in words with file and line; an empty list if nothing is.

    Args:
        expected_names: clips or recordings that must stand in it, in this order if the file has one.
        options: those it was written with.

    Raises:
        UsageError: no such challenge or option.
        NoInput, NotPermitted, FormatError: the file cannot be read at all.
    """
    kind, chosen = _challenge(challenge), _options(options)
    if kind.file.endswith(".zip"):
        try:
            files = _unpack(path)
        except ZIP_ERRORS as error:
            raise damaged(path, error) from error
    else:
        files = {kind.file: read_text(path)}
    return list(kind.check(files, chosen, expected_names))


def _challenge(key: str) -> Challenge:
    if key not in CHALLENGES:
        near = get_close_matches(key, CHALLENGES, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(CHALLENGES)}"
        raise UsageError(f"no challenge '{key}'; {hint}")
    return CHALLENGES[key]


def _options(given: Mapping[str, Any]) -> Options:
    known = [f.name for f in fields(Options)]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                f"no option '{name}'; {f'did you mean {near[0]}?' if near else 'known: ' + ', '.join(known)}"
            )
    return Options(**given)


def _tell(kind: Challenge, names: Sequence[str]) -> None:
    """Warn of what is allowed and yet rarely meant."""
    if not kind.unique and len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        warnings.warn(f"{kind.key}: '{twice}' occurs more than once, as in the published list of MiGA", stacklevel=3)
    if kind.sizes and len(names) not in kind.sizes:
        full = " or ".join(f"{size:,}" for size in kind.sizes)
        warnings.warn(f"{kind.key}: {len(names):,} names, the full test set has {full}", stacklevel=3)


def _some(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - 3:,} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


def _pack(path: Path, files: _Files) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
            archive.writestr(member, text.encode())


def _unpack(path: PathLike) -> _Files:
    files = {}
    with open_zip(path) as archive:
        for member in archive.infolist():
            try:
                files[member.filename] = archive.read(member).decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise FormatError(
                    path, "not UTF-8 text", place=f"member {member.filename[:60]!r}", remedy="save it as text in UTF-8"
                ) from error
    return files


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _ranked(table: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.argsort(-table, axis=1, kind="stable")


# ---- checks that formats share; every problem names file and line


def _one_file(files: _Files, name: str) -> _Problems:
    if list(files) != [name]:
        held = ", ".join(repr(n[:60]) for n in list(files)[:3]) or "nothing"
        yield f"the archive holds {held}, expected '{name}' alone at its top"


def _read(
    name: str, text: str, header: Sequence[str] | None, columns: int
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Problems with the shape of a table, and its rows (place, cells)."""
    problems, rows = [], []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        if header is not None and (first := next(reader, [])) != list(header):
            problems.append(f"{name}, line 1: header {','.join(first)[:80]!r}, expected {','.join(header)!r}")
        for row in reader:
            place = f"{name}, line {reader.line_num}"
            if len(row) == columns:
                rows.append((place, row))
            else:
                problems.append(f"{place}: {len(row)} cells, expected {columns}")
    except csv.Error as error:
        problems.append(f"{name}, line {reader.line_num}: not a CSV table ({error})")
    return problems, rows


def _whole(place: str, what: str, cell: str, allowed: Sequence[int] | range) -> _Problems:
    if not re.fullmatch(r"\d{1,9}", cell) or int(cell) not in allowed:
        shown = f"{allowed[0]}..{allowed[-1]}" if isinstance(allowed, range) else _span(allowed)
        yield f"{place}: {what} {cell[:20]!r}, expected {shown}"


def _span(values: Sequence[int]) -> str:
    return f"{values[0]}..{values[-2]} or {values[-1]}"


def _number(place: str, what: str, cell: str, low: float, high: float) -> _Problems:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not (isfinite(value) and low <= value <= high):
        shown = f"in [{low:g}, {high:g}]" if isfinite(high) else f"from {low:g} on"
        yield f"{place}: {what} {cell[:20]!r}, expected a number {shown}"


def _names(
    rows: Sequence[tuple[str, list[str]]], expected: Sequence[str] | None, pattern: str, unique: bool
) -> _Problems:
    seen: dict[str, str] = {}
    for place, row in rows:
        if not re.fullmatch(pattern, row[0]):
            yield f"{place}: name {row[0][:60]!r}, expected the form {_FORMS[pattern]}"
        if unique and row[0] in seen:
            yield f"{place}: name {row[0][:60]!r} stood on {seen[row[0]].rpartition(', ')[2]} already"
        seen.setdefault(row[0], place)
    if expected is not None:
        found = [row[0] for _, row in rows]
        if len(found) != len(expected):
            yield f"{len(found):,} rows, expected {len(expected):,}"
        for (place, row), name in zip(rows, expected, strict=False):
            if row[0] != name:
                yield f"{place}: name {row[0][:60]!r}, expected {name[:60]!r} here"
                break


_MIGA_CLIP, _MA52_CLIP, _MA52_VIDEO, _ANY = r"\d{4}_\d+", r"[\w-]+\.mp4", r"[\w-]+", r"[^\r\n]+"
_FORMS = {_MIGA_CLIP: "VVVV_k, e.g. 0184_3", _MA52_CLIP: "test0000.mp4", _MA52_VIDEO: "test0000", _ANY: "text"}


# ---- MiGA, classification of clips


def _write_miga(p: ClipPredictions, options: Options) -> _Files:
    rows: list[Sequence[object]] = [options.header] if options.header else []
    rows += [(name, int(best) + options.base) for name, best in zip(p.names, p.ranked()[:, 0], strict=True)]
    return {"Submission.csv": _csv(rows)}


def _check_miga(files: _Files, options: Options, expected: Sequence[str] | None) -> _Problems:
    yield from _one_file(files, "Submission.csv")
    for name, text in files.items():
        problems, rows = _read(name, text, options.header, 2)
        yield from problems
        # the published list ends with a clip it has named before
        yield from _names(rows, expected, _MIGA_CLIP, unique=False)
        for place, (_, label) in rows:
            yield from _whole(place, "label", label, range(options.base, options.base + len(IMIGUE)))


# ---- MiGA, search in long recordings

_ONLINE = "_prediction.csv"


def _write_online(p: Detections, options: Options) -> _Files:
    prefix = "Sequence" if options.naming == "2023" else ""
    code = _codes(p.taxonomy, options)
    return {
        f"{prefix}{name}{_ONLINE}": _csv((code[s.label], *_frames(s, p.fps[name], line.duration)) for s in line)
        for name, line in sorted(p.timelines.items())
    }


def _codes(taxonomy: Taxonomy, options: Options) -> list[int]:
    ids = range(len(taxonomy))
    if options.codes == "id":
        return list(ids)
    return [imigue_code(i) for i in ids] if taxonomy.key == "imigue" else [i + 1 for i in ids]


def _frames(s: Segment, fps: float, duration: float) -> tuple[int, int]:
    """First and last frame, from 0, whose time stamps lie in a segment; a segment between two stamps gets one frame."""
    last_of_all = max(0, ceil(duration * fps - 1e-6) - 1)
    first = min(ceil(s.start * fps - 1e-6), last_of_all)
    return first, max(first, min(ceil(s.end * fps - 1e-6) - 1, last_of_all))


def _check_online(files: _Files, options: Options, expected: Sequence[str] | None) -> _Problems:
    prefix = "Sequence" if options.naming == "2023" else ""
    # the classes of SMG are a part of iMiGUE's numbers
    allowed = _codes(IMIGUE, options)
    found = []
    for name, text in files.items():
        if not (name.startswith(prefix) and name.endswith(_ONLINE)) or "/" in name:
            yield f"file {name[:80]!r}, expected {prefix}<recording>{_ONLINE} at the top of the archive"
            continue
        found.append(name[len(prefix) : -len(_ONLINE)])
        problems, rows = _read(name, text, None, 3)
        yield from problems
        for place, (label, start, end) in rows:
            yield from _whole(place, "label", label, allowed)
            bad = [*_whole(place, "start", start, _FRAMES), *_whole(place, "end", end, _FRAMES)]
            yield from bad
            if not bad and int(end) < int(start):
                yield f"{place}: end {end} is before start {start}"
    if not files:
        yield "the archive is empty"
    for name in sorted({*(expected or found)} ^ {*found}):
        yield f"{prefix}{name}{_ONLINE} is " + (
            "missing" if name not in found else "of a recording that was not expected"
        )


_FRAMES = range(1_000_000_000)


# ---- MA-52


def _write_mac2024(p: ClipPredictions, options: Options) -> _Files:
    pairs = zip(p.names, p.body(options.body)[:, 0], p.ranked()[:, 0], strict=True)
    return {_PREDICTION: _csv([_MAC2024, *((name, int(body), int(action)) for name, body, action in pairs)])}


_PREDICTION = "prediction.csv"
_MAC2024 = ("id", "pred_label_1", "pred_label_2")
_CODABENCH = ("vid", *(f"{level}_pred_{i}" for level in ("action", "body") for i in range(1, TOP + 1)))
_MMA52 = ("", "video_id", "t_start", "t_end", "class", "score")


def _check_mac2024(files: _Files, options: Options, expected: Sequence[str] | None) -> _Problems:
    yield from _one_file(files, _PREDICTION)
    for name, text in files.items():
        problems, rows = _read(name, text, _MAC2024, 3)
        yield from problems
        yield from _names(rows, expected, _MA52_CLIP, unique=True)
        for place, (_, body, action) in rows:
            yield from _whole(place, "body label", body, range(BODY_PARTS))
            yield from _whole(place, "action label", action, range(len(MA52)))


def _write_codabench(p: ClipPredictions, options: Options) -> _Files:
    rows = zip(p.names, p.ranked()[:, :TOP].tolist(), p.body(options.body)[:, :TOP].tolist(), strict=True)
    return {_PREDICTION: _csv([_CODABENCH, *((name, *actions, *bodies) for name, actions, bodies in rows)])}


def _check_codabench(files: _Files, options: Options, expected: Sequence[str] | None) -> _Problems:
    yield from _one_file(files, _PREDICTION)
    for name, text in files.items():
        problems, rows = _read(name, text, _CODABENCH, len(_CODABENCH))
        yield from problems
        yield from _names(rows, expected, _MA52_CLIP, unique=True)
        for place, (_, *labels) in rows:
            actions, bodies = labels[:TOP], labels[TOP:]
            for cell in actions:
                yield from _whole(place, "action label", cell, range(len(MA52)))
            for cell in bodies:  # these may repeat: the starter kit maps five actions
                yield from _whole(place, "body label", cell, range(BODY_PARTS))
            if len(set(actions)) != TOP:
                yield f"{place}: actions {','.join(actions)[:40]} repeat one another"


def _write_mma52(p: Detections, options: Options) -> _Files:
    found = ((name, s) for name, line in sorted(p.timelines.items()) for s in line)
    rows = ((i, name, f"{s.start:.3f}", f"{s.end:.3f}", s.label, f"{s.score:.6f}") for i, (name, s) in enumerate(found))
    return {_PREDICTION: _csv([_MMA52, *rows])}


def _check_mma52(files: _Files, options: Options, expected: Sequence[str] | None) -> _Problems:
    yield from _one_file(files, _PREDICTION)
    for name, text in files.items():
        problems, rows = _read(name, text, _MMA52, len(_MMA52))
        yield from problems
        for number, (place, (index, video, start, end, label, score)) in enumerate(rows):
            yield from _whole(place, "row number", index, range(number, number + 1))
            if not re.fullmatch(_MA52_VIDEO, video) or (expected is not None and video not in expected):
                yield f"{place}: video {video[:60]!r}" + (
                    " was not expected" if expected is not None else f", expected the form {_FORMS[_MA52_VIDEO]}"
                )
            bad = [
                *_number(place, "start", start, 0, float("inf")),
                *_number(place, "end", end, 0, float("inf")),
            ]
            yield from bad
            if not bad and not float(start) < float(end):
                yield f"{place}: end {end} is not after start {start}"
            yield from _whole(place, "class", label, range(len(MA52)))
            yield from _number(place, "score", score, 0, 1)


# ---- any data set

_PLAIN = "predictions.csv"


def _plain_header(top: int) -> tuple[str, ...]:
    return (
        "name",
        "label",
        "label_name",
        *(f"{what}_{i}" for i in range(1, top + 1) for what in ("top", "probability")),
    )


def _write_plain(p: ClipPredictions, options: Options) -> _Files:
    table, top = np.asarray(p.probabilities, np.float64), min(TOP, len(p.taxonomy))
    rows: list[Sequence[object]] = [_plain_header(top)]
    for name, row, order in zip(p.names, table, p.ranked()[:, :top].tolist(), strict=True):
        best = [cell for k in order for cell in (k, f"{row[k]:.6f}")]
        rows.append((guard(name), order[0], guard(p.taxonomy[order[0]].name), *best))
    return {_PLAIN: _csv(rows)}


def _check_plain(files: _Files, options: Options, expected: Sequence[str] | None) -> _Problems:
    for name, text in files.items():
        columns = text.split("\n", 1)[0].count(",") + 1
        top = max(1, (columns - 3) // 2)
        problems, rows = _read(name, text, _plain_header(top), 3 + 2 * top)
        yield from problems
        yield from _names(rows, None if expected is None else [guard(n) for n in expected], _ANY, unique=False)
        for place, (_, label, _, *best) in rows:
            for cell in best[::2]:
                yield from _whole(place, "label", cell, _FRAMES)
            for cell in best[1::2]:
                yield from _number(place, "probability", cell, 0, 1)
            if label != best[0]:
                yield f"{place}: label {label[:20]!r}, expected the most probable, {best[0][:20]!r}"


CHALLENGES: dict[str, Challenge] = {
    c.key: c
    for c in (
        Challenge(
            "miga-classification",
            "MiGA, track 1: one label per clip of iMiGUE",
            "Submission.zip",
            ClipPredictions,
            ("imigue",),
            _write_miga,
            _check_miga,
            (4562, 4561, 4563),
            unique=False,
        ),
        Challenge(
            "miga-online",
            "MiGA, track 2: gestures in long recordings, in frames",
            "submission.zip",
            Detections,
            ("imigue", "smg"),
            _write_online,
            _check_online,
            (104,),
        ),
        Challenge(
            "mac2024",
            "MAC 2024, track 1: body part and action per clip of MA-52",
            "submission.zip",
            ClipPredictions,
            ("ma52",),
            _write_mac2024,
            _check_mac2024,
            (5586,),
        ),
        Challenge(
            "codabench-9066",
            "MAC 2025 and Codabench 9066: five actions and five body parts per clip of MA-52",
            "submission.zip",
            ClipPredictions,
            ("ma52",),
            _write_codabench,
            _check_codabench,
            (5586, 1138),
        ),
        Challenge(
            "mma52",
            "MMA-52: actions in videos, in seconds",
            "submission.zip",
            Detections,
            ("ma52",),
            _write_mma52,
            _check_mma52,
            (519,),
        ),
        Challenge(
            "predictions",
            "a table for data sets without a challenge",
            _PLAIN,
            ClipPredictions,
            (),
            _write_plain,
            _check_plain,
            unique=False,
        ),
    )
}
"""Key -> the file of a challenge."""
