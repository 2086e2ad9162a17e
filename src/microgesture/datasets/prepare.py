"""From data as distributed to a store: verified, converted once, resumable, and with a table of what was found.

A data set states a `Source`: `find` lists the units of work under a folder (cheap), `read` gives the recordings of one
unit. Units are read by several processes, each into files of its own under `STORE/parts`; when all are there, they are
joined in the order of the units and `store.json` is written last. A run that was killed goes on with the units that
are missing; the result depends on the data alone, byte for byte. One recording is in memory at a time.

What is wrong in the data becomes a `Finding`. A row that is refused is left out of the store and named; what is known
of a data set (a `quirk`) or simply not there (`missing`) is told. With `strict` any of them, and any count that is not
the official one, is an error.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import held, make_folder, replacing, sha256, write_text, writing
from microgesture.core.errors import CheckFailed, FormatError, MicrogestureError, NoInput, NotPermitted, UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import known
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.catalogue import DATASETS, UNRELEASED
from microgesture.datasets.store import (
    CLIPS,
    FILES,
    FORMAT,
    FRAMES,
    INDEX,
    RECORDINGS,
    STATES,
    VERSION,
    Store,
    digest,
    open_store,
    schema,
)

Floats = NDArray[np.float32]
Kind = Literal["refused", "missing", "quirk"]
Progress = Callable[[str, float, float], None]

PARTS, PLAN = "parts", "plan.json"
MARK = "simulated.json"
"""File in the root of data that the simulator made in the layout of a data set."""
EXAMPLES = 3
"""Places named for each kind of finding; all of them are in the report."""
_BATCH = 50_000  # rows of a table held in memory


@dataclass(frozen=True)
class Finding:
    """Something in the data that is not as it should be, or that a reader should know.

    Args:
        kind: `refused`: left out of the store; `missing`: not there; `quirk`: known of this data set, and handled.
        topic: one phrase for all findings of this sort, e.g. `"the segment ends before it starts"`.
        path: file or folder, relative to the root where possible.
        place: e.g. `"line 12"`.
        detail: the value met, and what to do.
        split: the split it belongs to, if known.
    """

    kind: Kind
    topic: str
    path: str = ""
    place: str = ""
    detail: str = ""
    split: str = ""

    @classmethod
    def of(cls, error: MicrogestureError, topic: str = "the file cannot be read", split: str = "") -> Finding:
        """What a reader said when it refused a file."""
        path, place = getattr(error, "path", ""), getattr(error, "place", None) or ""
        return cls(
            "refused",
            topic,
            path,
            place,
            str(error).removeprefix(f"{path}, {place}: ").removeprefix(f"{path}: "),
            split,
        )


@dataclass(frozen=True)
class Cut:
    """A labelled stretch of a recording: frames `[start, end)`; `label` -1 where it is withheld."""

    name: str
    label: int
    start: int
    end: int


@dataclass(frozen=True)
class StateCut:
    """An emotional state of a stretch of a recording; `split` is that of the emotion protocol, or empty."""

    name: str
    label: int
    start: int
    end: int
    split: str = ""


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recording as a `Source` reads it.

    Args:
        name: the data set's own name; unique.
        split: `train`, `val` or `test`, as the official lists have it.
        xy, score: float32 (M, T, V, C) and (M, T, V); pixels or metres, y downwards; score 0 = missing.
        fps: frames per second of this recording.
        cuts, states: what is labelled in it.
        subject: number of the person, -1 if unknown.
        group: anything a protocol groups by, e.g. the prefix of MA-52's names.
        size: (width, height) of the picture, (0, 0) if unknown.
        video: the video file relative to the root, or empty.
    """

    name: str
    split: str
    xy: Floats
    score: Floats
    fps: float
    cuts: Sequence[Cut] = ()
    states: Sequence[StateCut] = ()
    subject: int = -1
    group: str = ""
    size: tuple[int, int] = (0, 0)
    video: str = ""


