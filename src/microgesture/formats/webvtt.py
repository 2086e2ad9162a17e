"""Timelines as WebVTT: subtitles any player shows. One cue per segment: `<v person 0>Folding arms (0.8731)`."""

from __future__ import annotations

import re
from html import unescape

from microgesture.core.durable import write_text
from microgesture.core.errors import FormatError
from microgesture.core.segment import Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.segments import (
    Persons,
    Problems,
    each_row,
    label,
    milliseconds,
    number,
    segment,
    timeline,
    too_many,
)
from microgesture.formats.source import EVENT_LIMIT, PathLike, read_text

_TIME = r"(?:(\d{2,4}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMING = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?\Z", re.ASCII)
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)>")
_TAG = re.compile(r"<[^>]*>")
_SCORE = re.compile(r"\s*\(([^()]*)\)\Z")
_DURATION = re.compile(r"NOTE duration (\S+) s\Z")


def write_vtt(line: Timeline, path: PathLike) -> None:
    """Cues in the order of time; a NOTE holds taxonomy and duration."""
    blocks = ["WEBVTT", f"NOTE taxonomy {line.taxonomy.key}", f"NOTE duration {line.duration:.3f} s"]
    for i, s in enumerate(line):
        start, end = milliseconds(s)
        name = line.taxonomy[s.label].name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{i}\n{_clock(start)} --> {_clock(end)}\n<v person {s.person}>{name} ({s.score:.4f})")
    write_text(path, "\n\n".join(blocks) + "\n")


def read_vtt(
    path: PathLike, taxonomy: Taxonomy, duration: float | None = None, *, problems: Problems | None = None
) -> Timeline:
    """Cues whose text is a label of the taxonomy, with or without a voice and a score in brackets.

    Args:
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming the line.
    """
    text = read_text(path)
    if text.count("-->") > EVENT_LIMIT:
        raise too_many(path, text.count("-->"))
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not re.match(r"WEBVTT(?:[ \t]|\Z)", lines[0]):
        raise FormatError(path, "not a WebVTT file", place="line 1", expected="WEBVTT", remedy="name a .vtt file")
    cues: list[tuple[str, float, float, str, str, float]] = []
    at = 1
    while at < len(lines) and lines[at]:  # the header block may have more lines
        at += 1
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        first, block = at, []
        while at < len(lines) and lines[at]:
            block.append(lines[at])
            at += 1
        note = _DURATION.match(block[0])
        if note and duration is None:
            duration = number(path, f"line {first + 1}", "duration", note[1])
        if block[0].startswith(("NOTE", "STYLE", "REGION")) and not any("-->" in text for text in block[:2]):
            continue
        if "-->" not in block[0]:  # the name of the cue
            block, first = block[1:], first + 1
        place = f"line {first + 1}"
        with each_row(problems):
            timing = _TIMING.match(block[0]) if block else None
            if timing is None:
                raise FormatError(
                    path,
                    f"no times in a cue: {(block or [''])[0][:40]!r}",
                    place=place,
                    expected="00:00:01.000 --> 00:00:02.500",
                    remedy="correct the cue or remove it",
                )
            text = " ".join(block[1:])
            voice = _VOICE.search(text)
            words = unescape(_TAG.sub("", text)).strip()
            score = _SCORE.search(words)
            graded = score is not None and score[1][:1].isdigit()
            cues.append(
                (
                    place,
                    _seconds(timing.groups()[:4]),
                    _seconds(timing.groups()[4:]),
                    voice[1] if voice else "",
                    words[: score.start()] if graded and score else words,
                    number(path, place, "score", score[1]) if graded and score else 1.0,
                )
            )
    persons = Persons(path, (voice for _, _, _, voice, _, _ in cues))
    segments = []
    for place, start, end, speaker, name, grade in cues:
        with each_row(problems):
            meaning = label(path, place, taxonomy, name)
            segments.append(segment(path, place, start, end, meaning, grade, persons[speaker]))
    return timeline(path, segments, taxonomy, duration)


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, ms = (int(part or 0) for part in parts)
    return hours * 3600 + minutes * 60 + seconds + ms / 1000
