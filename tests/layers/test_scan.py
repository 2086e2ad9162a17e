from __future__ import annotations

import math

import pytest
import torch
from tests.systems.golden import Golden
from torch import Tensor
from torch.nn.functional import silu, softplus

from microgesture.core.errors import UsageError
from microgesture.layers.scan import SPAN, Rule, Scan, discretise, read, recurrence, scan_step, selective_scan, states

FORMS: tuple[Scan, ...] = ("loop", "chunk", "assoc")


def factors(length: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    make = torch.Generator().manual_seed(seed)
    shape = (2, length, 3, 4)
    a = torch.exp(-torch.rand(shape, generator=make, dtype=torch.float64) * 2)
    b = torch.randn(shape, generator=make, dtype=torch.float64)
    return a.to(dtype), b.to(dtype)


def layer(length: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Inputs of a scan: 6 channels, 4 states."""
    make = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64).to(dtype)

    return {
        "x": normal(2, length, 6),
        "delta": softplus(normal(2, length, 6)),
        "A": -torch.exp(normal(6, 4)),
        "B": normal(2, length, 4),
        "C": normal(2, length, 4),
        "D": normal(6),
    }


@pytest.mark.parametrize("length", [1, 2, 3, 7, 16, 65, 785])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_forms_agree(length: int, reverse: bool) -> None:
    exact = recurrence(*factors(length), "loop", reverse=reverse)
    for form in FORMS:
        assert torch.allclose(recurrence(*factors(length), form, reverse=reverse), exact, rtol=0, atol=1e-10)
        single = recurrence(*factors(length, torch.float32), form, reverse=reverse)
        assert torch.allclose(single.double(), exact, rtol=1e-6, atol=1e-5)
    assert torch.equal(recurrence(*factors(length), reverse=reverse), exact)  # auto, on a CPU


def test_the_loop_is_the_definition() -> None:
    a, b = factors(9)
    h = torch.zeros_like(b[:, 0])
    for t, state in enumerate(recurrence(a, b, "loop").unbind(1)):
        h = a[:, t] * h + b[:, t]
        assert torch.allclose(state, h, rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 4, 5, 7])
def test_gradients(form: Scan, reverse: bool, length: int) -> None:
    a, b = (x[:1, :, :2, :2].clone().requires_grad_() for x in factors(length))
    assert torch.autograd.gradcheck(lambda a, b: recurrence(a, b, form, reverse=reverse), (a, b))


@pytest.mark.parametrize("rule", ["euler", "zoh"])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_the_whole_scan(rule: Rule, reverse: bool) -> None:
    start = torch.randn(2, 6, 4, dtype=torch.float64)
    inputs = [value.requires_grad_() for value in (*layer(5).values(), start)]

    def scan(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return selective_scan(*tensors[:-1], start=tensors[-1], reverse=reverse, scan="loop", rule=rule)

    assert torch.autograd.gradcheck(scan, inputs)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_gradients_of_the_forms_agree(dtype: torch.dtype, tolerance: float) -> None:
    gradients = []
    for form in FORMS:
        inputs = {name: value.requires_grad_() for name, value in layer(67, dtype=dtype).items()}
        y, last = selective_scan(**inputs, scan=form)
        (y.square().mean() + last.mean()).backward()
        gradients.append([value.grad for value in inputs.values()])
    for other in gradients[1:]:
        for ours, loop in zip(other, gradients[0], strict=True):
            assert ours is not None
            assert loop is not None
            assert (ours - loop).abs().max() <= tolerance * max(1, float(loop.abs().max()))


def test_long_sequences_do_not_underflow() -> None:
    """At 785 tokens of step 0.1 the product of all factors is 0 in float32; the states are right all the same."""
    a = torch.full((1, 785, 16), 1.0) * torch.exp(-0.1 * torch.arange(1.0, 17))
    assert a.prod(1).min() == 0
    for form in FORMS:
        h = recurrence(a, torch.ones_like(a), form)
        assert torch.allclose(h[:, -1], 1 / (1 - a[:, 0]), rtol=1e-5)


@pytest.mark.parametrize("length", [3, SPAN, SPAN + 1, 3 * SPAN - 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_spans_are_seamless(length: int, reverse: bool) -> None:
    inputs = layer(length)
    y, last = selective_scan(**inputs, reverse=reverse, scan="loop")
    h = states(*(inputs[k] for k in ("x", "delta", "A", "B")), reverse=reverse, scan="assoc")
    assert torch.allclose(y, read(h, inputs["C"]) + inputs["D"] * inputs["x"], rtol=0, atol=1e-10)
    assert torch.allclose(last, h[:, 0 if reverse else -1], rtol=0, atol=1e-10)


def test_a_sequence_in_two_parts() -> None:
    inputs = layer(20)
    y, last = selective_scan(**inputs)
    first = {k: v[:, :8] if v.ndim == 3 else v for k, v in inputs.items()}
    rest = {k: v[:, 8:] if v.ndim == 3 else v for k, v in inputs.items()}
    y1, h = selective_scan(**first)
    y2, h = selective_scan(**rest, start=h)
    assert torch.allclose(torch.cat((y1, y2), 1), y, rtol=0, atol=1e-12)
    assert torch.allclose(h, last, rtol=0, atol=1e-12)
    back, _ = selective_scan(**inputs, reverse=True)
    y2, h = selective_scan(**rest, reverse=True)
    y1, _ = selective_scan(**first, start=h, reverse=True)
    assert torch.allclose(torch.cat((y1, y2), 1), back, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["euler", "zoh"])
def test_steps_are_the_scan(rule: Rule) -> None:
    inputs = layer(11)
    y, last = selective_scan(**inputs, rule=rule)
    h = torch.zeros(2, 6, 4, dtype=torch.float64)
    for t in range(11):
        x, delta, B, C = (inputs[k][:, t] for k in ("x", "delta", "B", "C"))
        out, h = scan_step(x, delta, inputs["A"], B, C, inputs["D"], h, rule)
        assert torch.allclose(out, y[:, t], rtol=0, atol=1e-10)
    assert torch.allclose(h, last, rtol=0, atol=1e-10)


def test_the_future_changes_nothing() -> None:
    inputs = layer(12)
    before = states(*(inputs[k] for k in ("x", "delta", "A", "B")))
    for name in ("x", "delta", "B"):
        inputs[name] = torch.cat((inputs[name][:, :7], 1 + inputs[name][:, 7:].abs()), 1)
    after = states(*(inputs[k] for k in ("x", "delta", "A", "B")))
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


def constant(delta: float, length: int = 400) -> tuple[Tensor, Tensor, Tensor]:
    """States of a constant input 2 with B = 3 and A = -1..-4, and the factor and term of one step."""
    one = torch.ones(1, length, 1, dtype=torch.float64)
    A = -torch.arange(1.0, 5, dtype=torch.float64)[None]
    B = torch.full((1, length, 4), 3.0, dtype=torch.float64)
    a, b = discretise(2 * one, delta * one, A, B)
    return states(2 * one, delta * one, A, B), a[0, 0, 0], b[0, 0, 0]


def test_constant_input_settles() -> None:
    h, a, b = constant(0.1)
    assert torch.allclose(h[0, -1, 0], b / (1 - a), rtol=1e-12)


def test_small_steps_remember_and_large_steps_forget() -> None:
    h, _, _ = constant(1e-9)
    assert torch.allclose(h[:, 200], h[:, 199], rtol=0.01)
    h, a, b = constant(50.0)
    assert a.max() < 1e-20
    assert torch.allclose(h[0, 200, 0], b, rtol=1e-12)


def test_exact_and_euler_steps_differ_as_computed() -> None:
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    A = torch.tensor([[-1.0, -16.0]], dtype=torch.float64)
    B = torch.ones(1, 1, 2, dtype=torch.float64)
    (_, euler), (_, exact) = (discretise(one, 0.1 * one, A, B, rule) for rule in ("euler", "zoh"))
    expected = [(1 - math.exp(-0.1)) / 0.1, (1 - math.exp(-1.6)) / 1.6]
    assert (exact / euler).flatten().tolist() == pytest.approx(expected)
    assert expected == pytest.approx([0.952, 0.499], abs=1e-3)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("mamba_selective_scan")


def ours(golden: Golden, name: str) -> Tensor:
    """An official tensor in our order: tokens before channels."""
    x = golden.inputs[name]
    return x if x.ndim < 3 else x.movedim(-1, 1).contiguous()


@pytest.mark.parametrize("form", FORMS)
def test_reference_scan(golden: Golden, form: Scan) -> None:
    u, raw, A, B, C, D, z, bias = (ours(golden, n) for n in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias"))
    delta = softplus(raw + bias)
    y, last = selective_scan(u, delta, A, B, C, D, scan=form)
    golden.close(y.transpose(1, 2), "y_nogate")
    golden.close((y * silu(z)).transpose(1, 2), "y")
    golden.close(last, "last_state")
    y, last = selective_scan(u, softplus(raw), A, B, C, scan=form)
    golden.close(y.transpose(1, 2), "y_plain")
    golden.close(last, "state_plain")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind, stored", [("const", "y_constBC"), ("grouped", "y_grouped")])
def test_reference_scan_with_other_shapes(golden: Golden, form: Scan, kind: str, stored: str) -> None:
    u, raw, A, B, C, D, z, bias = (
        ours(golden, n) for n in ("u", "delta", "A", f"B_{kind}", f"C_{kind}", "D", "z", "delta_bias")
    )
    y, _ = selective_scan(u, softplus(raw + bias), A, B, C, D, scan=form)
    golden.close((y * silu(z)).transpose(1, 2), stored)


@pytest.mark.parametrize("form", FORMS)
def test_reference_gradients(golden: Golden, form: Scan) -> None:
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    tensors = {n: golden.inputs[n].clone().requires_grad_() for n in names}
    u, raw, A, B, C, D, z, bias = (t.movedim(-1, 1) if t.ndim == 3 else t for t in tensors.values())
    y = selective_scan(u, softplus(raw + bias), A, B, C, D, scan=form)[0] * silu(z)
    (y * torch.linspace(-1, 1, y.shape[1])[:, None]).sum().backward()
    for name, tensor in tensors.items():
        assert tensor.grad is not None
        golden.close(tensor.grad, f"grad/{name}")


def test_what_is_refused() -> None:
    a, b = factors(3)
    with pytest.raises(UsageError, match=r"scan is 'lopo'; there are auto, loop, chunk, assoc"):
        recurrence(a, b, "lopo")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"one shape \(B, L, ...\), not \[2, 3, 3, 4\] and \[2, 2, 3, 4\]"):
        recurrence(a, b[:, :2])
    inputs = layer(3)
    with pytest.raises(UsageError, match="the rule for B is 'exact'; there are euler and zoh"):
        selective_scan(**inputs, rule="exact")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs at least one token"):
        selective_scan(**{k: v[:, :0] if v.ndim == 3 else v for k, v in inputs.items()})


def test_memory_of_inference_does_not_grow_with_the_sequence() -> None:
    """64 tokens are states at a time: the largest tensor made is (1, 64, E, N) whatever the length."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                self.numbers = max(self.numbers, out.untyped_storage().nbytes() // out.element_size())
            return out

    inputs = {k: v.float() for k, v in layer(10 * SPAN).items()}
    with torch.no_grad(), Largest() as seen:
        selective_scan(**inputs)
    assert seen.numbers == 2 * 10 * SPAN * 6 == max(v.numel() for v in inputs.values())
