from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from microgesture.datasets.catalogue import DATASETS
from microgesture.evaluation.published import BASELINES, FLOORS, NOT_STATED, Published, published
from microgesture.systems.catalogue import (
    CROSS_SUBJECT,
    EMOTION_TEST,
    LONG_TEST,
    MA52_TEST,
    MIGA_TEST,
    SMG_TEST,
    SYSTEMS,
    Mark,
)


def one(method: str, dataset: str, split: str) -> Published:
    [found] = [p for p in published() if (p.method, p.dataset, p.split) == (method, dataset, split)]
    return found


def test_every_figure_has_a_source_and_is_a_percentage() -> None:
    for p in BASELINES:
        assert p.dataset in DATASETS
        assert p.method
        assert p.venue
        assert p.source
        assert p.split
        assert p.figures
        assert p.mark in get_args(Mark)
        assert 2017 < p.year < 2030
        assert all(0 < value < 100 for _, value in p.figures)
        assert len(dict(p.figures)) == len(p.figures)
        assert p.comparable == (p.split != NOT_STATED and "F1" not in p.note)
        assert p.comparable or p.note


def test_nothing_stands_twice() -> None:
    keys = [(p.method, p.dataset, p.split) for p in published()]
    assert len(set(keys)) == len(keys)
    reported = sum(len(info.reported) for info in SYSTEMS.values())
    assert sum(len(p.figures) for p in published()) == reported + sum(len(p.figures) for p in BASELINES)


def test_known_figures() -> None:
    imigue = {p.method: p.figure("top-1") for p in published() if (p.dataset, p.split) == ("imigue", CROSS_SUBJECT)}
    assert imigue == {
        "S-VAE + E": 27.38,
        "P&C (unsupervised)": 31.67,
        "U-S-VAE-Z (unsupervised)": 32.43,
        "LSTM": 32.36,
        "BLSTM": 32.39,
        "ST-GCN": 46.97,
        "2S-GCN": 47.78,
        "Shift-GCN": 51.51,
        "GCN-NAS": 53.90,
        "MS-G3D": 54.91,
        "C3D": 20.32,
        "R3D-101": 25.27,
        "I3D": 34.96,
        "TSN": 51.54,
        "TRN": 55.24,
        "TSM": 61.10,
    }
    assert one("TSM", "imigue", CROSS_SUBJECT).figure("top-5") == 91.24
    assert one("TSM", "imigue", CROSS_SUBJECT).figure("F1") is None
    assert one("MM-Gesture", "imigue", MIGA_TEST).figures == (("top-1", 73.213),)
    assert (one("ST-GCN", "smg", SMG_TEST).venue, one("ST-GCN", "smg", SMG_TEST).year) == ("IJCV", 2023)
    assert one("U-S-VAE + LSTM over micro-gestures", "imigue", EMOTION_TEST).figure("accuracy") == 55.0


def test_figures_of_smg_are_multiples_of_its_610_clips() -> None:
    smg = [p for p in published() if (p.dataset, p.split) == ("smg", SMG_TEST)]
    assert len(smg) == 14
    for p in smg:
        if p.method == "Shift-GCN":
            continue  # printed as 55.31, which no number of clips gives
        hits = 610 * dict(p.figures)["top-1"] / 100
        assert hits == pytest.approx(round(hits), abs=0.031), p.method  # two decimals of a percentage: 0.0305 clips
    assert FLOORS["smg", SMG_TEST][0] == round(100 * 243 / 610, 2)
    assert FLOORS["imigue", MIGA_TEST][0] == round(100 * 1600 / 4587, 2)


def test_the_f1_mean_of_ma52_follows_from_its_parts() -> None:
    rows = [p for p in published() if (p.dataset, p.split) == ("ma52", MA52_TEST)]
    assert {p.method for p in rows} == {"C3D", "I3D", "SlowFast", "TSM", "MANet"}
    for p in rows:
        parts = [dict(p.figures)[m] for m in ("body top-1", "top-1", "body macro F1", "action macro F1")]
        assert sum(parts) / 4 == pytest.approx(dict(p.figures)["F1 mean"], abs=0.0051)


def test_the_f1_of_online_recognition_follows_from_recall_and_precision() -> None:
    rows = [p for p in published() if p.split == LONG_TEST]
    assert len(rows) == 7
    for p in rows:
        recall, precision, f1 = (dict(p.figures)[m] for m in ("recall@0.3", "precision@0.3", "F1@0.3"))
        assert 2 * recall * precision / (recall + precision) == pytest.approx(f1, abs=0.16), p.method


def test_recalled_figures_are_absent() -> None:
    values = {value for p in published() for _, value in p.figures}
    assert not {91.10, 66.74, 82.30, 91.75, 59.22, 34.46, 43.67, 64.43} & values
    assert not {"TSN", "TIN", "TimeSformer", "UniFormer"} & {p.method for p in published() if p.dataset == "ma52"}


def test_unclear_protocols_are_never_comparable() -> None:
    unclear = {(p.method, p.dataset) for p in published() if not p.comparable}
    assert {("Micro-DualNet", "imigue"), ("Micro-DualNet", "ma52"), ("CMPL (MiGA 2026, 4th)", "imigue")} <= unclear


def test_the_list_costs_no_torch() -> None:
    code = (
        "import sys, microgesture.evaluation.published\n"
        "heavy = {'torch', 'numpy', 'lightning', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
