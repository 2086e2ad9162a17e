"""Pose files: npz, OpenPose in four packings, PYSKL pickles. Values come back, damage is named."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from tests.formats.mutations import COUNT, hold_the_contract
from tests.strategies import tracks

from microgesture.core.errors import FormatError, NoInput
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.openpose import SwappedHands, read_openpose_csv, read_openpose_json, read_openpose_xlsx
from microgesture.formats.pose_npz import read_npz, write_npz
from microgesture.formats.pyskl import PysklClip, read_pyskl, write_pyskl
from microgesture.formats.safe_npz import read_arrays, text_array, write_arrays

PROPERTY = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def same(a: PoseTrack, b: PoseTrack) -> bool:
    fields = ("fps", "size", "skeleton", "person")
    return all(getattr(a, name) == getattr(b, name) for name in fields) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("xy", "score", "times")
    )


def points(frames: int, joints: int, seed: int = 0) -> np.ndarray:
    """(T, V, 3) in pixels, a fifth of the joints missing."""
    rng = np.random.default_rng(seed)
    table = rng.uniform(1, 700, (frames, joints, 3)).round(3)
    table[..., 2] = rng.uniform(0.1, 1, (frames, joints)).round(3)
    table[rng.random((frames, joints)) < 0.2] = 0
    return table


def csv_of(table: np.ndarray, first: int = 0) -> str:
    rows = [",".join([str(first + i), *(f"{v:g}" for v in row.ravel())]) for i, row in enumerate(table)]
    return "\n".join(rows) + "\n"


def xlsx_of(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def people(*bodies: np.ndarray) -> dict[str, Any]:
    """A frame of OpenPose's JSON; bodies of 25 or 137 points."""
    parts = (("pose", 0, 25), ("face", 25, 95), ("hand_left", 95, 116), ("hand_right", 116, 137))
    row = [{f"{n}_keypoints_2d": body[a:b].ravel().tolist() for n, a, b in parts} for body in bodies]
    return {"version": 1.3, "people": row}


# --- npz


def test_npz_gives_tracks_back_bit_for_bit(tmp_path: Path) -> None:
    @PROPERTY
    @given(tracks(), tracks())
    def round_trip(a: PoseTrack, b: PoseTrack) -> None:
        write_npz(tmp_path / "p.npz", [a, b])
        again = read_npz(tmp_path / "p.npz")
        assert len(again) == 2
        assert same(a, again[0])
        assert same(b, again[1])

    round_trip()


def test_npz_holds_layouts_of_others_and_no_track_at_all(tmp_path: Path) -> None:
    own = Skeleton("own", ("neck", "nose"), ((0, 1),), stand_ins=(("head", ("nose",)),))
    track = PoseTrack(np.ones((3, 2, 2), np.float32), np.ones((3, 2), np.float32), 25, (10, 10), own)
    write_npz(tmp_path / "p.npz", [track])
    assert same(read_npz(tmp_path / "p.npz")[0], track)
    first = (tmp_path / "p.npz").read_bytes()
    write_npz(tmp_path / "p.npz", [track])
    assert (tmp_path / "p.npz").read_bytes() == first
    write_npz(tmp_path / "p.npz", [])
    assert read_npz(tmp_path / "p.npz") == ()


