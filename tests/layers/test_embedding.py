from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.systems.golden import Golden

from microgesture.core.errors import UsageError
from microgesture.core.taxonomies import IMIGUE, MA52
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.embedding import EmbeddingHead, mean_vectors, name_vectors, words_of


def batch(**more: torch.Tensor) -> PoseBatch:
    count = len(next(iter(more.values())))
    return PoseBatch(torch.zeros(count, 1, 1, 1, 2), torch.zeros(count, 1, 1, 1), **more)


def official() -> tuple[Golden, EmbeddingHead]:
    """The head of the MiGA 2023 winner: one layer."""
    golden = Golden("miga23_embedding_head")
    head = EmbeddingHead(64, golden.inputs["class_embeddings"])
    head.load_state_dict({f"layers.0.{leaf}": golden.state[f"emb_fc.{leaf}"] for leaf in ("weight", "bias")})
    return golden, head


def test_the_head_of_one_layer_is_the_official_one() -> None:
    golden, head = official()
    features = golden.inputs["feat"].requires_grad_()
    pooled = features.mean((-3, -2, -1))
    logits = F.linear(pooled, golden.state["fc_cls.weight"], golden.state["fc_cls.bias"])
    embedding = head(pooled)
    golden.close(logits, "cls_score")
    golden.close(embedding, "emb_score")
    label = golden.inputs["label"]
    loss = head.loss(embedding, batch(label=label))
    assert loss.item() == pytest.approx(golden.outputs["mse_only"].item(), abs=1e-5)
    total = F.cross_entropy(logits, label) + 20 * loss
    assert total.item() == pytest.approx(golden.outputs["loss_cls_total_eval_scores"].item(), abs=1e-5)
    total.backward()
    assert features.grad is not None
    golden.close(features.grad.sum((-3, -2, -1)), "grad_of_loss/feat_spatial_sum")
    for leaf in ("weight", "bias"):
        gradient = head.get_parameter(f"layers.0.{leaf}").grad
        assert gradient is not None
        expected = golden.outputs[f"grad_norm_of_loss/emb_fc.{leaf}"].item()
        assert gradient.norm().item() == pytest.approx(expected, rel=0.01)


def test_a_perfect_embedding_costs_nothing() -> None:
    _, head = official()
    label = torch.tensor([3, 0, 31])
    assert head.loss(head.vectors[label], batch(label=label)) == 0


def test_two_layers_have_a_tanh_between_them() -> None:
    head = EmbeddingHead(3, torch.zeros(4, 5), hidden=7)
    first, second = head.layers
    x = torch.randn(2, 6, 3)
    torch.testing.assert_close(head(x), second(torch.tanh(first(x))))
    assert sum(p.numel() for p in EmbeddingHead(2048, torch.zeros(52, 300), 300).parameters()) == 705_000


def test_loss_by_hand() -> None:
    """Two classes at (0, 0) and (2, 2), an embedding at (1, 0): mean squares 1/2 and 5/2."""
    head = EmbeddingHead(1, torch.tensor([[0.0, 0.0], [2.0, 2.0]]))
    at = torch.tensor([[1.0, 0.0]]).expand(2, 2)
    both = torch.tensor([0, 1])
    assert head.loss(at, batch(label=both)).item() == pytest.approx(1.5)
    assert head.loss(at, batch(label=both, weight=torch.tensor([1.0, 3.0]))).item() == pytest.approx(2.0)
    assert head.loss(at, batch(soft=F.one_hot(both).float())).item() == pytest.approx(1.5)
    assert head.loss(at, batch(soft=torch.ones(2, 2))).item() == pytest.approx(3.0)
    with pytest.raises(UsageError, match="neither labels nor soft targets"):
        head.loss(at, batch(weight=torch.ones(2)))


def test_the_nearest_vector_is_learnt() -> None:
    torch.manual_seed(0)
    head = EmbeddingHead(40, name_vectors(IMIGUE, 20))
    centres = torch.randn(32, 40)
    label = torch.arange(32).repeat(8)
    features = centres[label] + 0.05 * torch.randn(256, 40)
    descent = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(200):
        descent.zero_grad()
        head.loss(head(features), batch(label=label)).backward()
        descent.step()
    nearest = torch.cdist(head(features), head.vectors).argmin(1)
    assert (nearest == label).float().mean() > 0.95  # chance: 0.03


def test_words() -> None:
    assert words_of("Touching or scratching facial-parts_2") == ["touching", "or", "scratching", "facial", "parts"]
    words = {word: np.full(3, i, np.float32) for i, word in enumerate(("head", "up", "down"))}
    assert mean_vectors(["Head up", "down"], words).tolist() == [[0.5] * 3, [2.0] * 3]


@pytest.mark.parametrize("taxonomy", [IMIGUE, MA52], ids=lambda t: t.key)
def test_vectors_of_names(taxonomy: Taxonomy) -> None:
    vectors = name_vectors(taxonomy)
    assert vectors.shape == (len(taxonomy), 300)
    assert vectors.square().mean().item() == pytest.approx(0.0785, rel=1e-4)
    assert torch.equal(vectors, name_vectors(taxonomy))
    unit = F.normalize(vectors)
    cosine = unit @ unit.T
    assert (cosine - torch.eye(len(taxonomy))).max() < 0.99  # no two classes in one place
    pairs = list(combinations(taxonomy, 2))
    near = [float(cosine[a.id, b.id]) for a, b in pairs if a.group == b.group]
    far = [float(cosine[a.id, b.id]) for a, b in pairs if a.group != b.group]
    assert np.mean(near) > np.mean(far) + 0.3


def test_names_that_share_stems_lie_nearer() -> None:
    names = ("scratching neck", "scratch neck", "nodding")
    space = Taxonomy("t", "T", tuple(Label(i, name, "none") for i, name in enumerate(names)), ())
    unit = F.normalize(name_vectors(space, 64))
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.2


def test_vectors_of_names_stay_the_same_for_ever() -> None:
    """Trained weights rest on them; numpy promises that the legacy generator's stream does not change."""
    space = Taxonomy("t", "T", (Label(0, "nodding", "Head"), Label(1, "7", "none")), ("Head",))
    expected = torch.tensor([[-0.0869, -0.1126, -0.4363, -0.1694], [-0.4805, -0.2466, 0.2864, 0.1226]])
    torch.testing.assert_close(name_vectors(space, 4), expected, atol=1e-4, rtol=0)
