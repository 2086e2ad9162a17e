"""Small drawings: what they hold, and what they leave out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.analysis.fakes import invented_track

from microgesture.core.taxonomies import IMIGUE, MA52, SMG
from microgesture.report.draw import OTHER, PALETTE, group_colour, svg_interval, svg_poses


def test_groups_have_different_colours_and_other_movements_none() -> None:
    for taxonomy in (IMIGUE, SMG, MA52):
        of_group = {k.group: group_colour(taxonomy, k.id) for k in taxonomy if k.id != taxonomy.illustrative}
        assert len(set(of_group.values())) == len(of_group)
        assert set(of_group.values()) <= set(PALETTE)
        assert taxonomy.illustrative is not None
        assert group_colour(taxonomy, taxonomy.illustrative) == OTHER


def test_poses_are_drawn_side_by_side_with_words_for_a_screen_reader() -> None:
    svg = svg_poses(invented_track(2.0), [0, 20, 40], 'a "quoted" <pose>')
    assert 'viewBox="0 0 288 96"' in svg
    assert 'aria-label="a &quot;quoted&quot; &lt;pose&gt;"' in svg
    x = [float(v) for v in re.findall(r"[ML]([\d.-]+) ", svg)]
    assert min(x) < 96 < 192 < max(x) < 288
    assert len(svg) < 12_000


def test_heads_are_larger_where_the_head_is_the_point() -> None:
    def nose_height(group: str) -> float:
        svg = svg_poses(invented_track(2.0), [0], "x", group)
        return float(re.findall(r"[ML][\d.-]+ ([\d.-]+)", svg)[0])

    assert nose_height("Head") != nose_height("Hand")
    spread = {g: svg_poses(invented_track(2.0), [0], "x", g) for g in ("Head", "Hand", "Lower limb")}
    size = {g: _height(s) for g, s in spread.items()}
    assert size["Head"] > 1.5 * size["Hand"] > size["Lower limb"]


def _height(svg: str) -> float:
    y = [float(v) for v in re.findall(r"[ML][\d.-]+ ([\d.-]+)", svg)]
    return max(y) - min(y)


def test_missing_joints_leave_an_empty_picture() -> None:
    track = invented_track(1.0)
    for score in (0.0, 0.09):
        assert "<path" not in svg_poses(replace(track, score=track.score * 0 + score), [0, 1], "nobody")


@pytest.mark.parametrize("high", [2.0, float("inf")])
def test_intervals_stay_on_their_scale(high: float) -> None:
    svg = svg_interval(1.0, 0.5, high, 2.0, "#000000")
    assert "M25.0 6H100.0" in svg
    assert "M50.0 2V10" in svg
    assert "M0.0" in svg_interval(0.0, 0.0, 0.0, 0.0, "#000000")
