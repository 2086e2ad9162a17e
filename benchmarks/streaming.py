"""What a frame costs in a stream: continual inference beside the sliding window, poses to events, memory.

    python benchmarks/streaming.py --out docs/results/streaming.md
    python benchmarks/streaming.py --parts memory --frames 10000

Prints Markdown with commit and machine. All on one thread; times are CPU time of this process, since a busy machine
only ever adds time. The window and the step of one network take turns within one run, and the least of the rounds
counts for both. Published widths, new weights: they do not change the cost. The streams are simulated recordings.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from conditions import commit, cpu_ms, machine

from microgesture.core.durable import write_text
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.core.track import PoseTrack
from microgesture.layers.batch import PoseBatch
from microgesture.learning.checkpoint import Facts, Saved, from_pretrained
from microgesture.simulation.recording import simulate_recording
from microgesture.streaming.continual import CausalTwin, continual
from microgesture.streaming.session import Frame, Stream
from microgesture.systems.stgcn import STGCN
from microgesture.systems.stgcnpp import STGCNpp

SKELETON = SKELETONS["imigue22"]
FPS = 30.0
SYSTEMS = {"ST-GCN": STGCN, "ST-GCN++": STGCNpp}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--windows", default="60,100,300", help="frames, with commas between them")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the stream whose frames are timed")
    parser.add_argument("--frames", type=int, default=1_000_000, help="of the stream whose memory is watched")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# Streaming",
        "",
        f"`python benchmarks/streaming.py`, commit {commit()}, {machine()}, one thread, torch {torch.__version__}.",
    ]
    for part in options.parts:
        lines.append("")
        for line in PARTS[part](options):
            print(line, flush=True)
            lines.append(line)
    if options.out:
        write_text(options.out, "\n".join(lines) + "\n")


def step(options: argparse.Namespace) -> Iterator[str]:
    yield "## A new frame: one step beside a whole window"
    yield ""
    yield (
        "| network | form | window, frames | look-ahead, frames | window, ms | step, ms | ratio | largest difference |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, cls in SYSTEMS.items():
        for frames in map(int, options.windows.split(",")):
            for causal in (False, True):
                yield compared(name, cls, frames, causal, options.rounds)
    yield ""
    yield (
        "The difference is that of all logits to those of the same network put over the whole stream at once, the mean "
        "over the same outputs; it is measured over one and a half windows."
    )


def events(options: argparse.Namespace) -> Iterator[str]:
    yield "## Poses to events"
    yield ""
    yield (
        "Time of `Stream.step`: checks, layout, rate, normalisation, network, decoding. Of the rounds over the same "
        "stream the least counts for each frame."
    )
    yield ""
    yield "| model | frames | median, ms | 99 %, ms | most, ms | gesture known after its end, s at most |"
    yield "|---|---|---|---|---|---|"
    track = recording(options)
    models = {"base (windows of 40 frames, each also mirrored)": from_pretrained("base")}
    models |= {f"{name}, causal": untrained(cls) for name, cls in SYSTEMS.items()}
    for name, model in models.items():
        yield timed(name, model, track, options.rounds)


def memory(options: argparse.Namespace) -> Iterator[str]:
    yield "## Memory"
    yield ""
    yield from watched(untrained(STGCN, width=8), recording(options), options.frames)


PARTS = {"step": step, "events": events, "memory": memory}


def recording(options: argparse.Namespace) -> PoseTrack:
    return simulate_recording("imigue", options.seconds / 60, 0, fps=FPS).track


def compared(name: str, cls: type, frames: int, causal: bool, rounds: int) -> str:
    torch.manual_seed(0)
    model = cls(SKELETON, IMIGUE, frames, 1).eval()
    whole = CausalTwin(model) if causal else model
    length = frames + frames // 2 + 80
    stream = PoseBatch(torch.randn(1, 1, length, 22, 2), torch.rand(1, 1, length, 22))
    window = PoseBatch(stream.xy[:, :, :frames], stream.score[:, :, :frames])
    steps = [PoseBatch(stream.xy[:, :, t : t + 1], stream.score[:, :, t : t + 1]) for t in range(length)]
    net = continual(model, frames, causal=causal)
    answers = [net.step(step) for step in steps]
    with torch.inference_mode():
        if causal:
            out = CausalTwin(model).outputs(stream)[0]
        else:
            x = model.trunk(stream.features(3)).mean(-1).mean(1)
            out = model.classifier(x.transpose(1, 2))[0]
        worst = 0.0
        for t in range(net.lookahead, length):
            count = (t - net.lookahead) // net.stride + 1
            answer, wanted = answers[t], out[max(0, count - (net.pooled or count)) : count].mean(0)
            assert answer is not None
            worst = max(worst, float((answer[0] - wanted).abs().max()))
        windows, stepped = [], []
        for _ in range(rounds + 1):  # the first warms up
            windows.append(cpu_ms(lambda: whole(window)))
            stepped.append(cpu_ms(lambda: [net.step(step) for step in steps[:frames]]) / frames)
    a, b = min(windows[1:]), min(stepped[1:])
    form = "causal" if causal else "as trained"
    return f"| {name} | {form} | {frames} | {net.lookahead} | {a:.1f} | {b:.2f} | {a / b:.0f} | {worst:.1e} |"


def untrained(cls: type, **options: int) -> Saved:
    torch.manual_seed(0)
    facts = Facts(SKELETON, (IMIGUE,), 100, 1, 3, FPS)
    return Saved(cls(SKELETON, IMIGUE, 100, 1, **options).eval(), facts, {}, Path("untrained"))


def timed(name: str, model: Saved, track: PoseTrack, rounds: int) -> str:
    causal = {} if "serves" in model.config else {"causal": True}
    stream = Stream(model, IMIGUE, skeleton=track.skeleton, **causal)  # type: ignore[arg-type]
    frames = [Frame(*row) for row in zip(track.times.tolist(), track.xy, track.score, strict=True)]
    cost = []
    for _ in range(rounds):  # the same work for each frame in every round
        cost.append([cpu_ms(lambda frame=frame: stream.step(frame)) for frame in frames])  # type: ignore[misc]
        stream.close()
    late = np.min(cost, 0)[30:]
    figures = f"{np.median(late):.2f} | {np.percentile(late, 99):.2f} | {late.max():.2f}"
    return f"| {name} | {len(late)} | {figures} | {stream.lookahead:.1f} |"


def watched(model: Saved, track: PoseTrack, frames: int) -> Iterator[str]:
    stream = Stream(model, IMIGUE, skeleton=track.skeleton, causal=True)
    begun = time.process_time()
    yield "| frames | resident, MB |"
    yield "|---|---|"
    for t in range(frames):
        i = t % len(track)
        stream.step(Frame(t / FPS, track.xy[i], track.score[i]))
        if t + 1 in (frames // 100, frames // 10, frames // 4, frames // 2, frames):
            yield f"| {t + 1:,} | {resident():.1f} |"
    stream.close()
    each = 1000 * (time.process_time() - begun) / frames
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield ""
    yield f"A narrow ST-GCN, {each:.2f} ms per frame; the process held {peak:.0f} MB at most."


def resident() -> float:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
