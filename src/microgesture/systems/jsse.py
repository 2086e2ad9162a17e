"""JSSE: PoseC3D that also learns where the names of the classes lie.

Paper      K. Li, D. Guo, G. Chen, X. Peng, M. Wang: Joint Skeletal and Semantic Embedding Loss for Micro-gesture
           Classification, MiGA at IJCAI 2023, https://arxiv.org/abs/2307.10624
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`
Output     logits (B, K) for the K labels of `taxonomy`, and embeddings (B, E) near the vectors of their names; in eval
           mode the mean over each clip and its mirror image
Losses     class (cross-entropy), embedding (mean square distance from the vector of the class, times 20)
Fidelity   verified against the official implementation, from joints on the canvas to logits, embeddings and losses.
           Holes: the corpus of the word vectors is not stated, any file of vectors will do. Published figures join two
           models, one of joints and one of limbs, see `ensemble`. The released arrays hold 90 frames of every clip,
           with empty ones behind a shorter one, and those are sampled too; here only frames of the clip are, unless
           the recipe says `loading.pad_to: 90`.
           compat="official": limbs counted from 1 where joints are counted from 0, and mirror pairs of another layout
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.layouts import RELEASED_BONES, RELEASED_MIRROR
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.word_vectors import read_word_vectors
from microgesture.layers.batch import PoseBatch
from microgesture.layers.embedding import EmbeddingHead, mean_vectors, name_vectors, words_of
from microgesture.layers.heatmaps import mirror
from microgesture.layers.losses import class_loss
from microgesture.layers.official import Keys
from microgesture.systems import posec3d
from microgesture.systems.posec3d import PoseC3D
from microgesture.systems.rgbpose import fused

# of the joints' model when joints and limbs vote together
JOINT_SHARE = 0.4
# what is told of vectors that no file gave
FROM_NAMES = "class names and body groups"
# where the released list of iMiGUE's classes differs from our short names
_RELEASED_NAMES = {3: "touch face", 28: "bit lip"}


class Output(NamedTuple):
    """What `JSSE` predicts."""

    logits: Tensor
    """(B, K); with `mirrored`, in eval mode, the logarithm of the mean of both views' probabilities."""
    embedding: Tensor
    """(B, E)."""


class JSSE(nn.Module):
    """PoseC3D with a second head: `net` draws, looks and decides, `embedding` names.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length and number of persons is accepted.
        stream, width, blocks, temporal_strides, size, train_size, area, sigma: see `PoseC3D`; the defaults are the
            published network.
        vectors: file of word vectors, see `read_word_vectors`; the published ones are of 300 numbers. `"names"` makes
            vectors from the spelling of the names and their body groups, see `name_vectors`: nothing published rests
            on those. A tensor (K, E) is taken as it is. What is not made from names is saved with the model, which
            loads without the file.
        embedding_weight: of the loss.
        mirrored: whether a clip is shown twice in eval mode, the second time as in a mirror.
        dropout: in front of the classifier; the embedding is made of features without it.
        compat: `"official"` draws the released limbs, and takes the released pairs of joints (and of limbs) for the
            two sides of the body. It then also mirrors half of the training clips that way, in place of the
            augmentation `Flip`. Only for `imigue22`.

    Raises:
        UsageError: nothing was released for this layout, or there are not K vectors.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = JSSE(SKELETONS["imigue22"], IMIGUE, frames=48, persons=1)
        >>> sum(p.numel() for p in model.parameters()), model.origin
        (2172236, {'vectors': 'class names and body groups'})
    """

    kept = (("vectors", "embedding.vectors"),)
    classifiers = ("net.classifier",)

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        stream: Literal["joint", "limb"] = "joint",
        vectors: str | Tensor = "names",
        embedding_weight: float = 20.0,
        mirrored: bool = True,
        width: int = 32,
        blocks: Sequence[int] = (4, 6, 3),
        temporal_strides: Sequence[int] = (1, 1, 2),
        size: int = 64,
        train_size: int = 56,
        area: float = 0.56,
        sigma: float = 0.6,
        dropout: float = 0.5,
        compat: Literal["official"] | None = None,
    ) -> None:
        super().__init__()
        if compat and skeleton.name not in RELEASED_BONES:
            raise UsageError(
                f"compat='official' knows the limbs of {', '.join(RELEASED_BONES)}, the data have '{skeleton.name}'"
            )
        self.embedding_weight, self.mirrored, self.compat = embedding_weight, mirrored, compat
        self.flip = released_flip(skeleton) if compat else skeleton.flip
        """Where each joint's other side is on axis V."""
        self.net = PoseC3D(
            skeleton,
            taxonomy,
            frames,
            persons,
            stream=stream,
            limbs=RELEASED_BONES[skeleton.name] if compat else None,
            width=width,
            blocks=blocks,
            temporal_strides=temporal_strides,
            size=size,
            train_size=train_size,
            area=area,
            sigma=sigma,
            dropout=dropout,
        )
        table, source = class_vectors(vectors, taxonomy, short_names(taxonomy))
        self.origin = {"vectors": source}
        """Where the vectors are from: the name of a file, or words."""
        self.embedding = EmbeddingHead(self.net.backbone.width, table, saved=source != FROM_NAMES)

    def classify(self, features: Tensor) -> Output:
        """Pooled features (B, D) to logits and embeddings."""
        return Output(self.net.classifier(self.net.dropout(features)), self.embedding(features))

    def mirror_image(self, batch: PoseBatch) -> PoseBatch:
        """The clips as in a mirror: x reflected, sides exchanged."""
        order = list(self.flip)
        reflect = batch.xy.new_ones(batch.xy.shape[-1])
        reflect[0] = -1
        return replace(batch, xy=batch.xy[..., order, :] * reflect, score=batch.score[..., order])

    def views(self, batch: PoseBatch) -> tuple[Tensor, ...]:
        """The volumes that are looked at, (B, joints or limbs, T, H, W): one, or one and its mirror image."""
        if self.training and self.compat:
            other = self.mirror_image(batch)
            chosen = torch.rand(len(batch), device=batch.xy.device) < 0.5
            xy = torch.where(chosen.view(-1, 1, 1, 1, 1), other.xy, batch.xy)
            batch = replace(batch, xy=xy, score=torch.where(chosen.view(-1, 1, 1, 1), other.score, batch.score))
        volume = self.net.volume(batch)
        if self.training or not self.mirrored:
            return (volume,)
        if self.compat:  # the picture is turned, a pixel off, and limbs change places as if they were joints
            return volume, mirror(volume, self.flip)
        return volume, self.net.volume(self.mirror_image(batch))

    def forward(self, batch: PoseBatch) -> Output:
        outs = [self.classify(self.net.features(volume)) for volume in self.views(batch)]
        if len(outs) == 1:
            return outs[0]
        one, other = outs
        return Output(fused(one.logits, other.logits), (one.embedding + other.embedding) / 2)

    def losses(self, out: Output, batch: PoseBatch) -> dict[str, Tensor]:
        near = self.embedding.loss(out.embedding, batch)
        return {"class": class_loss(out.logits, batch), "embedding": self.embedding_weight * near}

    def nearness(self, embedding: Tensor) -> Tensor:
        """How near embeddings (B, E) lie to the name of each class: minus the distance, (B, K)."""
        return -torch.cdist(embedding, self.embedding.vectors)


