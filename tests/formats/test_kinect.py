"""Kinect tables: the place of every number, the axes of a picture, and damage by line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.formats.mutations import COUNT, hold_the_contract

from microgesture.core.errors import FormatError, NoInput
from microgesture.formats import kinect
from microgesture.formats.kinect import COLUMNS, SKELETON, TO_PICTURE, read_kinect_csv
from microgesture.formats.segments import Problems


def table(frames: int) -> np.ndarray:
    """(T, 25, 11) in which every number is another."""
    values = np.arange(frames * COLUMNS, dtype=np.float64).reshape(frames, 25, 11) / 1000
    return values + 1


def csv_of(values: np.ndarray, end: str = "\n") -> str:
    return "".join(",".join(f"{v:.9g}" for v in row.ravel()) + end for row in values)


def read(tmp_path: Path, text: str, problems: Problems | None = None) -> np.ndarray:
    path = tmp_path / "Sample0001_skeleton.csv"
    path.write_text(text, encoding="utf-8")
    return read_kinect_csv(path, fps=28, problems=problems).xy


def test_positions_are_the_first_three_of_eleven_turned_to_a_picture(tmp_path: Path) -> None:
    values = table(3)
    (tmp_path / "k.csv").write_text(csv_of(values))
    track = read_kinect_csv(tmp_path / "k.csv", fps=27.5)
    np.testing.assert_allclose(track.xy, values[..., :3] * (-1, -1, 1), rtol=1e-6)
    assert (track.fps, track.size, track.skeleton) == (27.5, (0, 0), SKELETON)
    assert track.score.min() == 1
    assert COLUMNS == 275


def test_the_axes_are_turned_and_not_mirrored() -> None:
    """A mirror would exchange left and right: its determinant is -1."""
    assert np.linalg.det(np.diag(TO_PICTURE)) == 1
    # a person before the sensor: right side at the sensor's left (+x), head up (+y)
    right_shoulder, head = np.array([0.2, 0.3, 2.0]) * TO_PICTURE, np.array([0.0, 0.6, 2.0]) * TO_PICTURE
    assert right_shoulder[0] < 0  # left in the picture
    assert head[1] < right_shoulder[1]  # above
    assert head[2] == 2  # still away from the sensor


def test_zeros_are_missing_and_infinite_pixels_do_not_matter(tmp_path: Path) -> None:
    values = table(2)
    values[1, 23, :3] = 0
    values[0, 5, 7:9] = -np.inf
    values[0, 6, 3:7] = np.nan
    path = tmp_path / "k.csv"
    path.write_text(csv_of(values))
    score = read_kinect_csv(path, fps=28).score
    assert score[1, 23] == 0
    assert score.sum() == 2 * 25 - 1


def test_line_ends_and_blank_ends(tmp_path: Path) -> None:
    values = table(2)
    plain = read(tmp_path, csv_of(values))
    for text in (csv_of(values, "\r\n") + "\r\n \r\n", "\ufeff" + csv_of(values).rstrip("\n")):
        np.testing.assert_array_equal(read(tmp_path, text), plain)


@pytest.mark.parametrize(
    "cell, shown", [("NaN", "'NaN'"), ("inf", "'inf'"), ("", "''"), ("x", "'x'"), ("203", "'203'")]
)
def test_a_bad_number_is_named_by_line_and_column(tmp_path: Path, cell: str, shown: str) -> None:
    lines = csv_of(table(3)).splitlines()
    cells = lines[1].split(",")
    cells[11 * 22 + 1] = cell  # y of joint 22
    lines[1] = ",".join(cells)
    with pytest.raises(
        FormatError,
        match=rf"line 2, column 244: y of l_thumb_tip is '{cell}'; expected a position in metres\. A missing joint is",
    ):
        read(tmp_path, "\n".join(lines))


def test_messages_about_the_table(tmp_path: Path) -> None:
    row = csv_of(table(1))
    with pytest.raises(FormatError, match=r"line 1: 76 columns; expected 275 \(25 joints x 11\)\. Check that it is"):
        read(tmp_path, ",".join(["0"] * 76))
    with pytest.raises(FormatError, match="line 2: 274 columns; expected 275 as in every row"):
        read(tmp_path, row + row[: row.rindex(",")])
    with pytest.raises(FormatError, match=r"line 2: an empty line\. A frame without a person is zeros"):
        read(tmp_path, row + "\n" + row)
    with pytest.raises(FormatError, match="table: no frames; expected one row per frame"):
        read(tmp_path, "\n\n")
    with pytest.raises(FormatError, match="line 1: a line of more than 17,600 characters"):
        read(tmp_path, "1," * 20_000)
    path = tmp_path / "k.csv"
    path.write_bytes(b"\x80\x03\xff" + row.encode())
    with pytest.raises(FormatError, match="near line 1: byte 0x80 is not UTF-8 text"):
        read_kinect_csv(path, fps=28)
    with pytest.raises(NoInput, match=r"none\.csv: does not exist"):
        read_kinect_csv(tmp_path / "none.csv", fps=28)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinect, "SIZE_LIMIT", 1000)
    with pytest.raises(FormatError, match=r"the file has [\d,]+ bytes; expected at most 1,000"):
        read(tmp_path, csv_of(table(1)))


def test_with_a_list_of_problems_a_bad_frame_has_no_points_and_the_others_stay_in_place(tmp_path: Path) -> None:
    values = table(4)
    lines = csv_of(values).splitlines()
    lines[1] = lines[1].replace("1.275,", "NaN,", 1)
    lines[2] += ",1"
    problems: Problems = []
    xyz = read(tmp_path, "\n".join(lines), problems)
    assert [p.place for p in problems] == ["line 2, column 1", "line 3"]
    assert not xyz[1:3].any()
    np.testing.assert_allclose(xyz[3], values[3, :, :3] * TO_PICTURE, rtol=1e-6)


def test_mutants(tmp_path: Path) -> None:
    original = csv_of(table(2)).encode()
    hold_the_contract(lambda path: read_kinect_csv(path, fps=28), original, tmp_path / "m.csv", COUNT)
