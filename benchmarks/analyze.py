"""How fast `analyze` is end to end, where the time goes, and how much memory it holds.

    python benchmarks/analyze.py interview.mp4                 # a recording of your own
    python benchmarks/analyze.py clip.gif --minutes 6          # a short clip, looped into a recording of 6 minutes
    python benchmarks/analyze.py clip.gif --minutes 6 60       # memory at two lengths: it must not grow

Each length runs in a process of its own. Run it on a quiet machine; `cpu` is what a busy one can tell.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AIM_FPS, AIM_SHARE, AIM_MB = 25.0, 0.20, 900


def looped(clip: Path, minutes: float, target: Path) -> Path:
    """The clip again and again, forwards and backwards so that it does not jump, as an mp4."""
    from microgesture.formats.video import VideoWriter, probe, read_frames

    info = probe(clip)
    images = [frame.image for frame in read_frames(clip)]
    cycle = images + images[-2:0:-1]
    with VideoWriter(target, info.fps, info.size) as video:
        for k in range(round(minutes * 60 * info.fps)):
            video.write(cycle[k % len(cycle)])
    return target


def peak_megabytes() -> float:
    """Largest resident memory of this process; the decoding child is not in it."""
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(recording: Path, model: str) -> dict[str, float]:
    """One analysis with report and skeleton video, in this process."""
    from microgesture.analysis.analyze import analyze
    from microgesture.report.html import write_report
    from microgesture.report.skeleton_video import write_skeleton_video

    begun, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = analyze(recording, folder, model=model)
        seconds = dict(result.seconds)
        for stage, write in (("report", write_report), ("skeleton video", write_skeleton_video)):
            now = time.perf_counter()
            write(result)
            seconds[stage] = time.perf_counter() - now
    wall = time.perf_counter() - begun
    frames = sum(q.frames for q in result.quality)
    return {
        "minutes": result.timeline.duration / 60,
        "frames": frames,
        "fps": frames / (wall - seconds["model"]),
        "beside pose": 1 - seconds["pose"] / (wall - seconds["model"]),
        "MB": peak_megabytes(),
        "wall": wall,
        "cpu": time.process_time() - cpu,
        "segments": len(result.timeline),
        **{f"s {stage}": value for stage, value in seconds.items()},
    }


def main() -> None:
    """Print one column per length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--minutes", type=float, nargs="*", default=[], help="loop the recording to these lengths")
    parser.add_argument("--model", default="base")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.recording, options.model)))
        return
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in options.minutes or [0.0]:
            source = options.recording
            if minutes:
                source = looped(source, minutes, Path(folder) / f"{minutes:g}.mp4")
            command = [sys.executable, __file__, str(source), "--here", "--model", options.model]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            columns.append(json.loads(done.stdout.splitlines()[-1]))
    for name in columns[0]:
        print(f"{name:16}" + "".join(f"{column[name]:12.2f}" for column in columns))
    print(f"aims: fps >= {AIM_FPS:g}, beside pose < {AIM_SHARE:g}, MB < {AIM_MB} at any length (within 5 %)")


if __name__ == "__main__":
    main()
