"""The report: what is on the page, what never gets into it, and how a browser shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.analysis.fakes import invented_track

from microgesture.analysis.analyze import Analysis
from microgesture.analysis.poses import TrackPoses
from microgesture.analysis.rates import MEANING, evidence
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE
from microgesture.core.taxonomy import Label
from microgesture.report.chart import BINS, clock, lane_order, timeline_figure
from microgesture.report.html import PICTURES, ROWS, write_report
from microgesture.report.sample import invented

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def sample() -> Analysis:
    return invented(3.0)


def page_of(analysis: Analysis, folder: Path) -> str:
    """The page without the 5 MB of plotly."""
    text = write_report(analysis, folder / "report.html").read_text("utf-8")
    return text[: text.index("<script>")] + text[text.index("</head>") :]


def test_everything_found_is_on_the_page(sample: Analysis, tmp_path: Path) -> None:
    page = page_of(sample, tmp_path)
    for s in sample.timeline:
        assert IMIGUE[s.label].name in page
        assert clock(s.start) in page
    assert page.count('class="event"') == len(sample.timeline)
    assert all(words.split(";")[0].replace("'", "&#39;") in page for words in MEANING.values())
    assert sample.warnings[0] in page
    assert sample.versions["numpy"] in page
    assert "calm : tense" in page


def test_hostile_names_stay_text(sample: Analysis, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    labels = tuple(Label(k.id, evil, evil if k.group != "none" else "none") for k in IMIGUE)
    taxonomy = replace(IMIGUE, labels=labels, groups=(evil,), title=evil)
    line = replace(sample.timeline, taxonomy=taxonomy)
    hostile = replace(
        sample,
        source=Path("x" + evil.replace("/", "\u2215") + ".mp4"),
        timeline=line,
        evidence=(evidence(line, 0, 3.0, sample.states),),
        warnings=(evil,),
        settings={evil: {evil: evil}},
        versions={"microgesture": evil},
    )
    page = page_of(hostile, tmp_path)
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "alert(1)" in page  # it is there, as text


def test_recordings_without_events_or_people(sample: Analysis, tmp_path: Path) -> None:
    line = Timeline((), IMIGUE, 180.0)
    empty = replace(sample, timeline=line, evidence=(evidence(line, 0, 0.0),), posteriors=(sample.posteriors[0][:0],))
    page = page_of(replace(empty, times=sample.times[:0]), tmp_path)
    assert "No event was found" in page
    assert "∞" in page  # no exposure, no upper limit


def test_two_persons_have_a_timeline_each(sample: Analysis, tmp_path: Path) -> None:
    second = Segment(5.0, 7.0, 4, 0.8, person=1)
    line = replace(sample.timeline, segments=(*sample.timeline.segments, second))
    two = replace(
        sample,
        timeline=line,
        persons=2,
        poses=TrackPoses([invented_track(180.0), invented_track(180.0, person=1)]),
        posteriors=sample.posteriors * 2,
        quality=(sample.quality[0], replace(sample.quality[0], person=1)),
        evidence=(sample.evidence[0], evidence(line, 1, 3.0)),
    )
    page = page_of(two, tmp_path)
    assert 'id="timeline-1"' in page
    assert page.count("<h3>Person 2</h3>") == 4


def test_lanes_are_classes_found_then_the_likeliest_others(sample: Analysis) -> None:
    segments = list(sample.timeline)
    lanes = lane_order(segments, IMIGUE, sample.posteriors[0], 32)
    found = {s.label for s in segments}
    assert set(lanes[: len(found)]) == found
    assert sorted(lanes) == list(range(32))
    assert lanes[len(found) - 1] == 31  # movements that are no micro-gestures come last
    assert len(lane_order([], IMIGUE, sample.posteriors[0][:0], 8)) == 8


def test_long_recordings_are_thinned_by_their_maximum() -> None:
    times, p = np.arange(14_400) / 4, np.zeros((14_400, len(IMIGUE)), np.float32)
    p[7201, 6] = 0.8
    figure = timeline_figure([], IMIGUE, times, p, 3600.0)
    strip = figure.data[0].z
    row = lane_order([], IMIGUE, p, 8).index(6)
    assert row == 0
    assert strip.shape[1] == BINS
    assert strip[-1 - 2 * row].argmax() == 7201 // 12
    assert strip[-1 - 2 * row].max() == np.float32(0.8)


def test_clock() -> None:
    assert [clock(t) for t in (0, 59.96, 60, 3599.9, 3600)] == ["00:00.0", "00:59.9", "01:00.0", "59:59.9", "1:00:00.0"]


MANY = """
import sys
from dataclasses import replace
import numpy as np
from microgesture.analysis.rates import evidence
from microgesture.core.segment import Segment, Timeline
from microgesture.report.html import write_report
from microgesture.report.sample import invented
from tests.analysis.fakes import peak_megabytes
a, K = invented(1), 32
times, p = np.arange(14400) / 4, np.random.default_rng(0).random((14400, 32), np.float32)
many = tuple(Segment(i * .35, i * .35 + 1, i % K, 1 - i / 1e4) for i in range(10000))
line = Timeline(many, a.timeline.taxonomy, 3600)
e = (evidence(line, 0, 60.0, a.states),)
write_report(replace(a, timeline=line, times=times, posteriors=(p,), evidence=e), sys.argv[1])
print(peak_megabytes())
"""


def test_ten_thousand_events_stay_small(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", MANY, target]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 300
    page = target.read_text("utf-8")
    assert page.count('class="event"') == PICTURES
    assert f"{ROWS} of 10000 segments; all of them are in timeline.csv" in page
    assert len(page) < 12e6


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is absent (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.browser
def test_a_browser_shows_the_timeline_and_asks_nobody(sample: Analysis, tmp_path: Path, browser: Any) -> None:
    path = write_report(sample, tmp_path / "report.html")
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        requests: list[str] = []
        troubles: list[str] = []
        page.on("request", lambda r, requests=requests: requests.append(r.url))
        page.on("pageerror", lambda e, troubles=troubles: troubles.append(str(e)))
        page.on("console", lambda m, troubles=troubles: troubles.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri())
        page.wait_for_selector("#timeline-0 .barlayer .point path")
        assert page.locator("#timeline-0 .barlayer .point").count() == len(sample.timeline)
        assert page.locator("#timeline-0 .heatmaplayer image").count() == 1
        # bars span the recording: the first event is at the left, the last at the right
        bars = page.locator("#timeline-0 .barlayer").bounding_box()["width"]
        assert bars > 0.9 * page.evaluate("document.getElementById('timeline-0')._fullLayout._size.w")
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing to scroll sideways
        assert requests == [path.as_uri()]
        assert troubles == []
        page.close()


@pytest.mark.browser
def test_choosing_an_event_or_a_button_moves_the_timeline(sample: Analysis, tmp_path: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(write_report(sample, tmp_path / "report.html").as_uri())
    page.wait_for_selector("#timeline-0 .barlayer .point path")

    def shown() -> tuple[float, float]:
        a, b = page.evaluate(
            "document.getElementById('timeline-0')._fullLayout.xaxis.range.map(x => typeof x === 'number' ? x :"
            " Date.parse(x.replace(' ', 'T').replace(/^(\\d{4}-\\d\\d-\\d\\d)$/, '$1T00:00').padEnd(16, ':00') + 'Z'))"
        )
        return (a - 946_684_800_000) / 1000, (b - 946_684_800_000) / 1000

    card = page.locator(".event").nth(1)
    start = float(card.get_attribute("data-start"))
    card.click()
    page.wait_for_timeout(200)
    a, b = shown()
    assert a <= start <= b
    assert b - a < 20
    page.get_by_text("Wider").click()
    page.wait_for_timeout(200)
    assert shown()[1] - shown()[0] == pytest.approx(2 * (b - a), rel=0.6)  # clipped at the ends of the recording
    page.get_by_role("button", name="All", exact=True).click()
    page.wait_for_timeout(200)
    assert shown() == pytest.approx((0, 180), abs=0.01)


@pytest.mark.browser
def test_hostile_names_run_nothing_in_a_browser(sample: Analysis, tmp_path: Path, browser: Any) -> None:
    evil = "<img src=x onerror='window.hit=1'><a href='javascript:window.hit=1'>x</a>"
    labels = tuple(Label(k.id, evil, k.group) for k in IMIGUE)
    line = replace(sample.timeline, taxonomy=replace(IMIGUE, labels=labels))
    page = browser.new_page()
    page.goto(write_report(replace(sample, timeline=line), tmp_path / "report.html").as_uri())
    page.wait_for_selector("#timeline-0 .barlayer .point path")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None
    assert page.locator("#timeline-0 a[href^=javascript], #timeline-0 img").count() == 0


def test_a_report_is_whole_or_absent(sample: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    monkeypatch.setattr("microgesture.report.html._content", lambda *a: {})
    with pytest.raises(Exception, match="undefined"):
        write_report(sample, target)
    assert target.read_text() == "old"
    assert re.findall(r"\.tmp", " ".join(p.name for p in tmp_path.iterdir())) == []
