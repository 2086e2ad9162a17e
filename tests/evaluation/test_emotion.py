from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from microgesture.core.errors import NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.datasets.imigue import EMOTION_TEST, TEST_VIDEOS
from microgesture.datasets.prepare import Cut, Found, Recorded, StateCut, Unit, prepare
from microgesture.datasets.store import Store, open_store
from microgesture.evaluation.emotion import (
    Occurrences,
    class_tests,
    columns,
    emotion,
    guard_rails,
    occurrences,
    predicted_timelines,
    rate_vector,
    true_timelines,
)
from microgesture.formats.timeline_json import write_timeline_json

FPS, MINUTES = 2.0, 1.0


@dataclass(frozen=True)
class Interviews:
    """Recordings with two states each, one after the other; in state 1 necks are touched `ratio` times as often."""

    key: ClassVar[str] = "interviews"
    skeleton: ClassVar = SKELETONS["upper12"]
    taxonomy: ClassVar = SMG
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    fps: ClassVar[float] = FPS
    states: ClassVar[tuple[str, ...]] = ("relaxed", "stressed")
    expected: ClassVar[dict[str, dict[str, int]]] = {}
    expected_classes: ClassVar[dict[str, tuple[int, ...]]] = {}

    ratio: float = 1.0
    people: int = 40
    known: bool = True
    withheld_from: int = 1_000_000
    states_known: bool = True

    def find(self, root: Path) -> Found:
        return Found(tuple(Unit(f"Sample{i:04}", (root / "raw.csv",), {"number": i}) for i in range(self.people)), ())

    def read(self, unit: Unit) -> Iterator[Recorded]:
        number = unit.facts["number"]
        draw = np.random.default_rng(number)
        half = round(60 * MINUTES * FPS)
        cuts, states = [], []
        for state in (0, 1):
            rates = {5: 3.0 * (self.ratio if state else 1.0), 7: 4.0, 11: 2.0}
            for label, rate in rates.items():
                for start in draw.integers(0, half - 2, draw.poisson(rate * MINUTES)):
                    at = state * half + int(start)
                    cuts.append(
                        Cut(f"{unit.name}_{len(cuts)}", -1 if number >= self.withheld_from else label, at, at + 1)
                    )
            label = state if self.states_known else -1
            split = "train" if number < self.people // 2 else "test"
            states.append(StateCut(f"{unit.name}_{state}", label, state * half, (state + 1) * half, split))
        frames = 2 * half
        yield Recorded(
            unit.name, "train", np.ones((1, frames, 12, 2), np.float32), np.ones((1, frames, 12), np.float32), FPS,
            cuts, states, number if self.known else -1,
        )  # fmt: skip


def made(folder: Path, **options: Any) -> Store:
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "raw" / "raw.csv").touch()
    prepare(Interviews(**options), folder / "raw", folder / "store", workers=1)
    return open_store(folder / "store")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("apart"), ratio=6.0)


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("alike"), ratio=1.0)


def row(segments: list[Segment], minutes: float, name: str) -> float:
    return float(rate_vector(segments, minutes, SMG)[columns(SMG).index(name)])


def test_rates_shares_and_gaps_by_hand() -> None:
    neck, arm, talk = SMG[5], SMG[13], SMG[16]
    line = [Segment(0, 2, 5), Segment(5, 6, 13), Segment(7, 20, 16), Segment(16, 18, 5)]
    assert row(line, 2.0, f"rate: {neck.name}") == pytest.approx(np.log(2))
    assert row(line, 2.0, f"rate: {talk.name}") == pytest.approx(np.log(1.5))
    # illustrative gestures are no micro-gestures: three gestures, gaps of 3 and 10 seconds
    assert row(line, 2.0, f"share: {neck.name}") == pytest.approx(2 / 3)
    assert row(line, 2.0, f"share: {talk.name}") == 0
    assert row(line, 2.0, f"group: {neck.group}") == pytest.approx(np.log(2))
    assert row(line, 2.0, f"group: {arm.group}") == pytest.approx(np.log(1.5))
    assert row(line, 2.0, "rate of all") == pytest.approx(np.log(2.5))
    assert row(line, 2.0, "gap") == pytest.approx(np.log(1 + 6.5))
    nothing = rate_vector([], 2.0, SMG)
    assert np.count_nonzero(nothing) == 1
    assert nothing[-1] == pytest.approx(np.log(121))
    assert len(nothing) == len(columns(SMG))


