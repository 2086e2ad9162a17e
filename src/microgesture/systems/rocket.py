"""ROCKET for skeletons: thousands of random convolutions over joints that move, and a ridge classifier.

Paper      A. Dempster, F. Petitjean, G. I. Webb: ROCKET: Exceptionally fast and accurate time series classification
           using random convolutional kernels, Data Mining and Knowledge Discovery 34, 2020, https://arxiv.org/abs/1910.13051
Input      xy (B, M, T, V, C) and score (B, M, T, V), body-normalised; the stream `joint` alone
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   original. Taken from the paper: kernels of 9 frames and several dilations, drawn once and never learned; of
           each response the share of time above a threshold and the highest value; a ridge classifier on these.
           Ours, chosen by leaving out one training person of UTD-MHAD at a time (figures of its test people were seen):
           - what the kernels read: each joint as seen from the three joints before it on the way to the root, how that
             changes, and the distances of all pairs of joints
           - such channels are drawn in proportion to their variance within clips: joints at rest are hardly read. This
             matters more than anything else here
           - thresholds are quantiles of a kernel's own response; shares and highest values of each quarter are kept too
           - the classifier is solved for over several augmented passes

There is nothing to be learned by gradient: `observe` solves for the classifier, so a recipe says `training.epochs: 0`.
That takes seconds for some hundred clips, where it is also more accurate than the networks here; for tens of
thousands of clips these pull ahead. More epochs go on from the solution, by the losses of the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_loss

Progress = Callable[[str, float, float], None]
Rows = tuple[Tensor, Tensor, Tensor]

DILATIONS = (1, 2, 4, 7)
LENGTH = 9  # frames of a kernel
THRESHOLDS = 3
QUARTERS = 4
PER_KERNEL = THRESHOLDS + 1 + 2 * QUARTERS
ANCESTORS = 3
SAMPLE = 512  # clips


class Relations(nn.Module):
    """Joints as their skeleton's other joints see them: (N, T, V, C) and what is seen (N, T, V) to (N, T, D).

    First the joints minus their first, second and third ancestor, the origin being that of the root; then the change of
    these in a twentieth of the clip, then the distances of all pairs. What a missing joint takes part in is 0.
    """

    joint: Tensor
    ancestor: Tensor
    pairs: Tensor

    def __init__(self, skeleton: Skeleton, coordinates: int) -> None:
        super().__init__()
        steps = [(j, a) for j in range(len(skeleton)) for a in _ancestors(skeleton, j)]
        joint, ancestor = torch.tensor(steps, dtype=torch.long).reshape(-1, 2).T.contiguous()
        self.register_buffer("joint", joint, persistent=False)
        self.register_buffer("ancestor", ancestor, persistent=False)
        self.register_buffer("pairs", torch.triu_indices(len(skeleton), len(skeleton), 1), persistent=False)
        self.size = 2 * len(steps) * coordinates + self.pairs.shape[1]

    def forward(self, xy: Tensor, seen: Tensor) -> Tensor:
        frames = xy.shape[1]
        origin = F.pad(xy, (0, 0, 0, 1)), F.pad(seen, (0, 1), value=True)  # one joint more, at rest in the origin
        both = seen[..., self.joint] & origin[1][..., self.ancestor]  # (N, T, S)
        relative = (xy[..., self.joint, :] - origin[0][..., self.ancestor, :]) * both.unsqueeze(-1)
        change = F.pad(relative[:, 1:] - relative[:, :-1], (0, 0, 0, 0, 0, 1)) * (frames / 20)
        change = change * F.pad(both[:, 1:] & both[:, :-1], (0, 0, 0, 1)).unsqueeze(-1)
        a, b = self.pairs
        distance = (xy[..., a, :] - xy[..., b, :]).norm(dim=-1) * (seen[..., a] & seen[..., b])
        return torch.cat((relative.flatten(2), change.flatten(2), distance), -1)


def _ancestors(skeleton: Skeleton, joint: int) -> Iterator[int]:
    """The next three joints on the way to the root, behind which lies the origin: number V."""
    for _ in range(ANCESTORS):
        joint = skeleton.parents[joint]
        if joint < 0:
            yield len(skeleton)
            return
        yield joint


class Kernels(nn.Module):
    """Random convolutions: channels (N, T, D) to features (N, 12 * K), K kernels.

    Args:
        channels: D.
        kernels: K, a multiple of the number of dilations.
        reads: channels a kernel adds up, each with a random weight, before it looks along time.
        floor: a channel counts less the less it varies below this, in the units of the channels.
    """

    channel: Tensor
    weight: Tensor
    kernel: Tensor
    threshold: Tensor
    spread: Tensor

    def __init__(self, channels: int, kernels: int, reads: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        kernel = torch.randn(kernels, 1, LENGTH)
        self.register_buffer("channel", torch.randint(channels, (kernels, reads)))
        self.register_buffer("weight", torch.randn(kernels, reads))
        self.register_buffer("kernel", kernel - kernel.mean(-1, keepdim=True))
        self.register_buffer("threshold", torch.zeros(kernels, THRESHOLDS))
        self.register_buffer("spread", torch.ones(channels))

    def choose(self, clips: Tensor) -> None:
        """Draw the channels anew, by how much they vary within these clips (N, T, D), and set spread and thresholds."""
        within = clips.std(1).mean(0) if clips.shape[1] > 1 else torch.ones_like(self.spread)
        if not within.any():
            within = torch.ones_like(within)
        self.channel = torch.multinomial(within.square(), self.channel.numel(), True).view_as(self.channel)
        self.spread = (clips.flatten(0, 1).var(0) + self.floor**2).sqrt()
        at = torch.rand(len(self.kernel), THRESHOLDS, device=clips.device)
        responses = torch.cat([y.transpose(0, 1).flatten(1) for y in self.responses(clips)])
        self.threshold = torch.stack([y.quantile(q) for y, q in zip(responses, at, strict=True)])

    def responses(self, x: Tensor) -> list[Tensor]:
        """(N, K / 4, T) for each dilation."""
        mix = x.new_zeros(len(self.kernel), x.shape[-1]).scatter_add(1, self.channel, self.weight)
        mixed = (x @ (mix / self.spread).T).transpose(1, 2)  # (N, K, T)
        found = []
        for part, kernel, dilation in zip(
            mixed.chunk(len(DILATIONS), 1), self.kernel.chunk(len(DILATIONS)), DILATIONS, strict=True
        ):
            reach = LENGTH // 2 * dilation
            found.append(F.conv1d(part, kernel, padding=reach, dilation=dilation, groups=len(kernel)))
        return found

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat(self.responses(x), 1)
        features = [(y > t.unsqueeze(-1)).to(y.dtype).mean(-1) for t in self.threshold.unbind(-1)]
        features.append(y.amax(-1))
        frames = y.shape[-1]
        for quarter in range(QUARTERS):
            start = quarter * frames // QUARTERS
            part = y[..., start : max(start + 1, (quarter + 1) * frames // QUARTERS)]
            features += [(part > self.threshold[:, :1]).to(y.dtype).mean(-1), part.amax(-1)]
        return torch.cat(features, 1)


class Rocket(nn.Module):
    """ROCKET recogniser.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length and number of persons is accepted.
        in_channels: C + 1; scores say which joints are seen.
        kernels: random convolutions, a multiple of 4. Features, and with them the memory `observe` needs, 4 bytes times
            their number squared, grow by 12 for each.
        reads: channels each kernel adds up.
        floor: shoulder widths below which a channel counts as still.
        passes: times `observe` sees every clip augmented anew, besides once as it is.
        ridge: penalty, as a share of the mean squared length of a clip's features.
        sharpness: factor from scores, which ridge brings near -1 and 1, to logits.

    Raises:
        UsageError: settings out of range.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = Rocket(SKELETONS["imigue22"], IMIGUE, frames=64, persons=1, kernels=100)
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        in_channels: int = 3,
        kernels: int = 1000,
        reads: int = 3,
        floor: float = 0.3,
        passes: int = 8,
        ridge: float = 0.03,
        sharpness: float = 8.0,
    ) -> None:
        super().__init__()
        if kernels < 4 or kernels % len(DILATIONS) or reads < 1 or passes < 1 or min(floor, ridge, sharpness) <= 0:
            raise UsageError(
                f"kernels is {kernels}, reads {reads}, passes {passes}, floor {floor}, ridge {ridge}, sharpness "
                f"{sharpness}; expected a multiple of {len(DILATIONS)} kernels and numbers above 0"
            )
        if in_channels - 1 not in (2, 3):
            raise UsageError(
                f"the system reads joints, not {in_channels - 1} numbers per joint: set loading.streams to [joint]"
            )
        self.in_channels, self.passes, self.ridge, self.sharpness = in_channels, passes, ridge, sharpness
        self.relations = Relations(skeleton, in_channels - 1)
        self.kernels = Kernels(self.relations.size, kernels, reads, floor)
        size = PER_KERNEL * kernels
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.classifier = nn.Linear(size, len(taxonomy))

    def forward(self, batch: PoseBatch) -> Tensor:
        logits: Tensor = self.classifier(self.features(batch))
        return logits

    def features(self, batch: PoseBatch) -> Tensor:
        """Standardised features (B, 12 * kernels), the mean over the persons who are there."""
        x, there = self.channels(batch)
        found = (self.kernels(x) - self.mean) / self.deviation
        share = there / there.sum(1, keepdim=True).clamp(min=1)  # (B, M)
        mean: Tensor = (found.unflatten(0, there.shape) * share.unsqueeze(-1)).sum(1)
        return mean

    def channels(self, batch: PoseBatch) -> tuple[Tensor, Tensor]:
        """Relations (B * M, T, D) of every person, and whether they are there (B, M)."""
        x = batch.features(self.in_channels)
        seen = x[..., -1] > 0
        relations = self.relations(x[..., :-1].flatten(0, 1), seen.flatten(0, 1))
        return relations, seen.any(-1).any(-1).to(x.dtype)

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}

    @torch.no_grad()
    def observe(self, passes: Iterable[Iterable[PoseBatch]], progress: Progress | None = None) -> None:
        """Choose the kernels' channels and thresholds, and solve for the classifier.

        Args:
            passes: batches of all training clips, over and over: first as they are, then augmented anew each time.
            progress: called after every pass.

        Raises:
            UsageError: nobody is there in any clip.
        """
        shown = iter(passes)
        first = [batch.to(self.mean.device) for batch in next(shown)]
        clips = sum(map(len, first))
        few = torch.randperm(clips)[:SAMPLE].to(self.mean.device)  # enough for statistics, however many there are
        sample = PoseBatch(torch.cat([b.xy for b in first])[few], torch.cat([b.score for b in first])[few])
        relations, there = self.channels(sample)
        if not there.any():
            raise UsageError("no joint of any training clip is seen")
        self.kernels.choose(relations[there.flatten() > 0])
        self.mean.zero_()
        self.deviation.fill_(1)
        features = self.features(sample)
        self.mean.copy_(features.mean(0))
        # shares lie in 0..1; some hardly change as long as clips are not augmented
        self.deviation.copy_(features.std(0, correction=0) + 0.03)

        def rows() -> Iterator[Rows]:
            for done, batches in enumerate((first, *islice(shown, self.passes))):
                for batch in batches:
                    batch = batch.to(self.mean.device)
                    weight = batch.xy.new_ones(len(batch)) if batch.weight is None else batch.weight
                    yield self.features(batch), self._target(batch), weight
                if progress:
                    progress("observing", done + 1, self.passes + 1)

        size = self.classifier.in_features
        weight, bias = ridge(rows(), self.ridge * size, clips * (self.passes + 1) < size)
        self.classifier.weight.copy_(weight.T * self.sharpness)
        self.classifier.bias.copy_(bias * self.sharpness)

    def _target(self, batch: PoseBatch) -> Tensor:
        """-1 and 1, or 0 where it cannot be told, (B, K)."""
        if batch.soft is not None:
            return torch.where(batch.soft < 0, 0, 2 * batch.soft - 1)
        assert batch.label is not None
        return 2.0 * F.one_hot(batch.label, self.classifier.out_features) - 1


