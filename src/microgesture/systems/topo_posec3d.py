"""TopoPoseC3D: body, finger tips and face in one diagram, gestures stretched to one length, and the names of classes.

Paper      H. Xu, L. Cheng, Y. Wang, S. Tang, Z. Zhong: Towards Fine-Grained Emotion Understanding via Skeleton-Based
           Micro-Gesture Recognition, MiGA at IJCAI 2025, https://arxiv.org/abs/2506.12848
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`
Output     logits (B, K) for the K labels of `taxonomy`, and embeddings (B, E) near the vectors of their names; in eval
           mode the mean over each clip and its mirror image
Losses     class (cross-entropy), embedding (mean square distance from the vector of the class, times 20)
Fidelity   reconstructed: the abstract names three changes to PoseC3D, and no code could be read. Holes and our choices:
           Which 19 points of the face join the 22 joints (jaw 5, brows 4, lips 10), and the 41 edges of the diagram:
           `LAYOUT`. How gestures are aligned: gaps are closed along a line, then the frames from the first to the last
           one in which anything is seen are interpolated at equal distances; in training a random part of at least 0.8
           of a clip (the recipe's `CropTime`), in the test the whole one and its mirror image. Weight, vectors and
           place of the semantic loss, training, vote of joints and limbs: as in JSSE. Joints that the data lack are
           left out, and edges that end in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.systems.jsse import JSSE, Output

_BODY = SKELETONS["imigue22"]
# OpenPose's points 0, 4, 8, 12, 16 of the face, 17, 21, 22, 26, then 48, 50, 51, 52, 54, 56, 57, 58, and 62, 66
_JAW = ("r_jaw_0", "r_jaw", "chin", "l_jaw", "l_jaw_0")
_BROWS = ("r_brow_0", "r_brow_4", "l_brow_4", "l_brow_0")
_LIPS = ("r_mouth", "r_upper_lip_1", "upper_lip", "l_upper_lip_1", "l_mouth", "l_lower_lip_1", "lower_lip")
_FACE = (*_JAW, *_BROWS, *_LIPS, "r_lower_lip_1", "inner_upper_lip", "inner_lower_lip")
_FACE_BONES = (
    *((22, 23), (23, 24), (24, 25), (25, 26)),  # along the jaw
    *((27, 28), (29, 30)),  # the brows
    *((31, 32), (32, 33), (33, 34), (34, 35), (35, 36), (36, 37), (37, 38), (38, 31)),  # around the mouth
    *((33, 39), (37, 40)),  # to the inner edge of the lips
    *((0, 33), (0, 28), (0, 29), (24, 37)),  # nose to lip and brows, chin to lip
)

LAYOUT = Skeleton("imigue41", (*_BODY.joints, *_FACE), (*_BODY.bones, *_FACE_BONES), _BODY.root)
"""The 41 joints and 41 edges, a stand-in for the paper's."""


def known_part(skeleton: Skeleton) -> Skeleton:
    """The joints of `LAYOUT` that a layout has or can stand in for, and the edges between them.

    Raises:
        UsageError: there are none.

    Example:
        >>> [len(known_part(SKELETONS[name])) for name in ("openpose137", "canonical", "imigue22")]
        [41, 29, 22]
    """
    kept = [joint for joint, sources in enumerate(skeleton.projection(LAYOUT)) if sources]
    if not kept:
        raise UsageError(
            f"'{skeleton.name}' has none of the joints of '{LAYOUT.name}', which this system draws; "
            "microgesture.systems.jsse.JSSE draws any joints"
        )
    if len(kept) == len(LAYOUT):
        return LAYOUT
    place = {joint: i for i, joint in enumerate(kept)}
    bones = tuple((place[a], place[b]) for a, b in LAYOUT.bones if a in place and b in place)
    joints = tuple(LAYOUT.joints[joint] for joint in kept)
    return Skeleton(f"{LAYOUT.name} of {skeleton.name}", joints, bones, place.get(LAYOUT.root, 0))


