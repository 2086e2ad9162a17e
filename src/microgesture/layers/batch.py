"""`PoseBatch`: what every skeleton system reads. `VideoBatch`: with the pictures of the same clips.
`WindowBatch`: windows of long recordings, with what happens in them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from microgesture.core.errors import FormatError, UsageError

Batch = TypeVar("Batch", bound="PoseBatch")

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the colours of ImageNet's pictures, red first, 0 to 255: what networks for pictures expect to be taken out."""


@dataclass
class PoseBatch:
    """Clips of one length. B clips, M persons, T frames, V joints, C coordinates, K classes.

    Args:
        xy: float (B, M, T, V, C), body-normalised, y downwards; 0 where a joint or person is missing.
        score: float (B, M, T, V), confidence in [0, 1]; 0 = missing.
        label: int64 (B,), class of each clip.
        weight: float (B,), weight of each clip in the loss.
        soft: float (B, K), targets in [0, 1], several classes at once allowed; takes the place of `label`. Systems
            that say so read -1 as "cannot be decided".
    """

    xy: Tensor
    score: Tensor
    label: Tensor | None = None
    weight: Tensor | None = None
    soft: Tensor | None = None

    def __len__(self) -> int:
        return len(self.xy)

    def to(self: Batch, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        tensors = {f.name: value.to(device) for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(self, **tensors)

    def features(self, channels: int) -> Tensor:
        """Network input (B, M, T, V, channels): coordinates and score, or coordinates alone if `channels` is C.

        Raises:
            UsageError: `channels` is neither C nor C + 1.
            FormatError: a value is not finite, or there is no person or no frame.
        """
        coordinates = self.xy.shape[-1]
        if channels not in (coordinates, coordinates + 1):
            raise UsageError(
                f"the system reads {channels} channels per joint, the batch has {coordinates} coordinates and a score"
            )
        x = self.xy if channels == coordinates else torch.cat((self.xy, self.score.unsqueeze(-1)), -1)
        if torch.compiler.is_compiling():
            return x  # an exported graph cannot branch on sizes and values
        if 0 in x.shape[1:]:
            persons, frames, joints = x.shape[1:4]
            problem = f"clips of {persons} persons, {frames} frames and {joints} joints hold nothing"
            raise FormatError("<batch>", problem, remedy="leave such clips out")
        if not torch.isfinite(x).all():
            clip = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
            raise FormatError(
                "<batch>",
                "coordinates or scores are not finite",
                place=f"clip {clip}",
                remedy="mark missing joints with score 0 and coordinates 0",
            )
        return x


@dataclass
class VideoBatch(PoseBatch):
    """Clips with their pictures. Being a `PoseBatch` too, it is read by skeleton systems as well.

    Pictures and poses cover the same stretch of time, each with a number of frames of its own. Where a joint lies in
    the pictures is `xy * scale + origin`, which is what `body_normalise` says about a track in pixels; several persons
    keep their places that way.

    Args:
        rgb: uint8 or float (B, F, H, W, 3), F pictures, red first, 0 to 255.
        origin: float (B, M, C), place of each person's neck, in pixels of `rgb`.
        scale: float (B, M), pixels per shoulder width.
    """

    rgb: Tensor = field(kw_only=True)
    origin: Tensor = field(kw_only=True)
    scale: Tensor = field(kw_only=True)

    def pixels(self) -> Tensor:
        """Joints on the pictures (B, M, T, V, 2), 0 where one is missing.

        Raises:
            UsageError: the joints have three coordinates, which are no places in pictures.
            FormatError: a value is not finite, or there is no person, no frame or no picture.
        """
        if self.xy.shape[-1] != 2:
            raise UsageError(
                f"joints of {self.xy.shape[-1]} coordinates do not lie in pictures; take joints found in the films, or "
                "a system that reads pictures alone (tsm, mamba_mg)"
            )
        self.features(3)
        xy = self.xy * self.scale[..., None, None, None] + self.origin[:, :, None, None]
        xy = xy * (self.score > 0).unsqueeze(-1)
        if not torch.compiler.is_compiling():
            if 0 in self.rgb.shape[1:]:
                frames, height, width = self.rgb.shape[1:4]
                problem = f"clips of {frames} pictures of {width} x {height} pixels hold nothing"
                raise FormatError("<batch>", problem, remedy="leave such clips out")
            if not torch.isfinite(xy).all():
                clip = int((~torch.isfinite(xy)).flatten(1).any(1).nonzero()[0])
                raise FormatError("<batch>", "origin or scale is not finite", place=f"clip {clip}")
        return xy


@dataclass
class WindowBatch(PoseBatch):
    """Windows of long recordings, for systems that find when something happens.

    Times are shares of the window, so that frames, features and predictions of any rate agree: 0 is its beginning, 1
    its end. A window that reaches beyond its recording is filled up with zeros behind it.

    Args:
        valid: float (B,), share of the window that lies within the recording, in (0, 1].
        segments: float (B, G, 2), begin and end of the gestures; those cut by the window reach outside [0, 1].
        classes: int64 (B, G), their classes; -1 = no gesture, only filling.
        series: float (B, D, F), features of F equal stretches of the window, from whatever made them.
        rgb: uint8 or float (B, F, H, W, 3), pictures of the window, red first, 0 to 255.
    """

    valid: Tensor = field(kw_only=True)
    segments: Tensor | None = field(default=None, kw_only=True)
    classes: Tensor | None = field(default=None, kw_only=True)
    series: Tensor | None = field(default=None, kw_only=True)
    rgb: Tensor | None = field(default=None, kw_only=True)

    def targets(self) -> list[tuple[Tensor, Tensor]]:
        """Gestures of each window: segments (G_i, 2) and classes (G_i,), without filling.

        Raises:
            UsageError: the batch carries none.
        """
        if self.segments is None or self.classes is None:
            raise UsageError("the windows carry no gestures to learn from")
        return [(s[k >= 0], k[k >= 0]) for s, k in zip(self.segments, self.classes, strict=True)]

    def mask(self, steps: int) -> Tensor:
        """Bool (B, steps): which of equal stretches of the window begin within the recording."""
        at = torch.arange(steps, device=self.valid.device) / steps
        return at < self.valid[:, None] - 1e-6

    def described(self, channels: int) -> Tensor:
        """`series` (B, D, F) with zeros behind the recording.

        Raises:
            UsageError: there are none, or D is not `channels`.
            FormatError: a value is not finite, or there is no step.
        """
        x = self.series
        if x is None:
            raise UsageError("the system reads features of the windows, and there are none: set loading.features")
        if x.shape[1] != channels:
            raise UsageError(f"the system reads {channels} features per step, the windows have {x.shape[1]}")
        if torch.compiler.is_compiling():
            return x
        if not x.shape[2]:
            raise FormatError("<batch>", "windows of no step hold nothing", remedy="leave such windows out")
        if not torch.isfinite(x).all():
            window = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
            raise FormatError("<batch>", "features are not finite", place=f"window {window}", remedy="make them again")
        return x * self.mask(x.shape[2])[:, None]
