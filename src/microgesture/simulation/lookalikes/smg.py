"""SMG's look-alike: `experimentWell_skeleton` as the MiGA challenges give it out.

Quirks kept: 11 numbers per joint (metres, quaternion, two pictures), axes that point up and to the sensor's left,
labels from 1, exclusive ends, emotions as codes of two digits, rates of some recordings that are not 28, a number of
frames that is one too many in some, stretches in which the sensor has lost the person, films of the test clips.

Positions are the simulator's own joints in space, before its camera, with a sensor's noise of a few millimetres: no
part hides another, as it would before a real sensor. A hand is its middle knuckle; of the fingers there are hand tip
and thumb.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import make_folder, write_text
from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.formats.kinect import TO_PICTURE
from microgesture.simulation.body import SKELETON
from microgesture.simulation.lookalikes.write import Progress, Size, film, seeds, shares
from microgesture.simulation.recording import Recording, simulate_recording

FPS, OTHER_FPS = 28.0, 27.5
METRES_PER_SW = 0.36
_KINECT = SKELETONS["kinect25"]
_FIRST = {"train": 1, "val": 31, "test": 36}  # subjects
_MOST = {"train": 30, "val": 5, "test": 5}
# joints of the simulator that make up one of the sensor, as a weighted mean
_HEAD = {"r_ear": 0.5, "l_ear": 0.5}
_MADE_OF: dict[str, dict[str, float]] = {
    "spine": {"mid_hip": 0.5, "neck": 0.5},
    "upper_neck": {"neck": 0.65, **{ear: 0.35 * share for ear, share in _HEAD.items()}},
    "head": _HEAD,
    **{f"{s}_hand": {f"{s}_middle_mcp": 1.0} for s in "lr"},
    **{f"{s}_hand_tip": {f"{s}_middle_tip": 1.0} for s in "lr"},
    **{f"{s}_foot": {f"{s}_toe": 1.0} for s in "lr"},
}


def write(folder: Path, size: Size, seed: int, progress: Progress) -> None:
    """Write the look-alike; see `write_lookalike`."""
    if size.recordings > sum(_MOST.values()):
        raise UsageError(f"{size.recordings} recordings; SMG has {sum(_MOST.values())}")
    done, numbers = 0, seeds(seed)
    for (split, first), count in zip(_FIRST.items(), shares(size.recordings, tuple(_MOST.values())), strict=True):
        for subject in range(first, first + min(count, _MOST[split])):
            number, fps = next(numbers), OTHER_FPS if done % 4 == 1 else FPS
            people = "test" if split == "test" else "train"
            made = simulate_recording("smg", size.minutes, number, fps=fps, split=people)
            name, frames = f"Sample{subject:04}", len(made.track)
            place = make_folder(folder / "experimentWell_skeleton" / name)
            _points(place / f"{name}_skeleton.csv", sensed(made, number))
            write_text(place / f"{name}_data.csv", f"{frames + (done % 4 == 3)},{fps:g},4500\n")
            labels, emotions = [], []
            for s in made.timeline:
                start = min(round(s.start * fps), frames - 1)
                end = min(max(round(s.end * fps), start + 1), frames)
                labels.append(f"{s.label + 1},{start},{end}\n")
                if size.films and split == "test":
                    films = make_folder(folder / "smg_rgb_test")
                    film(films / f"{name}_{start}_{end}.mp4", made.track[start:end])
            for i, (begin, finish, state) in enumerate(made.states):
                shown = int(state == "tense")
                code = 10 * ((shown + subject // 2) % 2) + shown + 1
                emotions.append(f"{i + 1},{round(begin * fps)},{min(round(finish * fps), frames)},{code}\n")
            write_text(place / f"{name}_finelabels.csv", "".join(labels) or "\n")
            write_text(place / f"{name}_tflabels_new.csv", "".join(emotions))
            done += 1
            progress("recordings", done, size.recordings)


def sensed(made: Recording, seed: int) -> NDArray[np.float32]:
    """What a Kinect before the person says: (T, 25, 3) in metres, its own axes, zeros where it is lost."""
    rng = np.random.default_rng([seed, 25])
    weights = np.zeros((len(_KINECT), len(SKELETON)), np.float32)
    for row, joint in zip(weights, _KINECT.joints, strict=True):
        for part, share in _MADE_OF.get(joint, {joint: 1.0}).items():
            row[SKELETON.joints.index(part)] = share
    xyz: NDArray[np.float32] = (weights @ made.points * METRES_PER_SW).astype(np.float32)
    xyz[..., 2] = rng.uniform(2.6, 3.1) - xyz[..., 2]  # the simulator's z points at the camera, the sensor's away
    xyz[..., 1] += 0.4  # the sensor stands above the hips
    xyz *= TO_PICTURE
    outer = [i for i, joint in enumerate(_KINECT.joints) if joint.endswith(("hand", "tip", "foot"))]
    spread = np.full((len(_KINECT), 1), 0.003, np.float32)
    spread[outer] = 0.008
    xyz += rng.normal(0, 1, xyz.shape).astype(np.float32) * spread
    lost = int(rng.integers(0, max(len(xyz) - 5, 1)))
    xyz[lost : lost + 4] = 0
    return xyz


def _points(path: Path, xyz: NDArray[np.float32]) -> None:
    """The table: position, orientation of the bone, pixel in the colour picture, pixel in that of depth."""
    seen = xyz.any(-1, keepdims=True)
    table = np.zeros((*xyz.shape[:2], 11), np.float32)
    table[..., :3] = xyz
    for a, b in _KINECT.bones:
        table[:, a, 3:7] = _orientation(xyz[:, b] - xyz[:, a])
    flat = xyz[..., :2] / np.where(seen, xyz[..., 2:], 1) * np.array([1, -1], np.float32)
    table[..., 7:9] = flat * 1060 + (960, 540)
    table[..., 9:11] = flat * 365 + (256, 212)
    rows = np.where(seen, table, 0).reshape(len(table), -1)
    write_text(path, "".join(",".join(f"{value:.6g}" for value in row) + "\n" for row in rows.tolist()))


def _orientation(bone: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quaternions (T, 4), x y z w, that turn the axis y into the direction of a bone (T, 3)."""
    x, y, z = (bone / np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-6)).T
    whole = np.stack((z, np.zeros_like(x), -x, 1 + y), -1)
    turned: NDArray[np.float32] = whole / np.maximum(np.linalg.norm(whole, axis=-1, keepdims=True), 1e-6)
    return turned
