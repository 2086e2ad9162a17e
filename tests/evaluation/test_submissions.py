from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.durable import sha256
from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE, MA52, SMG
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.evaluation.submissions import (
    CHALLENGES,
    ClipPredictions,
    Detections,
    validate_submission,
    write_submission,
)

PLAIN = Taxonomy("toy", "Toy", tuple(Label(i, name, "Hand") for i, name in enumerate(("=rub", "fold"))), ("Hand",))


def ranked(classes: int, *orders: tuple[int, ...]) -> np.ndarray:
    """Probabilities whose first classes are those of `orders`, in that order."""
    table = np.zeros((len(orders), classes))
    for row, order in zip(table, orders, strict=True):
        row[list(order)] = [0.5, 0.2, 0.1, 0.05, 0.03][: len(order)]
    return table


def clips(*names: str, **changes: Any) -> ClipPredictions:
    fields: dict[str, Any] = {
        "probabilities": ranked(52, (9, 10, 8, 7, 5), (51, 0, 11, 32, 24))[: len(names)],
        "taxonomy": MA52,
    }
    return ClipPredictions(names, **(fields | changes))


def imigue(*names: str) -> ClipPredictions:
    return ClipPredictions(names, ranked(32, *[(31,), (0,), (6,), (31,)][: len(names)]), IMIGUE)


def found(*segments: tuple[float, float, int, float], taxonomy: Taxonomy = IMIGUE, name: str = "0184") -> Detections:
    line = Timeline(tuple(Segment(*s) for s in segments), taxonomy, 10.0)
    return Detections({name: line}, {name: 25.0})


def contents(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, text in files.items():
            target.writestr(name.replace("__", "/").replace("_csv", ".csv"), text)
    return path


quiet = pytest.mark.filterwarnings("ignore::UserWarning")


@quiet
def test_miga_classification(tmp_path: Path) -> None:
    path = write_submission("miga-classification", imigue("0453_3", "0001_0", "0001_12"), tmp_path)
    assert path == tmp_path / "Submission.zip"
    assert contents(path) == {"Submission.csv": "0453_3,31\n0001_0,0\n0001_12,6\n"}
    assert validate_submission(path, "miga-classification", ["0453_3", "0001_0", "0001_12"]) == []
    options = {"header": ("Id", "Label"), "base": 1}
    path = write_submission("miga-classification", imigue("0453_3", "0001_0"), tmp_path, **options)
    assert contents(path) == {"Submission.csv": "Id,Label\n0453_3,32\n0001_0,1\n"}
    assert validate_submission(path, "miga-classification", **options) == []
    assert validate_submission(path, "miga-classification")[:2] == [
        "Submission.csv, line 1: name 'Id', expected the form VVVV_k, e.g. 0184_3",
        "Submission.csv, line 1: label 'Label', expected 0..31",
    ]


def test_the_published_list_of_miga_repeats_a_clip(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="3 names, the full test set has 4,562"),
        pytest.warns(UserWarning, match="'0453_3' occurs more than once"),
    ):
        path = write_submission("miga-classification", imigue("0453_3", "0001_0", "0453_3"), tmp_path)
    assert contents(path)["Submission.csv"].count("0453_3") == 2
    assert validate_submission(path, "miga-classification", ["0453_3", "0001_0", "0453_3"]) == []


@quiet
def test_miga_online(tmp_path: Path) -> None:
    detections = found((1.0, 2.0, 0, 0.9), (0.0, 0.5, 31, 0.5), (3.011, 3.02, 30, 0.5))
    path = write_submission("miga-online", detections, tmp_path)
    # frames 0-based with the end inside: 25 frames from 1 s on are 25..49; the last lies between two time stamps
    assert contents(path) == {"0184_prediction.csv": "99,0,12\n1,25,49\n31,76,76\n"}
    assert validate_submission(path, "miga-online", ["0184"]) == []
    path = write_submission("miga-online", detections, tmp_path, codes="id", naming="2023")
    assert contents(path) == {"Sequence0184_prediction.csv": "31,0,12\n0,25,49\n30,76,76\n"}
    assert validate_submission(path, "miga-online", naming="2023", codes="id") == []
    path = write_submission("miga-online", found((0.0, 10.0, 16, 1.0), taxonomy=SMG, name="Sample0036"), tmp_path)
    assert contents(path) == {"Sample0036_prediction.csv": "17,0,249\n"}
    assert validate_submission(path, "miga-online", ["Sample0036", "Sample0037"]) == [
        "Sample0037_prediction.csv is missing"
    ]


