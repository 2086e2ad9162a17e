"""Features of single frames for the models that read states from them: differences between joints, and how they move.

Source     D. Wu, L. Shao, CVPR 2014 (differences); M. Zanfir, M. Leordeanu, C. Sminchisescu: The Moving Pose, ICCV
           2013; both as the SMG start kit (mikecheninoulu/SMG) writes them
Letters    R rows, one per frame, P = V (V - 1) / 2 pairs of joints, D numbers per row
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.layers.batch import WindowBatch

Kind = Literal["moving_pose", "realtime", "realtime_reshaped"]
STEPS = 5
"""Consecutive frames, or slices of one, that a recurrent network reads."""
_SUPPORT = {"moving_pose": (4, 4), "realtime": (0, 1), "realtime_reshaped": (0, 1)}  # frames before and after
_CHUNK = 4096


def realtime(points: Tensor, seen: Tensor | None = None) -> Tensor:
    """Differences between joints of a frame, i < j, and from each joint of a frame to each of the next.

    Args:
        points: (..., T, V, C).
        seen: bool (..., T, V); what a missing joint takes part in is 0.

    Returns:
        (..., T - 1, C * (P + V * V)); 2775 for 25 joints in space.
    """
    now, then = points[..., :-1, :, :], points[..., 1:, :, :]
    i, j = _pairs(points)
    within = now[..., i, :] - now[..., j, :]
    between = then.unsqueeze(-2) - now.unsqueeze(-3)  # (..., T - 1, V, V, C), [i, j] = x_i(t + 1) - x_j(t)
    if seen is not None:
        before, after = seen[..., :-1, :], seen[..., 1:, :]
        within = within * (before[..., i] & before[..., j]).unsqueeze(-1)
        between = between * (after.unsqueeze(-1) & before.unsqueeze(-2)).unsqueeze(-1)
    return torch.cat((within.flatten(-2), between.flatten(-3)), -1)


def moving_pose(points: Tensor, seen: Tensor | None = None) -> Tensor:
    """Positions, velocities, accelerations, and distances between joints.

    Args:
        points: (..., T, V, C).
        seen: bool (..., T, V); what a missing joint takes part in is 0.

    Returns:
        (..., T - 4, 3 * V * C + P), for frames 2..T - 3; 525 for 25 joints in space.
    """
    pose = points[..., 2:-2, :, :]
    velocity = points[..., 3:-1, :, :] - points[..., 1:-3, :, :]
    acceleration = points[..., 4:, :, :] + points[..., :-4, :, :] - 2 * pose
    i, j = _pairs(points)
    distance = torch.linalg.vector_norm(pose[..., i, :] - pose[..., j, :], dim=-1)
    if seen is not None:
        here = seen[..., 2:-2, :]
        pose = pose * here.unsqueeze(-1)
        velocity = velocity * (seen[..., 3:-1, :] & seen[..., 1:-3, :]).unsqueeze(-1)
        acceleration = acceleration * (seen[..., 4:, :] & seen[..., :-4, :] & here).unsqueeze(-1)
        distance = distance * (here[..., i] & here[..., j])
    return torch.cat((pose.flatten(-2), velocity.flatten(-2), acceleration.flatten(-2), distance), -1)


def stacked(features: Tensor, steps: int = STEPS) -> Tensor:
    """(..., T, D) to (..., T - steps + 1, steps, D): each frame with those after it."""
    return features.unfold(-2, steps, 1).transpose(-1, -2)


def _pairs(points: Tensor) -> tuple[Tensor, Tensor]:
    i, j = torch.triu_indices(points.shape[-2], points.shape[-2], 1, device=points.device)
    return i, j


class Poses(NamedTuple):
    """Poses of windows: points (B, T, V, C), seen bool (B, T, V), last frame (B,) within the recording."""

    points: Tensor
    seen: Tensor
    last: Tensor


class JointReader:
    """Which joints of the first person are read, and from where they are measured.

    Args:
        skeleton: of the poses.
        coordinates: C.
        joints: names of those to read; none = all.
        center: `"hip"` takes the middle of the hips (the layout's root, where it has none) out of every frame; a hip
            that is missing is where it was last seen. None leaves coordinates as they are.

    Raises:
        UsageError: an unknown centre or joint.
    """

    def __init__(self, skeleton: Skeleton, coordinates: int, joints: Sequence[str], center: str | None) -> None:
        if center not in (None, "hip"):
            raise UsageError(f"center is '{center}'; choose 'hip' or null")
        unknown = [joint for joint in joints if joint not in skeleton]
        if unknown:
            raise UsageError(f"skeleton '{skeleton.name}' has no joint '{unknown[0]}'")
        self.coordinates = coordinates
        self.chosen = [skeleton.index(joint) for joint in joints] or list(range(len(skeleton)))
        hips = (["mid_hip"], ["r_hip", "l_hip"], [skeleton.joints[skeleton.root]])
        self.center = [skeleton.index(j) for j in next(h for h in hips if all(j in skeleton for j in h))]
        if center is None:
            self.center = []

    def __call__(self, batch: WindowBatch) -> Poses:
        points = batch.features(self.coordinates)[:, 0]
        seen = batch.score[:, 0] > 0
        last = batch.mask(points.shape[1]).sum(1) - 1
        if self.center:
            held = _held(points[:, :, self.center].mean(2), seen[:, :, self.center].all(2))
            points = (points - held) * seen.unsqueeze(-1)
        return Poses(points[:, :, self.chosen], seen[:, :, self.chosen], last)


class FrameFeatures(nn.Module):
    """Rows of features of the first person, standardised with what `observe` has seen.

    A row reads the frames round its own; before the first and behind the last one, these stand in.

    Args:
        skeleton, coordinates, joints, center: see `JointReader`.
        kind: `"moving_pose"`, 5 frames stacked; `"realtime"`, one step; `"realtime_reshaped"`, whose five steps are
            slices of one frame's numbers, which is what the released recurrent networks read.

    Raises:
        UsageError: an unknown kind, centre or joint, or fewer than two joints.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        coordinates: int,
        kind: Kind = "moving_pose",
        *,
        joints: Sequence[str] = (),
        center: str | None = "hip",
    ) -> None:
        super().__init__()
        if kind not in _SUPPORT:
            raise UsageError(f"inputs '{kind}' are unknown; choose {', '.join(map(repr, _SUPPORT))}")
        self.poses = JointReader(skeleton, coordinates, joints, center)
        v = len(self.poses.chosen)
        if v < 2:
            raise UsageError("differences between joints need at least two of them")
        self.kind, pairs = kind, v * (v - 1) // 2
        self.width = 3 * v * coordinates + pairs if kind == "moving_pose" else coordinates * (pairs + v * v)
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("deviation", torch.ones(self.width))

    @property
    def shape(self) -> tuple[int, int]:
        """Steps and numbers per step of a row."""
        match self.kind:
            case "moving_pose":
                return STEPS, self.width
            case "realtime":
                return 1, self.width
        return STEPS, -(-self.width // STEPS)

    def forward(self, poses: Poses, rows: Tensor) -> Tensor:
        """Rows (R, steps, D) of frames b * T + t."""
        x = (self._raw(poses, rows) - self.mean) / self.deviation
        if self.kind == "realtime_reshaped":
            steps, width = self.shape
            x = F.pad(x, (0, steps * width - self.width)).view(len(x), steps, width)
        return x

    def observe(self, recordings: Iterable[WindowBatch]) -> None:
        """Mean and deviation of every number over all frames; deviation 1 where a number never changes."""
        count, total = 0, torch.zeros_like(self.mean, dtype=torch.double)
        square = torch.zeros_like(total)
        for batch in recordings:
            poses = self.poses(batch.to(self.mean.device))
            rows = batch.mask(batch.xy.shape[2]).flatten().nonzero().flatten().to(self.mean.device)
            for some in torch.split(rows, _CHUNK):
                x = self._raw(poses, some)
                x = x[:, x.shape[1] // 2].double()
                count, total, square = count + len(x), total + x.sum(0), square + (x**2).sum(0)
        if not count:
            raise UsageError("the recordings to take statistics from hold no frame")
        mean = total / count
        variance = (square / count - mean**2).clamp(min=0)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(variance > 1e-10, variance.sqrt(), torch.ones_like(variance)))

    def _raw(self, poses: Poses, rows: Tensor) -> Tensor:
        before, after = _SUPPORT[self.kind]
        frames = poses.points.shape[1]
        window = rows // frames
        at = rows[:, None] % frames + torch.arange(-before, after + 1, device=rows.device)
        at = at.clamp(min=0).minimum(poses.last[window][:, None]) + window[:, None] * frames
        points, seen = poses.points.flatten(0, 1)[at], poses.seen.flatten(0, 1)[at]
        return (moving_pose if self.kind == "moving_pose" else realtime)(points, seen)


def _held(center: Tensor, seen: Tensor) -> Tensor:
    """Where the centre (B, T, C) was last seen, or first if it has not been yet, as (B, T, 1, C); 0 if it never is."""
    frame = torch.arange(seen.shape[1], device=seen.device)
    last = frame.where(seen, -1).cummax(1).values
    last = last.where(last >= 0, seen.int().argmax(1, keepdim=True))
    held = center.gather(1, last.unsqueeze(-1).expand_as(center))
    return (held * seen.any(1)[:, None, None]).unsqueeze(2)
