from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import FormatError, MicrogestureError, NoInput
from microgesture.formats.safe_npz import write_arrays
from microgesture.formats.word_vectors import LINE_LIMIT, read_word_vectors

WORDS = {"head", "up"}
TEXT = "3 2\nthe 1 2\nup 3 -4.5e-1\nhead 5 6\nup 9 9\n. . 1 2\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_text(TEXT)
    return path


def test_words_of_a_text_file(text: Path) -> None:
    found = read_word_vectors(text, WORDS)
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "up": [3.0, pytest.approx(-0.45)],
        "head": [5.0, 6.0],
    }


def test_words_of_an_npz_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"words": np.array(["the", "up", "head"]), "vectors": np.arange(6.0).reshape(3, 2)})
    found = read_word_vectors(path, WORDS)
    assert {word: vector.tolist() for word, vector in found.items()} == {"up": [2.0, 3.0], "head": [4.0, 5.0]}


def test_what_stands_behind_the_last_word_is_not_read(text: Path) -> None:
    text.write_text(TEXT + "head broken\n")
    assert read_word_vectors(text, WORDS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("up 3 x\n", r"line 1: 'up' is not followed by numbers; expected word v1 v2"),
        ("head 1 2\nup 3\n", r"line 2: 1 numbers for 'up', 2 for the words before; expected vectors of one length"),
        ("up 1 nan\n", r"line 1: numbers that are not finite for 'up'"),
        ("up 1 1e99\n", r"line 1: numbers that are not finite for 'up'"),
        ("\nup\n", r"line 2: no numbers for 'up'"),
        ("the 1\n", r"has no vector for 2 of 2 words: head, up\. Add them, or take a larger file"),
        ("head 1 2\n", r"has no vector for 1 of 2 words: up"),
        ("x" * (LINE_LIMIT + 1), r"line 1: has more than 1,048,576 bytes"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_text_that_is_refused(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(line)
    with pytest.raises(FormatError, match=words):
        read_word_vectors(path, WORDS)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"words": np.array(["up"])}, r"holds words <U2\(1,\); expected words \(N,\) of text and vectors"),
        ({"words": np.array(["up"]), "vectors": np.zeros((2, 3))}, r"holds words <U2\(1,\), vectors <f8\(2, 3\)"),
        (
            {"words": np.array(["up"]), "vectors": np.full((1, 3), np.nan)},
            r"row 0: the vector of 'up' is .* not finite",
        ),
        ({"words": np.array(["up"]), "vectors": np.zeros((1, 3))}, r"has no vector for 1 of 2 words: head"),
    ],
)
def test_npz_that_is_refused(arrays: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, arrays)
    with pytest.raises(FormatError, match=words):
        read_word_vectors(path, WORDS)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="does not exist"):
        read_word_vectors(tmp_path / "a.txt", WORDS)


@pytest.mark.parametrize("name", ["a.txt", "a.npz"])
def test_nothing_but_this_packages_errors_leaves_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.txt":
        path.write_text(TEXT)
    else:
        write_arrays(path, {"words": np.array(["up", "head"]), "vectors": np.zeros((2, 2))})
    data = path.read_bytes()
    make = np.random.default_rng(0)
    for i in range(2000):
        broken = bytearray(data)
        for place in make.integers(0, len(data), 1 + i % 4):
            broken[place] = make.integers(0, 256)
        path.write_bytes(broken if i % 3 else broken[: make.integers(1, len(data))])
        try:
            found = read_word_vectors(path, WORDS)
        except MicrogestureError:
            continue
        assert found.keys() == WORDS
        assert all(np.isfinite(vector).all() for vector in found.values())
