"""Against the SMG start kit: golden files smg_net_model1, smg_net_model2, smg_net_model4. What lies beneath is tested
in tests/layers/test_hmm.py and tests/layers/test_pose_differences.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.systems.golden import Golden, numbered
from torch import Tensor

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.layers.batch import WindowBatch
from microgesture.layers.official import load_official
from microgesture.systems.aed_bilstm import (
    AEDBiLSTM,
    AttentionNet,
    Perceptron,
    RecurrentNet,
    official_keys,
    official_layout,
)

KINECT, UPPER = SKELETONS["kinect25"], SKELETONS["upper12"]
# the golden networks read 9 numbers in 5 steps: one joint in space would have them without pairs; only sizes matter
GOLDEN = {"attention": "smg_net_model1", "perceptron": "smg_net_model2", "birnn": "smg_net_model4"}


def small(network: Any = "attention", **options: Any) -> AEDBiLSTM:
    torch.manual_seed(0)
    sizes = {"width": 16, "joints": ["nose", "neck", "r_wrist", "l_wrist"], "fps": 15.0} | options
    return AEDBiLSTM(UPPER, numbered(3), 128, 1, network=network, **sizes)


def window(frames: int = 128, batch: int = 2, seed: int = 0, gestures: int = 2) -> WindowBatch:
    """The right wrist moves in gestures of class 0, the left one in those of class 1."""
    rng = torch.Generator().manual_seed(seed)
    xy = torch.randn(12, 2, generator=rng).expand(batch, 1, frames, 12, 2).clone()
    xy += 0.02 * torch.randn(xy.shape, generator=rng)
    segments, classes = torch.zeros(batch, gestures, 2), torch.full((batch, gestures), -1)
    for b in range(batch):
        for g in range(gestures):
            start, end = (2 * g + 1) * frames // (2 * gestures + 1), (2 * g + 2) * frames // (2 * gestures + 1)
            label = (b + g) % 2
            segments[b, g], classes[b, g] = torch.tensor([start / frames, end / frames]), label
            joint = UPPER.index("r_wrist" if label == 0 else "l_wrist")
            phase = torch.linspace(0, torch.pi, end - start)
            xy[b, 0, start:end, joint] += 2 * torch.stack((phase.sin(), phase.cos()), -1)
    return WindowBatch(
        xy, torch.ones(batch, 1, frames, 12), valid=torch.ones(batch), segments=segments, classes=classes
    )


def load(network: str) -> tuple[Golden, AEDBiLSTM]:
    """A system round the golden network, and the network's own weights."""
    golden = Golden(GOLDEN[network])
    model = small(network, width=8)
    build = {"attention": AttentionNet, "perceptron": Perceptron, "birnn": RecurrentNet}[network]
    model.network = build(5, 9, 8, 21, *([] if network == "perceptron" else ["gru"]))
    load_official(model, official_layout(golden.state), official_keys(model))
    return golden, model.eval()


@pytest.mark.parametrize("network", GOLDEN)
def test_networks_are_those_of_the_start_kit(network: str) -> None:
    golden, model = load(network)
    x = golden.inputs["x"].view(6, 5, 9)
    seen: dict[str, Tensor] = {}
    for name, module in model.network.named_children():
        module.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y.detach()}))
    logits = model.network(x)
    golden.close(logits.sigmoid() if network == "attention" else logits.softmax(-1), "y")
    if network == "attention":
        golden.close(seen["first"], "layer01_Bidirectional")
        golden.close(seen["time"].softmax(-1), "layer04_Dense")
        golden.close(seen["second"], "layer07_Bidirectional")
        golden.close(seen["channel"].softmax(-1), "layer08_Dense")
        golden.close(seen["dense"].relu(), "layer10_Dense")
        golden.close(seen["bn"].view(6, 5, 4), "layer12_BatchNormalization")
    elif network == "birnn":
        golden.close(seen["second"], "layer02_Bidirectional")
        golden.close(seen["bn"], "layer04_BatchNormalization")
        golden.close(seen["dense"].sigmoid(), "layer05_Dense")
    else:
        golden.close(seen["second"].sigmoid(), "layer02_Dense")
        golden.close(seen["bn"], "layer04_BatchNormalization")