@quiet
def test_mac2024(tmp_path: Path) -> None:
    path = write_submission("mac2024", clips("test0000.mp4", "test0001.mp4"), tmp_path)
    assert path.name == "submission.zip"
    assert contents(path) == {"prediction.csv": "id,pred_label_1,pred_label_2\ntest0000.mp4,1,9\ntest0001.mp4,6,51\n"}
    assert validate_submission(path, "mac2024", ["test0000.mp4", "test0001.mp4"]) == []
    assert validate_submission(path, "mac2024", ["test0000.mp4", "test0007.mp4", "test0008.mp4"]) == [
        "2 rows, expected 3",
        "prediction.csv, line 3: name 'test0001.mp4', expected 'test0007.mp4' here",
    ]


@quiet
def test_body_parts_are_pooled_or_mapped_or_the_systems_own(tmp_path: Path) -> None:
    # action 0 (body) is the best; 5 and 6 (head) have more together
    table = np.zeros((1, 52))
    table[0, [0, 5, 6]] = 0.4, 0.3, 0.3
    own = np.eye(7)[[4]]
    for options, body in (({}, 1), ({"body": "mapped"}, 0), ({"body": "pooled"}, 1)):
        path = write_submission("mac2024", clips("test0000.mp4", probabilities=table), tmp_path, **options)
        assert contents(path)["prediction.csv"].splitlines()[1] == f"test0000.mp4,{body},0"
    path = write_submission("mac2024", clips("test0000.mp4", probabilities=table, body_probabilities=own), tmp_path)
    assert contents(path)["prediction.csv"].splitlines()[1] == "test0000.mp4,4,0"
    with pytest.raises(UsageError, match="body=own, but the predictions hold no body probabilities"):
        write_submission("mac2024", clips("test0000.mp4"), tmp_path, body="own")
    with pytest.raises(UsageError, match="no body parts are known for taxonomy 'toy'"):
        ClipPredictions(["a"], [[0.5, 0.5]], PLAIN).body()
    with pytest.raises(UsageError, match="body=best is unknown"):
        clips("test0000.mp4").body("best")  # type: ignore[arg-type]


@quiet
def test_codabench_9066(tmp_path: Path) -> None:
    head = "vid," + ",".join(f"{w}_pred_{i}" for w in ("action", "body") for i in (1, 2, 3, 4, 5)) + "\n"
    predictions = clips("test0000.mp4", "test0001.mp4")
    path = write_submission("codabench-9066", predictions, tmp_path, body="mapped")
    # 9, 10, 8, 7, 5 are all of the head; the starter kit repeats the part in the same way
    rows = "test0000.mp4,9,10,8,7,5,1,1,1,1,1\ntest0001.mp4,51,0,11,32,24,6,0,2,4,3\n"
    assert contents(path) == {"prediction.csv": head + rows}
    path = write_submission("codabench-9066", predictions, tmp_path)
    rows = "test0000.mp4,9,10,8,7,5,1,0,2,3,4\ntest0001.mp4,51,0,11,32,24,6,0,2,4,3\n"
    assert contents(path) == {"prediction.csv": head + rows}
    assert validate_submission(path, "codabench-9066", ["test0000.mp4", "test0001.mp4"]) == []
    wrong = archive(
        tmp_path / "wrong.zip", prediction_csv=head + "a.mp4,9,9,8,7,52,1,1,1,1,7\na.mp4,1,2,3,4,5,0,0,0,0\n"
    )
    assert validate_submission(wrong, "codabench-9066") == [
        "prediction.csv, line 3: 10 cells, expected 11",
        "prediction.csv, line 2: action label '52', expected 0..51",
        "prediction.csv, line 2: body label '7', expected 0..6",
        "prediction.csv, line 2: actions 9,9,8,7,52 repeat one another",
    ]


