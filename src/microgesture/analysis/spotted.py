"""A spotter in the place of the shipped recogniser: what it finds, as posteriors along the recording.

The pipeline of `analyze` asks for the probability of every class around every moment. A spotter says begin, end and
score instead; painted over the moments they cover, they pass through the same pieces, journal and decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from microgesture.core.decode import DecodeSettings
from microgesture.core.errors import UsageError
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack

if TYPE_CHECKING:
    from microgesture.analysis.analyze import WindowRecogniser
    from microgesture.learning.spotting import Spotter


def load_recogniser(model: str | Path) -> WindowRecogniser:
    """The model that `analyze` is asked to use: a recogniser of motions, or any trained spotter.

    Raises:
        NoInput: there is no such model.
        FormatError: it is damaged, or neither of the two.
    """
    from microgesture.analysis.recogniser import Recogniser
    from microgesture.learning.checkpoint import from_pretrained
    from microgesture.learning.spotting import Spotter, is_spotter

    saved = from_pretrained(model)
    if is_spotter(type(saved.system)):
        return SpottedRecogniser(Spotter.of(saved))
    return Recogniser.of(saved)


@dataclass(frozen=True, eq=False)
class SpottedRecogniser:
    """A spotter with the interface of a recogniser along a recording."""

    spotter: Spotter

    @property
    def fps(self) -> float:
        """Frames per second the spotter looks at."""
        return self.spotter.fps

    @property
    def frames(self) -> int:
        """Frames of one of its windows."""
        return self.spotter.windowing.frames

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return str(self.spotter.saved.config["sha256"])

    def decoding(self, taxonomy: Taxonomy) -> DecodeSettings:
        """The threshold chosen in training, and nothing that the spotter has done already."""
        return DecodeSettings(
            on=self.spotter.threshold, off=1.0, edge=0.0, smooth=0.0, gap=0.0, shortest=0.2, overlap=1.0, compete="none"
        )

    def windows(self, track: PoseTrack, taxonomy: Taxonomy, centres: NDArray[np.float64]) -> NDArray[np.float32]:
        """Probability (N, K) that a class goes on at each of N times: the best score of what was found there.

        Raises:
            UsageError: the spotter has other labels.
        """
        own = self.spotter.saved.facts.taxonomy
        if own != taxonomy:
            raise UsageError(f"the model finds '{own.key}', not '{taxonomy.key}'; choose --taxonomy {own.key}")
        p = np.zeros((len(centres), len(taxonomy)), np.float32)
        found = self.spotter.detections(track).placed(float(track.times[0]) if len(track) else 0.0, 1.0)
        for start, end, label, score in zip(found.start, found.end, found.label, found.score, strict=True):
            inside = (centres >= start) & (centres < end)
            p[inside, label] = np.maximum(p[inside, label], score)
        return p

    def unusual(self, track: PoseTrack) -> list[str]:
        """Nothing: a spotter does not know what it was not trained on."""
        return []