@pytest.mark.parametrize("network", GOLDEN)
def test_every_official_tensor_is_used_once(network: str) -> None:
    golden, model = load(network)
    keys = official_keys(model)
    used = [name for names in keys.values() for name in names]
    assert sorted(used) == sorted(official_layout(golden.state))
    assert set(keys) == set(model.state_dict())
    left = official_layout(golden.state)
    del left[next(name for name in left if name.endswith("Dense/bias"))]
    with pytest.raises(FormatError, match=r"1 tensors are missing: layer\d+_Dense/bias"):
        load_official(model, left, keys)


def test_released_networks_have_no_lstm() -> None:
    with pytest.raises(UsageError, match="the released networks have GRU cells; build the system with cell='gru'"):
        official_keys(small(cell="lstm"))


@pytest.mark.parametrize("network, features, count", [
    ("perceptron", "realtime", 9_730_086), ("attention", "realtime_reshaped", 67_131_116),
    ("attention", "moving_pose", 66_771_116), ("birnn", "realtime_reshaped", 122_835_086),
])  # fmt: skip
def test_published_parameters(network: Any, features: Any, count: int) -> None:
    with torch.device("meta"):
        sizes = {
            "perceptron": (1, 2775),
            "attention": (5, 555 if features != "moving_pose" else 525),
            "birnn": (5, 555),
        }
        build = {"attention": AttentionNet, "perceptron": Perceptron, "birnn": RecurrentNet}[network]
        net = build(*sizes[network], 2000, 86, *([] if network == "perceptron" else ["gru"]))
    assert sum(p.numel() for p in net.parameters()) == count
    small = AEDBiLSTM(KINECT, SMG, 512, 1, in_channels=4, network=network, inputs=features, width=2)
    assert small.features.shape == sizes[network]
    assert small.hmm.size == 86


def test_imigue_has_161_states() -> None:
    assert AEDBiLSTM(SKELETONS["imigue22"], IMIGUE, 512, 1, width=2).hmm.size == 161


