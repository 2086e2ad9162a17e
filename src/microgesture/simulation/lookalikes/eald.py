"""EALD's look-alike, in the layout of `datasets.eald`: interviews with body language, an emotion each, poses beside.

A person who is tense for more than half of the time has lost: negative.
"""

from __future__ import annotations

import io
import wave
from pathlib import Path

from microgesture.core.durable import make_folder, write_bytes
from microgesture.datasets.folder import every_fifth
from microgesture.formats.pose_npz import write_npz
from microgesture.formats.safe_csv import write_table
from microgesture.simulation.lookalikes.write import Progress, Size, film, seeds
from microgesture.simulation.recording import Recording, simulate_recording

FPS = 25.0


def write(folder: Path, size: Size, seed: int, progress: Progress) -> None:
    """Write the look-alike; see `write_lookalike`."""
    numbers, names = seeds(seed), [f"interview_{i:03}" for i in range(size.recordings)]
    splits = every_fifth(names)
    rows = []
    for done, name in enumerate(names, 1):
        made = simulate_recording("imigue", size.minutes, next(numbers), fps=FPS, split=splits[name])
        table = [(f"{s.start:.3f}", f"{s.end:.3f}", made.timeline.taxonomy[s.label].name) for s in made.timeline]
        write_table(make_folder(folder / "nfbl") / f"{name}.csv", ("start", "end", "class"), table)
        write_npz(make_folder(folder / "poses") / f"{name}.npz", [made.track])
        if size.films:
            film(make_folder(folder / "videos") / f"{name}.mp4", made.track)
            write_bytes(make_folder(folder / "audio") / f"{name}.wav", silence(made.timeline.duration))
        rows.append((name, emotion(made)))
        progress("recordings", done, size.recordings)
    write_table(folder / "labels.csv", ("video", "emotion"), rows)


def emotion(made: Recording) -> str:
    """The emotion of a whole recording."""
    tense = sum(end - start for start, end, name in made.states if name == "tense")
    return "negative" if tense > made.timeline.duration / 2 else "positive"


def silence(seconds: float, rate: int = 8000) -> bytes:
    """A voice track in which nobody speaks, as WAV."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(b"\x80" * round(seconds * rate))
    return stream.getvalue()
