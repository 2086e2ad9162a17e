"""Published figures in one list: those of the catalogue of systems, and of the baselines that are no systems here.

A figure stands here only if its source was read. What is not known, such as a split, is said in a note, and such
figures are `comparable=False`: they are shown and never ranked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from microgesture.systems.catalogue import (
    CROSS_SUBJECT,
    EMOTION_TEST,
    IMIGUE_README,
    LONG_TEST,
    MA52_README,
    MA52_TEST,
    MIGA_TEST,
    PYSKL_CONFIGS,
    SMG_README,
    SMG_TEST,
    SYSTEMS,
    Mark,
)


@dataclass(frozen=True)
class Published:
    """Figures of one method on one split.

    Args:
        method: its name, with what is special about the entry.
        venue, year: where the figures were published.
        modalities: what goes in; empty if not stated.
        dataset, split: what they were measured on, as in `Reported`.
        figures: (metric, value), in percent.
        source, mark: as in `Reported`.
        note: what a reader must know.
        comparable: may be ranked against others on the same split.
    """

    method: str
    venue: str
    year: int
    modalities: tuple[str, ...]
    dataset: str
    split: str
    figures: tuple[tuple[str, float], ...]
    source: str
    mark: Mark = "read"
    note: str = ""
    comparable: bool = True

    def figure(self, metric: str) -> float | None:
        """Value of a metric; None if it was not published."""
        return dict(self.figures).get(metric)


# where the figures of these sources were published
_PAPERS = {
    IMIGUE_README: ("CVPR", 2021),
    SMG_README: ("IJCV", 2023),
    MA52_README: ("IEEE TCSVT", 2024),
    PYSKL_CONFIGS: ("ACM MM", 2022),
}
_MAC_KIT = "github.com/kunli-cs/MAC20205_starter_kit, MAR/README"
MA52_VAL, MA52_SUBSET = "validation, 5,586 clips", "MAC 2025 test, 1,138 clips"
MIGA_2026, MIGA_EMOTION = "MiGA 2026 track 1", "MiGA 2025 track 3"
ONLINE_2024 = "MiGA 2024 track 2"
NOT_STATED = "split not stated in the source"
_SKELETON, _RGB = ("skeleton",), ("rgb",)


def _rows(
    dataset: str,
    split: str,
    source: str,
    metrics: tuple[str, ...],
    rows: dict[str, tuple[tuple[str, ...], list[float]]],
) -> tuple[Published, ...]:
    venue, year = _PAPERS[source]
    return tuple(
        Published(name, venue, year, modalities, dataset, split, tuple(zip(metrics, values, strict=True)), source)
        for name, (modalities, values) in rows.items()
    )


_TOP = ("top-1", "top-5")
_SPOT = ("recall@0.3", "precision@0.3", "F1@0.3")
_MA52 = ("body top-1", "top-1", "top-5", "body macro F1", "action macro F1", "F1 mean")
_SHORT_MA52 = ("body top-1", "top-1", "F1 mean")

BASELINES: tuple[Published, ...] = (
    *_rows(
        "imigue",
        CROSS_SUBJECT,
        IMIGUE_README,
        _TOP,
        {
            "S-VAE + E": (_SKELETON, [27.38, 60.44]),
            "P&C (unsupervised)": (_SKELETON, [31.67, 64.93]),
            "LSTM": (_SKELETON, [32.36, 72.93]),
            "BLSTM": (_SKELETON, [32.39, 71.34]),
            "2S-GCN": (_SKELETON, [47.78, 88.43]),
            "Shift-GCN": (_SKELETON, [51.51, 88.18]),
            "GCN-NAS": (_SKELETON, [53.90, 89.21]),
            "C3D": (_RGB, [20.32, 55.31]),
            "R3D-101": (_RGB, [25.27, 59.39]),
            "I3D": (_RGB, [34.96, 63.69]),
            "TSN": (_RGB, [51.54, 85.42]),
            "TRN": (_RGB, [55.24, 89.17]),
            "TSM": (_RGB, [61.10, 91.24]),
        },
    ),
    Published(
        "ST-GCN, organisers' 8 epochs",
        "MiGA@IJCAI",
        2023,
        _SKELETON,
        "imigue",
        "MiGA validation, 777 clips",
        (("top-1", 36.55), ("top-5", 81.60)),
        "github.com/mikecheninoulu/SMG, log of the iMiGUE baseline",
    ),
    Published(
        "EHCT (MiGA 2023, 2nd)",
        "MiGA@IJCAI",
        2023,
        _SKELETON,
        "imigue",
        MIGA_TEST,
        (("top-1", 63.02),),
        "abstract page of CEUR 3522, paper 1",
    ),
    Published(
        "XInsight, RGB pre-trained by masking",
        "arXiv",
        2026,
        _RGB,
        "imigue",
        MIGA_2026,
        (("top-1", 69.224),),
        "arXiv 2606.09261",
    ),
    Published(
        "XInsight, ensemble",
        "arXiv",
        2026,
        ("skeleton", "rgb"),
        "imigue",
        MIGA_2026,
        (("top-1", 74.419),),
        "arXiv 2606.09261",
        note="the entry's model card states 74.66",
    ),
    Published(
        "MAMP pre-trained on 90,000 skeletons",
        "model card",
        2026,
        _SKELETON,
        "imigue",
        MIGA_2026,
        (("top-1", 70.188),),
        "huggingface.co/anyi777/MiGA26_Track1_Skeleton_pose90k_FT",
    ),
    Published(
        "self-supervised on MA-52 skeletons",
        "model card",
        2026,
        _SKELETON,
        "imigue",
        MIGA_2026,
        (("top-1", 59.688),),
        "huggingface.co/anyi777, card of the MA-52 variant",
    ),
    Published(
        "CMPL (MiGA 2026, 4th)",
        "arXiv",
        2026,
        ("skeleton", "rgb"),
        "imigue",
        MIGA_2026,
        (("top-1", 68.13),),
        "arXiv 2606.13030",
        note="printed as F1, of which kind is not said; equal to top-1 only if it is micro F1",
        comparable=False,
    ),
    Published(
        "Micro-DualNet",
        "arXiv",
        2026,
        (),
        "imigue",
        NOT_STATED,
        (("top-1", 76.88),),
        "arXiv 2604.21011",
        note="protocol unclear: no figure of the MiGA server",
        comparable=False,
    ),
    *(
        Published(
            name,
            "arXiv",
            2025,
            _RGB,
            dataset,
            NOT_STATED,
            (("top-1", value),),
            "summaries of arXiv 2510.10478",
            "third-party",
            "split unclear",
            False,
        )
        for name, dataset, value in (
            ("VideoMamba-S", "imigue", 58.13),
            ("MSF-Mamba-S", "imigue", 61.32),
            ("MSF-Mamba+-M", "imigue", 62.98),
            ("VideoMamba-S", "smg", 53.28),
            ("MSF-Mamba+-S", "smg", 56.22),
        )
    ),
    *_rows(
        "smg",
        SMG_TEST,
        SMG_README,
        _TOP,
        {
            "2S-GCN": (_SKELETON, [43.11, 86.90]),
            "Shift-GCN": (_SKELETON, [55.31, 87.34]),
            "GCN-NAS": (_SKELETON, [58.85, 85.08]),
            "R3D": (_RGB, [29.84, 67.87]),
            "I3D": (_RGB, [35.08, 85.90]),
            "C3D": (_RGB, [45.90, 79.18]),
            "TSN": (_RGB, [50.49, 82.13]),
            "TRN": (_RGB, [59.51, 88.53]),
            "TSM": (_RGB, [58.69, 83.93]),
            "TSN, more pre-training": (_RGB, [53.61, 81.98]),
            "TRN, more pre-training": (_RGB, [60.00, 91.97]),
            "TSM, more pre-training": (_RGB, [65.41, 91.48]),
        },
    ),
    *_rows(
        "smg",
        LONG_TEST,
        SMG_README,
        _SPOT,
        {
            "FCN, sliding window": (_SKELETON, [8.2, 11.0, 9.4]),
            "DBN-HMM": (_SKELETON, [12.8, 16.7, 14.5]),
            "STABNet": (_SKELETON, [20.6, 16.4, 18.2]),
        },
    ),
    *_rows(
        "imigue",
        LONG_TEST,
        SMG_README,
        _SPOT,
        {"FCN, sliding window": (_SKELETON, [5.9, 6.7, 6.3]), "STABNet": (_SKELETON, [13.7, 8.2, 10.3])},
    ),
    Published(
        "NPU-MUCIS (MiGA 2024, 1st)",
        "MiGA@IJCAI",
        2024,
        (),
        "imigue",
        ONLINE_2024,
        (("F1", 27.57),),
        "abstract of the organisers' summary of MiGA 2024",
    ),
    *_rows(
        "ma52",
        MA52_TEST,
        MA52_README,
        _MA52,
        {
            "C3D": (_RGB, [74.04, 52.22, 86.97, 66.60, 40.86, 58.43]),
            "I3D": (_RGB, [78.16, 57.07, 88.67, 71.56, 39.84, 61.66]),
            "SlowFast": (_RGB, [77.18, 59.60, 88.54, 70.61, 44.96, 63.09]),
            "TSM": (_RGB, [77.64, 56.75, 87.47, 70.98, 40.19, 61.39]),
        },
    ),
    *(
        Published(
            f"Video Swin-{size}",
            "MAC@ACM MM",
            2025,
            _RGB,
            "ma52",
            split,
            tuple(zip(_SHORT_MA52, values, strict=True)),
            _MAC_KIT,
            note="one version of the source heads the action accuracy as top-5",
        )
        for size, split, values in (
            ("S", MA52_VAL, (79.18, 61.37, 65.92)),
            ("B", MA52_VAL, (78.59, 61.15, 65.18)),
            ("S", MA52_SUBSET, (79.44, 58.96, 65.68)),
            ("B", MA52_SUBSET, (77.15, 60.19, 64.57)),
        )
    ),
    Published(
        "Video Swin-S, 40 epochs",
        "MAC@ACM MM",
        2024,
        _RGB,
        "ma52",
        NOT_STATED,
        (("top-1", 58.88), ("top-5", 89.63), ("F1 mean", 65.64)),
        "github.com/VUT-HFUT/MAC_2024_baseline, MAR/README",
        note="split unclear",
        comparable=False,
    ),
    Published(
        "MAC 2024, 1st",
        "ACM MM",
        2024,
        ("rgb", "flow"),
        "ma52",
        "MAC 2024 test",
        (("F1 mean", 75.37),),
        "doi 10.1145/3664647.3688975",
    ),
    Published(
        "Micro-DualNet",
        "arXiv",
        2026,
        (),
        "ma52",
        NOT_STATED,
        (("top-1", 65.10), ("F1 mean", 68.72)),
        "arXiv 2604.21011",
        note="split unclear",
        comparable=False,
    ),
    *_rows(
        "imigue",
        EMOTION_TEST,
        IMIGUE_README,
        ("accuracy",),
        {
            "TRN": (_RGB, [53.0]),
            "TSM": (_RGB, [53.0]),
            "I3D": (_RGB, [57.0]),
            "TSM + LSTM over micro-gestures": (_RGB, [60.0]),
        },
    ),
    Published(
        "key points, DINOv2, BERT, pseudo-labels",
        "arXiv",
        2026,
        ("skeleton", "rgb", "text"),
        "imigue",
        MIGA_EMOTION,
        (("accuracy", 69.23),),
        "summaries of arXiv 2602.08057",
        "third-party",
    ),
)
"""Figures of methods that are no systems of this package."""

NAMES = {
    "dyfadet_sta": "DyFADet + spatial-temporal attention",
    "topo_posec3d": "PoseC3D, topology-aware",
    "clip_mg": "CLIP-MG",
    "mm_gesture": "MM-Gesture",
    "proto_mg": "Prototype learning",
    "query_points": "Learnable query points",
    "jsse": "JSSE",
    "aed_bilstm": "AED-BiLSTM",
    "u_s_vae": "U-S-VAE-Z (unsupervised)",
    "manet": "MANet",
    "eald_mllm": "EALD-MLLM",
    "deemo_llama": "DEEMO-LLaMA",
    "ctrgcn": "CTR-GCN",
    "msg3d": "MS-G3D",
    "aagcn": "AAGCN",
    "stgcnpp": "ST-GCN++",
    "stgcn": "ST-GCN",
}
"""Short names of the catalogue's systems with published figures; others go by their key."""

