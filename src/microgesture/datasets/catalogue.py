"""The data sets of the survey as plain data. All are licence-gated: none is shipped or downloaded by this package."""

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
        ),
    )
}
"""Key -> data set, newest first."""
