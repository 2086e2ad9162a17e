"""The shipped model at work: a pose track in, class probabilities out.

The model names *motions*; a table saved with it says which motions show which class of which taxonomy. For a
pre-cut clip the classes compete (they sum to one); along a recording each class stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from microgesture.core.decode import DecodeSettings
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.normalise import body_normalise
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.datasets.augment import Motion, mirror
from microgesture.layers.batch import PoseBatch
from microgesture.learning.checkpoint import CONFIG, Saved, from_pretrained
from microgesture.learning.motions import Calibration, class_log_odds, class_probabilities, motion_table, tuned

Array = NDArray[np.float32]
_SHORTEST = 12  # frames; a shorter clip is held at its last pose
_STRIDE = 8  # frames between the windows of a long clip
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A trained model with its tables.

    Args:
        model: what `from_pretrained` loaded.
        calibration: see there.
        decodings: settings of the decoder that suit the model, by taxonomy.

    Example:
        >>> Recogniser.from_pretrained("base").fps  # doctest: +SKIP
        15.0
    """

    model: Saved
    calibration: Calibration = field(default_factory=Calibration)
    decodings: Mapping[str, DecodeSettings] = field(default_factory=dict)

    @classmethod
    def from_pretrained(cls, path_or_name: str | Path = "base") -> Recogniser:
        """Load a shipped model by name, or any from its folder.

        Raises:
            NoInput: there is no such model.
            FormatError: a file is damaged, or the model knows no motions.
        """
        return cls.of(from_pretrained(path_or_name))

    @classmethod
    def of(cls, model: Saved) -> Recogniser:
        """A model that is loaded already.

        Raises:
            FormatError: it knows no motions, or states them wrongly.
        """
        if "serves" not in model.config:
            raise FormatError(model.folder / CONFIG, "has no table from motions to classes", expected="`serves`")
        return cls(model, *tuned(model))

    @property
    def fps(self) -> float:
        """Frames per second the model looks at."""
        return self.model.facts.fps

    @property
    def frames(self) -> int:
        """Frames of a window along a recording."""
        return int(self.model.config.get("window", self.model.facts.frames))

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return str(self.model.config["sha256"])

    @property
    def taxonomies(self) -> tuple[str, ...]:
        """Keys of the taxonomies the model can answer in."""
        return tuple(self.model.config["serves"])

    def decoding(self, taxonomy: Taxonomy) -> DecodeSettings:
        """Settings of the decoder tuned for this model and taxonomy; the defaults where none were."""
        return self.decodings.get(taxonomy.key, DecodeSettings())

    def clip(self, track: PoseTrack, taxonomy: Taxonomy) -> Array:
        """Probabilities (K,) of the classes for a clip that shows one gesture; they sum to one.

        Raises:
            UsageError: the track is empty, or the model does not know the taxonomy.
        """
        table = motion_table(self.model, taxonomy)
        return class_probabilities(self.motions(track) / self.calibration.temperature, table)

    def motions(self, track: PoseTrack) -> Array:
        """Logits (motions,) of a clip that shows one gesture.

        The whole clip and its windows vote, each also seen in a mirror: a gesture that fills a part of the clip
        is not diluted by the rest.
        """
        moved = self._ready(track)
        n = len(moved)
        views = [(0, n)] if n <= 3 * self.frames else []
        if n > self.frames:
            count = -(-(n - self.frames) // _STRIDE) + 1
            starts = np.linspace(0, n - self.frames, count).round().astype(int)
            views += [(int(a), int(a) + self.frames) for a in starts]
        logits = np.stack([self._logits([moved[a:b]])[0] for a, b in views])
        whole, windows = logits[:1], logits[1:] if len(logits) > 1 else logits
        mixed: Array = (whole.mean(0) + windows.mean(0) + windows.max(0)) / 3
        return mixed

    def log_odds(self, track: PoseTrack, taxonomy: Taxonomy, centres: NDArray[np.float64]) -> Array:
        """Log odds (N, K) before calibration, see `windows`; -inf where nobody is."""
        table = motion_table(self.model, taxonomy)
        moved = self._ready(track)
        places = np.round((np.asarray(centres) - moved.times[0]) * self.fps).astype(int)
        odds = np.full((len(places), table.shape[1]), -np.inf, np.float32)
        pieces, rows = [], []
        for row, place in enumerate(places):
            first = int(np.clip(place - self.frames // 2, 0, max(len(moved) - self.frames, 0)))
            piece = moved[first : first + self.frames]
            if (piece.score > 0).any(1).mean() >= 0.5:
                pieces.append(piece)
                rows.append(row)
        for i in range(0, len(pieces), _BATCH):
            odds[rows[i : i + _BATCH]] = class_log_odds(self._logits(pieces[i : i + _BATCH]), table)
        return odds

    def windows(self, track: PoseTrack, taxonomy: Taxonomy, centres: NDArray[np.float64]) -> Array:
        """Probability (N, K) of each class, for itself, that it goes on around each of N times in seconds."""
        return self.calibration.probabilities(self.log_odds(track, taxonomy, centres))

    def unusual(self, track: PoseTrack) -> list[str]:
        """Sentences about what makes this track unlike anything the model was trained on; empty if nothing does."""
        said = []
        if track.fps < 9:
            said.append(f"{track.fps:.3g} frames per second; quick movements such as nods need 10 or more")
        seen = (track.score > 0).any(1)
        if seen.mean() < 0.8:
            said.append(f"a person is seen in {seen.mean():.0%} of the frames only")
        canonical = track.project(self.model.facts.skeleton)
        body = body_normalise(canonical.xy, canonical.score, canonical.skeleton)
        joint = canonical.skeleton.index
        nose, neck, hip = (body.xy[:, joint(j)] for j in ("nose", "neck", "mid_hip"))
        known = canonical.score[:, joint("nose")] > 0
        if known.any():
            if np.median(nose[known, 1] - neck[known, 1]) > 0.1:
                said.append("the head is below the shoulders: is the picture turned?")
            sure = canonical.score[:, joint("mid_hip")] > 0.5
            narrow = sure.any() and np.median(hip[sure, 1]) > 2.6  # shoulders far narrower than the trunk is long
            if narrow or np.median(neck[known, 1] - nose[known, 1]) > 1.15:
                said.append("the person is seen from the side; the model knows views up to about 40 degrees")
            if np.ptp(np.percentile(neck[known], [5, 95], axis=0), axis=0).max() > 1.5:
                said.append("the person walks or the camera moves; the model knows people who stay in place")
        hands = canonical.score[:, [joint("r_index_tip"), joint("l_index_tip")]] > 0
        if seen.any() and hands[seen].any(1).mean() < 0.2:
            said.append("hands are hardly found; gestures of hands and face will be missed")
        wrist = canonical.score[:, [joint("r_wrist"), joint("l_wrist")]]
        if seen.any() and np.median(wrist[seen].max(1)) < 0.4:
            said.append("the estimator is unsure about the wrists")
        if body.scale < 25 and track.size[0]:
            said.append(f"the person is small (shoulders {body.scale:.0f} pixels apart)")
        return said

    def _ready(self, track: PoseTrack) -> PoseTrack:
        """The model's joints and rate; very short tracks are held at their last pose."""
        if not len(track):
            raise UsageError("the track has no frames")
        moved = track.project(self.model.facts.skeleton)
        if len(moved) > 1 and abs(moved.fps - self.fps) > 1e-6:
            moved = moved.resampled(self.fps)
        short = _SHORTEST - len(moved)
        if short > 0:
            times = moved.times[-1] + np.arange(1, short + 1) / self.fps
            moved = PoseTrack(
                np.concatenate([moved.xy, np.repeat(moved.xy[-1:], short, 0)]),
                np.concatenate([moved.score, np.repeat(moved.score[-1:], short, 0)]),
                self.fps, moved.size, moved.skeleton, np.concatenate([moved.times, times]), moved.person,
            )  # fmt: skip
        return moved

    def _logits(self, pieces: list[PoseTrack]) -> Array:
        """Logits (N, motions) of windows of equal length, the mean over the window and its mirror image."""
        skeleton = self.model.facts.skeleton
        xy = np.stack([p.xy for p in pieces])
        score = np.stack([p.score for p in pieces])
        xy = body_normalise(xy, score, skeleton).xy
        mirrored = mirror(Motion(xy, score, skeleton))
        both = torch.from_numpy(np.concatenate([xy, mirrored.xy])[:, None])
        scores = torch.from_numpy(np.concatenate([score, mirrored.score])[:, None])
        with torch.inference_mode():
            out = self.model.system(PoseBatch(both, scores)).float().numpy()
        mean: Array = (out[: len(pieces)] + out[len(pieces) :]) / 2
        return mean
