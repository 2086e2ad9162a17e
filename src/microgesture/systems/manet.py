"""MANet: TSM that weighs the channels of each block first, and learns where the names of the classes lie.

Paper      D. Guo, K. Li, B. Hu, Y. Zhang, M. Wang: Benchmarking Micro-action Recognition: Dataset, Methods, and
           Applications, IEEE TCSVT 34(7), 2024, https://arxiv.org/abs/2403.05234
Input      rgb (B, F, H, W, 3), 0 to 255, as published 8 pictures, one out of each eighth of the clip
Output     logits (B, K) for the K labels of `taxonomy`, and embeddings (B, E) near the vectors of their names
Losses     class (cross-entropy), embedding (mean square distance from the vector of the class, times 50)
Fidelity   verified against the official implementation, from cropped pictures to logits, embeddings, losses and rates.
           The crops follow its configuration, but for rounding to whole pixels. Holes: the paper's figure of where
           squeeze-and-excitation stands could not be read; the code counts here. The corpus of the word vectors is not
           stated. compat="official": the released code means to let the classifier learn fastest, and by the order of
           its layers speeds up the last layer of the embedding instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.checkpoints import read_state
from microgesture.layers import shift
from microgesture.layers.batch import PoseBatch
from microgesture.layers.embedding import EmbeddingHead
from microgesture.layers.losses import class_loss
from microgesture.layers.official import Keys
from microgesture.layers.resnet import Pictures, ResNet, classifier, load_imagenet, shifted_key
from microgesture.layers.shift import TemporalShift
from microgesture.systems.jsse import FROM_NAMES, class_vectors

# a block's channels pass through a layer of this many times fewer
SQUEEZE = 4
# weights at the start of both heads
STD = 0.001


class Output(NamedTuple):
    """What `MANet` predicts."""

    logits: Tensor
    """(B, K)."""
    embedding: Tensor
    """(B, E)."""


class ExciteShift(nn.Module):
    """Raises some channels of each picture over others, then shifts an eighth of them each way in time."""

    def __init__(self, channels: int, share: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // SQUEEZE, bias=False)
        self.excite = nn.Linear(channels // SQUEEZE, channels, bias=False)
        self.shift = TemporalShift(share)

    def scale(self, x: Tensor) -> Tensor:
        """Factor of each channel, between 0 and 1, (B*F, C)."""
        return torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((-2, -1))))))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        y: Tensor = self.shift(x * self.scale(x)[..., None, None], frames)
        return y


class MANet(nn.Module):
    """MANet recogniser: `pictures` crops, `backbone` looks, `classifier` decides, `embedding` names.

    Args:
        skeleton, persons: not read.
        taxonomy, frames: facts of the data; any number of pictures is accepted.
        weights: file with a ResNet-50 of torchvision or timm to start from, .safetensors or .pth; None starts from
            nothing. The published figures start from ImageNet.
        vectors: as of `JSSE`; published ones are of 300 numbers.
        embedding_weight: of the loss.
        hidden: width between the two layers of the embedding.
        width, blocks: see `ResNet`; the defaults are the published network.
        share: see `TemporalShift`.
        size, short, scales, flip: see `Pictures`.
        dropout: in front of both heads.
        compat: `"official"` trains at the rates of the released code; it changes nothing else.

    Raises:
        UsageError: `compat` is unknown.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import MA52
        >>> model = MANet(SKELETONS["ma52_28"], MA52, frames=8, persons=1)
        >>> sum(p.numel() for p in model.parameters()), model.origin
        (32284252, {'weights': 'from scratch', 'vectors': 'class names and body groups'})
    """

    starts_from = ("weights",)
    kept = (("vectors", "embedding.vectors"),)

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        weights: str | None = None,
        vectors: str | Tensor = "names",
        embedding_weight: float = 50.0,
        hidden: int = 300,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        share: int = 8,
        size: int = 224,
        short: int = 256,
        scales: Sequence[float] = (1, 0.875, 0.75, 0.66),
        flip: float = 0.5,
        dropout: float = 0.5,
        compat: Literal["official"] | None = None,
    ) -> None:
        super().__init__()
        if compat not in (None, "official"):
            raise UsageError(f"compat is {compat!r}; it can be None, 'official'")
        self.embedding_weight, self.compat = embedding_weight, compat
        self.pictures = Pictures(size, short, scales, flip)
        self.backbone = ResNet(lambda channels: ExciteShift(channels, share), width, blocks)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier(self.backbone.width, len(taxonomy))
        table, source = class_vectors(vectors, taxonomy, taxonomy.names)
        self.origin = {"weights": "from scratch", "vectors": source}
        """What the weights started from and where the vectors are from: names of files, or words."""
        self.embedding = EmbeddingHead(self.backbone.width, table, hidden, STD, saved=source != FROM_NAMES)
        if weights is not None:
            load_imagenet(self.backbone, read_state(weights), weights)
            self.origin["weights"] = Path(weights).name

    def classify(self, features: Tensor) -> Output:
        """Mean feature of each picture (B, F, D) to logits and embeddings, means over the pictures."""
        features = self.dropout(features)
        return Output(self.classifier(features).mean(1), self.embedding(features).mean(1))

    def forward(self, batch: PoseBatch) -> Output:
        return self.classify(self.backbone.pooled(self.pictures(batch)))

    def losses(self, out: Output, batch: PoseBatch) -> dict[str, Tensor]:
        near = self.embedding.loss(out.embedding, batch)
        return {"class": class_loss(out.logits, batch), "embedding": self.embedding_weight * near}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Shares of rate and decay as published, see `shift.parameter_groups`; `compat` says what learns fastest."""
        last = self.embedding.layers[-1]
        assert isinstance(last, nn.Linear)
        return shift.parameter_groups(self, last if self.compat else self.classifier)


def official_keys(model: MANet) -> Keys:
    """Keys of the official ResNetTSM with its MANetHead.

    In released files each block holds three unused layers, and the vectors are not there.
    """
    keys = {key: () if key == "embedding.vectors" else (_official(key),) for key in model.state_dict()}
    names = (name for names in keys.values() for name in names)
    blocks = {name.removesuffix("fcce.0.weight") for name in names if name.endswith("fcce.0.weight")}
    unused = (f"{block}action_p2_{layer}.weight" for block in blocks for layer in ("squeeze", "conv1", "expand"))
    return keys | {"": tuple(sorted(unused))}


def _official(key: str) -> str:
    *path, leaf = key.split(".")
    match path:
        case ["classifier"]:
            return f"cls_head.fc_cls.{leaf}"
        case ["embedding", "layers", i]:
            return f"cls_head.{('fc_emb', 'fc_emb_t')[int(i)]}.{leaf}"
        case ["backbone", "stages", stage, block, "before", layer]:
            number = {"squeeze": 0, "excite": 2}[layer]
            return f"backbone.layer{int(stage) + 1}.{block}.conv1.conv.fcce.{number}.{leaf}"
        case ["backbone", *rest]:
            return f"backbone.{shifted_key('.'.join((*rest, leaf)))}"
    raise KeyError(key)
