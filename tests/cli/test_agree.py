from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG
from microgesture.formats.boris import write_boris
from microgesture.formats.eaf import write_eaf
from microgesture.formats.timeline_csv import write_csv
from microgesture.formats.timeline_json import write_timeline_json
from microgesture.formats.webvtt import write_vtt


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["agree", *map(str, arguments), "--taxonomy", "smg"])


def rated(*labels: int) -> Timeline:
    """An event every ten seconds, in a recording of a hundred seconds."""
    return Timeline(tuple(Segment(10.0 * i, 10.0 * i + 4, label) for i, label in enumerate(labels)), SMG, 100)


ANNA, BEN, MODEL = rated(1, 2, 3, 1, 2, 3), rated(1, 2, 3, 1, 2, 1), rated(1, 2, 3, 2, 3)


def test_two_raters_and_the_model_in_three_formats(tmp_path: Path) -> None:
    write_csv(ANNA, tmp_path / "anna.csv")
    write_eaf(BEN, tmp_path / "ben.eaf")
    write_timeline_json(MODEL, tmp_path / "model.json")
    result = run(tmp_path / "anna.csv", tmp_path / "ben.eaf", tmp_path / "model.json")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split("\t") == ["coefficient", "raters", "value", "low", "high", "on"]
    rows = [row.split("\t") for row in lines[1 : lines.index("")]]
    # three pairs and their mean for four coefficients, then alpha and AC1 of all three
    assert len(rows) == 4 * 4 + 2
    assert rows[0][:3] == ["F1 of events within 0.5 s", "anna, ben", f"{2 * 5 / 12:.3f}"]
    sentences = lines[lines.index("") + 1 :]
    assert len(sentences) == len(rows)
    assert sentences[0].startswith("Agreement between anna and ben: F1 of events within 0.5 s 0.83 (95 % interval ")
    assert sentences[-1].startswith("Agreement between anna, ben and model: Gwet's AC1 over time ")


def test_json_and_the_choice_of_coefficients(tmp_path: Path) -> None:
    write_vtt(ANNA, tmp_path / "anna.vtt")
    write_boris(BEN, tmp_path / "ben.csv")
    files = tmp_path / "anna.vtt", tmp_path / "ben.csv"
    result = run(*files, "--coefficient", "linked-kappa", "--coefficient", "label-kappa", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["raters"] == ["anna", "ben"]
    kappa, *labels = found["agreement"]
    assert kappa["coefficient"] == "kappa of linked events"
    assert kappa["value"] == pytest.approx((5 / 6 - 12 / 36) / (1 - 12 / 36))
    assert kappa["low"] <= kappa["value"] <= kappa["high"]
    assert kappa["sentence"].startswith("Agreement between anna and ben")
    assert [row["coefficient"] for row in labels] == [f"kappa of '{SMG[i].name}'" for i in (1, 2, 3)]


def test_tolerance_overlap_and_duration_reach_the_coefficients(tmp_path: Path) -> None:
    write_csv(ANNA, tmp_path / "a.csv")
    late = Timeline(tuple(s.shifted(1.0) for s in ANNA), SMG, 100)
    write_csv(late, tmp_path / "b.csv")
    files = tmp_path / "a.csv", tmp_path / "b.csv"

    def value(*options: str) -> float | None:
        result = run(*files, *options, "--json")
        assert result.exit_code == 0, result.stderr
        found: float | None = json.loads(result.stdout)["agreement"][0]["value"]
        return found

    assert [value("--coefficient", "event-f1", "--tolerance", t) for t in ("0.5", "1")] == [0.0, 1.0]
    # 3 of 4 seconds are shared
    assert [value("--coefficient", "event-kappa", "--overlap", share) for share in ("0.76", "0.75")] == [0.0, 1.0]
    short, long = value("--coefficient", "time-kappa"), value("--coefficient", "time-kappa", "--duration", "600")
    assert short is not None
    assert long is not None
    assert short < long


def test_the_raters_of_one_elan_file(tmp_path: Path) -> None:
    write_eaf({"anna": ANNA, "ben": BEN}, tmp_path / "both.eaf")
    write_csv(MODEL, tmp_path / "model.csv")
    result = run(tmp_path / "both.eaf", tmp_path / "model.csv", "--coefficient", "alpha", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["raters"] == ["anna", "ben", "model"]


def test_a_coefficient_that_is_not_defined_is_told_in_words(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_csv(rated(1, 1), tmp_path / f"{name}.csv")
    files = tmp_path / "a.csv", tmp_path / "b.csv"
    result = run(*files, "--coefficient", "event-kappa")
    assert result.exit_code == 0
    assert "is not defined, because only one label occurs (2 linked and 0 unlinked events)." in result.stdout
    assert "nan" not in result.stdout.lower()
    found = json.loads(run(*files, "--coefficient", "event-kappa", "--json").stdout)["agreement"][0]
    assert (found["value"], found["reason"]) == (None, "only one label occurs")


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_csv(ANNA, tmp_path / folder / "timeline.csv")
    files = [tmp_path / folder / "timeline.csv" for folder in ("one", "two")]
    found = json.loads(run(*files, "--coefficient", "ac1", "--json").stdout)
    assert found["raters"] == [str(file) for file in files]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    write_csv(ANNA, tmp_path / "anna.csv")
    (tmp_path / "notes.txt").write_text("hello")
    alone = run(tmp_path / "anna.csv")
    assert (alone.exit_code, "anna: one rater only; name the timelines of two or more" in alone.stderr) == (2, True)
    missing = run(tmp_path / "anna.csv", tmp_path / "ben.csv")
    assert (missing.exit_code, "ben.csv: does not exist" in missing.stderr) == (66, True)
    twice = run(tmp_path / "anna.csv", tmp_path / "anna.csv")
    assert (twice.exit_code, "is named twice" in twice.stderr) == (2, True)
    text = run(tmp_path / "anna.csv", tmp_path / "notes.txt")
    assert text.exit_code == 65
    assert "notes.txt: not a timeline; expected CSV with start_s" in text.stderr


@pytest.mark.parametrize(
    "option, value, words",
    [
        ("--duration", "nan", "--duration is nan, expected seconds, up to 172800"),
        ("--duration", "inf", "--duration is inf"),
        ("--duration", "0", "--duration is 0"),
        ("--tolerance", "nan", "--tolerance"),
        ("--overlap", "1.5", "--overlap"),
    ],
)
def test_numbers_that_are_none_are_refused(tmp_path: Path, option: str, value: str, words: str) -> None:
    for name in ("a", "b"):
        write_csv(ANNA, tmp_path / f"{name}.csv")
    result = run(tmp_path / "a.csv", tmp_path / "b.csv", option, value)
    assert result.exit_code == 2
    assert words in result.stderr