def ensemble(joint: Tensor, limb: Tensor) -> Tensor:
    """The published vote of two models: logits (B, K) of 0.4 times the joints' and 0.6 times the limbs' probabilities.

    Example:
        >>> import torch
        >>> joint, limb = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.0, 1.0]]).log()
        >>> [round(p, 3) for p in ensemble(joint, limb)[0].exp().tolist()]
        [0.2, 0.8]
    """
    return fused(joint, limb, JOINT_SHARE)


def class_vectors(vectors: str | Tensor, taxonomy: Taxonomy, names: Sequence[str]) -> tuple[Tensor, str]:
    """A vector for every class (K, E), and where they are from.

    Args:
        vectors: see `JSSE`.
        names: of the classes, whose words are looked up in a file.

    Raises:
        UsageError: a tensor is not of K rows.
        NoInput, NotPermitted, FormatError: see `read_word_vectors`.
    """
    if isinstance(vectors, Tensor):
        if vectors.ndim != 2 or len(vectors) != len(taxonomy):
            shape = tuple(vectors.shape)
            raise UsageError(f"vectors are of shape {shape}; '{taxonomy.key}' needs ({len(taxonomy)}, numbers of each)")
        return vectors.float(), "given"
    if vectors == "names":
        return name_vectors(taxonomy), FROM_NAMES
    words = {word for name in names for word in words_of(name)}
    return mean_vectors(names, read_word_vectors(vectors, words)), Path(vectors).name


def short_names(taxonomy: Taxonomy) -> list[str]:
    """The class names whose words are looked up: for iMiGUE the released short ones, else those of the taxonomy."""
    if taxonomy.key != "imigue":
        return list(taxonomy.names)
    return [_RELEASED_NAMES.get(i, (*label.aliases, label.name)[0]).lower() for i, label in enumerate(taxonomy)]


def released_flip(skeleton: Skeleton) -> tuple[int, ...]:
    """The order of joints in a mirror by the released pairs."""
    order = list(range(len(skeleton)))
    for a, b in RELEASED_MIRROR[skeleton.name]:
        order[a], order[b] = b, a
    return tuple(order)


def official_keys(model: JSSE) -> Keys:
    """Keys of the official ResNet3dSlowOnly with its I3DHead; vectors are not in its files."""
    net = {f"net.{key}": names for key, names in posec3d.official_keys(model.net).items()}
    head = {f"embedding.layers.0.{leaf}": (f"cls_head.emb_fc.{leaf}",) for leaf in ("weight", "bias")}
    return net | head | {key: () for key in model.state_dict() if key == "embedding.vectors"}