@dataclass(frozen=True)
class Unit:
    """One piece of work: a recording, or a file that holds several.

    Args:
        name: for progress and for the names of parts.
        files: what it is read from, absolute.
        facts: anything plain that `read` needs besides.
    """

    name: str
    files: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What `find` saw under a root: the units in their order, and what to tell."""

    units: tuple[Unit, ...]
    findings: tuple[Finding, ...] = ()
    skeleton: Skeleton | None = None
    taxonomy: Taxonomy | None = None
    persons: int | None = None
    coordinates: int | None = None


class Source(Protocol):
    """How a data set is distributed. A frozen dataclass whose fields are the options of `prepare`.

    Args:
        key: of the data set.
        skeleton, taxonomy, persons, coordinates: of the store; `find` may state others, for data of the user's own.
        fps: nominal frames per second.
        states: names of the emotional states in the order of their ids; empty if there are none.
        expected: per split the official numbers of `clips` and `recordings`.
        expected_classes: per split the official number of clips of every class, where published.
    """

    key: str
    skeleton: Skeleton
    taxonomy: Taxonomy
    persons: int
    coordinates: int
    fps: float
    states: tuple[str, ...]
    expected: Mapping[str, Mapping[str, int]]
    expected_classes: Mapping[str, Sequence[int]]

    def find(self, root: Path) -> Found:
        """Units under `root`.

        Raises:
            CheckFailed: the data set is not there; the message says what was looked for.
        """
        ...

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recordings of a unit, one by one; a `FormatError` it lets out becomes a finding."""
        ...


@dataclass(frozen=True)
class Report:
    """What `prepare` found.

    Args:
        store: the folder.
        rows: per split `clips`, `recordings` and their official numbers, `clips_official` (None if unknown) and so on.
        classes: per split found and official clips of every class; official is None where it is not published.
        findings: everything told, in the order of the data.
        explained: for every count that is not the official one, why.
        simulated: whether the simulator made the data.
        taxonomy: the classes.
    """

    store: Path
    rows: Mapping[str, Mapping[str, int | None]]
    classes: Mapping[str, tuple[list[int], list[int] | None]]
    findings: tuple[Finding, ...]
    explained: tuple[str, ...]
    simulated: bool
    taxonomy: Taxonomy

    @property
    def refused(self) -> int:
        """Number of things left out because they cannot be right."""
        return sum(f.kind == "refused" for f in self.findings)

    def summary(self, *kinds: Kind) -> list[str]:
        """One line per sort of finding: how many, and where the first ones are."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            if not kinds or finding.kind in kinds:
                groups.setdefault((finding.kind, finding.topic), []).append(finding)
        return [f"{kind}: {topic} ({len(group)}): {_examples(group)}" for (kind, topic), group in groups.items()]


def _examples(group: Sequence[Finding]) -> str:
    shown = []
    for f in group[:EXAMPLES]:
        where = ", ".join(part for part in (f.path, f.place) if part)
        shown.append(f"{where}: {f.detail}" if where and f.detail else where or f.detail)
    rest = len(group) - EXAMPLES
    return "; ".join(shown) + (f"; and {rest} more" if rest > 0 else "")


def source_of(key: str, options: Mapping[str, Any] | None = None) -> Source:
    """The `Source` of a data set.

    Args:
        options: its fields by name, e.g. `{"frame_offset": 1}`; texts are read as numbers where the field is one.

    Raises:
        UsageError: no such data set or option; the message names the known ones.
    """
    keys = [k for k, info in DATASETS.items() if info.source]
    if key in UNRELEASED:
        raise UsageError(f"{key}: not released. {UNRELEASED[key]}")
    if key not in keys:
        raise UsageError(f"no data set '{key}' to prepare; known: {', '.join(keys)}")
    module, _, name = DATASETS[key].source.rpartition(".")
    cls = getattr(import_module(module), name)
    types: dict[str, Callable[[Any], Any]] = {f.name: type(f.default) for f in fields(cls) if f.init}
    values: dict[str, Any] = {}
    for option, value in (options or {}).items():
        if option not in types:
            raise UsageError(f"{key} has no option '{option}'; known: {', '.join(types) or 'none'}")
        try:
            plain = isinstance(value, str) and types[option] is bool
            values[option] = value.casefold() in ("1", "true", "yes") if plain else types[option](value)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{key}: option {option} is {value!r}; expected a value like {getattr(cls, option)!r}"
            ) from error
    source: Source = cls(**values)
    return source


def prepare(
    source: Source,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    strict: bool = False,
    fresh: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify and convert a data set. A store that is there already for the same data is left alone.

    Args:
        root: the data as distributed; see the head of the data set's module for the layouts.
        out: the store.
        strict: any finding, and any count that is not the official one, is an error; the store is not finished then.
        fresh: begin anew, whatever is in `out`.
        workers: processes; by default one per core.

    Raises:
        CheckFailed: the root is not this data set, or `strict` found something.
        UsageError: `out` holds a store of other data.
        TryAgain, CannotCreate, NotPermitted, OutputFailed: see `core.durable`.
    """
    root, out = Path(root), Path(out)
    found = _find(source, root)
    folder = make_folder(out)
    with held(folder):
        plan = _plan(source, root, found)
        if (folder / INDEX).exists() and not fresh:
            return _again(open_store(folder), plan, strict)
        parts = make_folder(folder / PARTS)
        if fresh or not (parts / PLAN).exists() or (parts / PLAN).read_text(encoding="utf-8") != plan:
            _clear(folder)
            parts = make_folder(folder / PARTS)
            write_text(parts / PLAN, plan)
        _read_units(source, found, root, parts, workers or os.cpu_count() or 1, progress)
        tell = progress or (lambda stage, done, total: None)
        index = _join(source, found, root, folder, plan, tell)
        report = report_of(folder, index)
        if strict and (report.findings or report.explained):
            raise CheckFailed(_strictly(report))
        with writing(folder / INDEX):
            write_text(
                folder / INDEX, json.dumps(index | {"digest": digest(index)}, indent=1, ensure_ascii=False) + "\n"
            )
            shutil.rmtree(parts)
    return report


