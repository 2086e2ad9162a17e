"""Micro-gestures in video and pose recordings: found, named, counted.

The names below are for visitors and are loaded on first use; inside the package a name is imported from the module
that defines it.

Example:
    >>> from microgesture import Segment, taxonomy
    >>> Segment(1.0, 2.5, label=taxonomy("smg").find("turtle neck").id).duration
    1.5
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microgesture.analysis.analyze import analyze as analyze
    from microgesture.analysis.recogniser import Recogniser as Recogniser
    from microgesture.core.errors import FormatError as FormatError
    from microgesture.core.errors import MicrogestureError as MicrogestureError
    from microgesture.core.layouts import skeleton as skeleton
    from microgesture.core.segment import Segment as Segment
    from microgesture.core.segment import Timeline as Timeline
    from microgesture.core.skeleton import Skeleton as Skeleton
    from microgesture.core.taxonomies import taxonomy as taxonomy
    from microgesture.core.taxonomy import Taxonomy as Taxonomy
    from microgesture.core.track import PoseTrack as PoseTrack
    from microgesture.core.track import Signal as Signal
    from microgesture.learning.spotting import Spotter as Spotter
    from microgesture.simulation.clips import simulate_clips as simulate_clips
    from microgesture.simulation.recording import simulate_recording as simulate_recording
    from microgesture.streaming.session import Stream as Stream

__version__ = "0.1.0"

_HOME = {
    "FormatError": "core.errors",
    "MicrogestureError": "core.errors",
    "PoseTrack": "core.track",
    "Recogniser": "analysis.recogniser",
    "Segment": "core.segment",
    "Signal": "core.track",
    "Skeleton": "core.skeleton",
    "Spotter": "learning.spotting",
    "Stream": "streaming.session",
    "Taxonomy": "core.taxonomy",
    "Timeline": "core.segment",
    "analyze": "analysis.analyze",
    "simulate_clips": "simulation.clips",
    "simulate_recording": "simulation.recording",
    "skeleton": "core.layouts",
    "taxonomy": "core.taxonomies",
}
__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"microgesture.{_HOME[name]}"), name)
    raise AttributeError(f"module 'microgesture' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
