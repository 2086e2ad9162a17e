"""FCN sliding window: short windows of a recording are classified, and their votes make up the timeline.

Paper      a row of the online table of H. Chen et al.: SMG, IJCV 2023, https://doi.org/10.1007/s11263-023-01761-6;
           the network is that of Z. Wang, W. Yan, T. Oates: Time Series Classification from Scratch with Deep Neural
           Networks, IJCNN 2017
Input      xy (B, 1, T, V, C) and score (B, 1, T, V), windows in training and whole recordings in a test
Output     `Votes`: logits (B, W, K + 1) of W short windows, the background last
Losses     class (cross-entropy against what goes on in the middle of each short window)
Fidelity   reconstructed: of the published row only the name is known. Holes: the network, lengths, step and everything
           else; all of it is our choice. Gestures of at most 15 frames at 28 per second are dropped as in the SMG start
           kit
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import WindowBatch
from microgesture.layers.hmm import GestureHMM, Segmenter, StateScores, lengths, shares
from microgesture.layers.pose_differences import JointReader

KERNELS = (8, 5, 3)
_CHUNK = 1024


@dataclass
class Votes:
    """What the network says about short windows.

    Args:
        logits: (B, W, K + 1); short window w begins at frame w * stride.
        background: weight of background windows in the loss.
    """

    logits: Tensor
    background: float = 1.0


class Conv(nn.Module):
    """Convolution along time that keeps its length, batch norm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.around = ((kernel - 1) // 2, kernel // 2)
        self.conv = nn.Conv1d(channels, width, kernel)
        self.bn = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(F.pad(x, self.around))))


class FCNWindow(nn.Module):
    """Sliding-window spotter.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length is read, the first person alone.
        in_channels: C + 1; coordinates alone are read.
        fps: of the poses.
        widths: of the three convolutions.
        window, stride: length of a short window and step between them, in frames.
        joints, center: see `JointReader`.
        background: background windows count as much as so many times the gestures.
        shortest: seconds; shorter gestures are dropped. 0.57 s are the 16 frames of the start kit.

    Raises:
        UsageError: a length or width makes no sense.
    """

    task: ClassVar[str] = "spot"
    whole: ClassVar[bool] = True

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        in_channels: int = 3,
        fps: float = 28.0,
        widths: Sequence[int] = (128, 256, 128),
        window: int = 64,
        stride: int = 8,
        joints: Sequence[str] = (),
        center: str | None = "hip",
        background: float = 1.0,
        shortest: float = 0.57,
    ) -> None:
        super().__init__()
        if len(widths) != len(KERNELS):
            raise UsageError(f"widths is {list(widths)}; the network has {len(KERNELS)} convolutions")
        if not 1 <= stride <= window:
            raise UsageError(f"stride is {stride} and window {window}; expected 1 <= stride <= window")
        self.poses = JointReader(skeleton, in_channels - 1, joints, center)
        self.window, self.stride, self.shortest = window, stride, round(shortest * fps)
        self.states = GestureHMM(len(taxonomy), 1, background=background)  # one state per class: classes and counts
        sizes = (len(self.poses.chosen) * (in_channels - 1), *widths)
        self.convs = nn.Sequential(*map(Conv, sizes, sizes[1:], KERNELS))
        self.classifier = nn.Linear(sizes[-1], len(taxonomy) + 1)

    def observe(self, recordings: Iterable[WindowBatch]) -> None:
        """How much of whole recordings is background."""
        self.states.observe(recordings)

    def forward(self, batch: WindowBatch) -> Votes:
        points, _, last = self.poses(batch)
        at = self._begins(points.shape[1])[:, None] + torch.arange(self.window)  # (W, window)
        at = at.to(points.device).minimum(last[:, None, None])  # the last frame stands in for those behind it
        x = points.flatten(2)  # (B, T, V * C)
        rows = at.flatten(1) + torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
        rows = rows.view(-1, self.window)  # (B * W, window)
        chunks = (rows,) if torch.is_grad_enabled() else torch.split(rows, _CHUNK)
        logits = [self.classifier(self.convs(x.flatten(0, 1)[some].transpose(1, 2)).mean(-1)) for some in chunks]
        return Votes(torch.cat(logits).view(len(x), -1, self.states.size), self.states.background_share())

    def losses(self, out: Votes, batch: WindowBatch) -> dict[str, Tensor]:
        frames = batch.xy.shape[2]
        middle = (self._begins(frames) + self.window // 2).clamp(max=frames - 1).to(out.logits.device)
        rows = middle + torch.arange(len(batch), device=middle.device)[:, None] * frames
        scores = StateScores(out.logits.flatten(0, 1), rows.flatten(), out.background)
        return {"class": self.states.loss(scores, batch)}

    def detections(self, out: Votes, batch: WindowBatch) -> list[Detections]:
        """Runs of frames for which the mean of all short windows over them says the same class."""
        frames = batch.xy.shape[2]
        posterior = out.logits.detach().float().softmax(-1).cpu()
        found = []
        for p, n in zip(posterior, lengths(batch), strict=True):
            begins = self._begins(n)
            change = torch.zeros(n + 1, 1 + p.shape[1])  # votes and their number, as steps up and down
            votes = F.pad(p[: len(begins)], (1, 0), value=1.0)
            change.index_add_(0, begins, votes).index_add_(0, (begins + self.window).clamp(max=n), -votes)
            total = change.double().cumsum(0)[:n]
            mean = (total[:, 1:] / total[:, :1]).numpy()
            path = mean.argmax(1)
            segmenter = Segmenter(1, self.states.classes, shortest=self.shortest)
            mass = mean[np.arange(n), path].clip(0, 1)
            fed = [segmenter.feed(state, 0.0, p) for state, p in zip(path.tolist(), mass.tolist(), strict=True)]
            found.append(shares([f for f in (*fed, segmenter.finish()) if f is not None], frames))
        return found

    def _begins(self, frames: int) -> Tensor:
        """First frames of the short windows of a recording, (W,); together they cover it."""
        count = 1 + max(0, -(-(frames - self.window) // self.stride))
        return torch.arange(count) * self.stride