@quiet
def test_mma52(tmp_path: Path) -> None:
    detections = Detections(
        {
            "test0001": Timeline((Segment(0.25, 9.125, 51, 0.125),), MA52, 10.0),
            "test0000": Timeline((Segment(2.0, 3.5, 8, 0.75), Segment(1.0, 2.0, 0, 1.0)), MA52, 10.0),
        },
        {"test0000": 30.0, "test0001": 30.0},
    )
    path = write_submission("mma52", detections, tmp_path)
    assert contents(path) == {
        "prediction.csv": (
            ",video_id,t_start,t_end,class,score\n"
            "0,test0000,1.000,2.000,0,1.000000\n"
            "1,test0000,2.000,3.500,8,0.750000\n"
            "2,test0001,0.250,9.125,51,0.125000\n"
        )
    }
    assert validate_submission(path, "mma52", ["test0000", "test0001"]) == []
    assert validate_submission(path, "mma52", ["test0000"]) == [
        "prediction.csv, line 4: video 'test0001' was not expected"
    ]
    wrong = archive(
        tmp_path / "w.zip",
        prediction_csv=",video_id,t_start,t_end,class,score\n0,v,2,1,9,0.5\n5,v/x,-1,nan,52,1.5\n",
    )
    assert validate_submission(wrong, "mma52") == [
        "prediction.csv, line 2: end 1 is not after start 2",
        "prediction.csv, line 3: row number '5', expected 1..1",
        "prediction.csv, line 3: video 'v/x', expected the form test0000",
        "prediction.csv, line 3: start '-1', expected a number from 0 on",
        "prediction.csv, line 3: end 'nan', expected a number from 0 on",
        "prediction.csv, line 3: class '52', expected 0..51",
        "prediction.csv, line 3: score '1.5', expected a number in [0, 1]",
    ]


def test_a_plain_table_for_other_data_sets(tmp_path: Path) -> None:
    path = write_submission("predictions", ClipPredictions(["a", "b,c"], [[0.25, 0.75], [0.5, 0.5]], PLAIN), tmp_path)
    assert path.name == "predictions.csv"
    assert path.read_text() == (
        "name,label,label_name,top_1,probability_1,top_2,probability_2\n"
        "a,1,fold,1,0.750000,0,0.250000\n"
        '"b,c",0,\'=rub,0,0.500000,1,0.500000\n'  # ties: the lower id; a spreadsheet must not run a name
    )
    assert validate_submission(path, "predictions", ["a", "b,c"]) == []
    path.write_text(path.read_text().replace("a,1,fold", "a,0,fold"))
    assert validate_submission(path, "predictions") == [
        "predictions.csv, line 2: label '0', expected the most probable, '1'"
    ]