def ridge(rows: Iterable[Rows], penalty: float, few: bool) -> tuple[Tensor, Tensor]:
    """Ridge regression: weights (F, K) and offsets (K,), which are not penalised.

    Args:
        rows: features (n, F), targets (n, K) and weights (n,) of one batch after the other.
        penalty: what is added to the diagonal.
        few: the rows are fewer than the features: hold them all, and solve a system of their number instead of F.
    """
    if few:
        x, y, w = (torch.cat(parts) for parts in zip(*rows, strict=True))
        w = w[:, None]
        x_mean, y_mean = (w * x).sum(0) / w.sum(), (w * y).sum(0) / w.sum()
        x, y = (x - x_mean) * w.sqrt(), (y - y_mean) * w.sqrt()
        weight = x.T @ _solved(x @ x.T, penalty, y)
        return weight, y_mean - x_mean @ weight
    products = answers = x_sum = y_sum = total = torch.zeros(())
    for x, y, w in rows:
        weighed = x * w[:, None]
        # in place after the first batch: the largest of these has F * F numbers
        products = weighed.T @ x if products.ndim == 0 else products.addmm_(weighed.T, x)
        answers, x_sum, y_sum = answers + weighed.T @ y, x_sum + weighed.sum(0), y_sum + w @ y
        total = total + w.sum()
    products.addr_(x_sum, x_sum / total, alpha=-1)
    weight = _solved(products, penalty, answers - torch.outer(x_sum, y_sum / total))
    return weight, (y_sum - x_sum @ weight) / total


def _solved(products: Tensor, penalty: float, answers: Tensor) -> Tensor:
    products.diagonal().add_(penalty)
    return torch.cholesky_solve(answers, torch.linalg.cholesky(products))
