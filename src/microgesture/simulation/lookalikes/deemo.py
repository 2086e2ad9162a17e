"""DEEMO's look-alike, in the layout of `datasets.deemo`: two clips of every video, words and clues made up by rule."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from microgesture.core.durable import make_folder, write_bytes
from microgesture.datasets.folder import every_fifth
from microgesture.formats.pose_npz import write_npz
from microgesture.formats.safe_json import write_json
from microgesture.simulation.lookalikes.eald import FPS, emotion, silence
from microgesture.simulation.lookalikes.write import Progress, Size, film, seeds
from microgesture.simulation.recording import simulate_recording

WORDS = {
    "positive": "I felt well from the first ball on, and the crowd carried me.",
    "negative": "I had my chances and did not take them. That is hard.",
}


def write(folder: Path, size: Size, seed: int, progress: Progress) -> None:
    """Write the look-alike; see `write_lookalike`."""
    numbers, videos = seeds(seed), [f"videos/{i:04}.mp4" for i in range(size.recordings)]
    splits = every_fifth(videos)
    records = []
    for done, video in enumerate(videos, 1):
        made = simulate_recording("imigue", size.minutes, next(numbers), fps=FPS, split=splits[video])
        stem, label, line = Path(video).stem, emotion(made), made.timeline
        write_npz(make_folder(folder / "poses") / f"{stem}.npz", [made.track])
        if size.films:
            film(make_folder(folder / "videos") / f"{stem}.mp4", made.track)
            write_bytes(make_folder(folder / "audio") / f"{stem}.wav", silence(line.duration))
        for half in (0, 1):
            start, end = line.duration * half / 2, line.duration * (half + 1) / 2
            shown = [s for s in line if start <= s.start < end]
            often = Counter(line.taxonomy[s.label].name for s in shown)
            records.append(
                {
                    "id": f"{stem}_{half}",
                    "video": video,
                    "audio": f"audio/{stem}.wav",
                    "text": WORDS[label],
                    "start": round(start, 3),
                    "end": round(end, 3),
                    "nfbl": [
                        {"start": round(s.start, 3), "end": round(s.end, 3), "label": line.taxonomy[s.label].name}
                        for s in shown
                    ],
                    "label": label,
                    "clues": [f"{name}, {n} times" if n > 1 else name for name, n in often.items()],
                }
            )
        progress("recordings", done, size.recordings)
    write_json(folder / "records.json", records)
