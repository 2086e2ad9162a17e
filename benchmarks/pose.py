"""What finding people costs, and what is found: Holistic against Pose, Hands and FaceMesh run separately.

    python benchmarks/pose.py VIDEO [VIDEO ...]

Every row is one detector over the frames of the video, there and back until at least 200 frames are done. Hands are
hands per frame. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import mediapipe as mp
import numpy as np

from microgesture.formats.video import read_frames
from microgesture.pose.assemble import CANONICAL
from microgesture.pose.mediapipe import MediaPipeDetector

FRAMES = 200
TIPS = [CANONICAL.index(f"{side}_middle_tip") for side in "rl"]


def rate(name: str, read: Callable[[Any], int], images: list[Any]) -> None:
    """Print frames per second, CPU time and hands per frame of one way to read images."""
    for image in images[:20]:
        read(image)
    hands, cpu, wall = 0, time.process_time(), time.perf_counter()
    for image in images:
        hands += read(image)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"  {name:34} {len(images) / wall:7.1f} fps {1e3 * cpu / len(images):7.1f} ms CPU/frame", end="")
    print(f" {hands / len(images):6.2f} hands", flush=True)


def loop(path: Path, side: int) -> list[Any]:
    """The frames with their longest side at most `side`, there and back, at least `FRAMES` of them."""
    images: list[Any] = [frame.image for frame in read_frames(path)]
    factor = min(1.0, side / max(images[0].shape))
    if factor < 1:
        images = [cv2.resize(i, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for i in images]
    return (images + images[::-1]) * (1 + FRAMES // (2 * len(images)))


def both(result: Any) -> int:
    return (result.left_hand_landmarks is not None) + (result.right_hand_landmarks is not None)


def measure(path: Path) -> None:
    images = loop(path, MediaPipeDetector.side)
    height, width = images[0].shape[:2]
    print(f"{path.name} ({width} x {height})")
    parts = mp.solutions
    with ExitStack() as stack:
        pose = stack.enter_context(parts.pose.Pose(model_complexity=1))
        hands = stack.enter_context(
            parts.hands.Hands(max_num_hands=2, min_detection_confidence=0.3, min_tracking_confidence=0.3)
        )
        face = stack.enter_context(parts.face_mesh.FaceMesh())

        def found(image: Any) -> int:
            return len(hands.process(image).multi_hand_landmarks or ())

        def one_after_another(image: Any) -> int:
            pose.process(image), face.process(image)
            return found(image)

        rate("Pose", lambda image: 0 * bool(pose.process(image)), images)
        rate("Hands", found, images)
        rate("FaceMesh", lambda image: 0 * bool(face.process(image)), images)
        rate("Pose, Hands, FaceMesh in one thread", one_after_another, images)
    with parts.holistic.Holistic(model_complexity=1) as holistic:
        rate("Holistic", lambda image: both(holistic.process(image)), images)
    for side in (480, MediaPipeDetector.side, 1080):
        images = loop(path, side)
        with MediaPipeDetector() as detector:
            rate(
                f"MediaPipeDetector, side {max(images[0].shape)}",
                lambda image, detector=detector: int((detector.read(image)[1][0, TIPS] >= 0.5).sum()),  # type: ignore[misc]
                images,
            )


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, numpy {np.__version__}")
    for name in sys.argv[1:] or sys.exit(__doc__):
        measure(Path(name))