def prepared(key: str, root: Path) -> Store:
    """The store in a folder; data as distributed are prepared into the cache on first use.

    Raises:
        NoInput: there is no such folder, or the preparation of its store was interrupted.
        CheckFailed: the data are not those of this data set.
    """
    if (root / INDEX).exists() or (root / PARTS / PLAN).exists():
        return open_store(root)
    if not root.is_dir():
        raise NoInput(f"{root}: there is no such folder")
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    cache = cache_folder() / "stores" / f"{key}-{name}"
    if not (cache / INDEX).exists():
        warnings.warn(f"{root} holds data as distributed; they are prepared once, into {cache}", stacklevel=2)
    try:
        report = prepare(source_of(key), root, cache)
    except UsageError:  # the store is of an earlier state of the data, and the cache is ours
        warnings.warn(f"{root} has changed; its data are prepared anew, into {cache}", stacklevel=2)
        report = prepare(source_of(key), root, cache, fresh=True)
    for line in report.summary("refused"):
        warnings.warn(f"{root}: {line}", stacklevel=2)
    return open_store(cache)


def cache_folder() -> Path:
    """Where this package keeps what it can make again: MICROGESTURE_HOME, else the system's place for caches."""
    from platformdirs import user_cache_path

    home = os.environ.get("MICROGESTURE_HOME")
    return Path(home) / "cache" if home else user_cache_path("microgesture", appauthor=False)


def _find(source: Source, root: Path) -> Found:
    """`source.find`, with everything that can be wrong with a root in words."""
    if not root.exists():
        raise CheckFailed(f"{root}: there is no such folder")
    if root.is_file():
        raise CheckFailed(f"{root}: {_about_archive(root)}")
    try:
        found = source.find(root)
    except PermissionError as error:
        raise CheckFailed(
            f"{error.filename or root}: may not be read ({error.strerror}); check its permissions"
        ) from error
    except (FormatError, NoInput, NotPermitted) as error:
        raise CheckFailed(str(error)) from error
    except CheckFailed as error:
        archives = sorted([*root.glob("*.zip"), *root.glob("*/*.zip")])
        notes = "".join(f"\n  {archive.relative_to(root)}: {_about_archive(archive)}" for archive in archives[:5])
        raise CheckFailed(f"{error}{notes}") from error
    if not found.units:
        raise CheckFailed(f"{root}: holds no recording of {source.key}")
    return found


def _about_archive(path: Path) -> str:
    """Whether an archive is whole, in words."""
    if path.suffix.lower() != ".zip":
        return "is a file; name the folder that holds the data"
    try:
        with zipfile.ZipFile(path) as archive:
            archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        return f"is not a whole archive ({error}): the download broke off. Fetch it again"
    return "is a zip archive; unpack it and name the folder"