@quiet
@pytest.mark.parametrize("key", CHALLENGES)
def test_the_same_predictions_give_the_same_bytes(tmp_path: Path, key: str) -> None:
    kind = CHALLENGES[key]
    made: Any = {"miga-classification": imigue("0001_0"), "miga-online": found((0.0, 1.0, 2, 0.5))}.get(key)
    if made is None:
        detection = kind.kind is Detections
        made = found((0.0, 1.0, 2, 0.5), taxonomy=MA52, name="v") if detection else clips("test0000.mp4")
    paths = [write_submission(key, made, tmp_path / name) for name in ("a", "b")]
    assert sha256(paths[0]) == sha256(paths[1])
    if paths[0].suffix == ".zip":
        with zipfile.ZipFile(paths[0]) as packed:
            assert {m.date_time for m in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert validate_submission(paths[0], key) == []


@quiet
@pytest.mark.parametrize(
    "key, predictions, words",
    [
        ("mac2024", clips("test0000.mp4", "test0000.mp4"), "line 3: name 'test0000.mp4' stood on line 2 already"),
        ("mac2024", clips("test0000"), "prediction.csv, line 2: name 'test0000', expected the form test0000.mp4"),
        ("miga-classification", imigue("clip 1"), "Submission.csv, line 1: name 'clip 1', expected the form VVVV_k"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_left(tmp_path: Path, key: str, predictions: Any, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        write_submission(key, predictions, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_survives_a_wrong_one(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 names, the full test set has 5,586"):
        path = write_submission("mac2024", clips("test0000.mp4"), tmp_path)
    before = path.read_bytes()
    with pytest.warns(UserWarning, match="4 names"), pytest.raises(FormatError, match="and 1 more"):
        write_submission("mac2024", clips(*"abcd", probabilities=np.full((4, 52), 1 / 52)), tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([], [[0.5, 0.5]], PLAIN), "holds no clips"),
        ((["a"], [[0.5, 0.3, 0.2]], PLAIN), r"probabilities have shape \(1, 3\)"),
        ((["a", "b"], [[0.5, 0.5], [0.5, float("nan")]], PLAIN), r"clip 1 \('b'\), class 1: probabilities: nan"),
        ((["a"], [[1.5, 0.5]], PLAIN), r"clip 0 \('a'\), class 0: probabilities: 1.5; expected a number in \[0, 1\]"),
        ((["a\nb"], [[0.5, 0.5]], PLAIN), r"clip 0: name 'a\\nb'; expected one line of text"),
        ((["a"], [[0.5, 0.5]], PLAIN, [[0.1] * 6]), r"body probabilities have shape \(1, 6\)"),
        ((["a"], [[0.5, 0.5]], PLAIN, [[-0.1] * 7]), "body probabilities: -0.1"),
    ],
)
def test_impossible_numbers_are_refused_with_their_place(arguments: Any, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        ClipPredictions(*arguments)


def test_impossible_detections_are_refused() -> None:
    line, other = Timeline((), IMIGUE, 1.0), Timeline((), SMG, 1.0)
    for timelines, fps, words in (
        ({}, {}, "holds no recordings"),
        ({"a": line, "b": other}, {"a": 25.0, "b": 25.0}, "different label spaces: imigue, smg"),
        ({"a": line}, {}, "recording 'a': None frames per second"),
        ({"a": line}, {"a": float("nan")}, "nan frames per second; expected a number above 0"),
        ({"../a": line}, {"../a": 25.0}, "recording: name '../a'"),
    ):
        with pytest.raises(FormatError, match=words):
            Detections(timelines, fps)


def test_wrong_challenges_kinds_and_options(tmp_path: Path) -> None:
    for key, predictions, options, words in (
        ("mac24", clips("a"), {}, "no challenge 'mac24'; did you mean mac2024"),
        ("zzz", clips("a"), {}, "no challenge 'zzz'; known: miga-classification"),
        ("mac2024", found(), {}, "mac2024 is made from ClipPredictions, got Detections"),
        ("mac2024", imigue("a"), {}, "mac2024 takes labels of ma52, got those of 'imigue'"),
        ("mac2024", clips("a"), {"boddy": "own"}, "no option 'boddy'; did you mean body"),
        ("mac2024", clips("a"), {"zzz": 1}, "no option 'zzz'; known: header, base"),
        ("mac2024", clips("a"), {"base": 2}, "base=2 is unknown; choose 0 or 1"),
        ("mac2024", clips("a"), {"header": ("Id",)}, "expected the names of two columns"),
    ):
        with pytest.raises(UsageError, match=words):
            write_submission(key, predictions, tmp_path, **options)  # type: ignore[arg-type]


def test_files_of_others_are_judged_in_words(tmp_path: Path) -> None:
    folder = archive(tmp_path / "f.zip", sub__prediction_csv="id,pred_label_1,pred_label_2\ntest0000.mp4,1,9\n")
    assert validate_submission(folder, "mac2024") == [
        "the archive holds 'sub/prediction.csv', expected 'prediction.csv' alone at its top"
    ]
    empty = archive(tmp_path / "e.zip")
    assert validate_submission(empty, "miga-online") == ["the archive is empty"]
    head = archive(tmp_path / "h.zip", prediction_csv="id,body,action\ntest0000.mp4,9,1.5\n")
    assert validate_submission(head, "mac2024") == [
        "prediction.csv, line 1: header 'id,body,action', expected 'id,pred_label_1,pred_label_2'",
        "prediction.csv, line 2: body label '9', expected 0..6",
        "prediction.csv, line 2: action label '1.5', expected 0..51",
    ]
    quotes = archive(tmp_path / "q.zip", prediction_csv='id,pred_label_1,pred_label_2\n"a"b,1,2\n')
    assert "prediction.csv, line 2: not a CSV table" in validate_submission(quotes, "mac2024")[0]
    online = archive(tmp_path / "o.zip", **{"1_prediction_csv": "0,1,2\n5,9,3\n99,1\n", "notes_txt": "x"})
    assert validate_submission(online, "miga-online") == [
        "1_prediction.csv, line 3: 2 cells, expected 3",
        "1_prediction.csv, line 1: label '0', expected 1..31 or 99",
        "1_prediction.csv, line 2: end 3 is before start 9",
        "file 'notes_txt', expected <recording>_prediction.csv at the top of the archive",
    ]
    assert validate_submission(
        archive(tmp_path / "x.zip", **{"1_prediction_csv": "1,0,0\n"}), "miga-online", ["2"]
    ) == [
        "1_prediction.csv is of a recording that was not expected",
        "2_prediction.csv is missing",
    ]


def test_files_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="does not exist"):
        validate_submission(tmp_path / "none.zip", "mac2024")
    path = tmp_path / "text.zip"
    path.write_text("no archive")
    with pytest.raises(FormatError, match="not a sound archive"):
        validate_submission(path, "mac2024")
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("prediction.csv", b"id,\xff\n")
    with pytest.raises(FormatError, match=r"member 'prediction.csv': not UTF-8 text"):
        validate_submission(path, "mac2024")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"id,\xff", b"ID,\xff", 1))  # the checksum no longer fits
    with pytest.raises(FormatError, match="not a sound archive"):
        validate_submission(path, "mac2024")