def test_a_stretch_holds_the_segments_whose_middle_lies_in_it(apart: Store) -> None:
    rows = occurrences(apart, true_timelines(apart))
    assert len(rows) == 80
    assert rows.label.tolist() == [0, 1] * 40
    assert rows.minutes.tolist() == [1.0] * 80
    assert rows.counts.sum() == apart.clips.num_rows
    first = apart.timeline(0)
    assert rows.counts[0].tolist() == np.bincount([s.label for s in first if s.start < 60], minlength=17).tolist()
    assert rows.group.tolist() == np.repeat(np.arange(40), 2).tolist()


@pytest.mark.parametrize("protocol", ["official", "loso"])
def test_states_that_differ_are_told_apart(apart: Store, protocol: Any) -> None:
    record = emotion(apart, protocol=protocol, models=("logistic", "svm"))
    for cell in record["cells"].values():
        assert cell["recordings"] == (40 if protocol == "official" else 80)
        assert cell["accuracy"] > 0.9
        assert cell["majority_floor"] == 0.5
        assert cell["above_floor"]
        assert cell["against_majority"]["mid_p"] < 0.001
    best = record["classes"][0]
    assert best["name"] == SMG[5].name
    assert best["q"] < 0.001
    assert best["rank_biserial"] > 0.8
    assert best["median_rates"][1] > 3 * best["median_rates"][0]
    assert len(record["classes"]) == 3  # classes that never occur are not tested


def test_states_that_do_not_differ_stay_at_chance(alike: Store) -> None:
    record = emotion(alike)
    assert list(record["cells"]) == ["oracle logistic", "oracle svm", "oracle forest"]
    for cell in record["cells"].values():
        low, high = cell["accuracy_exact95"]
        assert low < 0.5 < high
        assert not cell["above_floor"]
    assert all(each["q"] > 0.05 for each in record["classes"])
    assert emotion(alike) == record  # seeds are fixed


