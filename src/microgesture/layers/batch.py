"""`PoseBatch`: what every skeleton system reads."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from microgesture.core.errors import FormatError, UsageError


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

    def to(self, device: torch.device | str) -> PoseBatch:
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
