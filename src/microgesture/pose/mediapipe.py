"""MediaPipe Pose, Hands and FaceMesh as a detector of the canonical joints. Works offline: the models are in the wheel.

The three run separately rather than as Holistic: on press-conference and full-body clips they find more hands
(1.5 against 1.0 per frame with folded arms), and Hands runs on a second core beside Pose: 39 against 27 frames per
second on two cores (`benchmarks/pose.py`). Hands is as expensive as Pose, FaceMesh a seventh of it.

MediaPipe's own smoothing is on. It counts 1/30 s per frame, whatever the recording's rate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Any

import numpy as np

from microgesture.core.errors import MissingExtra
from microgesture.pose.assemble import FACE_POINTS, Array, Hand, assemble
from microgesture.pose.people import Box, Image, box, hide_others, same_person

_BLANK = np.zeros((64, 64, 3), np.uint8)


class MediaPipeDetector:
    """Finds `persons` people in picture after picture. Only inside `with`: an unclosed graph keeps 100 MB.

    Args:
        persons: slots; a slot without a person gives score 0.

    Raises:
        MissingExtra: on entering, if MediaPipe is not installed.
    """

    side = 720
    """Longest side in pixels of the pictures it wants; more costs time and finds nothing more."""

    def __init__(self, persons: int = 1) -> None:
        self.persons = persons
        self.side = 720 if persons == 1 else 1280  # several people share a picture, each is smaller

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on, for the store to compare."""
        return {"detector": "mediapipe 0.10.21 pose1+hands+face", "side": self.side, "persons": self.persons}

    def __enter__(self) -> MediaPipeDetector:
        try:
            import mediapipe as mp
        except ImportError as error:
            raise MissingExtra("pose", "finding people in a video") from error
        parts = mp.solutions
        with ExitStack() as stack, _quiet():
            self._poses = [stack.enter_context(parts.pose.Pose(model_complexity=1)) for _ in range(self.persons)]
            self._hands = stack.enter_context(
                parts.hands.Hands(
                    max_num_hands=2 * self.persons, min_detection_confidence=0.3, min_tracking_confidence=0.3
                )
            )
            self._faces = stack.enter_context(parts.face_mesh.FaceMesh(max_num_faces=self.persons))
            self._worker = stack.enter_context(ThreadPoolExecutor(1, "hands"))
            self._met = False
            self.restart([None] * self.persons)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def restart(self, expected: Sequence[tuple[Array, Array] | None], size: tuple[int, int] = (0, 0)) -> None:
        """Forget all that was seen, so that what follows depends on nothing before.

        Args:
            expected: per slot the pose (V, 2), (V,) it will find at about that place in the next picture, or None.
            size: (width, height) of the pictures.
        """
        with _quiet():
            for pose in self._poses:
                # a blank picture ends the tracking, but the smoothed visibility outlives it: only a new graph
                # gives identical numbers. For the others the blank is enough, and does not grow the memory
                pose.reset()
                pose.process(_BLANK)
            self._hands.process(_BLANK)
            self._faces.process(_BLANK)
        self._boxes: list[Box | None] = [e and box(*e, size) for e in expected]
        self._return = [b is not None for b in self._boxes]

    def read(self, image: Image) -> tuple[Array, Array]:
        """The people in the next picture uint8 (H, W, 3) RGB: xy float32 (M, V, 2) in its pixels, score (M, V)."""
        height, width = image.shape[:2]
        fine: Future[tuple[list[Hand], list[Array]]] = self._worker.submit(self._fine, image)
        bodies: list[Array | None] = []
        for slot, pose in enumerate(self._poses):
            view = hide_others(image, self._boxes, slot, only_own=self._return[slot]) if self.persons > 1 else image
            self._return[slot] = False
            with nullcontext() if self._met else _quiet():  # one more note comes with the first person
                found = pose.process(np.ascontiguousarray(view)).pose_landmarks
            self._met = self._met or found is not None
            body = _points(found.landmark, width, height) if found else None
            if body is not None and self._taken(body, bodies):
                pose.process(_BLANK)  # let go
                body = None
            bodies.append(body)
            if self.persons > 1:
                xy, score = assemble([body])
                self._boxes[slot] = box(xy[0], score[0], (width, height))
        return assemble(bodies, *fine.result())

    @staticmethod
    def _taken(body: Array, others: Sequence[Array | None]) -> bool:
        mine = assemble([body])[0][0]
        return any(same_person(mine, assemble([other])[0][0]) for other in others if other is not None)

    def _fine(self, image: Image) -> tuple[list[Hand], list[Array]]:
        height, width = image.shape[:2]
        found = self._hands.process(image)
        hands = [
            Hand(_points(hand.landmark, width, height)[:, :2], float(side.classification[0].score))
            for hand, side in zip(found.multi_hand_landmarks or (), found.multi_handedness or (), strict=True)
        ]
        faces = [
            _points([face.landmark[i] for i in FACE_POINTS], width, height)[:, :2]
            for face in self._faces.process(image).multi_face_landmarks or ()
        ]
        return hands, faces


def _points(landmarks: Any, width: int, height: int) -> Array:
    """(N, 3): x, y in pixels and visibility."""
    return np.array([(p.x * width, p.y * height, p.visibility) for p in landmarks], np.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the start-up notes of the native code, which no setting silences, off stderr; errors come as exceptions."""
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
