"""What the recognisers cost, beside PYSKL's: parameters, multiply-adds, time and memory per clip, and what helps.

    python benchmarks/recognizers.py --quick --out docs/results/speed.md
    python benchmarks/recognizers.py --only stgcnpp

Prints a Markdown table with commit and machine. Times are CPU time of one thread per clip, the least of several rounds,
since a busy machine only ever adds time; what stands beside PYSKL's two-thread figures is wall time of two threads and
needs a quiet machine. Clips have 2 persons, 100 frames and 17 joints, or 48 frames drawn on 56 x 56
pixels, or 32 frames and 8 pictures of 256 x 256; published widths, new weights. Every system has a process of its own,
so that its peak memory is its own. `--quick` takes one round after the warm-up and leaves out torch.compile and the
systems that read pictures.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from conditions import commit, machine
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from microgesture.core.durable import write_text
from microgesture.core.errors import MicrogestureError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.layers.batch import PoseBatch, VideoBatch
from microgesture.learning.checkpoint import Facts, save_pretrained
from microgesture.learning.export import export_model
from microgesture.learning.quantise import quantised
from microgesture.systems.catalogue import SYSTEMS, system

# kennymckormick/pyskl at 3f6795f2, torch 2.13.0, same shapes, measured on 2026-11-20 on 2 cores of an x86-64 with
# AVX-512: forward in CPU time on one thread; forward and backward in wall time on two threads of a quiet machine
PYSKL_FORWARD = {"stgcn": 68, "stgcnpp": 73, "ctrgcn": 61, "posec3d": 745}
PYSKL_BOTH_TWO_THREADS = {"stgcn": 98, "stgcnpp": 128, "ctrgcn": 112, "posec3d": 1289}
MODES = ("channels-last", "bf16", "bf16 .pt2", "compile", "onnx", "onnx int8", "openvino", "openvino int8")
LONG = 15_000.0  # ms; longer ones are run once
FACTS = ("skeleton", "taxonomy", "frames", "persons")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="KEY", action="append", help="a system of the catalogue, repeatable")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, help="5, or 1 if quick; besides a warm-up")
    parser.add_argument("--modes", help=f"with commas between them: {', '.join(MODES)}")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--measure", metavar="MODULE:CLASS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    rounds = given.rounds or (1 if given.quick else 5)
    modes = given.modes.split(",") if given.modes else [m for m in MODES if not (given.quick and m == "compile")]
    if wrong := set(modes) - set(MODES):
        parser.error(f"no mode {', '.join(wrong)}; there are {', '.join(MODES)}")
    if given.measure:
        print(json.dumps(measure(given.measure, rounds, modes)))
        return
    before, rows = os.getloadavg()[0], []
    for key in given.only or SYSTEMS:
        info = system(key)
        if info.task != "recognise" or info.status != "available":
            continue
        for cls in recognisers(info.module):
            if given.quick and not given.only and pictures(cls):
                continue
            print(f"{key} {cls.__name__}", file=sys.stderr, flush=True)
            rows.append({"key": key, "name": cls.__name__} | in_a_child(cls, rounds, modes))
            if given.out:  # at once, since the whole table takes long
                write_text(given.out, page(rows, rounds, modes, before))
    print(page(rows, rounds, modes, before))


def recognisers(module: str) -> Iterator[type[nn.Module]]:
    """The systems of a file: what is built from the facts of the data."""
    for cls in vars(importlib.import_module(module)).values():
        own = inspect.isclass(cls) and issubclass(cls, nn.Module) and cls.__module__ == module
        if own and tuple(inspect.signature(cls).parameters)[:4] == FACTS:
            yield cls


def pictures(cls: type[nn.Module]) -> bool:
    """Whether a system reads pictures."""
    reads = typing.get_type_hints(cls.forward).get("batch")
    return reads is VideoBatch or "skeleton" not in system(cls.__module__.rpartition(".")[2]).modalities


def in_a_child(cls: type[nn.Module], rounds: int, modes: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", f"{cls.__module__}:{cls.__name__}"]
    command += ["--rounds", str(rounds), "--modes", ",".join(modes)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return {"problem": last[:200]}
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(place: str, rounds: int, modes: Sequence[str]) -> dict[str, Any]:
    """One system, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module, _, name = place.partition(":")
    cls = getattr(importlib.import_module(module), name)
    facts, batch, arguments = inputs(cls)
    clips = len(batch)
    empty = resident()
    model = cls(**facts.arguments(cls), **arguments)
    model.requires_grad_(False)  # the counter stumbles over parameters that are handed from module to module
    with FlopCounterMode(display=False) as counter:
        model.eval()(first(batch))
    model.requires_grad_(True)
    row: dict[str, Any] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": counter.get_total_flops() / 2,
        "input": f"{facts.persons} x {facts.frames} x {len(facts.skeleton)}, batch {clips}",
    }
    row["forward"] = least(lambda: infer(model, batch), rounds) / clips
    row["forward_mb"] = resident() - empty
    row["both"] = least(lambda: learn(model, batch), rounds) / clips
    row["both_mb"] = resident() - empty
    torch.set_num_threads(2)
    row["both_wall"] = least(lambda: learn(model, batch), rounds, time.perf_counter) / clips
    torch.set_num_threads(1)
    model.zero_grad()
    row["problems"] = {}
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(folder, model, facts, arguments)
        for mode in modes:
            try:
                row[mode] = least(ready(mode, model, batch, Path(folder)), rounds) / clips
            except (MicrogestureError, ImportError, RuntimeError) as error:
                row["problems"][mode] = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return row


