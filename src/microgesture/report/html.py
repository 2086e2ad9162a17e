"""`report.html`: one file that opens anywhere, asks nobody for anything, and says what was found and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from microgesture.analysis.analyze import Analysis
from microgesture.analysis.quality import Quality
from microgesture.analysis.rates import MEANING, Comparison, Rate
from microgesture.core.durable import replacing
from microgesture.core.segment import Segment
from microgesture.report.chart import ORIGIN, clock, timeline_figure
from microgesture.report.draw import PALETTE, group_colour, svg_interval, svg_poses

PICTURES = 60
"""Events drawn as pictures, the most certain first."""
ROWS = 2000
"""Events listed in the table; all of them are in the files beside the report."""


@dataclass(frozen=True)
class _Picture:
    segment: Segment
    name: str
    colour: str
    when: str
    svg: str


def write_report(analysis: Analysis, path: str | Path | None = None, *, video: str | None = "skeleton.mp4") -> Path:
    """Write the report of an analysis (durably).

    Args:
        path: the file; by default `report.html` in the folder of results.
        video: name of the skeleton video beside the report, played only when asked for; None if there is none.

    Raises:
        NotPermitted, CannotCreate, OutputFailed: see `core.durable`.
    """
    from jinja2 import Environment

    target = Path(path) if path is not None else analysis.out / "report.html"
    # escaping is on: names of files and labels are data
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"clock": clock, "percent": lambda x: f"{100 * x:.0f} %"}
    template = environment.from_string((files(__package__) / "page.html").read_text("utf-8"))
    with replacing(target) as temporary, open(temporary, "w", encoding="utf-8") as file:
        # piece by piece, so that no second copy of a long page is held
        for piece in template.generate(**_content(analysis, video)):
            file.write(piece)
    return target


def _content(analysis: Analysis, video: str | None) -> dict[str, Any]:
    from plotly.offline import get_plotlyjs

    line = analysis.timeline
    micro = [s for s in line if s.label != line.taxonomy.illustrative]
    return {
        "a": analysis,
        "taxonomy": line.taxonomy,
        "duration": clock(line.duration),
        "micro": len(micro),
        "plotly": get_plotlyjs(),
        "people": [_person(analysis, q.person) for q in analysis.quality],
        "events": [(s, line.taxonomy[s.label], clock(s.start), clock(s.end)) for s in line.segments[:ROWS]],
        "video": video,
        "meaning": MEANING,
        "origin": ORIGIN,
        "facts": list(_facts(analysis)),
    }


def _person(analysis: Analysis, person: int) -> dict[str, Any]:
    from plotly.io import to_html

    line, stats, quality = analysis.timeline, analysis.evidence[person], analysis.quality[person]
    taxonomy = line.taxonomy
    segments = [s for s in line if s.person == person]
    figure = timeline_figure(segments, taxonomy, analysis.times, analysis.posteriors[person], line.duration)
    chart = to_html(
        figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=f"timeline-{person}",
        config={"displaylogo": False, "responsive": True, "displayModeBar": False, "doubleClick": "reset"},
    )
    found = sorted((c for c in stats.classes if c.count), key=lambda c: (-c.count, c.label))
    most = max([c.high for c in found if np.isfinite(c.high)], default=1.0)
    groups = [(g, PALETTE[i % len(PALETTE)]) for i, g in enumerate(stats.groups)]
    most_group = max([g.high for g in stats.groups if np.isfinite(g.high)], default=1.0)
    return {
        "number": person + 1,
        "chart": chart,
        "stats": stats,
        "quality": quality,
        "checks": list(_checks(quality)),
        "classes": [_row(c, most, group_colour(taxonomy, c.label), taxonomy[c.label].group) for c in found],
        "groups": [_row(g, most_group, colour, "") for g, colour in groups],
        "pictures": list(_pictures(analysis, segments)),
        "count": len(segments),
        "comparisons": [_compared(c) for c in stats.comparisons],
    }


def _row(rate: Rate, most: float, colour: str, group: str) -> dict[str, Any]:
    return {
        "rate": rate,
        "group": group,
        "colour": colour,
        "mean": rate.seconds / rate.count if rate.count else 0.0,
        "high": f"{rate.high:.2f}" if np.isfinite(rate.high) else "∞",
        "svg": svg_interval(rate.per_minute, rate.low, rate.high, most, colour),
    }


def _compared(c: Comparison) -> dict[str, Any]:
    def show(x: float) -> str:
        return "–" if np.isnan(x) else "∞" if np.isinf(x) else f"{x:.2f}"

    return {"c": c, "ratio": show(c.ratio), "low": show(c.low), "high": show(c.high)}


def _pictures(analysis: Analysis, segments: list[Segment]) -> Iterator[_Picture]:
    """The surest event of each class first, then the surest of the rest; drawn at three instants."""
    by_score = sorted(segments, key=lambda s: (-s.score, s.start))
    best = list({s.label: s for s in reversed(by_score)}.values())
    best.sort(key=lambda s: (-s.score, s.start))
    rest = [s for s in by_score if s not in best]
    taxonomy = analysis.timeline.taxonomy
    for s in [*best, *rest][:PICTURES]:
        track = analysis.poses.track(s.person, s.start, s.end)
        here = np.flatnonzero((track.score > 0).any(1))
        if not len(here):
            continue
        frames = [int(here[round(q * (len(here) - 1))]) for q in (0.15, 0.5, 0.85)]
        name = taxonomy[s.label].name
        words = f"Skeleton at three instants: {name}, {clock(s.start)} to {clock(s.end)}"
        yield _Picture(
            s,
            name,
            group_colour(taxonomy, s.label),
            clock(s.start),
            svg_poses(track, frames, words, taxonomy[s.label].group),
        )


def _checks(q: Quality) -> Iterator[tuple[str, str, float, bool]]:
    """Name, value in words, share for the bar, whether it is good enough."""
    yield "person found", f"{q.visible:.0%} of {q.frames:,} frames", q.visible, q.visible >= 0.9
    yield "right hand seen", f"{q.right_hand:.0%}", q.right_hand, q.right_hand >= 0.5
    yield "left hand seen", f"{q.left_hand:.0%}", q.left_hand, q.left_hand >= 0.5
    yield "face seen", f"{q.face:.0%}", q.face, q.face >= 0.5
    yield "pose confidence", f"{q.confidence:.2f}", q.confidence, q.confidence >= 0.5
    yield (
        "view",
        f"{q.view} (head turned by {q.turned:.0f}°)",
        1 - q.turned / 90,
        q.view in ("frontal", "three-quarter"),
    )
    yield "frame rate", f"{q.fps:.1f} per second, {q.uneven:.0%} uneven", min(1.0, q.fps / 30), q.fps >= 12
    yield "shoulder width", f"{q.shoulders:.0f} px", min(1.0, q.shoulders / 150), q.shoulders >= 40


def _facts(analysis: Analysis) -> Iterator[tuple[str, str]]:
    for group, values in (("setting", analysis.settings), ("version", analysis.versions)):
        for name, value in values.items():
            if isinstance(value, dict):
                yield from ((f"{name}: {k}", _words(v)) for k, v in value.items())
            else:
                yield (f"version of {name}" if group == "version" else name), _words(value)


def _words(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 400 else text[:397] + "..."


if __name__ == "__main__":
    import sys

    from microgesture.report.sample import invented

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "sample-report")
    folder.mkdir(exist_ok=True)
    page = write_report(invented(), folder / "report.html", video=None)
    sys.stderr.write(f"written: {page}\n")
