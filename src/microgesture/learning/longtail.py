"""The long-tail kit: remedies for rare classes, which a recipe combines with any recogniser.

    longtail: {class_path: microgesture.learning.longtail.LogitAdjustment}

    longtail:                                                     # LDAM-DRW
      - {class_path: microgesture.learning.longtail.LDAM}
      - {class_path: microgesture.learning.longtail.ClassBalanced, init_args: {beta: 0.9999, since: 0.8}}

| remedy | what it changes |
|---|---|
| `LogitAdjustment`, `LDAM` | the logits, on their way into the class loss |
| `InverseSqrt`, `ClassBalanced` | the weights of the clips; with `since: 0.8` only those of the last epochs (DRW) |
| `Focal`, `GeneralisedCE` | the class loss itself |
| `SoftF1`, `ArcFace`, `Orthogonality` | adds a term |
| `ClassifierRetraining`, `TauNorm`, `PostHocAdjustment` | the classifier after training, in the recipe's order |

How often clips are shown is `loading.balance`. Everything is reckoned from n_c, the clips per class of the training
split in use; a class without clips counts as if it had one. Logits reach the kit through `layers.losses.class_loss`,
so a system need not know of it; what changes after training is in the saved weights, so whoever loads them need not
either. Systems of two streams have a classifier in each: see `find_classifiers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from microgesture.core.errors import UsageError
from microgesture.datasets.clips import Ids
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_criterion, class_logits, class_loss

Array = NDArray[np.float64]


# ---- formulas


def prior(counts: ArrayLike) -> Array:
    """Share of each class among the clips, (K,); 1/N for a class without clips.

    Example:
        >>> prior([6, 4, 0]).tolist()
        [0.6, 0.4, 0.1]
    """
    n = np.asarray(counts)
    return np.asarray(np.maximum(n, 1) / n.sum())


def inverse_sqrt(counts: ArrayLike) -> Array:
    """Weights of the classes in proportion to 1 / sqrt(n), of mean 1.

    Example:
        >>> inverse_sqrt([16, 4, 1]).round(3).tolist()
        [0.429, 0.857, 1.714]
    """
    weight = 1 / np.sqrt(np.maximum(np.asarray(counts), 1))
    return np.asarray(weight / weight.mean())


def class_balanced(counts: ArrayLike, beta: float) -> Array:
    """Weights by the effective number of clips, (1 - beta) / (1 - beta^n), of mean 1 (Cui et al., CVPR 2019).

    Example:
        >>> class_balanced([9, 3], 0).tolist(), class_balanced([9, 3], 1).tolist()
        ([1.0, 1.0], [0.5, 1.5])
    """
    n = np.maximum(np.asarray(counts), 1).astype(np.float64)
    with np.errstate(divide="ignore"):
        weight = 1 / n if beta == 1 else (1 - beta) / -np.expm1(n * np.log(beta))
    return np.asarray(weight / weight.mean())


def margins(counts: ArrayLike, largest: float = 0.5) -> Array:
    """Margins of LDAM, in proportion to n^(-1/4), `largest` for the rarest class (Cao et al., NeurIPS 2019).

    Example:
        >>> margins([16, 1]).tolist()
        [0.25, 0.5]
    """
    n = np.maximum(np.asarray(counts), 1)
    return np.asarray(largest * (n.min() / n) ** 0.25)


def focal(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """(1 - p)^gamma times the cross-entropy of each clip, (B,) (Lin et al., ICCV 2017); target (B, K)."""
    log_p = logits.log_softmax(-1)
    return -(target * (1 - log_p.exp()) ** gamma * log_p).sum(-1)


def generalised_ce(logits: Tensor, target: Tensor, q: float = 0.7) -> Tensor:
    """(1 - p^q) / q of each clip, (B,) (Zhang and Sabuncu, NeurIPS 2018); target (B, K).

    Between cross-entropy (q -> 0) and the mean absolute error (q = 1), which wrong labels hurt less.
    """
    return (target * -torch.expm1(q * logits.log_softmax(-1)) / q).sum(-1)


def soft_f1(logits: Tensor, target: Tensor) -> Tensor:
    """1 - mean over the classes of 2 sum p y / (sum p + sum y), the sums over the clips of a batch; target (B, K)."""
    p = logits.softmax(-1)
    return 1 - (2 * (p * target).sum(0) / (p.sum(0) + target.sum(0)).clamp(min=1e-12)).mean()


def arc(cosines: Tensor, target: Tensor, margin: float = 0.5) -> Tensor:
    """Cosines (B, K), that of the clip's class lowered by an angle (Deng et al., ArcFace, CVPR 2019); target (B, K).

    It is cos(angle + margin), and goes on falling, as a line, where that angle would be beyond a half-turn.

    Example:
        >>> arc(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), math.pi / 3).round(decimals=3).tolist()
        [[0.5, 0.0]]
    """
    # no gradient of the root where it has none
    sine = (1 - cosines.square()).clamp(min=1e-12).sqrt()
    turned = cosines * math.cos(margin) - sine * math.sin(margin)
    beyond = cosines <= -math.cos(margin)
    lowered = torch.where(beyond, cosines - margin * math.sin(margin), turned)
    return cosines + target * (lowered - cosines)


def overlap(weight: Tensor) -> Tensor:
    """Mean square of the cosines between the vectors of different classes, (K, D) to a scalar; 0 if all are square."""
    unit = F.normalize(weight, dim=1)
    cosines = unit @ unit.T
    return (cosines.square().sum() - cosines.diagonal().square().sum()) / max(1, len(weight) * (len(weight) - 1))


# ---- remedies


@dataclass(frozen=True)
class Run:
    """What a remedy may use that acts once training is over.

    Args:
        system, counts: the recogniser, and the training clips per class.
        splits: of the data set.
        retrain: trains a module anew for that share of the epochs, all else frozen, classes shown equally often.
        validate: probabilities (N, K) and labels (N,) of the clips of `val`.
    """

    system: nn.Module
    counts: Ids
    splits: Sequence[str]
    retrain: Callable[[Any, float], None]
    validate: Callable[[], tuple[Array, Ids]]

    @property
    def classifiers(self) -> Classifiers:
        """See `find_classifiers`."""
        return find_classifiers(self.system, len(self.counts))


class Remedy:
    """One part of the kit. Each hook leaves things as they are; a remedy overrides those it needs."""

    criterion: Callable[[Tensor, Tensor], Tensor] | None = None
    """`(logits (B, K), target (B, K)) -> (B,)`, in place of the cross-entropy."""

    def adjust(self, logits: Tensor, target: Tensor, counts: Ids) -> Tensor:
        """Logits (B, K) as the class loss gets them; target (B, K)."""
        return logits

    def weights(self, counts: Ids, progress: float) -> Array | None:
        """Weight of the clips of each class, (K,), after that share of the epochs."""
        return None

    def terms(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Further losses by name; target (B, K)."""
        return {}

    term: str | None = None
    """Name of the loss that `angles` gives; None: it gives none."""

    def angles(self, features: Tensor, weight: Tensor, batch: PoseBatch, target: Tensor) -> Tensor:
        """A further loss, a scalar, of what a classifier reads, (B, D), and its weights (K, D); target (B, K)."""
        raise NotImplementedError

    def check(self, run: Run) -> None:
        """Before training: raise UsageError if `finish` will not be possible."""

    def finish(self, run: Run) -> dict[str, Any]:
        """After training: change the system; what is returned is written into its config."""
        return {}


