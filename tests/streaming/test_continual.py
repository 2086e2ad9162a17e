from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.layers.batch import PoseBatch
from microgesture.streaming.continual import CausalTwin, ContinualNet, continual
from microgesture.systems.bodygcn import BodyGCN
from microgesture.systems.ctrgcn import CTRGCN
from microgesture.systems.mamba_mg import SkeletonMamba
from microgesture.systems.stgcn import STGCN
from microgesture.systems.stgcnpp import STGCNpp

SKELETON = SKELETONS["imigue22"]
SMALL = {"width": 12, "growth": (1, 2, 2, 3), "strides": (1, 2, 1, 2)}


def made(cls: Any, **options: Any) -> Any:
    """A small system whose batch norms and graphs are no longer what they start as."""
    torch.manual_seed(7)
    model = cls(SKELETON, IMIGUE, 40, 2, **options)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(-1.2, 1.2)
                module.bias.uniform_(-0.3, 0.3)
        for name, parameter in model.named_parameters():
            if name.endswith(("adjacency", "importance")):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


MODELS = {"stgcn": made(STGCN, **SMALL), "stgcnpp": made(STGCNpp, **SMALL)}


def poses(frames: int, streams: int = 1, persons: int = 2, seed: int = 0) -> PoseBatch:
    draw = torch.Generator().manual_seed(seed)
    xy = torch.randn(streams, persons, frames, 22, 2, generator=draw)
    return PoseBatch(xy, torch.rand(streams, persons, frames, 22, generator=draw))


def frame(batch: PoseBatch, t: int) -> PoseBatch:
    return PoseBatch(batch.xy[:, :, t : t + 1], batch.score[:, :, t : t + 1])


def outputs(model: Any, batch: PoseBatch, causal: bool) -> Tensor:
    """Offline: logits (B, T', K) of every output."""
    if causal:
        return CausalTwin(model).outputs(batch)
    x = model.trunk(batch.features(model.in_channels)).mean(-1).mean(1)
    logits: Tensor = model.classifier(x.transpose(1, 2))
    return logits


def streamed(net: ContinualNet, batch: PoseBatch) -> tuple[list[Tensor | None], list[Tensor]]:
    answers = [net.step(frame(batch, t)) for t in range(batch.xy.shape[2])]
    return answers, net.flush()


