"""Inputs made to harm: pickles that run code, and small files that want all memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.formats import hostile_pickles

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.formats import safe_pickle
from microgesture.formats.pyskl import read_pyskl

ROOT = Path(safe_pickle.__file__).parents[2]
PLACES = os.pathsep.join([str(ROOT), str(Path(__file__).parents[2])])
HERMIT = {**os.environ, "PYTHONPATH": PLACES, "OMP_NUM_THREADS": "1"}


def test_no_hostile_pickle_runs_or_fills_memory(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    corpus = hostile_pickles.corpus()
    assert len(corpus) >= 40
    for name, data in corpus.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, hostile_pickles.__file__, str(folder)],
        cwd=tmp_path, capture_output=True, text=True, env=HERMIT, timeout=600, check=False,
    )  # fmt: skip
    lines = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines() if not line.startswith("RAN"))
    assert done.returncode == 0, f"{done.stdout[-500:]} {done.stderr[-500:]}"
    assert not (tmp_path / hostile_pickles.CANARY).exists()
    assert lines.keys() == corpus.keys()
    harmless = {"frame that lies", "long of a megabyte"}  # data after all, read as such
    wrong = {
        name: word
        for name, word in lines.items()
        if word not in ("refused", "refused, refused") and name not in harmless
    }
    assert not wrong
    assert not [word for word in lines.values() if "ESCAPED" in word or "POOR" in word]


def test_the_fence_of_the_test_itself_works(tmp_path: Path) -> None:
    """The same corpus through pickle.loads must set off the alarm; otherwise the test above proves nothing."""
    code = (
        "import pickle, numpy; from tests.formats import hostile_pickles as h; h.fence(); "
        "pickle.loads(h.corpus()['global posix system'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=HERMIT, check=False
    )
    assert done.returncode == 3
    assert done.stdout.startswith("RAN os.system")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"cposix\nsystem\n(Vtrue\ntR.", r"byte 0: this pickle asks for posix\.system; expected numpy arrays, tensors"),
        (b"]q\x00h\x00a.", r"this pickle contains itself"),
        (b")" + b"\x85" * 100 + b".", r"this pickle is nested deeper than 64 levels"),
        (b"(](I1\ne.", r"not a sound pickle"),
        (b"\x80\x04N", r"not a sound pickle \(.*\)\. Copy the file again"),
    ],
)  # fmt: skip
def test_pickle_messages(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.pkl, " + message if message.startswith("byte") else message):
        safe_pickle.load(tmp_path / "a.pkl")
    with pytest.raises(FormatError, match=message):
        read_pyskl(tmp_path / "a.pkl", SKELETONS["coco17"], fps=25)


# --- R6: what it costs to refuse. Each bomb is lit in a child of its own, which reports time and memory.

Bomb = Callable[[Path], object]


def zeros_npz(path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (268435456,)}\n"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as out,
    ):
        out.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        for _ in range(100):
            out.write(bytes(1 << 20))


def lying_npz(path: Path) -> None:
    """The directory says 10 bytes, the data are 100 MB."""
    zeros_npz(path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)


def xlsx(path: Path) -> None:
    from tests.formats.test_pose_files import small_xlsx

    with zipfile.ZipFile(io.BytesIO(small_xlsx())) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in held.items():
            if not name.endswith("sheet1.xml"):
                archive.writestr(name, data)
        with archive.open("xl/worksheets/sheet1.xml", "w") as out:
            out.write(b"<worksheet><sheetData>")
            for _ in range(100):
                out.write(b'<row r="1"><c><v>0</v></c></row>' * 32768)
            out.write(b"</sheetData></worksheet>")


def far_row(path: Path) -> None:
    """A sheet of one cell, a million rows down."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.cell(1_048_576, 411).value = 1  # type: ignore[union-attr]
    book.save(path)


