"""The page about a store: what is on it, what never gets into it, and how a browser shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.datasets.made import made, recorded

from microgesture.core.errors import CannotCreate
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import IMIGUE
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.datasets.prepare import Cut, Finding, StateCut, prepare, source_of
from microgesture.datasets.store import Store, open_store
from microgesture.report.inspect import BUDGET, ROWS, SAMPLES, plain, write_page
from microgesture.simulation.lookalikes.write import Size, write_lookalike

CHROMIUM = "/usr/bin/chromium"
EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("imigue")
    write_lookalike("imigue", folder / "data", Size(recordings=3, minutes=0.5, films=False), 0)
    prepare(source_of("imigue"), folder / "data", folder / "store", workers=1)
    return open_store(folder / "store")


def page_of(store: Store, folder: Path) -> str:
    return write_page(store, folder / "page.html").read_text("utf-8")


def test_everything_is_on_the_page(store: Store, tmp_path: Path) -> None:
    page = page_of(store, tmp_path)
    for words in ("An Identity-free Video Dataset", "CVPR 2021", "arxiv.org/abs/2107.00285", "signed licence"):
        assert words in page
    assert "These data are simulated." in page
    assert "official 12,893: simulated data in the layout of the data set" in page
    assert all(label.name in page for label in IMIGUE)
    assert all(f"<span>{joint}</span>" in page for joint in store.skeleton.joints)
    assert page.count('class="tail"') == page.count('class="figure"') == 1
    assert "<td>won</td>" in page or "<td>lost</td>" in page
    assert page.count("<summary>") == 1 + len({(f["kind"], f["topic"]) for f in store.index["findings"]})
    assert " open><summary>All 32 classes" in page
    assert re.search(r"quirk: nominal frame rate \(1\)</summary>", page)


def test_the_page_is_small_asks_nobody_and_runs_nothing(store: Store, tmp_path: Path) -> None:
    page = page_of(store, tmp_path)
    assert len(page) < 1e6
    assert "<script" not in page
    assert not re.search(r"\b(src|srcset)=|url\(|@import|http-equiv=.refresh", page)
    assert "default-src 'none'" in page


def test_the_page_lies_in_the_store_unless_told_otherwise_and_is_the_same_every_time(store: Store) -> None:
    path = write_page(store)
    assert path == store.path / "inspect.html"
    first = path.read_bytes()
    assert write_page(store).read_bytes() == first


def test_numbers_for_machines_are_those_of_the_page(store: Store) -> None:
    from microgesture.datasets.statistics import statistics

    numbers = plain(store, statistics(store))
    assert numbers["official"]["train"]["clips_official"] == 12_893
    assert numbers["official_counts"]["train"][28] == 1155
    assert sum(numbers["splits"][0]["counts"]) == numbers["official"]["train"]["clips"]
    assert [c["name"] for c in numbers["classes"]] == list(IMIGUE.names)
    assert len(numbers["joints"]["missing"]) == len(numbers["joint_names"]) == 35


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    labels = tuple(Label(i, EVIL + str(i), EVIL) for i in range(2))
    skeleton = Skeleton(EVIL, tuple(EVIL + str(i) for i in range(4)), ((0, 1), (0, 2), (0, 3)))
    store = made(
        tmp_path,
        [recorded(EVIL, EVIL, cuts=[Cut(EVIL, 0, 0, 9)], states=[StateCut(EVIL, 0, 0, 9, EVIL)], video=EVIL)],
        taxonomy=Taxonomy(EVIL, EVIL, labels, (EVIL,)),
        skeleton=skeleton,
        states=(EVIL,),
        key=EVIL,
        findings=[Finding("missing", EVIL, EVIL, EVIL, EVIL, EVIL)],
        expected={EVIL: {"clips": 7, "recordings": 1}},
        expected_classes={EVIL: (5, 2)},
    )
    page = page_of(store, tmp_path)
    assert "<img" not in page
    assert "<script" not in page
    assert page.count("alert(1)") > 20  # it is there, as text
    assert not re.search(r"=\"[^\"]*<", page)


def test_one_clip_without_states_people_or_catalogue_entry(tmp_path: Path) -> None:
    page = page_of(made(tmp_path, [recorded("a", "train", 1, cuts=[Cut("only", 1, 0, 1)])]), tmp_path)
    assert page.count('class="event"') == 1
    assert 'id="states"' not in page
    assert "people: the data do not say" in page
    assert "<h1>made</h1>" in page
    assert "simulated" not in page
    assert "Nothing was refused, missing or unusual." in page
    assert "not known" in page  # the size of the picture


def test_clips_without_labels_are_drawn_too(tmp_path: Path) -> None:
    cuts = [Cut(f"t{i}", -1, i, i + 5) for i in range(9)]
    page = page_of(made(tmp_path, [recorded("a", "test", cuts=cuts)]), tmp_path)
    assert "No clip has a label" in page
    assert page.count("label withheld</strong>") == SAMPLES
    assert 'class="tail"' not in page


def test_a_store_without_clips_or_joints(tmp_path: Path) -> None:
    recording = recorded("a", "train")
    recording.score[:] = 0
    page = page_of(made(tmp_path, [recording]), tmp_path)
    assert "There are no clips." in page
    assert "No joint is seen in any of the 40 frames" in page
    (tmp_path / "none").mkdir()
    assert "There are no clips." in page_of(made(tmp_path / "none", []), tmp_path)


def test_depth_is_left_out_and_the_person_who_is_seen_is_drawn(tmp_path: Path) -> None:
    recording = recorded("a", "train", cuts=[Cut("x", 0, 0, 40), Cut("y", 1, 0, 9)], persons=2, c=3)
    recording.xy[..., 2] = 3.0
    recording.score[0] = 0
    recording.score[1, 20:] = 0
    page = page_of(made(tmp_path, [recording], persons=2, coordinates=3), tmp_path)
    assert "Depth is not drawn." in page
    assert "in 3-D" in page
    drawn = re.findall(r'aria-label="Skeleton at (\d) instants: \w+, clip (\w+)".*?</svg>', page)
    assert drawn == [("3", "x"), ("3", "y")]
    assert "nobody is seen</p>" not in page


def test_counts_that_differ_are_marked_and_explained(tmp_path: Path) -> None:
    store = made(
        tmp_path,
        [recorded("a", "train", cuts=[Cut("x", 0, 0, 9)], subject=1), recorded("b", "val", subject=1)],
        expected={"train": {"recordings": 1, "clips": 3}},
        expected_classes={"train": (2, 1, 0)},
    )
    page = page_of(store, tmp_path)
    assert '<td class="n bad">1</td><td class="n">3</td>' in page
    assert '<td class="n">1</td><td class="n">1</td>' in page
    assert "<li>train: 1 clips, official 3: " in page
    assert "1<small> of 2</small>" in page
    assert "1 person has recordings in more than one split" in page


def test_the_long_tail_is_drawn_in_order(tmp_path: Path) -> None:
    cuts = [Cut(f"c{i}", 1 if i else 0, 0, 4) for i in range(200)]
    page = page_of(made(tmp_path, [recorded("a", "train", cuts=cuts)]), tmp_path)
    chart = page[page.index('<svg class="tail"') :]
    chart = chart[: chart.index("</svg>")]
    assert re.findall(r"<title>(\d) ", chart) == ["1", "0", "2"]
    heights = [float(h) for h in re.findall(r'<rect [^>]*height="([\d.]+)"', chart)]
    decade = 220 / (3 + 0.22)
    assert heights[0] - heights[1] == pytest.approx(decade * np.log10(199), abs=0.2)
    assert ">many<" in chart


def test_many_classes_and_findings_stay_small(tmp_path: Path) -> None:
    labels = tuple(Label(i, f"class {i}", "Hand") for i in range(1500))
    findings = [Finding("quirk", "odd", f"file {i}", "line 7", "a value of which there is much to say " * 3)
                for i in range(ROWS + 500)]  # fmt: skip
    cuts = [Cut(f"c{i}", i % 1500, i % 20, i % 20 + 9) for i in range(4500)]
    store = made(
        tmp_path,
        [recorded("a", "train", cuts=cuts)],
        taxonomy=Taxonomy("large", "Large", labels, ("Hand",)),
        findings=findings,
    )
    told: list[tuple[str, float, float]] = []
    path = write_page(store, tmp_path / "page.html", progress=lambda *news: told.append(news))
    page = path.read_text("utf-8")
    assert len(page) < 2.5e6  # 1,500 classes are far more than any data set has; their table is most of it
    assert sum(map(len, re.findall(r'<svg viewBox="0 0 288 96".*?</svg>', page))) <= BUDGET
    assert f"The first {ROWS:,} are listed; all of them are in store.json" in page
    assert {stage for stage, _, _ in told} == {"reading frames", "drawing"}
    assert told[-1][1] == told[-1][2]


def test_a_page_that_cannot_be_made_leaves_the_old_one(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(CannotCreate, match=r"nowhere.page\.html: cannot be created"):
        write_page(store, tmp_path / "nowhere" / "page.html")
    target = tmp_path / "page.html"
    target.write_text("old")
    monkeypatch.setattr("microgesture.report.inspect._content", lambda *a: {})
    with pytest.raises(Exception, match="undefined"):
        write_page(store, target)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


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
def test_a_browser_shows_it_at_any_width_and_asks_nobody(store: Store, tmp_path: Path, browser: Any) -> None:
    path = write_page(store, tmp_path / "page.html")
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        requests: list[str] = []
        troubles: list[str] = []
        page.on("request", lambda r, requests=requests: requests.append(r.url))
        page.on("console", lambda m, troubles=troubles: troubles.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing to scroll sideways
        assert page.locator("svg.tail rect").first.bounding_box()["height"] > 5
        assert page.locator(".event svg").first.bounding_box()["width"] > 100
        details = page.locator("#findings details").first
        shown = details.locator("table").is_visible
        assert not shown()
        details.locator("summary").click()
        assert shown()
        assert requests == [path.as_uri()]
        assert troubles == []
        page.close()