def _plan(source: Source, root: Path, found: Found) -> str:
    """What the store depends on: options, version, and names, sizes and times of the files."""
    files = []
    for unit in found.units:
        for path in unit.files:
            state = path.stat()
            files.append([os.path.relpath(path, root), state.st_size, state.st_mtime_ns])
    content = {
        "version": VERSION,
        "dataset": source.key,
        "options": _options(source),
        "root": str(root.resolve()),
        "units": [unit.name for unit in found.units],
        "files": files,
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def _options(source: Source) -> dict[str, Any]:
    return asdict(source)  # type: ignore[call-overload, no-any-return]


def _again(store: Store, plan: str, strict: bool) -> Report:
    if store.index["plan"] != hashlib.sha256(plan.encode()).hexdigest():
        raise UsageError(
            f"{store.path} holds a store made from other files or with other options; "
            "choose another folder with --out, or make it anew with --fresh"
        )
    report = report_of(store.path, store.index)
    if strict and (report.findings or report.explained):
        raise CheckFailed(_strictly(report))
    return report


def _clear(folder: Path) -> None:
    with writing(folder):
        for name in (INDEX, *FILES):
            (folder / name).unlink(missing_ok=True)
        if (folder / PARTS).exists():
            shutil.rmtree(folder / PARTS)


# ---- reading, one unit per task


def _read_units(source: Source, found: Found, root: Path, parts: Path, workers: int, progress: Progress | None) -> None:
    open_units = [i for i in range(len(found.units)) if not (parts / f"{i:06}.json").exists()]
    total, done = len(found.units), len(found.units) - len(open_units)
    tell = progress or (lambda stage, done, total: None)
    tell("reading", done, total)
    work = [(source, found.units[i], root, parts / f"{i:06}", _facts(source, found)) for i in open_units]
    if workers == 1 or len(work) < 2:
        for item in work:
            _read_unit(*item)
            done += 1
            tell("reading", done, total)
        return
    # not a plain fork: a progress bar's thread may hold a lock at that moment
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    with ProcessPoolExecutor(min(workers, len(work)), multiprocessing.get_context(method)) as pool:
        waiting: set[Future[None]] = set()
        try:
            for item in work:
                if len(waiting) >= 4 * workers:
                    done = _collect(waiting, done, total, tell)
                waiting.add(pool.submit(_read_unit, *item))
            while waiting:
                done = _collect(waiting, done, total, tell)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _collect(waiting: set[Future[None]], done: int, total: int, tell: Progress) -> int:
    finished, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for future in finished:
        future.result()
    waiting.intersection_update(rest)
    tell("reading", done + len(finished), total)
    return done + len(finished)


@dataclass(frozen=True)
class _Facts:
    persons: int
    joints: int
    coordinates: int
    classes: int


def _facts(source: Source, found: Found) -> _Facts:
    return _Facts(
        found.persons or source.persons,
        len(found.skeleton or source.skeleton),
        found.coordinates or source.coordinates,
        len(found.taxonomy or source.taxonomy),
    )


def _read_unit(source: Source, unit: Unit, root: Path, part: Path, facts: _Facts) -> None:
    """Read one unit into `part.frames`, then `part.json`, which says that it is whole."""
    recordings: list[dict[str, Any]] = []
    findings: list[Finding] = []
    with replacing(part.with_suffix(".frames")) as temporary, temporary.open("wb") as file:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                for item in source.read(unit):
                    if isinstance(item, Finding):
                        findings.append(item)
                    else:
                        recordings.append(_write(item, file, facts, findings))
            except (FormatError, NoInput, NotPermitted) as error:
                findings.append(Finding.of(error))
        findings += [Finding("quirk", w.category.__name__, unit.name, "", _said(w.message, root)) for w in told]
    plain = [asdict(f) | {"path": _below(f.path, root)} for f in findings]
    content = {"unit": unit.name, "recordings": recordings, "findings": plain}
    write_text(part.with_suffix(".json"), json.dumps(content, ensure_ascii=False) + "\n")


def _said(warning: Warning | str, root: Path) -> str:
    """A warning with paths relative to the root."""
    return str(warning).replace(f"{root}{os.sep}", "")


def _below(path: str, root: Path) -> str:
    """A path relative to the root where it lies below it."""
    if not path:
        return path
    try:
        return str(Path(path).relative_to(root))
    except ValueError:
        return path


def _write(item: Recorded, file: Any, facts: _Facts, findings: list[Finding]) -> dict[str, Any]:
    """Frames to disk, rows to plain data; cuts that cannot be are refused."""
    persons, frames = item.xy.shape[:2]
    if persons > facts.persons:
        findings.append(
            Finding(
                "quirk",
                f"more than {facts.persons} persons",
                item.name,
                "",
                f"{persons}; the first ones are kept",
                item.split,
            )
        )
    block = np.zeros((frames, facts.persons, facts.joints, facts.coordinates + 1), "<f4")
    kept = min(persons, facts.persons)
    seen = (item.score[:kept] > 0) & np.isfinite(item.xy[:kept]).all(-1) & np.isfinite(item.score[:kept])
    block[:, :kept, :, :-1] = np.moveaxis(np.where(seen[..., None], item.xy[:kept], 0), 0, 1)
    block[:, :kept, :, -1] = np.moveaxis(np.where(seen, item.score[:kept], 0), 0, 1)
    file.write(block.tobytes())
    cuts = [asdict(c) for c in item.cuts if _sound(c, item, frames, facts.classes, findings)]
    states = [asdict(s) for s in item.states if _sound(s, item, frames, 1 << 31, findings)]
    row = {name: getattr(item, name) for name in ("name", "split", "subject", "group", "fps", "size", "video")}
    return row | {"frames": frames, "cuts": cuts, "states": states}


def _sound(cut: Cut | StateCut, item: Recorded, frames: int, classes: int, findings: list[Finding]) -> bool:
    if 0 <= cut.start < cut.end <= frames and -1 <= cut.label < classes:
        return True
    if -1 <= cut.label < classes:
        topic, detail = "a segment lies outside its recording", f"frames {cut.start} to {cut.end} of {frames}"
    else:
        topic, detail = "a label is out of range", f"{cut.label}; expected 0..{classes - 1}"
    findings.append(Finding("refused", topic, item.name, f"clip {cut.name}", detail, item.split))
    return False


# ---- joining the parts


def _join(source: Source, found: Found, root: Path, folder: Path, plan: str, tell: Progress) -> dict[str, Any]:
    """Parts to files of the store, in the order of the units; returns the index, not yet written."""
    parts = folder / PARTS
    names = Counter[str]()
    clips_of: dict[str, Counter[int]] = {}
    recordings_of = Counter[str]()
    findings = [asdict(f) | {"path": _below(f.path, root)} for f in found.findings]
    total = len(found.units)
    tables = {file: _Rows(file, folder / file) for file in (RECORDINGS, CLIPS, STATES)}
    row, number, whole = 0, 0, hashlib.sha256()
    with writing(folder / FRAMES), (folder / FRAMES).open("wb") as frames:
        for i in range(total):
            part = parts / f"{i:06}"
            content = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
            findings += content["findings"]
            with part.with_suffix(".frames").open("rb") as piece:
                while block := piece.read(1 << 20):
                    frames.write(block)
                    whole.update(block)
            for r in content["recordings"]:
                split, (width, height) = r["split"], r["size"]
                names[r["name"]] += 1
                recordings_of[split] += 1
                tables[RECORDINGS].add(
                    name=r["name"], split=split, subject=r["subject"], group=r["group"], row=row, frames=r["frames"],
                    fps=r["fps"], width=width, height=height, video=r["video"],
                )  # fmt: skip
                counter = clips_of.setdefault(split, Counter())
                for c in r["cuts"]:
                    counter[c["label"]] += 1
                    tables[CLIPS].add(
                        name=c["name"],
                        label=c["label"],
                        recording=number,
                        start=c["start"],
                        frames=c["end"] - c["start"],
                    )
                for s in r["states"]:
                    tables[STATES].add(
                        name=s["name"], label=s["label"], recording=number, start=s["start"],
                        frames=s["end"] - s["start"], split=s["split"],
                    )  # fmt: skip
                row, number = row + r["frames"], number + 1
            tell("joining", i + 1, total)
        frames.flush()
        os.fsync(frames.fileno())
    for table in tables.values():
        table.close()
    findings += _twice(names, folder / CLIPS)
    taxonomy = found.taxonomy or source.taxonomy
    splits = [s for s in ("train", "val", "test") if s in recordings_of or s in source.expected]
    splits += sorted(set(recordings_of) - set(splits))
    rows, classes = {}, {}
    for split in splits:
        official = source.expected.get(split, {})
        counts = clips_of.get(split, Counter())
        rows[split] = {
            "recordings": recordings_of[split],
            "recordings_official": official.get("recordings"),
            "clips": sum(counts.values()),
            "clips_official": official.get("clips"),
            "withheld": counts[-1],
        }
        per_class = source.expected_classes.get(split)
        classes[split] = [[counts[k] for k in range(len(taxonomy))], None if per_class is None else list(per_class)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": source.key,
        "options": _options(source),
        "root": str(root.resolve()),
        "plan": hashlib.sha256(plan.encode()).hexdigest(),
        "simulated": any((place / MARK).exists() for place in found.units[0].files[0].resolve().parents),
        "skeleton": (found.skeleton or source.skeleton).to_plain(),
        "taxonomy": taxonomy.to_plain(),
        "persons": found.persons or source.persons,
        "coordinates": found.coordinates or source.coordinates,
        "fps": source.fps,
        "states": list(source.states),
        "rows": rows,
        "classes": classes,
        "findings": findings,
        "files": {
            name: {
                "bytes": (folder / name).stat().st_size,
                "sha256": whole.hexdigest() if name == FRAMES else sha256(folder / name),
            }
            for name in FILES
        },
    }


class _Rows:
    """Rows to an Arrow file, batch by batch, so that a table of any length takes little memory."""

    def __init__(self, file: str, path: Path) -> None:
        import pyarrow as pa

        self.schema, self.path = schema(file), path
        self.columns: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        with writing(path):
            self.sink = pa.OSFile(str(path), "wb")
        self.writer = pa.ipc.new_file(self.sink, self.schema)

    def add(self, **row: Any) -> None:
        for name, values in self.columns.items():
            values.append(row[name])
        if len(self.columns["name"]) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        with writing(self.path):
            self.writer.write_batch(pa.record_batch([self.columns[n] for n in self.schema.names], self.schema))
        for values in self.columns.values():
            values.clear()

    def close(self) -> None:
        self._flush()
        with writing(self.path):
            self.writer.close()
            self.sink.close()
            handle = os.open(self.path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)


def _twice(names: Counter[str], clips: Path) -> list[dict[str, Any]]:
    """Findings for recordings and clips whose name occurs more than once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with pa.memory_map(str(clips)) as mapped:
        counted = pc.value_counts(pa.ipc.open_file(mapped).read_all().column("name"))
    many = [pair["values"] for pair in counted.filter(pc.greater(counted.field("counts"), 1)).to_pylist()]
    found = [Finding("refused", "the name of a recording occurs twice", name) for name, n in names.items() if n > 1]
    found += [Finding("refused", "the name of a clip occurs twice", "", f"clip {name}") for name in many]
    return [asdict(f) for f in found]


# ---- the report


def report_of(folder: Path, index: Mapping[str, Any]) -> Report:
    """The report an index holds."""
    findings = tuple(Finding(**f) for f in index["findings"])
    explained = []
    for split, row in index["rows"].items():
        for what in ("recordings", "clips"):
            official = row[f"{what}_official"]
            if official is not None and official != row[what]:
                explained.append(_why(split, what, row[what], official, findings, index["simulated"]))
    for split, (counts, official) in index["classes"].items():
        if official is not None and sum(counts) == sum(official) and counts != official:
            other = [str(k) for k, (a, b) in enumerate(zip(counts, official, strict=True)) if a != b]
            explained.append(
                f"{split}: as many clips as published, but the classes {', '.join(other)} differ in number"
            )
    classes = {split: (counts, official) for split, (counts, official) in index["classes"].items()}
    return Report(
        folder, index["rows"], classes, findings, tuple(explained), bool(index["simulated"]), known(index["taxonomy"])
    )


def _why(split: str, what: str, found: int, official: int, findings: Iterable[Finding], simulated: bool) -> str:
    text = f"{split}: {found:,} {what}, official {official:,}"
    if simulated:
        return f"{text}: simulated data in the layout of the data set"
    reasons = Counter((f.kind, f.topic) for f in findings if f.split in (split, ""))
    told = [f"{n} x {kind}: {topic}" for (kind, topic), n in reasons.items() if kind != "quirk"]
    return f"{text}: {'; '.join(told) if told else 'the files do not say what is missing'}"


def _strictly(report: Report) -> str:
    lines = [*report.summary(), *report.explained]
    return "the data are not as published (--strict):\n" + "\n".join(f"  {line}" for line in lines)
