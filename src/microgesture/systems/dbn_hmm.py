"""DBN-HMM: a deep belief network reads states from frames, a hidden Markov model finds the gestures.

Paper      D. Wu, L. Shao: Leveraging Hierarchical Parametric Networks for Skeletal Joints Based Action Segmentation and
           Recognition, CVPR 2014; a row of the online table of H. Chen et al.: SMG, IJCV 2023,
           https://doi.org/10.1007/s11263-023-01761-6
Input      xy (B, 1, T, V, C) and score (B, 1, T, V), windows in training and whole recordings in a test
Output     `StateScores`: logits (R, N) of frames for the N states of the model
Losses     state (cross-entropy against the states that the annotation gives to frames)
Fidelity   reconstructed. Holes: how it was set for SMG (five states per class, all joints, 2000, 1000 and 1000 hidden
           units here); differences to an initial frame are left out, as in the authors' real-time code; momentum
           and decay of the pre-training (none here); transitions (counted, as in the SMG start kit; the paper allows
           to stay or to go one or two states on); prior of states (none). Hidden units are dropped at the published
           rate in fine-tuning alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import WindowBatch
from microgesture.layers.hmm import GestureHMM, StateScores, Transitions
from microgesture.layers.pose_differences import FrameFeatures, Kind, Poses

Progress = Callable[[str, float, float], None]
_CHUNK = 2048
_BATCH = 100


@torch.no_grad()
def contrastive_divergence(layer: nn.Linear, behind: Tensor, visible: Tensor, rate: float, gaussian: bool) -> Tensor:
    """One step of CD-1 on a restricted Boltzmann machine whose weights and hidden biases are those of `layer`.

    Args:
        behind: (D,), biases of the visible units; changed in place, as the layer is.
        visible: (R, D), data: standardised numbers if `gaussian` (of deviation 1), else probabilities.
        rate: step size.

    Returns:
        Mean squared difference between the data and what the machine makes of them.
    """
    hidden = layer(visible).sigmoid()
    back = torch.bernoulli(hidden) @ layer.weight + behind
    if not gaussian:
        back = back.sigmoid()
    again = layer(back).sigmoid()
    step = rate / len(visible)
    layer.weight.add_(hidden.T @ visible - again.T @ back, alpha=step)
    layer.bias.add_((hidden - again).sum(0), alpha=step)
    behind.add_((visible - back).sum(0), alpha=step)
    return (visible - back).square().mean()


class DBNHMM(nn.Module):
    """DBN-HMM spotter.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length is read, the first person alone.
        in_channels: C + 1.
        fps: of the poses.
        widths: of the hidden layers.
        dropout: of hidden units, in training.
        pretrain_epochs: of each layer, in `observe`; 0 = start from random weights. It ends there, whatever comes out.
        pretrain_rates: steps of the first layer and of the others.
        inputs: kind of `FrameFeatures`; `joints` and `center` as there.
        states, mu, lam, transitions, background, balance, compat: see `GestureHMM`; no emission transform by default.
        shortest: seconds; shorter gestures are dropped.

    Raises:
        UsageError: there is no hidden layer, or the number of epochs is negative.
    """

    task: ClassVar[str] = "spot"
    whole: ClassVar[bool] = True

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        in_channels: int = 3,
        fps: float = 28.0,
        widths: Sequence[int] = (2000, 1000, 1000),
        dropout: float = 0.5,
        pretrain_epochs: int = 100,
        pretrain_rates: tuple[float, float] = (0.001, 0.01),
        inputs: Kind = "realtime",
        joints: Sequence[str] = (),
        center: str | None = "hip",
        states: int = 5,
        mu: float = 0.0,
        lam: float = 1.0,
        transitions: Transitions = "row_normalised",
        background: float = 1.0,
        balance: float = 0.0,
        shortest: float = 0.3,
        compat: str | None = None,
    ) -> None:
        super().__init__()
        if not widths or pretrain_epochs < 0:
            raise UsageError(
                f"widths is {list(widths)} and pretrain_epochs {pretrain_epochs}; expected a layer or more, 0 or more"
            )
        self.features = FrameFeatures(skeleton, in_channels - 1, inputs, joints=joints, center=center)
        self.hmm = GestureHMM(
            len(taxonomy), states, mu=mu, lam=lam, transitions=transitions, background=background, balance=balance,
            shortest=round(shortest * fps), compat=compat,
        )  # fmt: skip
        steps, channels = self.features.shape
        sizes = (steps * channels, *widths)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(sizes[-1], self.hmm.size)
        self.pretrain_epochs, self.pretrain_rates = pretrain_epochs, pretrain_rates

    def observe(self, recordings: Iterable[WindowBatch], progress: Progress | None = None) -> None:
        """Statistics of features and states in whole recordings, then pre-training, layer by layer, on their frames.

        Args:
            progress: called after every batch of the pre-training.
        """
        kept = list(recordings)
        self.features.observe(kept)
        self.hmm.observe(kept)
        if self.pretrain_epochs:
            self._pretrain(kept, progress)

    @torch.no_grad()
    def _pretrain(self, recordings: Sequence[WindowBatch], progress: Progress | None) -> None:
        device = self.classifier.weight.device
        # all recordings side by side, filled up to the longest; of their frames those that are learnt from later
        longest = max(batch.xy.shape[2] for batch in recordings)
        each = [self.features.poses(batch.to(device)) for batch in recordings]
        points, seen = (
            torch.cat([F.pad(p, (0, 0) * (p.ndim - 2) + (0, longest - p.shape[1])) for p in parts])
            for parts in ([one.points for one in each], [one.seen for one in each])
        )
        poses = Poses(points, seen, torch.cat([one.last for one in each]))
        rows = torch.cat([self.hmm.rows(b, thin=True)[0].to(device) + i * longest for i, b in enumerate(recordings)])
        done, total = 0, len(self.hidden) * self.pretrain_epochs * -(-len(rows) // _BATCH)
        for depth, layer in enumerate(self.hidden):
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
            behind = torch.zeros(layer.in_features, device=device)
            rate = self.pretrain_rates[min(depth, 1)]
            for _ in range(self.pretrain_epochs):
                for some in torch.split(rows[torch.randperm(len(rows), device=device)], _BATCH):
                    x = self._upwards(self.features(poses, some).flatten(1), depth)
                    contrastive_divergence(layer, behind, x, rate, gaussian=not depth)
                    done += 1
                    if progress:
                        progress("pre-training", done, total)

    def _upwards(self, x: Tensor, depth: int) -> Tensor:
        for layer in self.hidden[:depth]:
            x = layer(x).sigmoid()
        return x

    def forward(self, batch: WindowBatch) -> StateScores:
        poses = self.features.poses(batch)
        rows, background = self.hmm.rows(batch, thin=self.training)
        chunks = (rows,) if torch.is_grad_enabled() else torch.split(rows, _CHUNK)
        logits = []
        for some in chunks:
            x = self.features(poses, some).flatten(1)
            for layer in self.hidden:
                x = self.drop(layer(x).sigmoid())
            logits.append(self.classifier(x))
        return StateScores(torch.cat(logits), rows, background)

    def losses(self, out: StateScores, batch: WindowBatch) -> dict[str, Tensor]:
        return {"state": self.hmm.loss(out, batch)}

    def posterior(self, logits: Tensor) -> Tensor:
        """Probability of each state, of the shape of the logits."""
        return logits.softmax(-1)

    def detections(self, out: StateScores, batch: WindowBatch) -> list[Detections]:
        """Gestures of each window, decoded with the whole of it in view; in eval mode, where every frame has a row."""
        posterior = self.posterior(out.logits.float())
        return self.hmm.detections(posterior.view(len(batch), -1, self.hmm.size), batch)
