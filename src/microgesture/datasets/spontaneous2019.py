"""The first version of SMG: from micro-gestures to whether a person is relaxed or stressed.

Paper      H. Chen, X. Liu, X. Li, H. Shi, G. Zhao: Analyze Spontaneous Gestures for Emotional Stress State Recognition:
           A Micro-gesture Dataset and Analysis with Deep Learning, FG 2019, https://doi.org/10.1109/FG.2019.8756513
Licence, layouts, quirks, facts   those of `smg`: the same 40 recordings and 3,692 clips
Task       the state of every stretch, in the store's table of states; a recogniser of gestures is the step before it

The paper's split is not known here: subjects 1-35 / 36-40, SMG's, are taken for gestures and states alike (ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microgesture.datasets import smg


@dataclass(frozen=True)
class Source(smg.Source):
    """The same files and options as SMG's."""

    key: ClassVar[str] = "spontaneous2019"


class Spontaneous2019(smg.SMG):
    """The clips of SMG by subjects 1-35 / 36-40; states are those of `store.states`.

    Args:
        root, longest: see `StoredDataset`.

    Example:
        >>> Spontaneous2019().splits
        ('train', 'test')
    """

    key = "spontaneous2019"

    def __init__(self, root: str | None = None, longest: int = 0) -> None:
        super().__init__(root, longest, protocol="paper")
