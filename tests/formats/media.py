"""Videos made on the fly: plain ones, odd but legal ones. A frame's shade of grey is its number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def picture(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """(H, W, 3): shade `8 * number + 16`, with a white corner at the top left."""
    image = np.full((size[1], size[0], 3), min(8 * number + 16, 240), np.uint8)
    image[: size[1] // 4, : size[0] // 4] = 255
    return image


def write(
    path: Path,
    *,
    frames: int = 12,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 25,
    pixels: str = "yuv420p",
    stamps: Sequence[int] | None = None,
    base: Fraction = Fraction(1, 1000),
    container: str | None = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    audio: bool = False,
) -> Path:
    """Write a video with PyAV; `stamps` are presentation times in units of `base`."""
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        sound = out.add_stream("aac", rate=8000, layout="mono") if audio else None
        if frames:
            stream = out.add_stream(codec, rate=rate, options=codec_options or {})
            stream.width, stream.height, stream.pix_fmt = *size, pixels
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            if stamps is not None:
                stream.codec_context.time_base = base
            for i in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(i, size), format="rgb24")
                if stamps is not None:
                    frame.pts, frame.time_base = stamps[i], base
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        if sound is not None:
            for i in range(20):
                wave = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                wave.sample_rate, wave.pts = 8000, 1024 * i
                out.mux(sound.encode(wave))
            out.mux(sound.encode(None))
    return path


def rotated(path: Path, degrees: int) -> Path:
    """Set the rotation flag of an mp4: the matrix in its track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 4 + 4 + 4 + 4 + 4 + 8 + 2 + 2 + 2 + 2  # up to the matrix, version 0
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def shade(image: np.ndarray) -> float:
    """The number `picture` was given, from the lower right part."""
    return (float(np.median(image[image.shape[0] // 2 :, image.shape[1] // 2 :])) - 16) / 8