@pytest.mark.parametrize("key", MODELS)
@settings(max_examples=25)
@given(
    frames=st.integers(1, 70),
    pooled=st.none() | st.integers(1, 50),
    causal=st.booleans(),
    streams=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_every_frame_equals_the_network_over_the_whole_stream(
    key: str, frames: int, pooled: int | None, causal: bool, streams: int, seed: int
) -> None:
    model = MODELS[key]
    batch = poses(frames, streams, seed=seed)
    net = continual(model, pooled, causal=causal)
    assert net.stride == 4
    assert net.lookahead == (0 if causal else 4 + 4 + 2 * 4 + 2 * 4)
    with torch.no_grad():
        truth = outputs(model, batch, causal)
    answers, rest = streamed(net, batch)

    def expected(count: int) -> Tensor:
        first = 0 if pooled is None else max(0, count - -(-pooled // 4))
        return truth[:, first:count].mean(1)

    for t, answer in enumerate(answers):
        count = max(0, (t - net.lookahead) // 4 + 1)
        if count == 0:
            assert answer is None
        else:
            assert answer is not None
            torch.testing.assert_close(answer, expected(count), atol=1e-5, rtol=1e-5)
    missing = range(max(0, (frames - 1 - net.lookahead) // 4 + 1), truth.shape[1])
    assert len(rest) == len(missing)
    for count, answer in zip(missing, rest, strict=True):
        torch.testing.assert_close(answer, expected(count + 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("key", MODELS)
def test_the_end_of_a_clip_is_the_answer_for_the_clip(key: str) -> None:
    batch = poses(37, 3)
    model = MODELS[key]
    _, rest = streamed(continual(model), batch)
    torch.testing.assert_close(rest[-1], model(batch).detach(), atol=1e-5, rtol=1e-5)
    twin = CausalTwin(model)
    answers, rest = streamed(continual(model, causal=True), batch)
    assert not rest
    assert answers[-1] is not None
    torch.testing.assert_close(answers[-1], twin(batch).detach(), atol=1e-5, rtol=1e-5)
    loss = twin.losses(twin(batch), PoseBatch(batch.xy, batch.score, torch.zeros(3, dtype=torch.int64)))
    assert torch.isfinite(loss["class"])


@pytest.mark.parametrize("causal", [True, False])
def test_published_sizes(causal: bool) -> None:
    for cls in (STGCN, STGCNpp):
        model = made(cls)
        batch = poses(90, persons=1)
        net = continual(model, 60, causal=causal)
        assert (net.lookahead, net.pooled) == (0 if causal else 76, 15)
        answers, _ = streamed(net, batch)
        with torch.no_grad():
            truth = outputs(model, batch, causal)
        for t in (76, 83, 89):
            count = (t - net.lookahead) // 4 + 1
            answer = answers[t]
            assert answer is not None
            wanted = truth[:, max(0, count - 15) : count].mean(1)
            assert (answer - wanted).abs().max() <= 1e-5 * max(1.0, float(wanted.abs().max()))


@settings(max_examples=20)
@given(change=st.integers(0, 59), causal=st.booleans(), key=st.sampled_from(sorted(MODELS)))
def test_what_comes_later_changes_nothing(change: int, causal: bool, key: str) -> None:
    batch, other = poses(60), poses(60)
    other.xy[:, :, change:] += 1
    a, _ = streamed(continual(MODELS[key], 20, causal=causal), batch)
    b, _ = streamed(continual(MODELS[key], 20, causal=causal), other)
    for x, y in zip(a[:change], b[:change], strict=True):
        assert (x is None and y is None) or (x is not None and y is not None and torch.equal(x, y))


@settings(max_examples=15)
@given(frames=st.integers(1, 40), pooled=st.none() | st.integers(1, 12), seed=st.integers(0, 99))
def test_mamba(frames: int, pooled: int | None, seed: int) -> None:
    torch.manual_seed(0)
    model = SkeletonMamba(SKELETON, SMG, 40, 2, width=16, depth=2, state=4, both=False).eval()
    batch = poses(frames, 2, seed=seed)
    net = continual(model, pooled)
    assert net.lookahead == 0
    answers, rest = streamed(net, batch)
    assert not rest
    for t, answer in enumerate(answers):
        assert answer is not None
        with torch.no_grad():
            if pooled is None:
                wanted = model(PoseBatch(batch.xy[:, :, : t + 1], batch.score[:, :, : t + 1]))
            else:  # sums over all frames, subtracted: a mean over the last ones
                ends = [
                    model(PoseBatch(batch.xy[:, :, :n], batch.score[:, :, :n])) * n
                    for n in (t + 1, t + 1 - pooled)
                    if n > 0
                ]
                wanted = (ends[0] - (ends[1] if len(ends) > 1 else 0)) / min(pooled, t + 1)
        torch.testing.assert_close(answer, wanted, atol=1e-5, rtol=1e-4)


def test_begins_anew_and_lasts() -> None:
    net = continual(MODELS["stgcnpp"], 16, causal=True)
    batch = poses(32)
    first, _ = streamed(net, batch)
    again, _ = streamed(net, batch)
    assert all(x is not None and y is not None and torch.equal(x, y) for x, y in zip(first, again, strict=True))
    # nothing drifts: after thousands of other frames the same frames give the same answer again
    for _ in range(60):
        for t in range(32):
            net.step(frame(batch, t))
    late = [net.step(frame(batch, t)) for t in range(32)]
    once = [net.step(frame(batch, t)) for t in range(32)]
    assert late[-1] is not None
    assert once[-1] is not None
    torch.testing.assert_close(late[-1], once[-1], atol=1e-6, rtol=1e-6)


def test_a_frame_costs_far_less_than_a_window() -> None:
    model = MODELS["stgcn"]
    net, batch = continual(model, 60), poses(60)
    begun = time.process_time()
    for t in range(60):
        net.step(frame(batch, t))
    step = (time.process_time() - begun) / 60
    begun = time.process_time()
    with torch.inference_mode():
        for _ in range(5):
            model(batch)
    assert step < (time.process_time() - begun) / 5


def test_refusals() -> None:
    with pytest.raises(UsageError, match=r"call eval\(\) first"):
        continual(made(STGCN, **SMALL).train())
    with pytest.raises(UsageError, match="CTRGCN does not go frame by frame: its graphs are refined by the mean"):
        continual(CTRGCN(SKELETON, IMIGUE, 40, 2, **SMALL).eval())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="BodyGCN does not go frame by frame: it removes medians"):
        continual(BodyGCN(SKELETONS["canonical"], IMIGUE, 40, 1).eval())
    with pytest.raises(UsageError, match="Linear does not go frame by frame: only STGCN"):
        continual(nn.Linear(2, 2).eval())
    with pytest.raises(UsageError, match="both=False"):
        continual(SkeletonMamba(SKELETON, SMG, 40, 1, width=16, depth=1, both=True).eval())
    with pytest.raises(UsageError, match="pooled is 0"):
        continual(MODELS["stgcn"], 0)
    net = continual(MODELS["stgcn"])
    with pytest.raises(UsageError, match="a step takes one frame, the batch has 2"):
        net.step(poses(2))
    net.step(poses(1))
    with pytest.raises(UsageError, match=r"has shape \[3, 2, 1, 22, 2\], those before had \[1, 2, 1, 22, 2\]"):
        net.step(poses(1, 3))
    bad = poses(1)
    bad.xy[0, 0, 0, 3, 1] = torch.nan
    with pytest.raises(FormatError, match="not finite"):
        net.step(bad)
