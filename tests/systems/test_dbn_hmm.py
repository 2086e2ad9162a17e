from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.systems.golden import numbered
from tests.systems.test_aed_bilstm import UPPER, window
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.layers.batch import WindowBatch
from microgesture.layers.hmm import StreamDecoder
from microgesture.streaming.finders import has_states
from microgesture.systems.dbn_hmm import DBNHMM, contrastive_divergence


def small(**options: Any) -> DBNHMM:
    torch.manual_seed(0)
    joints = ["nose", "neck", "r_wrist", "l_wrist"]
    sizes = {"widths": (32, 16), "pretrain_epochs": 2, "joints": joints, "fps": 15.0} | options
    return DBNHMM(UPPER, numbered(3), 128, 1, **sizes)


def test_default_sizes() -> None:
    with torch.device("meta"):
        model = DBNHMM(SKELETONS["kinect25"], SMG, 512, 1, in_channels=4)
    sizes = [layer.in_features for layer in model.hidden] + [
        model.classifier.in_features,
        model.classifier.out_features,
    ]
    assert sizes == [2775, 2000, 1000, 1000, 86]
    assert sum(p.numel() for p in model.parameters()) == 8_640_086


def log_likelihood(layer: nn.Linear, behind: Tensor, data: Tensor) -> float:
    """Mean log-probability of binary data, by summing over all states of a small machine."""
    every = torch.tensor(list(product([0.0, 1.0], repeat=layer.in_features)))

    def free(v: Tensor) -> Tensor:
        return v @ behind + nn.functional.softplus(layer(v)).sum(-1)

    return float((free(data) - free(every).logsumexp(0)).mean())


def test_pretraining_raises_the_likelihood() -> None:
    torch.manual_seed(0)
    layer, behind = nn.Linear(6, 4), torch.zeros(6)
    data = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(20, 1)
    with torch.no_grad():
        before = log_likelihood(layer, behind, data)
        for _ in range(1500):
            contrastive_divergence(layer, behind, data, 0.1, gaussian=False)
        after = log_likelihood(layer, behind, data)
    assert before < -3.5  # 64 states, near 1 / 64 each
    assert after > -1.5  # two states, 0.69 at best


def test_gaussian_machine_reconstructs_better_and_better() -> None:
    torch.manual_seed(0)
    layer, behind = nn.Linear(8, 16), torch.zeros(8)
    data = torch.randn(100, 2) @ torch.randn(2, 8)
    data /= data.std(0)
    errors = [contrastive_divergence(layer, behind, data, 0.01, gaussian=True).item() for _ in range(600)]
    assert errors[-1] < 0.6 * errors[0]


def test_step_of_contrastive_divergence_by_hand() -> None:
    """Hidden biases so large that sampling is certain."""
    layer, behind = nn.Linear(2, 1), torch.zeros(2)
    nn.init.constant_(layer.weight, 0.5)
    nn.init.constant_(layer.bias, 50.0)
    error = contrastive_divergence(layer, behind, torch.tensor([[1.0, 3.0]]), 0.1, gaussian=True)
    assert error.item() == pytest.approx((0.5**2 + 2.5**2) / 2)  # it makes 0.5 and 0.5 of 1 and 3
    assert behind.tolist() == pytest.approx([0.05, 0.25])
    assert layer.weight.tolist() == [pytest.approx([0.55, 0.75])]
    assert layer.bias.item() == 50


def test_observe_pretrains_every_layer_and_ends() -> None:
    model, plain = small(), small(pretrain_epochs=0)
    recordings = [window(150, 1), window(90, 1, seed=1)]
    before = [layer.weight.clone() for layer in model.hidden]
    model.observe(iter(recordings))
    plain.observe(iter(recordings))
    for layer, other, old in zip(model.hidden, plain.hidden, before, strict=True):
        assert not torch.equal(layer.weight, old)
        assert torch.isfinite(layer.weight).all()
        assert torch.equal(other.weight, old)
    assert torch.equal(model.hmm.transition, plain.hmm.transition)
    assert torch.equal(model.features.mean, plain.features.mean)


def test_pretraining_tells_how_far_it_is() -> None:
    told: list[tuple[str, float, float]] = []
    small(widths=(8, 4), pretrain_epochs=3).observe([window(250, 1)], progress=lambda *row: told.append(row))
    stages, done, totals = zip(*told, strict=True)
    assert set(stages) == {"pre-training"}
    assert done == tuple(range(1, len(told) + 1))
    assert set(totals) == {len(told)}
    assert len(told) % (2 * 3) == 0


def test_a_window_is_learnt_by_heart_and_found_again() -> None:
    model, batch = small(widths=(64,), dropout=0.0, pretrain_epochs=20), window(150, 2)
    model.observe([window(150, 1, seed=0)])
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    for _ in range(150):
        optimizer.zero_grad()
        model.losses(model(batch), batch)["state"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        out = model(batch)
        found = model.detections(out, batch)
    for one, (segments, classes) in zip(found, batch.targets(), strict=True):
        assert one.label.tolist() == classes.tolist()
        assert abs(torch.from_numpy(one.start) - segments[:, 0]).max() < 0.07
    # and state by state, as a stream finds it
    assert has_states(SimpleNamespace(saved=SimpleNamespace(system=model)))  # type: ignore[arg-type]
    stream = StreamDecoder(model.hmm.decoding(), lag=150)
    told = [f for row in model.posterior(out.logits[:150]).double().numpy() for f in stream.step(row)]
    told += stream.finish()
    assert [(f.label, f.start, f.end) for f in told] == [
        (k, round(150 * a), round(150 * b))
        for k, a, b in zip(found[0].label, found[0].start, found[0].end, strict=True)
    ]


def test_no_gesture_one_frame_and_padding() -> None:
    model = small().train()
    for batch in (window(50, 1, gestures=0), window(1, 1, gestures=0)):
        loss = model.losses(model(batch), batch)["state"]
        loss.backward()
        assert torch.isfinite(loss)
    batch = window(80, 1)
    padded = WindowBatch(
        torch.cat((batch.xy, torch.zeros(1, 1, 20, 12, 2)), 2),
        torch.cat((batch.score, torch.zeros(1, 1, 20, 12)), 2),
        valid=torch.tensor([0.8]),
    )
    model.eval()
    with torch.no_grad():
        assert torch.allclose(model(batch).logits, model(padded).logits[:80], atol=1e-6)
        one, two = (model.detections(model(b), b)[0] for b in (batch, padded))
    assert one.start.tolist() == pytest.approx((two.start / 0.8).tolist())


def test_wrong_sizes() -> None:
    with pytest.raises(UsageError, match=r"widths is \[\] and pretrain_epochs 2; expected a layer or more, 0 or more"):
        small(widths=())
    with pytest.raises(UsageError, match=r"widths is \[4\] and pretrain_epochs -1"):
        small(widths=(4,), pretrain_epochs=-1)