class TopoPoseC3D(JSSE):
    """JSSE on aligned clips of the joints of `LAYOUT` that the data have, drawn by its diagram.

    Args:
        skeleton, taxonomy, persons: facts of the data.
        frames: length that clips are stretched to, as published 48; any length is accepted.
        stream, vectors, embedding_weight, mirrored, width, blocks, temporal_strides, size, train_size, area, sigma,
            dropout: see `JSSE`.

    Raises:
        UsageError: the data have no joint of `LAYOUT`, or for limbs no two that an edge joins.

    Example:
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = TopoPoseC3D(LAYOUT, IMIGUE, frames=48, persons=1, stream="limb")
        >>> sum(p.numel() for p in model.net.backbone.parameters())
        2031712
    """

    sources: Tensor

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
    ) -> None:
        drawn = known_part(skeleton)
        if stream == "limb" and not drawn.bones:
            raise UsageError(f"'{skeleton.name}' has no two joints of '{LAYOUT.name}' that an edge joins")
        super().__init__(
            drawn,
            taxonomy,
            frames,
            persons,
            stream=stream,
            vectors=vectors,
            embedding_weight=embedding_weight,
            mirrored=mirrored,
            width=width,
            blocks=blocks,
            temporal_strides=temporal_strides,
            size=size,
            train_size=train_size,
            area=area,
            sigma=sigma,
            dropout=dropout,
        )
        self.frames, self.drawn = frames, drawn
        rows = skeleton.projection(drawn)
        parts = math.lcm(*(len(row) for row in rows))  # a mean of two is also one of four, each taken twice
        sources = torch.tensor([row * (parts // len(row)) for row in rows])
        self.register_buffer("sources", sources, persistent=False)

    def arrange(self, batch: PoseBatch) -> PoseBatch:
        """The clips on the joints that are drawn, aligned to `frames`.

        Raises:
            FormatError: a value is not finite, or there is no person or no frame.
        """
        batch.features(batch.xy.shape[-1] + 1)
        score = batch.score[..., self.sources].amin(-1)  # a midpoint needs all its parts
        xy = batch.xy[..., self.sources, :].mean(-2)
        xy, score = align(xy, score, self.frames)
        return PoseBatch(xy, score, batch.label, batch.weight, batch.soft)

    def forward(self, batch: PoseBatch) -> Output:
        return super().forward(self.arrange(batch))


def align(xy: Tensor, score: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Gestures stretched or squeezed to `frames`, from the first to the last frame in which anything is seen.

    Gaps of a joint are closed along a line first, coordinates and scores alike; what is missing before a joint is seen
    for the first time, or after the last, stays missing.

    Args:
        xy, score: (B, M, T, V, C) and (B, M, T, V); score 0 is missing.

    Returns:
        The same with `frames` on axis T; coordinates are 0 where a joint is missing.
    """
    xy, score = _close_gaps(xy, score)
    t = score.shape[2]
    there = (score > 0).any(3).any(1).to(torch.int64)  # (B, T)
    first, last = there.argmax(1), t - 1 - there.flip(1).argmax(1)
    # whole numbers, so that nothing moves where the length is right already
    steps = max(frames - 1, 1)
    way = (last - first).unsqueeze(1) * torch.arange(frames, device=xy.device)  # (B, frames), in `steps` of a frame
    left = first.unsqueeze(1) + torch.div(way, steps, rounding_mode="floor")
    share = ((way % steps).to(xy.dtype) / steps)[:, None, :, None]
    clip = torch.arange(len(xy), device=xy.device).unsqueeze(1)
    right = (left + 1).clamp(max=t - 1)
    (xy_a, a), (xy_b, b) = ((xy.transpose(1, 2)[clip, at], score.transpose(1, 2)[clip, at]) for at in (left, right))
    xy_a, a, xy_b, b = (x.transpose(1, 2) for x in (xy_a, a, xy_b, b))
    # seen on one side only: what is seen there
    share = torch.where(a > 0, torch.where(b > 0, share, 0), share.ceil())
    xy = torch.lerp(xy_a, xy_b, share.unsqueeze(-1))
    score = torch.lerp(a, b, share)
    return xy * (score > 0).unsqueeze(-1), score


def _close_gaps(xy: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    seen, t = score > 0, score.shape[2]
    frame = torch.arange(t, device=xy.device).view(-1, 1)
    before = torch.where(seen, frame, -1).cummax(2).values
    after = torch.where(seen, frame, t).flip(2).cummin(2).values.flip(2)
    gap = ~seen & (before >= 0) & (after < t)
    before, after = before.clamp(min=0), after.clamp(max=t - 1)
    share = (frame - before).to(xy.dtype) / (after - before).clamp(min=1)
    filled = torch.lerp(score.gather(2, before), score.gather(2, after), share)
    near, far = (xy.gather(2, at.unsqueeze(-1).expand_as(xy)) for at in (before, after))
    moved = torch.lerp(near, far, share.unsqueeze(-1))
    return torch.where(gap.unsqueeze(-1), moved, xy), torch.where(gap, filled, score)
