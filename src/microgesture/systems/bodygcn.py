"""BodyGCN: the shipped recogniser, an ST-GCN++ trunk on what carries over from simulated to real people.

Paper      none; ours. What transfers and why is told in `docs/model.md`.
Input      xy (B, 1, T, V, 2) and score (B, 1, T, V) of the canonical layout, body-normalised, any T >= 8
Output     logits (B, K), one per motion, each for itself: several motions may go on at once
Losses     several (binary cross-entropy over all motions), main (cross-entropy of the main motion against those
           that are not known to be shown beside it)
Fidelity   original: this file is the description
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.graph import aggregate, spatial, spread
from microgesture.layers.losses import class_loss
from microgesture.layers.norm import JointNorm, folded
from microgesture.layers.temporal import TemporalConv, every

# joints that move as one; the first block sees joints, the others see parts
PARTS: dict[str, tuple[str, ...]] = {
    "forehead": ("forehead", "r_brow", "l_brow"),
    "eyes": ("r_eye", "l_eye"),
    "ears": ("r_ear", "l_ear"),
    "nose": ("nose",),
    "mouth": ("r_mouth", "l_mouth"),
    "lips": ("upper_lip", "lower_lip"),
    "jaw": ("chin", "r_jaw", "l_jaw"),
    "neck": ("neck",),
    "hips": ("mid_hip", "r_hip", "l_hip"),
} | {
    f"{side}_{part}": tuple(f"{side}_{joint}" for joint in joints)
    for side in "rl"
    for part, joints in {
        "shoulder": ("shoulder",),
        "elbow": ("elbow",),
        "wrist": ("wrist",),
        "thumb": ("thumb_tip",),
        "index": ("index_mcp", "index_tip"),
        "middle": ("middle_mcp", "middle_tip"),
        "small": ("ring_tip", "pinky_mcp", "pinky_tip"),
        "knee": ("knee",),
        "foot": ("ankle", "toe"),
    }.items()
}
# what is pooled into one row of the classifier
REGIONS: dict[str, tuple[str, ...]] = {
    "head": ("forehead", "eyes", "ears", "nose", "jaw"),
    "mouth": ("mouth", "lips"),
    "trunk": ("neck", "hips", "r_shoulder", "l_shoulder"),
    "r_arm": ("r_elbow", "r_wrist"),
    "l_arm": ("l_elbow", "l_wrist"),
    "r_hand": ("r_thumb", "r_index", "r_middle", "r_small"),
    "l_hand": ("l_thumb", "l_index", "l_middle", "l_small"),
    "legs": ("r_knee", "r_foot", "l_knee", "l_foot"),
}


class BodyFeatures(nn.Module):
    """Joint coordinates to 13 channels per joint that mean the same for simulated and real people.

    0-1 position; 2 confidence; 3-4 bone (joint minus parent); 5-6 bone, median of the clip removed and small
    values amplified (a nod of .04 SW stands beside arms that move 1 SW); 7-8 the same for the position relative
    to the neck; 9-10 velocity; 11-12 nearness to the right and the left hand.
    """

    channels = 13
    hands: Tensor
    own: Tensor
    parents: Tensor

    def __init__(self, skeleton: Skeleton, amplify: float = 15.0, near: float = 0.22) -> None:
        super().__init__()
        parents = [max(p, 0) for p in skeleton.parents]
        self.register_buffer("parents", torch.tensor(parents), persistent=False)
        self.neck = skeleton.index("neck")
        self.amplify, self.near = amplify, near
        hands = [
            [skeleton.index(f"{s}_{f}") for f in ("index_mcp", "index_tip", "middle_mcp", "middle_tip", "thumb_tip")]
            for s in "rl"
        ]
        self.register_buffer("hands", torch.tensor(hands), persistent=False)
        own = torch.zeros(2, len(skeleton))
        for i, s in enumerate("rl"):
            for joint, name in enumerate(skeleton.joints):
                if name.startswith(f"{s}_") and any(
                    w in name for w in ("wrist", "thumb", "index", "middle", "ring", "pinky")
                ):
                    own[i, joint] = 1
        self.register_buffer("own", own, persistent=False)

    def forward(self, xy: Tensor, score: Tensor) -> Tensor:
        """(B, M, T, V, 2) and (B, M, T, V) to (B, M, T, V, 13); missing joints are zero in every channel."""
        xy = xy.clamp(-6, 6)
        seen = (score > 0).to(xy.dtype)[..., None]
        both = seen * seen.index_select(3, self.parents)
        bone = (xy - xy.index_select(3, self.parents)) * both
        offset = (xy - xy[..., self.neck : self.neck + 1, :]) * seen
        moves = torch.cat([self._demean(bone, both), self._demean(offset, seen)], -1)
        speed = torch.zeros_like(xy)
        speed[:, :, 1:] = (xy[:, :, 1:] - xy[:, :, :-1]) * seen[:, :, 1:] * seen[:, :, :-1]
        lively = torch.asinh(self.amplify * moves) / 3
        return torch.cat(
            [xy * seen, score[..., None], bone, lively, torch.asinh(8 * speed), self._nearness(xy, score)], -1
        )

    @staticmethod
    def _demean(x: Tensor, seen: Tensor) -> Tensor:
        middle = torch.where(seen > 0, x, torch.nan).nanmedian(2, keepdim=True).values
        return (x - torch.nan_to_num(middle)) * seen

    def _nearness(self, xy: Tensor, score: Tensor) -> Tensor:
        """exp(-d / near), d = distance of each joint to the nearest seen finger of a hand; 0 for the hand itself.

        (B, M, T, V, 2): to the right and the left hand.
        """
        fingers, joints = self.hands.flatten(), xy.flatten(0, 2)
        # joints of fingers before all joints: the minimum is then over rows
        # cdist by products rounds, and neither cdist without them nor hypot is in ONNX
        dx, dy = (joints.index_select(1, fingers)[:, :, None] - joints[:, None]).unbind(-1)
        d = (dx * dx + dy * dy).sqrt()
        d = d + 10 * (score.flatten(0, 2).index_select(1, fingers) <= 0)[..., None]
        d = d.view(-1, *self.hands.shape, d.shape[-1]).amin(2)  # (B*M*T, 2, V)
        close = torch.exp(-d / self.near) * (1 - self.own)
        return close.transpose(1, 2).view(*xy.shape[:-1], 2) * (score > 0)[..., None]


class Block(nn.Module):
    """Space, time, residual: an ST-GCN block whose adjacency is learned from `adjacency` (K, V, V)."""

    def __init__(self, channels: int, width: int, stride: int, adjacency: Tensor, kernel: int) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(adjacency.clone())
        self.conv = nn.Conv2d(channels, width * len(adjacency), 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.time = TemporalConv(width, width, kernel, stride)
        self.stride = stride
        self.residual = nn.Identity() if channels == width else TemporalConv(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn(F.conv2d(spread(x, self.adjacency), self.mixing())), inplace=True)
        return F.relu(self.time(y) + self.residual(every(x, self.stride)), inplace=True)

    def mixing(self) -> Tensor:
        """The convolutions of all subsets and their sum as one product (D, K * C, 1, 1)."""
        weight = self.conv.weight
        return weight.view(len(self.adjacency), -1, *weight.shape[1:]).transpose(0, 1).flatten(1, 2)


class SettledBlock(nn.Module):
    """A `Block` that learns no more: what depends on its weights alone, batch norms included, is worked out once."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        assert isinstance(block, Block)
        scale, shift = folded(block.bn)
        self.adjacency, self.stride = block.adjacency, block.stride
        self.space = block.mixing() * scale.view(-1, 1, 1, 1), shift
        self.time, self.residual = (
            fuse_conv_bn_eval(part.conv, part.bn) if isinstance(part, TemporalConv) else part
            for part in (block.time, block.residual)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.conv2d(spread(x, self.adjacency), *self.space), inplace=True)
        return F.relu(self.time(y) + self.residual(every(x, self.stride)), inplace=True)


