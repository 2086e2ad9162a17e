"""The data sets this package reads, as plain data: those of the field's survey first, then others it is measured on.

Those of the survey are licence-gated: none is shipped or downloaded by this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the survey's table of data sets.

    Args:
        key: name in commands, recipes and file names.
        title, venue, year, link: of the paper.
        subjects, clips: counts; None if not found.
        taxonomy: key of its label space, or empty.
        modalities: what is distributed.
        emotion: its emotion labels, or empty.
        access: how one gets it.
        status: `available` if this package reads it.
        source: dotted path of the class that says how it is distributed, for `prepare`; empty if there is none.
        dataset: dotted path of the class that recipes name.
        survey: one of the survey's table.
    """

    key: str
    title: str
    venue: str
    year: int
    link: str
    subjects: int | None
    clips: int | None
    taxonomy: str
    modalities: tuple[str, ...]
    emotion: str
    access: str
    status: Literal["planned", "available"] = "planned"
    source: str = ""
    dataset: str = ""
    survey: bool = True


DATASETS: dict[str, DatasetInfo] = {
    d.key: d
    for d in (
        DatasetInfo(
            "deemo",
            "DEEMO: De-identity Multimodal Emotion Recognition and Reasoning",
            "ACM MM",
            2025,
            "https://arxiv.org/abs/2504.19549",
            None,
            None,
            "",
            ("rgb", "audio", "text"),
            "positive or negative, with reasons",
            "not found",
            status="available",
            source="microgesture.datasets.deemo.Source",
            dataset="microgesture.datasets.deemo.DEEMO",
        ),
        DatasetInfo(
            "eald",
            "EALD-MLLM: Emotion Analysis in Long-sequential and De-identity videos with Multi-modal Large Language "
            "Model",
            "arXiv",
            2024,
            "https://arxiv.org/abs/2405.00574",
            None,
            275,
            "",
            ("rgb", "audio"),
            "positive or negative, per video",
            "announced, not released",
            status="available",
            source="microgesture.datasets.eald.Source",
            dataset="microgesture.datasets.eald.EALD",
        ),
        DatasetInfo(
            "ma52",
            "Benchmarking Micro-action Recognition: Dataset, Methods, and Applications",
            "IEEE TCSVT",
            2024,
            "https://arxiv.org/abs/2403.05234",
            205,
            22_422,
            "ma52",
            ("rgb", "skeleton"),
            "",
            "form and licence agreement, non-commercial: https://github.com/VUT-HFUT/Micro-Action",
            status="available",
            source="microgesture.datasets.ma52.Source",
            dataset="microgesture.datasets.ma52.MA52",
        ),
        DatasetInfo(
            "smg",
            "SMG: A Micro-gesture Dataset Towards Spontaneous Body Gestures for Emotional Stress State Analysis",
            "IJCV",
            2023,
            "https://doi.org/10.1007/s11263-023-01761-6",
            40,
            3_692,
            "smg",
            ("rgb", "depth", "silhouette", "skeleton"),
            "relaxed or stressed, per stretch of 2-5 minutes",
            "licence agreement: https://github.com/mikecheninoulu/SMG",
            status="available",
            source="microgesture.datasets.smg.Source",
            dataset="microgesture.datasets.smg.SMG",
        ),
        DatasetInfo(
            "imigue",
            "iMiGUE: An Identity-free Video Dataset for Micro-Gesture Understanding and Emotion Analysis",
            "CVPR",
            2021,
            "https://arxiv.org/abs/2107.00285",
            72,
            18_499,
            "imigue",
            ("rgb", "skeleton"),
            "match won or lost, per video",
            "signed licence, non-commercial: https://github.com/linuxsino/iMiGUE",
            status="available",
            source="microgesture.datasets.imigue.Source",
            dataset="microgesture.datasets.imigue.IMiGUE",
        ),
        DatasetInfo(
            "spontaneous2019",
            "Analyze Spontaneous Gestures for Emotional Stress State Recognition: A Micro-gesture Dataset and Analysis "
            "with Deep Learning",
            "FG",
            2019,
            "https://doi.org/10.1109/FG.2019.8756513",
            40,
            3_692,
            "smg",
            ("rgb", "depth", "silhouette", "skeleton"),
            "relaxed or stressed",
            "the same recordings as smg",
            status="available",
            source="microgesture.datasets.spontaneous2019.Source",
            dataset="microgesture.datasets.spontaneous2019.Spontaneous2019",
        ),
        DatasetInfo(
            "mma52",
            "MMAD: Multi-label Micro-Action Detection in Videos (MMA-52)",
            "ICCV",
            2025,
            "https://arxiv.org/abs/2407.05311",
            None,
            6_528,
            "ma52",
            ("rgb",),
            "",
            "form and licence agreement, non-commercial: https://github.com/VUT-HFUT/Micro-Action",
            status="available",
            source="microgesture.datasets.ma52.DetectionSource",
            dataset="microgesture.datasets.ma52.MMA52",
            survey=False,
        ),
        DatasetInfo(
            "utd_mhad",
            "UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing a Depth Camera and a Wearable "
            "Inertial Sensor",
            "ICIP",
            2015,
            "https://doi.org/10.1109/ICIP.2015.7350781",
            8,
            861,
            "",
            ("skeleton",),
            "",
            "from its authors; here as one npz file",
            status="available",
            dataset="microgesture.datasets.utd_mhad.UTDMHAD",
            survey=False,
        ),
        DatasetInfo(
            "sfinge3d",
            "SFINGE 3D: gestures of one hand before a finger tracker",
            "",
            2020,
            "",
            None,
            468,
            "",
            ("skeleton",),
            "",
            "from its authors; here as two npz files",
            status="available",
            source="microgesture.datasets.sfinge3d.Source",
            dataset="microgesture.datasets.sfinge3d.SFINGE3D",
            survey=False,
        ),
        DatasetInfo(
            "gesture_phase",
            "Gesture Phase Segmentation: people telling stories",
            "",
            2014,
            "",
            None,
            None,
            "",
            ("skeleton",),
            "",
            "from its authors; here as one npz file",
            status="available",
            source="microgesture.datasets.gesture_phase.Source",
            dataset="microgesture.datasets.gesture_phase.GesturePhase",
            survey=False,
        ),
        DatasetInfo(
            "folder",
            "Recordings of your own, with annotations",
            "",
            2026,
            "",
            None,
            None,
            "",
            ("rgb", "skeleton"),
            "",
            "yours",
            status="available",
            source="microgesture.datasets.folder.Source",
            dataset="microgesture.datasets.folder.Folder",
            survey=False,
        ),
    )
}
"""Key -> data set: the survey's, newest first, then others."""

UNRELEASED: dict[str, str] = {
    "ma52_pro": "MA-52-Pro is announced but nobody can have it yet; its classes are those of ma52",
}
"""Key -> what to say of a data set that a person may ask for and nobody can have yet."""