def sparse(size: int, head: bytes = b"") -> Bomb:
    def make(path: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return make


def many_cues(path: Path) -> None:
    path.write_text("WEBVTT\n\n" + "00:01.000 --> 00:02.000\nx\n\n" * 1_100_000)


def many_ties(path: Path) -> None:
    path.write_text("<ANNOTATION_DOCUMENT><TIME_ORDER>" + '<TIME_SLOT TIME_SLOT_ID="a"/>' * 2_100_000)


def entities(path: Path) -> None:
    lines = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    path.write_text(f'<!DOCTYPE a [<!ENTITY e0 "x">{lines}]><ANNOTATION_DOCUMENT>&e12;</ANNOTATION_DOCUMENT>')


def quadratic(path: Path) -> None:
    path.write_text(f'<!DOCTYPE a [<!ENTITY e "{"x" * 100_000}">]><ANNOTATION_DOCUMENT>{"&e;" * 100_000}')


def outside(path: Path) -> None:
    path.write_text(
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT>&e;</ANNOTATION_DOCUMENT>'
    )


def deep(path: Path) -> None:
    path.write_text("[" * 1_000_000 + "]" * 1_000_000)


EAF = "from microgesture.formats.eaf import read_eaf as f; read = lambda p: f(p, SMG)"
NPZ = "from microgesture.formats.pose_npz import read_npz as read"
XLSX = "from microgesture.formats.openpose import read_openpose_xlsx as f; read = lambda p: f(p, fps=1)"
BOMBS: dict[str, tuple[Bomb, str]] = {
    "zeros.npz": (zeros_npz, NPZ),
    "lying.npz": (lying_npz, NPZ),
    "zeros.xlsx": (xlsx, XLSX),
    "far.xlsx": (far_row, XLSX),
    "huge.json": (sparse(1 << 40, b"["), "from microgesture.formats.safe_json import read_json as read"),
    "deep.json": (deep, "from microgesture.formats.safe_json import read_json as read"),
    "huge.csv": (sparse(1 << 40), XLSX.replace("xlsx", "csv")),
    "huge.pkl": (sparse(1 << 40), "from microgesture.formats.safe_pickle import load as read"),
    "cues.vtt": (many_cues, "from microgesture.formats.webvtt import read_vtt as f; read = lambda p: f(p, SMG)"),
    "ties.eaf": (many_ties, EAF),
    "entities.eaf": (entities, EAF),
    "quadratic.eaf": (quadratic, EAF),
    "outside.eaf": (outside, EAF),
}  # fmt: skip

CHILD = """
import resource, sys, time
from pathlib import Path
import numpy, openpyxl
from microgesture.core.errors import FormatError
from microgesture.core.taxonomies import SMG
{reader}
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
path, base, begun = Path(sys.argv[1]), peak(), time.process_time()
try:
    read(path)
    print("read", 0, 0)
except FormatError as error:
    print("refused" if error.remedy else "POOR", peak() - base, time.process_time() - begun)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str, tmp_path: Path) -> None:
    make, reader = BOMBS[name]
    make(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(reader=reader), str(tmp_path / name)],
        capture_output=True, text=True, env=HERMIT, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    word, megabytes, seconds = done.stdout.split()
    assert word == "refused"
    assert float(megabytes) < 300
    assert float(seconds) < 2


def test_a_long_track_of_nothing_is_no_bomb(tmp_path: Path) -> None:
    """Half an hour in which nobody is seen compresses a thousandfold, and must be read all the same."""
    from microgesture.core.track import PoseTrack
    from microgesture.formats.pose_npz import read_npz, write_npz

    skeleton = SKELETONS["canonical"]
    empty = np.zeros((54_000, len(skeleton), 2), np.float32)
    begun = time.process_time()
    write_npz(tmp_path / "p.npz", [PoseTrack(empty, empty[..., 0], 30, (640, 480), skeleton)])
    (again,) = read_npz(tmp_path / "p.npz")
    assert len(again) == 54_000
    assert time.process_time() - begun < 10