_VARIANTS = {("u_s_vae", EMOTION_TEST): "U-S-VAE + LSTM over micro-gestures"}

FLOORS: dict[tuple[str, str], tuple[float, str]] = {
    ("imigue", CROSS_SUBJECT): (34.88, "1,600 of 4,587 clips of the 104 test videos"),
    ("imigue", MIGA_TEST): (34.88, "1,600 of 4,587 clips of the 104 test videos"),
    ("smg", SMG_TEST): (39.84, "243 of 610 clips"),
    ("ma52", MA52_VAL): (11.48, "641 of 5,586 clips"),
    ("ma52", MA52_TEST): (11.48, "641 of 5,586 validation clips; per class the test list differs by at most one"),
    ("imigue", EMOTION_TEST): (50.0, "50 of 100 videos"),
}
"""(data set, split) -> accuracy of the most frequent class in percent, and how it was counted."""


@cache
def published() -> tuple[Published, ...]:
    """All published figures, the catalogue's and `BASELINES`, each method once per split."""
    rows = []
    for key, info in SYSTEMS.items():
        for place in dict.fromkeys((r.dataset, r.split, r.source, r.mark) for r in info.reported):
            figures = tuple(
                (r.metric, r.value) for r in info.reported if (r.dataset, r.split, r.source, r.mark) == place
            )
            dataset, split, source, mark = place
            venue, year = _PAPERS.get(source, (info.venue, info.year))
            name = _VARIANTS.get((key, split), NAMES.get(key, key))
            rows.append(Published(name, venue, year, info.modalities, dataset, split, tuple(figures), source, mark))
    return (*rows, *BASELINES)
