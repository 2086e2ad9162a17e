"""Class names as vectors, and the head that learns to hit them beside the class logits.

Source: K. Li et al., Joint Skeletal and Semantic Embedding Loss for Micro-gesture Classification, MiGA 2023,
https://arxiv.org/abs/2307.10624: a name's vector is the mean of its words' vectors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch

# mean square of the published vectors of MA-52's names: made-up ones are scaled to it, so that weights of the loss keep
# their meaning
MEAN_SQUARE = 0.0785
# letters of a piece of a word
_PIECE = 3


class EmbeddingHead(nn.Module):
    """Features to a vector near that of the class: one linear layer, or two with a tanh between them.

    Args:
        channels: D of the features.
        vectors: (K, E), fixed.
        hidden: width between two layers; None for a single one.
        std: of the weights at the start.
        saved: whether the vectors are part of the state.
    """

    vectors: Tensor

    def __init__(
        self, channels: int, vectors: Tensor, hidden: int | None = None, std: float = 0.01, *, saved: bool = False
    ) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=saved)
        widths = (channels, vectors.shape[1]) if hidden is None else (channels, hidden, vectors.shape[1])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., E)."""
        for i, layer in enumerate(self.layers):
            x = layer(torch.tanh(x) if i else x)
        return x

    def loss(self, embedding: Tensor, batch: PoseBatch) -> Tensor:
        """Mean square distance from the vectors of the clips' classes, a scalar.

        Soft targets and clip weights act as in `class_loss`: two classes at once are two vectors to be near.

        Args:
            embedding: (B, E).

        Raises:
            UsageError: the batch has neither labels nor soft targets.
        """
        if batch.soft is not None:
            apart = (embedding.unsqueeze(1) - self.vectors).square().mean(-1)  # (B, K)
            loss = (apart * batch.soft).sum(1)
        elif batch.label is not None:
            loss = (embedding - self.vectors[batch.label]).square().mean(-1)
        else:
            raise UsageError("the batch has neither labels nor soft targets: nothing to learn from")
        return loss.mean() if batch.weight is None else (loss * batch.weight).sum() / batch.weight.sum()


def words_of(name: str) -> list[str]:
    """The words of a class name, in small letters.

    Example:
        >>> words_of("Bulging face, deep breath")
        ['bulging', 'face', 'deep', 'breath']
    """
    return re.findall(r"[^\W\d_]+", name.casefold())


def mean_vectors(names: Iterable[str], words: Mapping[str, NDArray[np.float32]]) -> Tensor:
    """The mean of its words' vectors for each name, (K, E).

    Args:
        words: a vector for every word of every name.
    """
    return torch.from_numpy(np.stack([np.mean([words[w] for w in words_of(name)], 0) for name in names])).float()


def name_vectors(taxonomy: Taxonomy, size: int = 300) -> Tensor:
    """Vectors made from the names alone, where no word vectors are at hand, (K, `size`).

    A word is the sum of random vectors of its pieces of three letters, a name the mean of its words, and half of what a
    class is comes from its body group. So names that share words or stems lie near each other, and so do classes of one
    part of the body; what words mean is not in them. The same names give the same vectors on every machine.
    """
    rows = []
    for label in taxonomy:
        words = [np.sum([_random(piece, size) for piece in _pieces(word)], 0) for word in words_of(label.name)]
        name = _unit(np.mean(words, 0)) if words else _random(label.name, size)
        rows.append(_unit(name) + _unit(_random(f"group {label.group}", size)))
    table = np.stack(rows)
    return torch.from_numpy(table * np.sqrt(MEAN_SQUARE / np.square(table).mean())).float()


def _pieces(word: str) -> list[str]:
    marked = f"<{word}>"
    return [marked[i : i + _PIECE] for i in range(max(1, len(marked) - _PIECE + 1))]


def _random(text: str, size: int) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return np.random.RandomState(seed).standard_normal(size)  # the legacy generator: its stream never changes


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)