def test_npz_messages(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(b"hello")
    with pytest.raises(
        FormatError, match=r"p\.npz, zip directory: not a sound archive \(File is not a zip file\)\. Copy"
    ):
        read_npz(path)
    write_arrays(path, {"a": np.zeros(3)})
    with pytest.raises(FormatError, match="archive: array 'meta' is missing or not text; expected 'meta' as bytes"):
        read_npz(path)
    write_arrays(path, {"meta": text_array('{"format": "other"}')})
    with pytest.raises(FormatError, match=r"array 'meta': not a pose file; expected .*Estimate the pose again"):
        read_npz(path)
    skeleton = SKELETONS["coco17"]
    track = PoseTrack(np.ones((3, 17, 2), np.float32), np.ones((3, 17), np.float32), 25, (9, 9), skeleton)
    write_npz(path, [track])
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, "xy_0": np.full((3, 17, 2), np.nan, np.float32)})
    with pytest.raises(FormatError, match="track 0: coordinates and scores must be finite"):
        read_npz(path)
    write_arrays(path, {**arrays, "times_0": np.zeros(3)})
    with pytest.raises(FormatError, match="track 0: times must be finite and strictly increasing"):
        read_npz(path)
    write_arrays(path, {name: array for name, array in arrays.items() if name != "score_0"})
    with pytest.raises(FormatError, match="track 0: score_0 is missing"):
        read_npz(path)
    meta = json.loads(arrays["meta"].tobytes())
    meta["skeletons"]["coco17"]["joints"][0] = "tail"
    write_arrays(path, {**arrays, "meta": text_array(json.dumps(meta))})
    with pytest.raises(FormatError, match="layout 'coco17': its joints are not those of this version"):
        read_npz(path)
    with pytest.raises(ValueError, match="array 'x' has type object"):
        write_arrays(path, {"x": np.array([{}])})


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    "data, message",
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}"), "promises 8796093022208 bytes, 0"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", bytes(8)), "a negative side"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)), r"type \|O is not numbers or text"),
        (npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", bytes(8)), "is not numbers or text"),
        (npy("__import__('os').system('true')"), "not a sound archive"),
        (npy("(" * 2000), "not a sound archive"),
        (b"\x93NUMPY\x09\x00", r"npy version 9\.0"),
        (pickle.dumps([1]), "not a sound archive"),
    ],
)
def test_arrays_that_lie(data: bytes, message: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(FormatError, match=rf"a\.npz, array 'a\.npy': .*{message}"):
        read_arrays(tmp_path / "a.npz")


# --- OpenPose tables


@pytest.mark.parametrize("joints, layout", [(35, "imigue35"), (25, "openpose25")])
def test_csv_with_and_without_header_are_the_same(joints: int, layout: str, tmp_path: Path) -> None:
    table = points(6, joints)
    headers = ("", ",".join(map(str, range(3 * joints + 1))) + "\n", "," + ",".join(["x", "y", "c"] * joints) + "\n")
    for header in headers:
        (tmp_path / "0001_light_hand.csv").write_text(header + csv_of(table))
        track = read_openpose_csv(tmp_path / "0001_light_hand.csv", fps=28.5)
        assert (len(track), track.skeleton.name, track.fps, track.size) == (6, layout, 28.5, (1280, 720))
        np.testing.assert_allclose(track.xy, table[..., :2], rtol=1e-6)
        np.testing.assert_allclose(track.score, table[..., 2], rtol=1e-6)


def test_csv_whose_frame_numbers_start_late_keeps_its_first_frame(tmp_path: Path) -> None:
    for first in (1, 7):
        (tmp_path / "a.csv").write_text(csv_of(points(5, 35), first))
        assert len(read_openpose_csv(tmp_path / "a.csv", fps=25)) == 5


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda r: r[1].__setitem__(12, "NaN"),
            r"line 2, column 13: c of r_elbow is 'NaN'; expected a confidence from 0",
        ),
        (lambda r: r[2].__setitem__(1, "inf"), r"line 3, column 2: x of nose is 'inf'; expected a position in pixels"),
        (lambda r: r[0].__setitem__(2, "abc"), r"line 1, column 3: y of nose is 'abc'"),
        (lambda r: r[3].__setitem__(3, "-0.5"), r"line 4, column 4: c of nose is '-0.5'"),
        (lambda r: r[3].__setitem__(4, "1e30"), r"line 4, column 5: x of neck is '1e30'"),
        (
            lambda r: [row.pop() for row in r],
            r"line 1: 105 columns; expected 106 \(frame number, 35 points x 3\) or 76",
        ),
        (lambda r: r[2].pop(), r"line 3: 105 columns; expected 106 as in the rows before"),
        (lambda r: r.clear() or r.append(list(map(str, range(106)))), r"table: no frames; expected one row per frame"),
        (lambda r: r[1].__setitem__(0, '"'), r"line 5: not a CSV table"),
    ],
)
def test_csv_messages(change: Callable[[list[list[str]]], object], message: str, tmp_path: Path) -> None:
    rows = [line.split(",") for line in csv_of(points(5, 35)).split()]
    change(rows)
    (tmp_path / "a.csv").write_text("\n".join(map(",".join, rows)))
    with pytest.raises(FormatError, match=r"a\.csv, " + message):
        read_openpose_csv(tmp_path / "a.csv", fps=25)
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(FormatError, match=r"a\.csv: the file is empty \(0 bytes\)"):
        read_openpose_csv(tmp_path / "a.csv", fps=25)