@dataclass(frozen=True)
class LogitAdjustment(Remedy):
    """Cross-entropy of z + t log(prior): the classes' shares are learnt beside the logits, not by them.

    With t = 1 this is the balanced softmax. Show clips in their own shares (`loading.balance: instance`): a balanced
    sampler has taken the prior out already. Menon et al., ICLR 2021; Ren et al., NeurIPS 2020.
    """

    t: float = 1.0

    def adjust(self, logits: Tensor, target: Tensor, counts: Ids) -> Tensor:
        return logits + self.t * _like(np.log(prior(counts)), logits)


@dataclass(frozen=True)
class LDAM(Remedy):
    """Margins that are larger for rare classes: cross-entropy of scale * (z - margin of the clip's class at z_y).

    After training the classifier is multiplied by `scale`, so that the softmax of the saved system is the one learnt.

    Args:
        largest: margin of the rarest class.
    """

    largest: float = 0.5
    scale: float = 30.0

    def __post_init__(self) -> None:
        _within(self, "largest", 0, float("inf"))
        _within(self, "scale", 0, float("inf"))

    def adjust(self, logits: Tensor, target: Tensor, counts: Ids) -> Tensor:
        return self.scale * (logits - target * _like(margins(counts, self.largest), logits))

    def check(self, run: Run) -> None:
        assert run.classifiers

    def finish(self, run: Run) -> dict[str, Any]:
        with torch.no_grad():
            for parameter in run.classifiers.parameters():
                parameter.mul_(self.scale)
        return {"scale": self.scale}


