"""What describes a recording to a spotter: a frozen recogniser that slides along it, or files of any backbone."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import make_folder, replacing
from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.normalise import body_normalise
from microgesture.core.track import PoseTrack
from microgesture.datasets.prepare import cache_folder
from microgesture.datasets.windows import Features
from microgesture.formats.safe_npz import read_array

if TYPE_CHECKING:
    from microgesture.learning.checkpoint import Saved

Floats = NDArray[np.float32]
_BATCH = 64


class ClipFeatures(Features):
    """A recogniser of clips, frozen, looks at a short clip around every step.

    Args:
        model: name of a shipped model, or folder of one.
        frames: length of the clips, at the rate of the model.
        stride: frames from one clip to the next.
        layer: `"features"`, what the last linear layer reads, or `"logits"`, what it says.

    Example:
        >>> ClipFeatures("base", layer="logits").width
        70
    """

    def __init__(
        self, model: str = "base", frames: int = 40, stride: int = 4, layer: Literal["features", "logits"] = "features"
    ) -> None:
        if frames < 1 or stride < 1:
            raise UsageError(f"clips of {frames} frames every {stride} frames make no features; both must be positive")
        self.model, self.frames, self.stride, self.layer = model, frames, stride, layer

    @cached_property
    def saved(self) -> Saved:
        """The recogniser.

        Raises:
            NoInput, FormatError: it is missing or damaged.
        """
        from microgesture.learning.checkpoint import from_pretrained

        return from_pretrained(self.model)

    @property
    def fps(self) -> float:
        return self.saved.facts.fps

    @cached_property
    def width(self) -> int:
        last = self._last
        return int(last.in_features if self.layer == "features" else last.out_features)

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return str(self.saved.config["sha256"])

    def of(self, track: PoseTrack, name: str) -> Floats:
        """Features (D, F); kept in the cache, as float16, since they cost more than the spotter itself.

        Raises:
            UsageError: the model has joints of another kind, or the track another rate.
        """
        file = cache_folder() / "features" / f"{self._key(track)}.npy"
        if file.is_file():
            kept = read_array(file)
            if kept.ndim == 2 and len(kept) == self.width:
                return kept.astype(np.float32)
        made = self._compute(track).astype(np.float16)
        make_folder(file.parent)
        with replacing(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, made)
        return made.astype(np.float32)

    def _compute(self, track: PoseTrack) -> Floats:
        import torch

        from microgesture.layers.batch import PoseBatch

        facts, system = self.saved.facts, self.saved.system
        if abs(track.fps - facts.fps) > 1e-6:
            raise UsageError(f"{self.model} looks at {facts.fps:g} frames per second, the track has {track.fps:g}")
        moved = track.project(facts.skeleton)
        total = len(moved)
        length = min(self.frames, total)
        centres = (np.arange(-(-total // self.stride)) + 0.5) * self.stride
        first = np.clip(np.round(centres - length / 2).astype(int), 0, total - length)
        taken: list[Any] = []
        hook = self._last.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].float()))
        made = []
        try:
            for i in range(0, len(first), _BATCH):
                clips = first[i : i + _BATCH, None] + np.arange(length)
                xy, score = moved.xy[clips], moved.score[clips]
                xy = body_normalise(xy, score, facts.skeleton).xy
                taken.clear()
                with torch.inference_mode():
                    out = system(PoseBatch(torch.from_numpy(xy[:, None]), torch.from_numpy(score[:, None])))
                made.append((taken[-1] if self.layer == "features" else out.float()).numpy())
        finally:
            hook.remove()
        described: Floats = np.concatenate(made).T.astype(np.float32)
        return described

    @property
    def _last(self) -> Any:
        """The last linear layer of the recogniser."""
        from torch import nn

        linear = [module for module in self.saved.system.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise UsageError(f"{self.model} has no linear layer to take features from")
        return linear[-1]

    def _key(self, track: PoseTrack) -> str:
        digest = hashlib.sha256(f"1 {self.sha256} {self.frames} {self.stride} {self.layer} {track.fps}".encode())
        digest.update(track.skeleton.name.encode())
        digest.update(np.ascontiguousarray(track.xy).tobytes())
        digest.update(np.ascontiguousarray(track.score).tobytes())
        return digest.hexdigest()


class FeatureFiles(Features):
    """Features made elsewhere: one `.npy` (D, F) or (F, D) for each recording, named like it.

    Args:
        root: folder of the files.
        width: D.
        stride: frames of the recording from one step to the next.
    """

    def __init__(self, root: str, width: int, stride: int = 4) -> None:
        if width < 1 or stride < 1:
            raise UsageError(f"features of width {width} every {stride} frames make no sense; both must be positive")
        self.root, self.stride, self._width = Path(root), stride, width

    @property
    def width(self) -> int:
        return self._width

    def of(self, track: PoseTrack, name: str) -> Floats:
        """Features (D, F), cut or repeated at the end to the length of the recording.

        Raises:
            NoInput: there is no file for the recording.
            FormatError: it holds something else, or its length is more than two steps off.
        """
        file = self.root / f"{name}.npy"
        if not file.is_file():
            raise NoInput(f"{file}: no features for recording '{name}'")
        values = read_array(file)
        if values.ndim == 2 and values.shape[0] != self._width and values.shape[1] == self._width:
            values = values.T
        steps = -(-len(track) // self.stride)
        if values.ndim != 2 or values.shape[0] != self._width or values.dtype.kind != "f":
            raise FormatError(
                file, f"holds {values.dtype} of shape {values.shape}", expected=f"floats ({self._width}, {steps})"
            )
        if not np.isfinite(values).all():
            raise FormatError(file, "holds numbers that are not finite", remedy="make the features again")
        if abs(values.shape[1] - steps) > 2:
            raise FormatError(
                file,
                f"has {values.shape[1]} steps for a recording of {len(track)} frames",
                expected=f"about {steps}, one every {self.stride} frames",
                remedy="set loading.features.stride to the frames between two steps",
            )
        values = values[:, :steps]
        short = steps - values.shape[1]
        return np.pad(values, ((0, 0), (0, short)), mode="edge").astype(np.float32)