def test_csv_warns_of_exchanged_hands(tmp_path: Path) -> None:
    table = np.ones((4, 35, 3))
    table[:, 4, 0], table[:, 7, 0] = 100, 500
    table[:, 25:30, 0], table[:, 30:, 0] = 510, 90
    (tmp_path / "a.csv").write_text(csv_of(table))
    with pytest.warns(SwappedHands, match="left and right hand seem exchanged"):
        read_openpose_csv(tmp_path / "a.csv", fps=25)


def test_xlsx_of_137_points(tmp_path: Path) -> None:
    table, path = points(3, 137), tmp_path / "0001_openpose.xlsx"
    rows = [row.ravel().tolist() for row in table]
    for written in (rows, [[i, *row] for i, row in enumerate(rows)], [list(range(411)), *rows]):
        path.write_bytes(xlsx_of(written))
        track = read_openpose_xlsx(path, fps=25)
        np.testing.assert_allclose(track.xy, table[..., :2], rtol=1e-6)
        assert track.skeleton.name == "openpose137"
    path.write_bytes(xlsx_of([rows[0], [*rows[1][:-1], "NaN"]]))
    with pytest.raises(FormatError, match=r"xlsx, line 2, column 411: c of r_hand_pinky_tip is 'NaN'|c of r_pinky_tip"):
        read_openpose_xlsx(path, fps=25)
    path.write_bytes(xlsx_of([rows[0][:-3]]))
    with pytest.raises(FormatError, match=r"line 1: 408 columns; expected 411 \(137 points x 3\) or 412"):
        read_openpose_xlsx(path, fps=25)
    path.write_bytes(xlsx_of([rows[0], [], rows[1]]))
    with pytest.raises(FormatError, match=r"line 2: the row is empty"):
        read_openpose_xlsx(path, fps=25)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "no workbook")
    with pytest.raises(FormatError, match=r"workbook: not a sound archive .*Copy or write the file again"):
        read_openpose_xlsx(path, fps=25)


# --- OpenPose JSON


def test_json_of_one_frame_a_list_and_a_folder(tmp_path: Path) -> None:
    table = points(4, 137)
    (tmp_path / "one.json").write_text(json.dumps(people(table[0])))
    assert len(read_openpose_json(tmp_path / "one.json", fps=25)[0]) == 1
    (tmp_path / "all.json").write_text(json.dumps([people(frame) for frame in table]))
    (track,) = read_openpose_json(tmp_path / "all.json", fps=25, size=(640, 480))
    np.testing.assert_allclose(track.xy, table[..., :2], rtol=1e-6)
    assert (track.skeleton.name, track.size) == ("openpose137", (640, 480))
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in zip((8, 9, 10, 12), table, strict=True):  # 10 follows 9, 11 was lost
        (folder / f"talk_{number}_keypoints.json").write_text(json.dumps(people(frame)))
    (track,) = read_openpose_json(folder, fps=25)
    np.testing.assert_allclose(track.xy[[0, 1, 2, 4]], table[..., :2], rtol=1e-6)
    assert not track.score[3].any()


def test_json_follows_two_people_whatever_their_order(tmp_path: Path) -> None:
    left, right = points(6, 25, 1), points(6, 25, 2)
    right[..., 0] += 2000 * (right[..., 2] > 0)
    frames = [people(a, b) if i % 2 else people(b, a) for i, (a, b) in enumerate(zip(left, right, strict=True))]
    frames[3] = people(right[3])  # one is away
    (tmp_path / "a.json").write_text(json.dumps(frames))
    first, second = read_openpose_json(tmp_path / "a.json", fps=25)
    assert (first.person, second.person) == (0, 1)
    assert first.skeleton.name == "openpose25"
    np.testing.assert_allclose(first.xy, right[..., :2], rtol=1e-6)
    assert not second.score[3].any()
    np.testing.assert_allclose(second.xy[[0, 1, 2, 4, 5]], left[[0, 1, 2, 4, 5], :, :2], rtol=1e-6)


def test_json_without_people_has_no_tracks(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([people(), people()]))
    assert read_openpose_json(tmp_path / "a.json", fps=25) == ()