def test_what_the_errors_of_a_recogniser_cost(apart: Store, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for i, name in enumerate(apart.recordings.column("name").to_pylist()):
        line = apart.timeline(i)
        kept = tuple(s for s in line if draw.random() < 0.3)
        if i % 2:
            write_timeline_json(Timeline(kept, SMG, line.duration), tmp_path / f"{name}.json")
        else:
            (tmp_path / name).mkdir()
            write_timeline_json(Timeline(kept, SMG, line.duration), tmp_path / name / "timeline.json")
    record = emotion(apart, tmp_path, models=("logistic",))
    assert list(record["cells"]) == ["oracle logistic", "predicted logistic"]
    lost = record["propagation"]["logistic"]
    assert lost["stretches"] == 40
    assert lost["oracle"] == record["cells"]["oracle logistic"]["accuracy"]
    assert lost["predicted"] == record["cells"]["predicted logistic"]["accuracy"]
    assert lost["lost"] == pytest.approx(lost["oracle"] - lost["predicted"])
    assert lost["lost"] > 0
    # rates a third as high look relaxed to what was learnt from true ones
    assert lost["learnt_from_oracle_tested_on_predicted"] < lost["oracle"]
    difference = lost["mcnemar"]["only_first"] - lost["mcnemar"]["only_second"]
    assert difference == round(40 * lost["lost"])
    (tmp_path / "Sample0003.json").unlink()
    with pytest.raises(NoInput, match=r"no timeline of 1 of 40 recordings \(Sample0003\)"):
        predicted_timelines(apart, tmp_path)
    with pytest.raises(NoInput, match="no such folder"):
        predicted_timelines(apart, tmp_path / "none")


def test_perfect_predictions_cost_nothing(apart: Store, tmp_path: Path) -> None:
    for i, name in enumerate(apart.recordings.column("name").to_pylist()):
        write_timeline_json(apart.timeline(i), tmp_path / f"{name}.json")
    lost = emotion(apart, tmp_path, models=("logistic",))["propagation"]["logistic"]
    assert lost["oracle"] == lost["predicted"] == lost["learnt_from_oracle_tested_on_predicted"]
    assert lost["mcnemar"]["exact"] == 1.0


def test_odds_and_ranks_by_hand() -> None:
    counts = np.zeros((6, 2), np.int64)
    counts[:, 0] = [0, 0, 1, 1, 2, 3]
    label = np.array([0, 0, 0, 1, 1, 1])
    rows = Occurrences(
        np.arange(6), label, [""] * 6, np.arange(6), np.zeros((6, 2)), ("rate: a", "rate: b"), counts, np.full(6, 2.0)
    )
    (a,) = class_tests(rows)
    assert a["name"] == "a"
    assert a["u"] == 8.5  # of nine pairs eight rise and one ties
    assert a["rank_biserial"] == pytest.approx(2 * 8.5 / 9 - 1)
    assert a["median_rates"] == [0.0, 1.0]
    # shown in 3 of 3 and in 1 of 3, a half added to each
    assert a["odds_ratio"] == pytest.approx(3.5 * 2.5 / (0.5 * 1.5))
    assert a["odds_ratio95"][0] * a["odds_ratio95"][1] == pytest.approx(a["odds_ratio"] ** 2)
    assert a["q"] == a["p"]
    one = Occurrences(
        rows.row, np.zeros(6, np.int64), rows.split, rows.group, rows.x, rows.columns, counts, rows.minutes
    )
    assert class_tests(one) == []


def test_notes_go_with_the_figures(tmp_path: Path) -> None:
    first, second, overlap, split = guard_rails(100, "imigue", "official")
    assert "about +-.096" in first
    assert "no single micro-gesture stands for an emotion" in second
    assert overlap.startswith("67 of 100 emotion-test videos are training or validation material")
    assert len(EMOTION_TEST & TEST_VIDEOS) == 33
    assert "the same person may be on both sides" in split
    assert len(guard_rails(100, "smg", "official")) == 2
    store = made(tmp_path, people=4, ratio=6.0, known=False)
    record = emotion(store, protocol="loso", models=("logistic",))
    assert any("nobody knows the subjects" in note for note in record["notes"])
    # both states of a recording are left out together
    assert occurrences(store, true_timelines(store)).group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_cannot_be_told(tmp_path: Path, alike: Store) -> None:
    with pytest.raises(UsageError, match="no protocol 'kfold'; choose official or loso"):
        emotion(alike, protocol="kfold")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no model 'tree'; choose logistic, svm, forest"):
        emotion(alike, models=("tree",))
    for name, options, words in (
        ("unknown", {"states_known": False}, "holds no recording whose emotional state is known"),
        ("withheld", {"withheld_from": 0}, "the labels of all segments are withheld; give --predictions"),
        ("few", {"people": 1}, "the official division has 0 stretches to train on and 2 to test on"),
    ):
        (tmp_path / name).mkdir()
        store = made(tmp_path / name, **{"people": 3, **options})
        with pytest.raises(UsageError, match=words):
            emotion(store)
    with pytest.raises(UsageError, match="leaving one out needs three subjects or recordings, there are 1"):
        emotion(open_store(tmp_path / "few" / "store"), protocol="loso")


def test_an_oracle_without_test_stretches_does_not_stop_the_predictions(tmp_path: Path) -> None:
    store = made(tmp_path, people=6, ratio=6.0, withheld_from=3)
    for i, name in enumerate(store.recordings.column("name").to_pylist()):
        line = tuple(
            Segment(60.0 * state + t, 60.0 * state + t + 0.5, 5) for state in (0, 1) for t in range(1 + 9 * state)
        )
        write_timeline_json(Timeline(line, SMG, 120.0), tmp_path / f"{name}.json")
        assert (true_timelines(store)[i] is None) == (i >= 3)
    with pytest.raises(UsageError, match="has 6 stretches to train on and 0 to test on"):
        emotion(store)
    record = emotion(store, tmp_path, models=("svm",))
    assert list(record["cells"]) == ["predicted svm"]
    assert record["cells"]["predicted svm"]["accuracy"] == 1.0
    assert "propagation" not in record
    assert "3 of 6 recordings have withheld labels" in record["notes"][0]
    assert record["notes"][1].startswith("oracle: the official division has 6 stretches")


def test_withheld_segments_leave_the_predictions(tmp_path: Path) -> None:
    store = made(tmp_path, people=4, withheld_from=0)
    for name in store.recordings.column("name").to_pylist():
        write_timeline_json(Timeline((Segment(1, 2, 5),), SMG, 120.0), tmp_path / f"{name}.json")
    record = emotion(store, tmp_path, models=("logistic",))
    assert list(record["cells"]) == ["predicted logistic"]
    assert "propagation" not in record
    assert "there is no oracle" in record["notes"][0]
    name = store.recordings.column("name").to_pylist()[0]
    write_timeline_json(Timeline((Segment(1, 2, 5),), IMIGUE, 120.0), tmp_path / f"{name}.json")
    with pytest.raises(UsageError, match="different label spaces: imigue, smg"):
        emotion(store, tmp_path, models=("logistic",))