class BodyGCN(nn.Module):
    """Body features, one block over joints, further blocks over parts, mean and maximum over time for each region.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length works, `persons` must be 1.
        joint_width: channels of the block over joints, which halves the frame rate.
        widths, strides: blocks over parts.
        dropout: before the classifier.
        several: weight of the binary cross-entropy beside the cross-entropy of the main motion.
        hide: probability per clip in training that a group of joints (face, a hand, legs) is hidden.
    """

    pool: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        joint_width: int = 32,
        widths: Sequence[int] = (64, 96, 96),
        strides: Sequence[int] = (1, 2, 1),
        kernel: int = 5,
        dropout: float = 0.25,
        several: float = 0.3,
        hide: float = 0.08,
    ) -> None:
        super().__init__()
        self.features = BodyFeatures(skeleton)
        self.norm = JointNorm(len(skeleton), self.features.channels)
        joints = torch.from_numpy(spatial(skeleton)).float()
        self.joints: nn.Module = Block(self.features.channels, joint_width, 2, joints, kernel)
        gather = _gather(skeleton.joints, PARTS)
        self.gather = nn.Parameter(gather)
        member = (gather > 0).float()
        links = torch.einsum("vp,kvw,wq->kpq", member, joints, member).clamp(max=1)
        links = links / links.sum(1, keepdim=True).clamp(min=1)
        channels = [joint_width, *widths]
        self.blocks = nn.Sequential(
            *(Block(c, d, s, links, kernel) for c, d, s in zip(channels[:-1], channels[1:], strides, strict=True))
        )
        self.register_buffer("pool", _gather(tuple(PARTS), REGIONS), persistent=False)
        self.groups = [
            [skeleton.index(j) for part in ("forehead", "lips", "jaw") for j in PARTS[part]],
            *([skeleton.index(j) for p in REGIONS[f"{side}_hand"] for j in PARTS[p]] for side in "rl"),
            [skeleton.index(j) for p in REGIONS["legs"] for j in PARTS[p]],
        ]
        self.dropout, self.several, self.hide = dropout, several, hide
        self.classifier = nn.Linear(2 * len(REGIONS) * widths[-1], len(taxonomy))
        nn.init.constant_(self.classifier.bias, -4.0)  # motions are rare: start from "nothing goes on"

    def forward(self, batch: PoseBatch) -> Tensor:
        x = batch.features(3)
        xy, score = x[..., :2], x[..., 2].contiguous()
        if self.training and self.hide:
            score = self._hide(score)
        x = self.features(xy * (score > 0)[..., None], score)
        x = self.norm(x).flatten(0, 1).permute(0, 3, 1, 2)  # (B, C, T, V)
        x = aggregate(self.joints(x), self.gather[None])  # (B, D, T/2, P)
        x = aggregate(self.blocks(x), self.pool[None])  # (B, D, T', R)
        x = torch.cat([x.mean(2), x.amax(2)], 1).flatten(1)  # (B, 2*D*R)
        x = F.dropout(x, self.dropout, self.training)
        logits: Tensor = self.classifier(x)
        return logits

    @torch.no_grad()
    def settled(self) -> BodyGCN:
        """A copy for inference alone: the same answers to rounding in about four fifths of the time.

        What the original learns later does not reach it.
        """
        copy = deepcopy(self).eval().requires_grad_(False)
        copy.joints = SettledBlock(copy.joints)
        copy.blocks = nn.Sequential(*map(SettledBlock, copy.blocks))
        return copy

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        """`batch.soft` (B, K) holds 1 shown, 0 not shown, -1 cannot be decided; `batch.label` -1 = no main motion.

        What cannot be decided is neither asked for nor punished by itself, but it must not outrank the main motion.

        Without `soft` it is a plain classifier. Both terms are means over the clips, weighted by `batch.weight`.
        """
        soft, label = batch.soft, batch.label
        if soft is None:
            return {"main": class_loss(out, batch)}
        weight = torch.ones(len(out), device=out.device) if batch.weight is None else batch.weight
        sure = (soft >= 0).to(out.dtype)
        several = (F.binary_cross_entropy_with_logits(out, soft.clamp(min=0), reduction="none") * sure).sum(1)
        terms = {"several": self.several * (several * weight).sum() / weight.sum()}
        if label is not None:
            has = label >= 0
            rivals = (soft != 1).scatter(1, label.clamp(min=0)[:, None], True)
            main = F.cross_entropy(out.masked_fill(~rivals, -1e4), label.clamp(min=0), reduction="none")
            weight = weight * has
            terms["main"] = (main * weight).sum() / weight.sum().clamp(min=1e-6)
        return terms

    def _hide(self, score: Tensor) -> Tensor:
        score = score.clone()
        for group in self.groups:
            gone = torch.rand(len(score), device=score.device) < self.hide
            score[:, :, :, group] *= (~gone).to(score.dtype)[:, None, None, None]
        return score


def _gather(names: Sequence[str], groups: dict[str, tuple[str, ...]]) -> Tensor:
    """Matrix (names, groups) that takes the mean over the members of each group."""
    matrix = torch.zeros(len(names), len(groups))
    for i, members in enumerate(groups.values()):
        for member in members:
            matrix[names.index(member), i] = 1 / len(members)
    return matrix
