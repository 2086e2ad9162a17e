"""Recordings for the spotting tests: a wrist that waves sideways or up and down now and then; learnable in seconds."""

from __future__ import annotations

import numpy as np
from tests.learning.toy import Toy

from microgesture.core.segment import Segment, Timeline
from microgesture.core.track import PoseTrack
from microgesture.datasets.recordings import LabelledRecording
from microgesture.datasets.windows import Features, Floats

FPS = 10.0


class ToyRecordings:
    """Three recordings of a minute in each split, one person each; `without_val` drops the split val."""

    key = "toy_recordings"
    skeleton, taxonomy, persons, coordinates, fps = Toy.skeleton, Toy.taxonomy, 1, 2, FPS

    def __init__(self, recordings: int = 3, without_val: bool = False) -> None:
        self.count = recordings
        self.splits = ("train", "test") if without_val else ("train", "val", "test")

    def recordings(self, split: str) -> list[LabelledRecording]:
        return [self._one(f"{split}{i}", 100 * len(split) + i) for i in range(self.count)]

    def _one(self, name: str, seed: int) -> LabelledRecording:
        draw = np.random.default_rng(seed)
        xy = np.full((600, 22, 2), 300.0)
        xy[:, 2], xy[:, 5], xy[:, 1] = (250, 200), (350, 200), (300, 200)
        segments = []
        for start in range(30, 540, 60):
            begin, label = start + int(draw.integers(0, 20)), int(draw.integers(0, 2))
            length = int(draw.integers(15, 35))
            wave = 60 * np.sin(np.arange(length) * 1.2)[:, None] * [(1, 0), (0, 1)][label]
            xy[begin : begin + length, 4] += wave
            segments.append(Segment(begin / FPS, (begin + length) / FPS, label))
        xy += draw.normal(0, 1, xy.shape)
        track = PoseTrack(xy.astype(np.float32), np.ones((600, 22), np.float32), FPS, (640, 480), self.skeleton)
        return LabelledRecording(name, track, Timeline(tuple(segments), self.taxonomy, 60.0), seed)


class Speeds(Features):
    """How fast the wrist moves sideways and up and down, in steps of two frames."""

    def __init__(self, stride: int = 2) -> None:
        self.stride = stride

    @property
    def width(self) -> int:
        return 2

    def of(self, track: PoseTrack, name: str) -> Floats:
        moved = np.abs(np.diff(track.xy[:, 4], axis=0, prepend=track.xy[:1, 4])) / 60
        steps = -(-len(track) // self.stride)
        padded = np.pad(moved, ((0, steps * self.stride - len(track)), (0, 0)))
        return padded.reshape(steps, self.stride, 2).mean(1).T.astype(np.float32)
