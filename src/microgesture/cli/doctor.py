"""`microgesture doctor` and `microgesture version`: what is installed, what is missing, does the main job run."""

from __future__ import annotations

import os
import platform
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from microgesture import __version__
from microgesture.cli.console import Debug, Json, Quiet, complain, data, data_json, say, settings
from microgesture.core.errors import MicrogestureError, MissingExtra

PACKAGES = ("torch", "numpy", "lightning", "torchmetrics", "av", "opencv-python-headless", "safetensors", "plotly")
EXTRAS = {
    "pose": ("mediapipe",),
    "web": ("fastapi", "uvicorn"),
    "mllm": ("transformers", "peft"),
    "emg": ("h5py",),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "ray": ("ray",),
}
USES = {
    "pose": "poses from video",
    "web": "the live page (planned)",
    "mllm": "multimodal language models (planned)",
    "emg": "wristband recordings (planned)",
    "export": "ONNX (planned)",
    "ray": "archives on several machines (planned)",
}


@dataclass(frozen=True)
class Check:
    """One step of the self-test.

    Args:
        problem: empty where it went well.
        exit_code: what the command ends with if this is its worst step.
    """

    step: str
    detail: str = ""
    problem: str = ""
    exit_code: int = 0


def version() -> None:
    """Print the version.

    Example:  microgesture version
    """
    data(__version__)


def doctor(
    selftest: Annotated[
        bool, typer.Option("--selftest", help="Run the main job on a small simulated recording.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Print versions, devices and extras, with the remedy for each one that is missing.

    Example:  microgesture doctor --selftest
    """
    versions = {"microgesture": __version__, "python": platform.python_version()}
    versions |= {package: _installed(package) for package in PACKAGES}
    extras = {extra: [m for m in modules if find_spec(m) is None] for extra, modules in EXTRAS.items()}
    devices = _devices()
    checks = _selftest() if selftest else []
    if as_json:
        data_json(
            {
                "versions": versions,
                "platform": platform.platform(),
                "devices": devices,
                "extras": {
                    extra: {"present": not missing, "missing": missing, "remedy": _remedy(extra) if missing else ""}
                    for extra, missing in extras.items()
                },
                "selftest": [{"step": c.step, "ok": not c.problem, "detail": c.problem or c.detail} for c in checks],
            }
        )
    else:
        for name, number in versions.items():
            data(f"version  {name} {number}")
        for name, what in devices.items():
            data(f"device   {name} {what}")
        for extra, missing in extras.items():
            state = f"missing {', '.join(missing)}: {_remedy(extra)}" if missing else "present"
            data(f"extra    {extra} ({USES[extra]}): {state}")
        for check in checks:
            data(f"selftest {check.step}: {check.problem or check.detail}")
    failed = [check for check in checks if check.problem]
    if failed:
        complain(f"microgesture: the self-test failed at: {', '.join(check.step for check in failed)}")
        # a missing extra is worth its own code only if nothing worse happened
        raise typer.Exit(69 if all(check.exit_code == 69 for check in failed) else 1)
    if checks:
        say("the self-test is green")


def _installed(package: str) -> str:
    try:
        return version_of(package)
    except PackageNotFoundError:
        return "missing"


def _remedy(extra: str) -> str:
    return f"pip install 'microgesture[{extra}]'"


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"}
    for i in range(torch.cuda.device_count()):
        found[f"cuda:{i}"] = torch.cuda.get_device_name(i)
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    return found


def _selftest() -> list[Check]:
    """The main job on half a simulated minute, and reading a video; each step as one finding."""
    with tempfile.TemporaryDirectory(prefix="microgesture-") as folder:
        return [_check("analysis", lambda: _analysis(Path(folder))), _check("video", lambda: _video(Path(folder)))]


def _check(step: str, work: Callable[[], str]) -> Check:
    try:
        return Check(step, detail=f"ok, {work()}")
    except Exception as error:
        if settings.debug:
            raise
        known = isinstance(error, MicrogestureError)
        problem = str(error) if known else f"{type(error).__name__}: {error}"
        return Check(step, problem=problem, exit_code=69 if isinstance(error, MissingExtra) else 1)


def _analysis(folder: Path) -> str:
    from microgesture.analysis.analyze import analyze
    from microgesture.formats.pose_npz import write_npz
    from microgesture.report.html import write_report
    from microgesture.simulation.recording import simulate_recording

    truth = simulate_recording("smg", 0.5, seed=0)
    write_npz(folder / "recording.npz", [truth.track])
    result = analyze(folder / "recording.npz", folder / "analysis", taxonomy="smg")
    write_report(result, folder / "report.html")
    return (
        f"{len(result.timeline)} micro-gestures found in half a minute that holds {len(truth.timeline)}, report written"
    )


def _video(folder: Path) -> str:
    import numpy as np

    from microgesture.formats.video import VideoWriter
    from microgesture.pose.estimate import NobodyFound, estimate

    path, frames = folder / "grey.mp4", 5
    with VideoWriter(path, 25.0, (320, 240)) as video:
        for _ in range(frames):
            video.write(np.full((240, 320, 3), 128, np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NobodyFound)  # nobody is in it
        store = estimate(path, folder / "pose")
    return f"written, read, searched for people: {store.frames} frames"