def inputs(cls: type[nn.Module]) -> tuple[Facts, PoseBatch, dict[str, Any]]:
    """Facts, random clips and arguments of the published shape."""
    named = inspect.signature(cls).parameters
    skeleton, persons, frames, clips = SKELETONS["coco17"], 2, 100, 8
    arguments: dict[str, Any] = {}
    if cls.__name__ == "BodyGCN":
        skeleton, persons, frames = SKELETONS["canonical"], 1, 48
    elif pictures(cls):
        frames, clips = 32, 1
    elif "size" in named:
        frames, arguments = 48, {"size": 56}
    shape = (clips, persons, frames, len(skeleton))
    xy, score, label = torch.randn(*shape, 2), torch.rand(shape), torch.arange(clips)
    facts = Facts(skeleton, (IMIGUE,), frames, persons, 3, 30.0)
    if not pictures(cls):
        return facts, PoseBatch(xy, score, label), arguments
    rgb = torch.randint(0, 256, (clips, frames // 4, 256, 256, 3), dtype=torch.uint8)
    where = {"origin": torch.full((clips, persons, 2), 128.0), "scale": torch.full((clips, persons), 40.0)}
    return facts, VideoBatch(xy, score, label, rgb=rgb, **where), arguments


def first(batch: PoseBatch) -> PoseBatch:
    """The batch cut to its first clip."""
    return type(batch)(**{name: value[:1] for name, value in vars(batch).items() if value is not None})


def ready(mode: str, model: nn.Module, batch: PoseBatch, folder: Path) -> Callable[[], object]:
    """A forward pass in another way of running; `folder` holds the saved model."""
    if mode == "bf16":

        def low() -> None:
            with torch.autocast("cpu", torch.bfloat16):
                infer(model, batch)

        return low
    if mode == "channels-last":
        for value in model.parameters():
            if value.ndim in (4, 5):
                layout = torch.channels_last if value.ndim == 4 else torch.channels_last_3d
                value.data = value.data.contiguous(memory_format=layout)
        return lambda: infer(model, batch)
    if mode == "compile":
        compiled = torch.compile(model.eval())
        return lambda: infer(compiled, batch)
    if mode == "bf16 .pt2":
        exported = export_model(folder, out=folder / "model.pt2", precision="bf16")
        program = torch.export.load(exported.path).module()

        def run_program() -> None:
            with torch.inference_mode():
                program(batch.xy, batch.score)

        return run_program
    path = folder / "model.onnx"
    if not path.exists():
        export_model(folder, out=path)
    feed = {"xy": batch.xy.numpy(), "score": batch.score.numpy()}
    if mode.endswith("int8"):
        import onnx

        # speed alone: random weights and clips say nothing of how well a system bears 8 bits
        low, ranges = folder / "int8.onnx", [(feed["xy"][i : i + 2], feed["score"][i : i + 2]) for i in (0, 2)]
        if not low.exists():
            low.write_bytes(quantised(onnx.load(path), ranges).SerializeToString())
        path = low
    if mode.startswith("onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, feed)
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(str(path), "CPU", hints)
    return lambda: compiled(feed)


def infer(model: nn.Module, batch: PoseBatch) -> None:
    with torch.inference_mode():
        model.eval()(batch)


def learn(model: nn.Module, batch: PoseBatch) -> None:
    model.zero_grad()
    losses = model.train().losses(model(batch), batch)  # type: ignore[operator]
    torch.stack(list(losses.values())).sum().backward()


def least(work: Callable[[], object], rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """Milliseconds of the fastest round; the first one warms up and is enough where it takes long."""
    times: list[float] = []
    while len(times) <= rounds and (not times or times[0] < LONG):
        start = clock()
        work()
        times.append(1000 * (clock() - start))
    return min(times)


def resident() -> float:
    """MiB this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def page(rows: Sequence[dict[str, Any]], rounds: int, modes: Sequence[str], load: float) -> str:
    """The table, and how it came about."""
    columns = ["system", "clip", "parameters", "MMACs", "forward ms", "of PYSKL's", "forward + backward ms"]
    columns += ["two threads, wall ms", "of PYSKL's (*)", "peak MiB forward", "peak MiB both", *modes]
    lines = [
        "# Speed of the recognisers",
        "",
        f"Made by `{' '.join(['python', *sys.argv])}` at commit {commit()}, {', '.join(versions())}, {machine()}; "
        f"load average {load:.1f} at the start and {os.getloadavg()[0]:.1f} at the end.",
        "",
        f"CPU time of one thread per clip, the least of {rounds + 1} rounds, "
        f"of one where it takes over {LONG / 1000:.0f} s for the batch. A clip is persons x frames x joints. The "
        "last columns say what share of the eager forward time another way of running takes: below 1 it is faster. "
        "Memory is what the process holds at most beyond the libraries, for the whole batch, weights included.",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
    ]
    notes = []
    for row in rows:
        if "problem" in row:
            lines.append(f"| {row['name']} |{' |' * (len(columns) - 1)}")
            notes.append(f"{row['name']} could not be measured: {row['problem']}")
            continue
        published = row["key"] in PYSKL_FORWARD
        ratio = f"{row['forward'] / PYSKL_FORWARD[row['key']]:.2f}" if published else ""
        both = f"{row['both_wall'] / PYSKL_BOTH_TWO_THREADS[row['key']]:.2f}" if published else ""
        cells = [row["name"], row["input"], f"{row['parameters']:,}", f"{row['macs'] / 1e6:,.0f}"]
        cells += [f"{row['forward']:.1f}", ratio, f"{row['both']:.1f}", f"{row['both_wall']:.1f}", both]
        cells += [f"{row['forward_mb']:.0f}", f"{row['both_mb']:.0f}"]
        cells += [f"{row[mode] / row['forward']:.2f}" if mode in row else "" for mode in modes]
        lines.append(f"| {' | '.join(cells)} |")
        notes += [f"{row['name']}, {mode}: {why}" for mode, why in row["problems"].items()]
    lines += [
        "",
        "(*) Wall time of two threads, as PYSKL's was taken on a quiet machine: a load on this one counts against us. "
        "PYSKL's figures (commit 3f6795f2, torch 2.13.0, same shapes, 2026-11-20): forward "
        f"{figures(PYSKL_FORWARD)}; forward and backward "
        f"{figures(PYSKL_BOTH_TWO_THREADS)} ms per clip. Its PoseConv3D was given heatmaps, ours "
        "draws them within the measured time.",
        "",
        "Multiply-adds are those of matrix products and convolutions.",
        *(f"\n{note}" for note in notes),
    ]
    return "\n".join(lines) + "\n"


def figures(milliseconds: dict[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in milliseconds.items())


def versions() -> Iterator[str]:
    for name in ("torch", "onnxruntime", "openvino"):
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


if __name__ == "__main__":
    main()
