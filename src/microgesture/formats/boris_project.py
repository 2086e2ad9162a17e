"""Timelines as projects of BORIS (.boris, JSON, format 7.0): ethogram, subjects and one observation per rater.

A state event stands in `events` twice; the first entry of a subject's behavior starts it, the next one stops it. An
event is `[time in s, subject, code, modifier, comment]`, with media also the index of the frame. The score is in the
comment of the start. `media_info` holds length and frame rate of each file, by its path.
Names of fields, the order of an event and the ethogram were checked against BORIS's own configuration (`config.py` of
version 9) and a project of its tests; the order of simultaneous events and whether an index counts from 0 were not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isclose
from string import ascii_letters, digits
from typing import Any
from urllib.parse import unquote

from microgesture.core.errors import FormatError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.boris import score_of, start_stop, unpaired
from microgesture.formats.eaf import MACHINE, relative_url
from microgesture.formats.safe_json import read_json, write_json
from microgesture.formats.segments import Persons, Problems, each_row, label, one_of, raters, segment, timeline
from microgesture.formats.source import PathLike

VERSION = "7.0"
_NO_DATE = "1970-01-01T00:00:00"  # the same timeline gives the same bytes
_NONE = "NA"
_LIVE, _MEDIA, _IMAGES = "LIVE", "MEDIA", "IMAGES"
_STATES = ("State event", "State event with coding map")
_RESTORE = "open the project in BORIS and save it again"


def write_boris_project(
    line: Timeline | Mapping[str, Timeline],
    path: PathLike,
    *,
    media: PathLike | None = None,
    fps: float | None = None,
) -> None:
    """Write a project with all classes of the taxonomy as state events.

    Args:
        line: one timeline, or one per rater of the same recording; a rater's observation has the rater's name, that
            of one timeline alone the name `eaf.MACHINE`.
        media: the recording, linked by its place relative to the file; without one the observation counts as live.
        fps: frame rate of the recording, if known.

    Raises:
        UsageError: one person shows the same label twice at once; raters as in `segments.raters`.
    """
    first, lines = raters(path, line)
    keys = (ascii_letters + digits).ljust(len(first.taxonomy))
    behaviors = {
        str(meaning.id): {
            "type": _STATES[0],
            "key": keys[meaning.id].strip(),
            "code": meaning.name,
            "description": "",
            "color": "",
            "category": meaning.group,
            "modifiers": {},
            "excluded": "",
            "coding map": "",
        }
        for meaning in first.taxonomy
    }
    persons = sorted({person for own in lines.values() for person in own.persons})
    value = {
        "time_format": "s",
        "project_date": _NO_DATE,
        "project_name": "micro-gestures",
        "project_description": f"label space {first.taxonomy.key}",
        "project_format_version": VERSION,
        "subjects_conf": {
            str(i): {"key": "", "name": f"person {person}", "description": ""} for i, person in enumerate(persons)
        },
        "behaviors_conf": behaviors,
        "observations": {
            rater or MACHINE: _observation(own, path, unquote(relative_url(media, path)) if media else None, fps)
            for rater, own in lines.items()
        },
        "behavioral_categories": list(dict.fromkeys(meaning.group for meaning in first.taxonomy)),
        "behavioral_categories_config": {},
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    write_json(path, value)


def _observation(line: Timeline, path: PathLike, file: str | None, fps: float | None) -> dict[str, Any]:
    events: list[list[Any]] = []
    for ms, _, s, kind in start_stop(line, path):
        comment = f"score {s.score:.4f}" if kind == "START" else ""
        event = [ms / 1000, f"person {s.person}", line.taxonomy[s.label].name, "", comment]
        events.append(event if file is None else [*event, round(ms / 1000 * fps) if fps else _NONE])
    length = round(line.duration, 3)
    known: dict[str, Any] = {
        "length": {file: length},
        "fps": {file: fps} if fps else {},
        "hasVideo": {file: True},
        "hasAudio": {file: False},
        "offset": {"1": 0.0},
    }
    return {
        "file": {"1": [file], "2": []} if file else {},
        "type": _MEDIA if file else _LIVE,
        "date": _NO_DATE,
        "description": "",
        "time offset": 0.0,
        "events": events,
        "observation time interval": [0, 0 if file else length],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "close_behaviors_between_videos": False,
        "scan_sampling_time": 0,
        "start_from_current_time": False,
        "media_info": known if file else {"offset": {}},
    }


def read_boris_project(
    path: PathLike,
    taxonomy: Taxonomy,
    duration: float | None = None,
    *,
    rater: str | None = None,
    fps: float | None = None,
    problems: Problems | None = None,
) -> Timeline:
    """The events of one observation; codes of the ethogram are labels of the taxonomy.

    Args:
        duration: length of the recording in seconds; by default that of the media, or the end of the time interval.
        rater: name of the observation, where there are several.
        fps: frame rate of pictures whose events have a frame but no time, if the project does not say it.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming observation and event, e.g. of a point event or a start without
            stop; a frame without a frame rate; a time offset.
    """
    return one_of(path, read_boris_project_raters(path, taxonomy, duration, fps=fps, problems=problems), rater)


def read_boris_project_raters(
    path: PathLike,
    taxonomy: Taxonomy,
    duration: float | None = None,
    *,
    fps: float | None = None,
    problems: Problems | None = None,
) -> dict[str, Timeline]:
    """One timeline per observation, be it another rater or another recording; a person has the same number in all.

    Arguments and errors as `read_boris_project`.
    """
    value = read_json(path)
    observations = value.get("observations") if isinstance(value, dict) else None
    ethogram = value.get("behaviors_conf") if isinstance(value, dict) else None
    if not isinstance(observations, dict) or not isinstance(ethogram, dict):
        raise FormatError(
            path,
            "not a project of BORIS",
            place="top level",
            expected="objects 'observations' and 'behaviors_conf'",
            remedy="name a .boris file, or a table that BORIS exported",
        )
    kinds: dict[str, str] = {}
    for name, behavior in ethogram.items():
        place = f"behavior {name[:20]}"
        code, kind = (_text(path, place, behavior, field) for field in ("code", "type"))
        kinds[code] = kind
    subjects = (
        str(event[1])
        for observation in observations.values()
        for event in (observation.get("events") if isinstance(observation, dict) else None) or ()
        if isinstance(event, list) and len(event) > 1
    )
    persons = Persons(path, subjects)
    found = {}
    for name, observation in observations.items():
        place = f"observation {name[:40]!r}"
        if not isinstance(observation, dict) or not isinstance(observation.get("events"), list):
            raise FormatError(path, "no list 'events'", place=place, remedy=_RESTORE)
        offset = _number(path, place, "time offset", observation.get("time offset", 0))
        if offset:
            raise FormatError(
                path,
                f"time offset is {offset:g} s",
                place=place,
                expected="times of the recording itself, offset 0",
                remedy="set the offset of the observation to 0 in BORIS",
            )
        media = _Media(path, place, observation, fps)
        segments: list[Segment] = []
        begun: dict[tuple[int, int, str], tuple[str, float, float]] = {}
        for time, where, event in sorted(_events(path, place, observation, media, problems), key=lambda e: e[0]):
            with each_row(problems):
                subject, code, modifier, comment = (str(part) for part in event[1:5])
                if kinds.get(code) not in _STATES:
                    raise FormatError(
                        path,
                        f"{code[:40]!r} is a {kinds[code][:30]}" if code in kinds else f"no behavior {code[:40]!r}",
                        place=where,
                        expected="state events of the ethogram",
                        remedy="make the behavior a state event in the ethogram, or remove the event",
                    )
                meaning, person = label(path, where, taxonomy, code), persons[subject]
                key = (person, meaning.id, modifier)
                if key in begun:
                    _, start, score = begun.pop(key)
                    segments.append(segment(path, where, start, time, meaning, score, person))
                else:
                    begun[key] = (where, time, score_of(path, where, comment))
        for (_, id, _), (where, _, _) in begun.items():
            with each_row(problems):
                raise unpaired(path, where, f"'{taxonomy[id].name}' is started and never stopped")
        found[name] = timeline(path, segments, taxonomy, media.duration if duration is None else duration)
    return found


def _events(
    path: PathLike, place: str, observation: dict[str, Any], media: _Media, problems: Problems | None
) -> Iterator[tuple[float, str, list[Any]]]:
    for i, event in enumerate(observation["events"]):
        where = f"{place}, event {i}"
        with each_row(problems):
            if not isinstance(event, list) or len(event) < 5 or not all(isinstance(e, str) for e in event[1:5]):
                expected = "[time, subject, code, modifier, comment, ...]"
                raise FormatError(path, "not an event", place=where, expected=expected, remedy=_RESTORE)
            if event[0] in (None, _NONE):
                frame = event[5] if len(event) > 5 else None
                yield media.time_of(where, frame), where, event
            else:
                yield _number(path, where, "time", event[0]), where, event


class _Media:
    """What an observation says of its files: how long they last together, and their one frame rate."""

    def __init__(self, path: PathLike, place: str, observation: dict[str, Any], fps: float | None) -> None:
        self.path, self._place, self._given = path, place, fps
        files, known = observation.get("file"), observation.get("media_info")
        played = files.get("1") if isinstance(files, dict) else None  # other players show the same moments
        played = [str(file) for file in played] if isinstance(played, list) else []
        known = known if isinstance(known, dict) else {}
        lengths, rates = (_table(known, name) for name in ("length", "fps"))
        self.duration: float | None = None
        if played and all(file in lengths for file in played):
            self.duration = sum(_number(path, place, "length", lengths[file]) for file in played)
        else:
            interval = observation.get("observation time interval")
            if isinstance(interval, list) and len(interval) == 2:
                self.duration = _number(path, place, "observation time interval", interval[1]) or None
        self._rates = [_number(path, place, "fps", rates[file]) for file in played if file in rates]

    def time_of(self, where: str, frame: Any) -> float:
        """Seconds of a frame; the rate is the file's, or the one given where the file holds none."""
        if type(frame) is not int or not 0 <= frame < 10**9:
            raise FormatError(
                self.path, "neither a time nor a frame", place=where, expected="a time in seconds", remedy=_RESTORE
            )
        rates = [*self._rates, *([] if self._given is None else [self._given])]
        if not rates:
            raise FormatError(
                self.path,
                f"the event is at frame {frame}, and no frame rate is known",
                place=where,
                expected="fps in media_info",
                remedy="give the frame rate with --fps",
            )
        if any(rate <= 0 or not isclose(rate, rates[0], rel_tol=1e-4) for rate in rates):
            raise FormatError(
                self.path,
                "frame rates " + ", ".join(f"{rate:g}" for rate in rates[:8]),
                place=self._place,
                expected="one frame rate per recording",
                remedy="correct fps in media_info, or give no other with --fps",
            )
        return frame / rates[0]


def _table(known: dict[str, Any], name: str) -> dict[str, Any]:
    value = known.get(name)
    return value if isinstance(value, dict) else {}


def _text(path: PathLike, place: str, row: Any, name: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, str):
        raise FormatError(path, f"'{name}' is missing or not text", place=place, remedy=_RESTORE)
    return value


def _number(path: PathLike, place: str, name: str, value: Any) -> float:
    if type(value) not in (int, float) or abs(value) > 1e15:
        raise FormatError(
            path, f"{name} is {str(value)[:30]!r}", place=place, expected="a number of seconds", remedy=_RESTORE
        )
    return float(value)