@dataclass(frozen=True)
class InverseSqrt(Remedy):
    """Clips weigh 1 / sqrt(n) of their class: the gentle choice.

    Args:
        since: share of the epochs in which all clips still weigh the same.
    """

    since: float = 0.0

    def __post_init__(self) -> None:
        _within(self, "since", 0, 1)

    def weights(self, counts: Ids, progress: float) -> Array | None:
        return inverse_sqrt(counts) if progress >= self.since else None


@dataclass(frozen=True)
class ClassBalanced(Remedy):
    """Clips weigh by the effective number of clips of their class, see `class_balanced`.

    Args:
        beta: 0 = all the same, 1 = 1 / n.
        since: share of the epochs in which all clips still weigh the same; 0.8 is deferred re-weighting (DRW).
    """

    beta: float = 0.999
    since: float = 0.0

    def __post_init__(self) -> None:
        _within(self, "beta", 0, 1)
        _within(self, "since", 0, 1)

    def weights(self, counts: Ids, progress: float) -> Array | None:
        return class_balanced(counts, self.beta) if progress >= self.since else None


@dataclass(frozen=True)
class Focal(Remedy):
    """Clips that are named well already count less, see `focal`."""

    gamma: float = 2.0

    def __post_init__(self) -> None:
        _within(self, "gamma", 0, float("inf"))

    def criterion(self, logits: Tensor, target: Tensor) -> Tensor:
        return focal(logits, target, self.gamma)


@dataclass(frozen=True)
class GeneralisedCE(Remedy):
    """A loss that wrong labels hurt less, see `generalised_ce`."""

    q: float = 0.7

    def __post_init__(self) -> None:
        _within(self, "q", 0.001, 1)

    def criterion(self, logits: Tensor, target: Tensor) -> Tensor:
        return generalised_ce(logits, target, self.q)


@dataclass(frozen=True)
class SoftF1(Remedy):
    """Adds `share` times `soft_f1` to the losses, as the term `soft_f1`."""

    share: float = 0.5

    def __post_init__(self) -> None:
        _within(self, "share", 0, float("inf"))

    def terms(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"soft_f1": self.share * soft_f1(logits, target)}


@dataclass(frozen=True)
class ArcFace(Remedy):
    """Adds `share` times the cross-entropy of scaled cosines with a margin, see `arc`, as the term `arc_face`.

    Cosines are those of what the classifier reads with its own weights, so that the saved network stays as it is: the
    published use trains a head of cosines alone. Systems that decide for each picture give a cosine each; the mean
    counts. It asks for classes that lie apart: where they overlap, as the rare ones of the tests do, macro-F1 falls.

    Args:
        margin: an angle, in radians.
    """

    scale: float = 30.0
    margin: float = 0.5
    share: float = 0.1
    term = "arc_face"

    def __post_init__(self) -> None:
        _within(self, "scale", 0, float("inf"))
        _within(self, "margin", 0, math.pi / 2)
        _within(self, "share", 0, float("inf"))

    def check(self, run: Run) -> None:
        assert run.classifiers

    def angles(self, features: Tensor, weight: Tensor, batch: PoseBatch, target: Tensor) -> Tensor:
        cosines = F.linear(F.normalize(features.float(), dim=-1), F.normalize(weight, dim=1))
        cosines = cosines.flatten(1, -2).mean(1) if cosines.ndim > 2 else cosines
        return self.share * class_loss(self.scale * arc(cosines, target, self.margin), batch)


@dataclass(frozen=True)
class Orthogonality(Remedy):
    """Adds `share` times the `overlap` of the classes' weight vectors, as the term `orthogonality`."""

    share: float = 0.1
    term = "orthogonality"

    def __post_init__(self) -> None:
        _within(self, "share", 0, float("inf"))

    def check(self, run: Run) -> None:
        assert run.classifiers

    def angles(self, features: Tensor, weight: Tensor, batch: PoseBatch, target: Tensor) -> Tensor:
        return self.share * overlap(weight)


@dataclass(frozen=True)
class ClassifierRetraining(Remedy):
    """cRT: the classifier starts anew and learns from classes shown equally often; all else is frozen.

    Its training state lies in the folder `crt` of the run. Kang et al., ICLR 2020.

    Args:
        epochs: share of the recipe's epochs.
    """

    epochs: float = 0.1

    def __post_init__(self) -> None:
        _within(self, "epochs", 0, 1)

    def check(self, run: Run) -> None:
        assert run.classifiers  # raises if there is none

    def finish(self, run: Run) -> dict[str, Any]:
        run.retrain(run.classifiers, self.epochs)
        return {"epochs": self.epochs}