@pytest.mark.parametrize(
    "value, message",
    [
        ([], r""),
        ({"persons": []}, r"a\.json, top level: no list 'people'; expected OpenPose's JSON"),
        ([{"people": [3]}], r"frame 0, person 0: not an object"),
        (
            {"people": [{"pose_keypoints_2d": [1] * 51}]},
            r"person 0: 'pose_keypoints_2d' has 51 numbers; expected 75 \(x",
        ),
        ({"people": [{"pose_keypoints_2d": ["1"] * 75}]}, r"person 0: 'pose_keypoints_2d' is not a list of numbers"),
        ({"people": [{"pose_keypoints_2d": [7e6] * 75}]}, r"person 0: point 0 of 'pose_keypoints_2d' is out of range"),
        ({"people": [{}] * 65}, r"top level: 65 people; expected OpenPose's JSON, at most 64 people"),
        (
            {"people": [{"pose_keypoints_2d": [1] * 75}, {"pose_keypoints_2d": [1] * 54}]},
            r"BODY_25 and COCO people in one",
        ),
    ],
)
def test_json_messages(value: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    if not message:
        assert read_openpose_json(tmp_path / "a.json", fps=25) == ()
        return
    with pytest.raises(FormatError, match=message):
        read_openpose_json(tmp_path / "a.json", fps=25)


def test_json_folder_messages(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"holds no \.json files; name the folder OpenPose wrote with --write_json"):
        read_openpose_json(tmp_path, fps=25)
    for number in (1, 999_999_999_999):
        (tmp_path / f"a_{number}_keypoints.json").write_text(json.dumps(people()))
    with pytest.raises(
        FormatError, match="file name: frame number 999999999999 after 1; expected numbers that count up"
    ):
        read_openpose_json(tmp_path, fps=25)


# --- PYSKL


def clips() -> list[PysklClip]:
    skeleton = SKELETONS["imigue22"]
    rng = np.random.default_rng(0)

    def track(person: int) -> PoseTrack:
        score = rng.uniform(0, 1, (9, 22)).astype(np.float32)
        return PoseTrack(rng.uniform(0, 99, (9, 22, 2)), score, 25, (1280, 720), skeleton, person=person)

    return [PysklClip("0001_3", 16, (track(0), track(1))), PysklClip("0001_4", None, (track(0),))]


def test_pyskl_gives_clips_back(tmp_path: Path) -> None:
    wrote = clips()
    write_pyskl(tmp_path / "a.pkl", wrote, {"train": ["0001_3"], "test": ["0001_4"]})
    read = read_pyskl(tmp_path / "a.pkl", SKELETONS["imigue22"], fps=25)
    assert dict(read.split) == {"train": ("0001_3",), "test": ("0001_4",)}
    assert [(c.name, c.label, len(c.tracks)) for c in read.clips] == [("0001_3", 16, 2), ("0001_4", None, 1)]
    for a, b in zip(wrote, read.clips, strict=True):
        assert all(same(x, y) for x, y in zip(a.tracks, b.tracks, strict=True))
    with (tmp_path / "a.pkl").open("rb") as file:  # what PYSKL itself loads
        value = pickle.load(file)
    assert value["annotations"][0]["keypoint"].shape == (2, 9, 22, 2)
    assert value["annotations"][0]["img_shape"] == (720, 1280)


def test_pyskl_padding_nan_half_floats_and_bare_lists(tmp_path: Path) -> None:
    keypoint = np.ones((1, 90, 22, 2), np.float16)
    keypoint[0, 0, 0, 0] = np.nan
    row = {"frame_dir": "a", "label": np.int64(3), "total_frames": 60, "keypoint": keypoint, "img_shape": (720, 1280)}
    for protocol in range(2, 6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps([row], protocol))
        (clip,) = read_pyskl(tmp_path / "a.pkl", SKELETONS["imigue22"], fps=25).clips
        (track,) = clip.tracks
        assert (clip.label, len(track), track.size, track.score[0, 0], track.score[0, 1]) == (3, 60, (1280, 720), 0, 1)


@pytest.mark.parametrize(
    "value, message",
    [
        ({"annotations": 3}, "top level: no list of annotations; expected a dict with 'split' and 'annotations'"),
        ({"annotations": [], "split": {"train": [3]}}, "split 'train': not names of clips"),
        ([{}], "annotation 0: 'frame_dir' is missing"),
        ([{"frame_dir": "v", "label": -2}], r"annotation 0 \('v'\): 'label' is not a class"),
        ([{"frame_dir": "v"}], r"annotation 0 \('v'\): 'keypoint' is missing or not an array"),
        ([{"frame_dir": "v", "keypoint": np.ones((1, 5, 17, 2))}], r"shape \(1, 5, 17, 2\); expected \(persons"),
        ([{"frame_dir": "v", "keypoint": np.ones((1, 5, 22, 2)), "total_frames": 6}], r"'total_frames' does not fit"),
        (
            [{"frame_dir": "v", "keypoint": np.ones((1, 5, 22, 2)), "keypoint_score": np.ones((5, 21))}],
            r"'keypoint_score' has shape \(1, 5, 21\); expected \(1, 5, 22\)",
        ),
    ],
)  # fmt: skip
def test_pyskl_messages(value: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(FormatError, match=message):
        read_pyskl(tmp_path / "a.pkl", SKELETONS["imigue22"], fps=25)


# --- mutants


def small_xlsx() -> bytes:
    return xlsx_of([row.ravel().tolist() for row in points(1, 137)])


def json_bytes() -> bytes:
    return json.dumps([people(points(1, 25, 1)[0])] * 2).encode()


def npz_bytes(tmp_path: Path) -> bytes:
    write_npz(tmp_path / "w", [PoseTrack(np.ones((2, 17, 2)), np.ones((2, 17)), 25, (9, 9), SKELETONS["coco17"])])
    return (tmp_path / "w").read_bytes()


def pyskl_bytes(tmp_path: Path) -> bytes:
    write_pyskl(tmp_path / "w", clips(), {"train": ["0001_3"]})
    return (tmp_path / "w").read_bytes()


@pytest.mark.filterwarnings("ignore::microgesture.formats.openpose.SwappedHands")
def test_mutated_csv(tmp_path: Path) -> None:
    table = csv_of(points(3, 35)).encode()
    hold_the_contract(lambda path: read_openpose_csv(path, fps=25), table, tmp_path / "m.csv")


def test_mutated_json(tmp_path: Path) -> None:
    hold_the_contract(lambda path: read_openpose_json(path, fps=25), json_bytes(), tmp_path / "m.json")


def test_mutated_npz(tmp_path: Path) -> None:
    hold_the_contract(read_npz, npz_bytes(tmp_path), tmp_path / "m.npz")


def test_mutated_members_of_npz(tmp_path: Path) -> None:
    """The zip's checksums catch what happens to the outside; here the inside is damaged before it is zipped."""
    arrays = npz_bytes(tmp_path)
    with zipfile.ZipFile(io.BytesIO(arrays)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    inner = tmp_path / "inner.npz"
    for name in held:

        def read(path: Path, name: str = name) -> object:
            with zipfile.ZipFile(inner, "w") as archive:
                for other, data in held.items():
                    archive.writestr(other, path.read_bytes() if other == name else data)
            try:
                return read_npz(inner)
            except FormatError as error:
                raise FormatError(path, error.problem, place=error.place, remedy=error.remedy) from error

        hold_the_contract(read, held[name], tmp_path / "member", COUNT // 4)


def test_mutated_xlsx(tmp_path: Path) -> None:
    hold_the_contract(lambda path: read_openpose_xlsx(path, fps=25), small_xlsx(), tmp_path / "m.xlsx")


def test_mutated_sheets_of_xlsx(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(small_xlsx())) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    sheet = next(name for name in held if name.endswith("sheet1.xml"))
    inner = tmp_path / "inner.xlsx"

    def read(path: Path) -> object:
        with zipfile.ZipFile(inner, "w") as archive:
            for name, data in held.items():
                archive.writestr(name, path.read_bytes() if name == sheet else data)
        try:
            return read_openpose_xlsx(inner, fps=25)
        except FormatError as error:
            raise FormatError(path, error.problem, place=error.place, remedy=error.remedy) from error

    hold_the_contract(read, held[sheet], tmp_path / "member", COUNT // 10)


def test_mutated_pickles(tmp_path: Path) -> None:
    hold_the_contract(
        lambda path: read_pyskl(path, SKELETONS["imigue22"], fps=25), pyskl_bytes(tmp_path), tmp_path / "m.pkl"
    )
