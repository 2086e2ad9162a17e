"""PoseC3D: poses drawn as heatmap volumes, recognised by a small 3-D convolutional network.

Paper      H. Duan, Y. Zhao, K. Chen, D. Lin, B. Dai: Revisiting Skeleton-based Action Recognition, CVPR 2022,
           https://arxiv.org/abs/2104.13586
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`; of three coordinates
           x and y are drawn
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   verified against the official implementation, from the joints on the canvas to the logits. Holes: none. The
           crop is the official one but for its rounding to whole pixels, since body-normalised coordinates have none.
           Persons are normalised to their own bodies, so that several of them are drawn over each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.heatmaps import PoseVolume
from microgesture.layers.losses import class_loss
from microgesture.layers.official import Keys
from microgesture.layers.resnet3d import SlowOnly, classifier, official_key


class PoseC3D(nn.Module):
    """PoseC3D recogniser: `volume` draws, `backbone` (`stem`, `stages`) looks, `classifier` decides.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length and number of persons is accepted.
        stream: draws joints, or limbs.
        limbs: pairs of joints, the bones of `skeleton` unless given.
        width, blocks, temporal_strides: see `SlowOnly`; the defaults are the published network. MMAction2 and the
            two-stream networks keep all frames: (1, 1, 1).
        size, train_size, area, sigma: see `PoseVolume`.
        dropout: in front of the classifier.

    Raises:
        UsageError: limbs are to be drawn, and there are none.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = PoseC3D(SKELETONS["imigue22"], IMIGUE, frames=48, persons=1, stream="limb")
        >>> sum(p.numel() for p in model.backbone.parameters())
        2000352
    """

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        stream: Literal["joint", "limb"] = "joint",
        limbs: Sequence[tuple[int, int]] | None = None,
        width: int = 32,
        blocks: Sequence[int] = (4, 6, 3),
        temporal_strides: Sequence[int] = (1, 1, 2),
        size: int = 64,
        train_size: int = 56,
        area: float = 0.56,
        sigma: float = 0.6,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        limbs = skeleton.bones if limbs is None else limbs
        if stream == "limb" and not limbs:
            raise UsageError(f"'{skeleton.name}' has no bones to draw as limbs; choose stream: joint")
        self.volume = PoseVolume(
            None if stream == "joint" else limbs, size=size, train_size=train_size, area=area, sigma=sigma
        )
        channels = len(skeleton) if stream == "joint" else len(limbs)
        self.backbone = SlowOnly(channels, width, blocks, temporal_strides=temporal_strides)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(self.backbone.width, len(taxonomy))

    def features(self, volume: Tensor) -> Tensor:
        """Heatmaps (B, joints or limbs, T, H, W) to pooled features (B, D)."""
        return F.adaptive_avg_pool3d(self.backbone(volume), 1).flatten(1)

    def forward(self, batch: PoseBatch) -> Tensor:
        x = self.features(self.volume(batch))
        logits: Tensor = self.classifier(self.dropout(x))
        return logits

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}


def official_keys(model: PoseC3D) -> Keys:
    """Keys of PYSKL's ResNet3dSlowOnly with its I3DHead."""
    return {key: (_official(key),) for key in model.state_dict()}


def _official(key: str) -> str:
    part, _, rest = key.partition(".")
    return f"cls_head.fc_cls.{rest}" if part == "classifier" else f"backbone.{official_key(rest)}"