@dataclass(frozen=True)
class TauNorm(Remedy):
    """The classifier's weight vectors w_c become w_c / ||w_c||^t, and its bias, which has learnt the shares, 0 (ours).

    Kang et al., ICLR 2020.
    """

    t: float = 0.7

    def check(self, run: Run) -> None:
        assert run.classifiers

    def finish(self, run: Run) -> dict[str, Any]:
        with torch.no_grad():
            for layer in run.classifiers:
                layer.weight.div_(layer.weight.norm(dim=1, keepdim=True).clamp(min=1e-12) ** self.t)
                if layer.bias is not None:
                    layer.bias.zero_()
        return {"t": self.t}


@dataclass(frozen=True)
class PostHocAdjustment(Remedy):
    """z - t log(prior) once training is over, with the t of the best macro-F1 measured on the split `val`.

    It goes into the classifier's bias, so that everybody who loads the model gets it; the config says how much it is.
    Where two streams or views vote, each is adjusted before it does.
    Menon et al., ICLR 2021.

    Args:
        t: the values tried; of equals the first is taken.
    """

    t: Sequence[float] = (0.0, 0.25, 0.5, 1.0)

    def __post_init__(self) -> None:
        if not self.t:
            raise UsageError("longtail PostHocAdjustment.t is empty; name the values to try, e.g. [0, 0.25, 0.5, 1]")

    def check(self, run: Run) -> None:
        if "val" not in run.splits:
            raise UsageError(
                f"longtail PostHocAdjustment chooses on the split 'val'; the data have {', '.join(run.splits)} only"
            )
        if any(layer.bias is None for layer in run.classifiers):
            raise UsageError(
                f"longtail PostHocAdjustment: the classifier of {type(run.system).__name__} has no bias to adjust"
            )

    def finish(self, run: Run) -> dict[str, Any]:
        from microgesture.evaluation.classification import macro_f1

        biases = [layer.bias for layer in run.classifiers]
        learnt = [bias.detach().clone() for bias in biases]
        log_prior = np.log(prior(run.counts))

        def shift(t: float) -> None:
            with torch.no_grad():
                for bias, start in zip(biases, learnt, strict=True):
                    bias.copy_(start + _like(-t * log_prior, bias))

        before, labels = run.validate()
        found = {}
        for t in self.t:
            after = before
            if t:
                shift(t)
                after, _ = run.validate()
                if np.ptp(log_prior) and np.array_equal(before, after):
                    raise UsageError(
                        f"longtail PostHocAdjustment: the bias of its classifier does not reach the logits of "
                        f"{type(run.system).__name__}, so they cannot be adjusted there"
                    )
            found[t] = macro_f1(labels, after.argmax(1))
        best = max(found, key=lambda t: found[t])
        shift(best)
        return {
            "t": best,
            "macro_f1": {str(t): f1 for t, f1 in found.items()},
            "added_to_bias": (-best * log_prior).tolist(),
        }


# ---- all remedies of a run


