"""The timeline of one person as a plotly figure: what was decided, and what the model thought, lane by lane."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.segment import Segment
from microgesture.core.taxonomy import Taxonomy
from microgesture.report.draw import group_colour

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BINS = 1200
"""Columns of the heat strips; longer recordings show the maximum of each column."""
LANE = 44
"""Pixels per class."""
ORIGIN = 946_684_800_000
"""Second 0 on the time axis, ms (2000-01-01): a date axis takes numbers below 10,000 for years."""
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif'


def timeline_figure(
    segments: list[Segment],
    taxonomy: Taxonomy,
    times: NDArray[np.float64],
    posteriors: NDArray[np.float32],
    duration: float,
    lanes: int = 8,
) -> Figure:
    """One lane per class: its name, its segments as bars, its probability as a strip below.

    Args:
        segments: of one person.
        times, posteriors: (N,) seconds and (N, K).
        lanes: classes to show at least, filled up with the likeliest that were not decided for.
    """
    from plotly.graph_objects import Bar, Figure, Heatmap

    chosen = lane_order(segments, taxonomy, posteriors, lanes)
    lane = {label: -row for row, label in enumerate(chosen)}
    figure = Figure()
    strips, x, y = _strips(times, posteriors, chosen, duration)
    figure.add_trace(
        Heatmap(
            x=ORIGIN + x * 1000,
            y=y,
            z=strips,
            zmin=0,
            zmax=1,
            colorscale=[[0, "#eef1f3"], [0.25, "#cfdbe3"], [0.5, "#8fb0c6"], [1, "#0b3d5c"]],
            showscale=False,
            hovertemplate="%{x|%H:%M:%S} · probability %{z:.2f}<extra></extra>",
            name="probability",
        )
    )
    colours = {s.label: group_colour(taxonomy, s.label) for s in segments}
    for group in (*taxonomy.groups, "not a micro-gesture"):
        mine = [s for s in segments if _group(taxonomy, s.label) == group]
        if not mine:
            continue
        colour = colours[mine[0].label]
        figure.add_trace(
            Bar(
                orientation="h",
                name=escape(group),
                base=[ORIGIN + s.start * 1000 for s in mine],
                x=[s.duration * 1000 for s in mine],
                y=[lane[s.label] + 0.03 for s in mine],
                width=0.34,
                # the outline keeps a second visible in an hour
                marker={"color": colour, "line": {"color": colour, "width": 1.2}},
                customdata=[
                    [escape(taxonomy[s.label].name), f"{clock(s.start)} to {clock(s.end)}", s.duration, s.score]
                    for s in mine
                ],
                hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]} (%{customdata[2]:.1f} s)"
                "<br>probability %{customdata[3]:.2f}<extra></extra>",
            )
        )
    figure.update_layout(**_layout(chosen, taxonomy, duration))
    return figure


def _group(taxonomy: Taxonomy, label: int) -> str:
    group = taxonomy.group_of(label)
    return "not a micro-gesture" if group < 0 or label == taxonomy.illustrative else taxonomy.groups[group]


def lane_order(segments: list[Segment], taxonomy: Taxonomy, posteriors: NDArray[np.float32], lanes: int) -> list[int]:
    """Classes found, by body group and then by count; after them the likeliest others, up to `lanes` in all."""
    counts = np.bincount([s.label for s in segments], minlength=len(taxonomy))
    found = [k for k in range(len(taxonomy)) if counts[k]]
    found.sort(key=lambda k: (taxonomy.group_of(k) % (len(taxonomy.groups) + 1), -counts[k], k))
    peak = posteriors.max(0) if len(posteriors) else np.zeros(len(taxonomy))
    others = [int(k) for k in np.argsort(-peak, kind="stable") if not counts[k]]
    return found + others[: max(0, lanes - len(found))]


def _strips(
    times: NDArray[np.float64], posteriors: NDArray[np.float32], chosen: list[int], duration: float
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Cells (2 lanes - 1, columns) with empty rows between the strips, column edges in seconds, row edges."""
    count = max(1, min(BINS, len(times)))
    edges = np.linspace(0, max(duration, 1e-3), count + 1)
    strips = np.zeros((len(chosen), count), np.float32)
    if len(times):
        column = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, count - 1)
        for row, label in enumerate(chosen):
            np.maximum.at(strips[row], column, posteriors[:, label])
    cells = np.full((2 * len(chosen) - 1, count), np.nan, np.float32)
    cells[::2] = strips[::-1].round(2)  # plotly wants growing edges: lowest lane first
    low = -np.arange(len(chosen))[::-1] - 0.34
    return cells, edges, np.stack([low, low + 0.13], 1).ravel()


def _layout(chosen: list[int], taxonomy: Taxonomy, duration: float) -> dict[str, Any]:
    names = [
        {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 0.4 - row,
            "yanchor": "middle",
            "text": escape(taxonomy[label].name),
            "showarrow": False,
            "font": {"size": 12, "color": "#3c464e"},
        }
        for row, label in enumerate(chosen)
    ]
    return {
        "annotations": names,
        "barmode": "overlay",
        "bargap": 0,
        "height": LANE * len(chosen) + 96,
        "margin": {"l": 6, "r": 10, "t": 8, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": "#3c464e"},
        "hoverlabel": {"bgcolor": "white", "bordercolor": "#c9d0d5", "font": {"color": "#1f272d"}},
        "legend": {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "itemclick": "toggle"},
        "dragmode": "zoom",
        "xaxis": {
            "type": "date",
            "range": [ORIGIN, ORIGIN + duration * 1000],
            "minallowed": ORIGIN,
            "maxallowed": ORIGIN + duration * 1000,
            "tickformatstops": [
                {"dtickrange": [None, 1000], "value": "%H:%M:%S.%L"},
                {"dtickrange": [1000, None], "value": "%H:%M:%S"},
            ],
            "showgrid": True,
            "gridcolor": "#e6eaec",
            "zeroline": False,
        },
        "yaxis": {
            "range": [0.62 - len(chosen), 0.62],
            "fixedrange": True,
            "showticklabels": False,
            "showgrid": False,
            "zeroline": False,
        },
        "showlegend": True,
    }


def clock(seconds: float) -> str:
    """`mm:ss.s`, or `h:mm:ss.s` from an hour on.

    Example:
        >>> clock(75.25), clock(3675)
        ('01:15.2', '1:01:15.0')
    """
    tenths = int(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{rest / 10:04.1f}"
    return f"{hours}:{text}" if hours else text
