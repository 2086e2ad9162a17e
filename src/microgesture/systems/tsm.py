"""TSM: a ResNet-50 over eight pictures of a clip, each block of which also sees the pictures beside its own.

Paper      J. Lin, C. Gan, S. Han: TSM: Temporal Shift Module for Efficient Video Understanding, ICCV 2019,
           https://arxiv.org/abs/1811.08383; it is the baseline of MA-52, SMG and iMiGUE for pictures
Input      rgb (B, F, H, W, 3), 0 to 255, as published 8 pictures, one out of each eighth of the clip
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   described. Shift, network, head and rates are numerically equal to the official code of MANet, which is TSM
           with more in front of each block; TSM itself was not run beside it. The crops follow their description, but
           for rounding to whole pixels. Holes: how the baselines of iMiGUE and SMG were trained could not be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.checkpoints import read_state
from microgesture.layers import shift
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_loss
from microgesture.layers.official import Keys
from microgesture.layers.resnet import Pictures, ResNet, classifier, load_imagenet, shifted_key
from microgesture.layers.shift import TemporalShift


class TSM(nn.Module):
    """TSM recogniser: `pictures` crops, `backbone` looks, `classifier` decides for each picture; the mean counts.

    Args:
        skeleton, persons: not read.
        taxonomy, frames: facts of the data; any number of pictures is accepted.
        weights: file with a ResNet-50 of torchvision or timm to start from, .safetensors or .pth; None starts from
            nothing. The published figures start from ImageNet.
        width, blocks: see `ResNet`; the defaults are the published network.
        share: see `TemporalShift`.
        size, short, scales, flip: see `Pictures`.
        dropout: in front of the classifier.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import MA52
        >>> model = TSM(SKELETONS["ma52_28"], MA52, frames=8, persons=1)
        >>> sum(p.numel() for p in model.parameters()), model.origin
        (23614580, {'weights': 'from scratch'})
    """

    starts_from = ("weights",)

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        weights: str | None = None,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        share: int = 8,
        size: int = 224,
        short: int = 256,
        scales: Sequence[float] = (1, 0.875, 0.75, 0.66),
        flip: float = 0.5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.pictures = Pictures(size, short, scales, flip)
        self.backbone = ResNet(lambda channels: TemporalShift(share), width, blocks)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(self.backbone.width, len(taxonomy))
        self.origin = {"weights": "from scratch"}
        """What the weights started from: the name of a file, or `"from scratch"`."""
        if weights is not None:
            load_imagenet(self.backbone, read_state(weights), weights)
            self.origin["weights"] = Path(weights).name

    def classify(self, features: Tensor) -> Tensor:
        """Mean feature of each picture (B, F, D) to logits."""
        logits: Tensor = self.classifier(self.dropout(features)).mean(1)
        return logits

    def forward(self, batch: PoseBatch) -> Tensor:
        return self.classify(self.backbone.pooled(self.pictures(batch)))

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Shares of rate and decay as published: `shift.parameter_groups`, the classifier learns fastest."""
        return shift.parameter_groups(self, self.classifier)


def official_keys(model: TSM) -> Keys:
    """Keys of MMAction2's ResNetTSM with its TSMHead."""
    return {key: (_official(key),) for key in model.state_dict()}


def _official(key: str) -> str:
    part, _, rest = key.partition(".")
    if part == "classifier":
        return f"cls_head.fc_cls.{rest}"
    return f"backbone.{shifted_key(rest)}"