class LongTail:
    """The remedies of one run, bound to the clips per class of its training split.

    Args:
        counts: (K,).

    Raises:
        UsageError: two remedies exclude each other, or no clip has a label.
    """

    def __init__(self, remedies: Sequence[Remedy], counts: Ids) -> None:
        if problem := clash(remedies):
            raise UsageError(f"longtail {problem}")
        if not counts.sum():
            raise UsageError("longtail: no training clip has a label, so no class is rare")
        self.remedies, self.counts = tuple(remedies), counts
        self._criterion = next((r.criterion for r in remedies if r.criterion), None)
        self._heard = False
        self._read: dict[int, tuple[nn.Linear, Tensor]] = {}
        self._hooks: list[RemovableHandle] = []

    def weigh(self, batch: PoseBatch, progress: float) -> PoseBatch:
        """The batch with its clips weighed by class; before labels are smoothed."""
        tables = [w for r in self.remedies if (w := r.weights(self.counts, progress)) is not None]
        if not tables:
            return batch
        target = self._target(batch).clamp(min=0)
        weight = target @ _like(np.prod(tables, 0), target) / target.sum(1).clamp(min=1e-12)
        weight = weight if batch.weight is None else weight * batch.weight
        return replace(batch, weight=weight)

    def losses(self, system: nn.Module, out: Any, batch: PoseBatch) -> dict[str, Tensor]:
        """`system.losses` under the remedies, and their own terms.

        Raises:
            UsageError: a remedy changes the class loss, and the system has none of `layers.losses` over K classes.
        """
        self._heard = False
        with class_criterion(self.criterion):
            terms: dict[str, Tensor] = dict(system.losses(out, batch))  # type: ignore[operator]
        changing = [r for r in self.remedies if r.criterion or type(r).adjust is not Remedy.adjust]
        if changing and not self._heard:
            raise UsageError(
                f"longtail {type(changing[0]).__name__} changes the class loss, but {type(system).__name__} computes "
                "its own: it must use layers.losses.class_loss"
            )
        for remedy in self.remedies:
            terms |= remedy.terms(class_logits(out), self._target(batch))
            if remedy.term is not None:
                if not self._read:
                    names = type(remedy).__name__, type(system).__name__
                    raise UsageError("longtail {} reads what a classifier is given; {} used none".format(*names))
                found = [remedy.angles(x, layer.weight, batch, self._target(batch)) for layer, x in self._read.values()]
                terms[remedy.term] = torch.stack(found).mean()
        self._read.clear()
        return terms

    def criterion(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss (B,) of logits over the K classes; other logits, as of coarse classes, keep the cross-entropy."""
        if logits.shape[1] != len(self.counts):
            return F.cross_entropy(logits, target, reduction="none")
        self._heard = True
        target = target if target.ndim > 1 else F.one_hot(target, len(self.counts)).to(logits.dtype)
        for remedy in self.remedies:
            logits = remedy.adjust(logits, target, self.counts)
        return self._criterion(logits, target) if self._criterion else F.cross_entropy(logits, target, reduction="none")

    def check(self, run: Run) -> None:
        """Refuse before training what `finish` could not do after it, and listen to what the classifiers read."""
        for remedy in self.remedies:
            remedy.check(run)
        if any(remedy.term is not None for remedy in self.remedies):
            for i, layer in enumerate(run.classifiers):
                self._hooks.append(layer.register_forward_pre_hook(partial(self._listen, i)))

    def _listen(self, i: int, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled() and isinstance(layer, nn.Linear):
            self._read[i] = layer, inputs[0]

    def finish(self, run: Run) -> dict[str, Any]:
        """Let the remedies act that act after training, in their order; gives what they say of it, by name."""
        for hook in self._hooks:
            hook.remove()
        # first those that end what they began in training: others may replace the classifier
        order = sorted(self.remedies, key=lambda r: type(r).adjust is Remedy.adjust)
        return {type(r).__name__: said for r in order if (said := r.finish(run))}

    def _target(self, batch: PoseBatch) -> Tensor:
        if batch.soft is not None:
            return batch.soft
        if batch.label is None:
            raise UsageError("the batch has neither labels nor soft targets: nothing to learn from")
        return F.one_hot(batch.label, len(self.counts)).to(batch.xy.dtype)


def clash(remedies: Sequence[Remedy]) -> str | None:
    """Why these remedies cannot go together; None if they can."""
    names = [type(r).__name__ for r in remedies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        return f"names {twice} twice: keep one"
    losses = [type(r).__name__ for r in remedies if r.criterion]
    if len(losses) > 1:
        return f"names {' and '.join(losses)}, which both replace the class loss: keep one"
    return None


class Classifiers(nn.ModuleList):
    """The layers of a system that make logits, one for each stream."""

    def __iter__(self) -> Iterator[nn.Linear]:
        return super().__iter__()  # type: ignore[return-value]

    def reset_parameters(self) -> None:
        """Start all of them anew."""
        for layer in self:
            layer.reset_parameters()


def find_classifiers(system: nn.Module, classes: int) -> Classifiers:
    """The linear layers that make K logits: those that `system.classifiers` names, or the one that is
    `system.classifier`, or else the last of K outputs.

    Raises:
        UsageError: there is none.
    """
    names = getattr(system, "classifiers", ("classifier",))
    layers = {name: m for name, m in system.named_modules() if isinstance(m, nn.Linear) and m.out_features == classes}
    if not layers:
        raise UsageError(
            f"longtail: {type(system).__name__} has no linear layer with {classes} outputs, so no classifier to change"
        )
    return Classifiers([layers[name] for name in names if name in layers] or list(layers.values())[-1:])


def _like(values: Array, other: Tensor) -> Tensor:
    return torch.from_numpy(values).to(other.device, torch.float32)


def _within(remedy: Remedy, name: str, low: float, high: float) -> None:
    value = getattr(remedy, name)
    if not low <= value <= high:
        raise UsageError(f"longtail {type(remedy).__name__}.{name} is {value}; it must lie in {low}..{high}")