@pytest.mark.parametrize("network", GOLDEN)
@pytest.mark.parametrize("features", ["moving_pose", "realtime", "realtime_reshaped"])
def test_every_network_reads_every_feature(network: str, features: str) -> None:
    model = small(network, inputs=features)
    out = model.train()(window())
    loss = model.losses(out, window())["state"]
    loss.backward()
    assert torch.isfinite(loss)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    model.eval()
    with torch.no_grad():
        out = model(window(97, 3))
    assert out.logits.shape == (3 * 97, 16)
    assert len(model.detections(out, window(97, 3))) == 3


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_window_is_learnt_by_heart_and_found_again(cell: Any) -> None:
    model = small(cell=cell, width=32, balance=0.5)
    batch = window(150, 2)
    model.observe([window(150, 1, seed=0), window(150, 1, seed=1)])
    model.network.bn.momentum = 0.1  # Keras averages over hundreds of steps
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        model.losses(model(batch), batch)["state"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = model.detections(model(batch), batch)
    for one, (segments, classes) in zip(found, batch.targets(), strict=True):
        assert one.label.tolist() == classes.tolist()
        assert abs(torch.from_numpy(one.start) - segments[:, 0]).max() < 0.05
        assert abs(torch.from_numpy(one.end) - segments[:, 1]).max() < 0.05
        assert (one.score > 0.5).all()
        assert (one.score <= 1).all()


def test_long_recordings_go_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small().eval()
    batch = window(90, 1)
    with torch.no_grad():
        whole = model(batch).logits
        monkeypatch.setattr("microgesture.systems.aed_bilstm._CHUNK", 7)
        rows = []
        model.network.register_forward_pre_hook(lambda _, x: rows.append(len(x[0])))
        pieces = model(batch).logits
    assert rows == [7] * 12 + [6]
    assert torch.allclose(whole, pieces, atol=1e-6)


def test_padding_changes_nothing() -> None:
    model = small(center=None).eval()
    batch = window(80, 1)
    padded = WindowBatch(
        torch.cat((batch.xy, torch.zeros(1, 1, 20, 12, 2)), 2),
        torch.cat((batch.score, torch.zeros(1, 1, 20, 12)), 2),
        valid=torch.tensor([0.8]), segments=batch.segments * 0.8, classes=batch.classes,
    )  # fmt: skip
    with torch.no_grad():
        plain, other = model(batch), model(padded)
        one, two = model.detections(plain, batch)[0], model.detections(other, padded)[0]
        assert torch.allclose(plain.logits, other.logits[:80], atol=1e-6)
        assert one.start.tolist() == pytest.approx((two.start / 0.8).tolist())
        assert one.end.tolist() == pytest.approx((two.end / 0.8).tolist())
        assert one.label.tolist() == two.label.tolist()
        losses = [model.losses(o, b)["state"].item() for o, b in ((plain, batch), (other, padded))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_no_gesture_and_one_frame() -> None:
    for network in GOLDEN:
        for batch in (window(50, 1, gestures=0), window(1, 1, gestures=0)):
            model = small(network).train()
            assert torch.isfinite(model.losses(model(batch), batch)["state"])
            model.eval()
            assert len(model.detections(model(batch), batch)) == 1


def test_windows_without_annotation_are_searched() -> None:
    batch = window(40, 1)
    bare = WindowBatch(batch.xy, batch.score, valid=batch.valid)
    model = small()
    assert model.train()(bare).logits.shape == (40, 16)
    assert len(model.eval().detections(model(bare), bare)) == 1
    with pytest.raises(UsageError, match="the windows carry no gestures to learn from"):
        model.losses(model(bare), bare)


def test_nobody_in_sight_gives_no_nan() -> None:
    model, batch = small().eval(), window(40, 1)
    model.observe([batch])
    nobody = WindowBatch(0 * batch.xy, 0 * batch.score, valid=batch.valid)
    assert torch.isfinite(model(nobody).logits).all()


def test_released_sigmoid_is_divided_by_its_sum() -> None:
    model, batch = small(compat="official").eval(), window(60, 1)
    out = model(batch)
    p = out.logits.sigmoid()
    assert torch.equal(model.posterior(out.logits), p)
    target = model.hmm.targets(batch).flatten()
    by_hand = -(p / p.sum(-1, keepdim=True)).gather(1, target[:, None])[:, 0].log()
    weight = torch.where(target == 15, out.background, 1.0)
    assert model.losses(out, batch)["state"].item() == pytest.approx(
        (by_hand * weight).sum().item() / weight.sum().item()
    )
    assert small("perceptron", compat="official").posterior(out.logits).sum(-1).detach().numpy() == pytest.approx(1)


def test_official_decoding_differs() -> None:
    """A gesture of ten frames is one for us and none for the released code."""
    logits = torch.full((60, 16), -9.0)
    batch = window(60, 1, gestures=1)
    batch.segments[0, 0] = torch.tensor([20 / 60, 30 / 60])
    ours, official = small(transitions="released"), small(transitions="released", compat="official")
    logits[torch.arange(60), ours.hmm.targets(batch)[0]] = 9.0
    counts = [len(m.hmm.detections(logits.softmax(-1).view(1, 60, 16), batch)[0]) for m in (ours, official)]
    assert counts == [1, 0]


def test_state_goes_along_with_the_weights() -> None:
    model = small()
    model.observe([window(150, 1)])
    fresh = small()
    fresh.load_state_dict(model.state_dict())
    batch = window(70, 1)
    assert torch.equal(model.eval()(batch).logits, fresh.eval()(batch).logits)
    one, two = (m.detections(m(batch), batch)[0] for m in (model, fresh))
    assert one.start.tolist() == two.start.tolist()


def test_wrong_names() -> None:
    with pytest.raises(UsageError, match="network 'lstm' is unknown; choose 'attention', 'perceptron' or 'birnn'"):
        small("lstm")
    with pytest.raises(UsageError, match="cell 'rnn' is unknown; choose 'gru' or 'lstm'"):
        small(cell="rnn")
