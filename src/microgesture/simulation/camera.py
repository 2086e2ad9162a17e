"""Where the camera stands, and what it sees: space to picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microgesture.simulation.body import Array, rotation


@dataclass(frozen=True)
class Camera:
    """One camera per clip; all arrays (N,).

    Args:
        yaw: radians around the person, positive looks at the right side; pitch: from above +; roll: tilt.
        distance: from the chest, SW.
    """

    yaw: Array
    pitch: Array
    roll: Array
    distance: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> Camera:
        """Mostly frontal views: yaw spread 11 degrees with a tail of 30, slightly from above, 5 to 14 SW away."""
        wide = rng.random(count) < 0.12
        yaw = rng.normal(0, np.where(wide, 0.5, 0.19), count)
        return cls(
            yaw.astype(np.float32),
            np.radians(rng.uniform(-4, 18, count)).astype(np.float32),
            rng.normal(0, 0.025, count).astype(np.float32),
            np.exp(rng.uniform(np.log(5), np.log(14), count)).astype(np.float32),
        )

    def project(self, points: Array) -> Array:
        """Space (N, T, V, 3) to picture (N, T, V, 2), in SW at the distance of the chest, y down, 0 = chest."""
        centre = np.array([0, -0.9, 0], np.float32)
        turn = rotation(self.yaw, np.zeros_like(self.yaw), self.roll)
        tilt = rotation(np.zeros_like(self.pitch), self.pitch, np.zeros_like(self.pitch))
        seen = np.einsum("nij,ntvj->ntvi", tilt @ turn, points - centre, optimize=True)
        depth = np.maximum(self.distance[:, None, None] - seen[..., 2], 1.0)
        return (seen[..., :2] * (self.distance[:, None, None] / depth)[..., None]).astype(np.float32)  # type: ignore[no-any-return]
