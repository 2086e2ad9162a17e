"""`microgesture info`: what a file or folder is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.analyze import Taxonomy
from microgesture.cli.check import Rate, Size
from microgesture.cli.console import Debug, Json, Quiet, data, data_json
from microgesture.core.errors import FormatError, NoInput


def info(
    path: Annotated[
        Path,
        typer.Argument(readable=False, metavar="FILE", help="Video, pose file, clips, timeline, or folder of ours."),
    ],
    taxonomy: Taxonomy = "imigue",
    fps: Rate = None,
    size: Size = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what a file or folder is: a video, poses, clips, a timeline, a model or an analysis.

    Example:  microgesture info interview.mp4
    """
    if not path.exists():
        raise NoInput(f"{path}: does not exist")
    facts = _folder(path, fps, size) if path.is_dir() else _file(path, taxonomy, fps, size)
    if as_json:
        data_json({"path": str(path), **facts})
        return
    for name, value in facts.items():
        data(f"{name:10} {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _folder(path: Path, fps: str | None, size: str | None) -> dict[str, Any]:
    if (path / "model.safetensors").is_file():
        known = _plain(path / "config.json")
        facts = ("version", "recipe", "seed", "skeleton", "frames", "fps", "persons", "parameters", "sha256")
        return {
            "kind": "model",
            "system": known.get("system", {}).get("class_path"),
            "serves": list(known.get("serves", {})),
            **_chosen(known, *facts),
        }
    if (path / "analysis.json").is_file():
        chosen = ("source", "duration", "fps", "size", "taxonomy", "persons", "segments", "warnings")
        return {"kind": "analysis", **_chosen(_plain(path / "analysis.json"), *chosen)}
    if (path / "index.json").is_file():
        from microgesture.pose.store import open_store

        store = open_store(path)
        return {
            "kind": "poses",
            "source": store.info.source,
            "layout": "canonical",
            "persons": store.persons,
            "frames": store.frames,
            "fps": store.info.fps,
            "size": list(store.info.size),
            "duration": round(store.info.duration, 3),
            "complete": store.complete,
        }
    if any(path.glob("*_keypoints.json")):
        return _poses(path, fps, size)
    remedy = "name the folder that holds model.safetensors, analysis.json or index.json"
    raise FormatError(path, "this folder is none of ours", expected="a model, an analysis or poses", remedy=remedy)


def _file(path: Path, taxonomy: str, fps: str | None, size: str | None) -> dict[str, Any]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from microgesture.formats.safe_zip import open_zip

        with open_zip(path) as archive:
            if "label.npy" in archive.namelist():
                return _clips(path)
        return _poses(path, fps, size)
    if suffix in (".pkl", ".pickle"):
        return _pyskl(path)
    if suffix in (".csv", ".tsv", ".json", ".eaf", ".vtt", ".boris", ".xlsx"):
        from microgesture.formats.poses import pose_kind

        return _timeline(path, taxonomy) if pose_kind(path) is None else _poses(path, fps, size)
    from microgesture.formats.video import probe

    video = probe(path)
    return {
        "kind": "video",
        "container": video.container,
        "codec": video.codec,
        "size": list(video.size),
        "fps": round(video.fps, 3),
        "frames": video.frames,
        "duration": round(video.duration, 3),
    }


def _clips(path: Path) -> dict[str, Any]:
    """What `simulate --clips` wrote."""
    from microgesture.formats.safe_npz import read_arrays

    arrays = read_arrays(path)
    try:
        clips, frames, joints, _ = arrays["xy"].shape
        return {
            "kind": "clips",
            "taxonomy": arrays["taxonomy"].item(),
            "clips": clips,
            "frames": frames,
            "fps": arrays["fps"].item(),
            "joints": joints,
            "subjects": len(set(arrays["subject"].tolist())),
            "classes": len(set(arrays["label"].tolist())),
        }
    except (KeyError, ValueError, TypeError) as error:
        wrong, expected = "its arrays are not those of clips", "xy (N, T, V, 2), label, subject, fps and taxonomy"
        raise FormatError(path, wrong, expected=expected, remedy="simulate the clips again") from error


def _pyskl(path: Path) -> dict[str, Any]:
    from microgesture.formats.safe_pickle import load

    value = load(path)
    rows = value.get("annotations") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        expected = "the annotations of PYSKL"
        raise FormatError(path, "holds no list of clips", expected=expected, remedy="check how it was made")
    splits = value.get("split", {}) if isinstance(value, dict) else {}
    return {"kind": "clips of PYSKL", "clips": len(rows), "splits": [str(name) for name in splits]}


def _poses(path: Path, fps: str | None, size: str | None) -> dict[str, Any]:
    from microgesture.formats.poses import pose_kind, read_poses
    from microgesture.formats.source import frame_rate, frame_size

    rate, sides = frame_rate(fps) if fps else None, frame_size(size) if size else None
    tracks = read_poses(path, fps=rate, size=sides)
    if not tracks:
        return {"kind": "poses", "format": pose_kind(path), "persons": 0}
    first = tracks[0]
    return {
        "kind": "poses",
        "format": pose_kind(path),
        "layout": first.skeleton.name,
        "joints": len(first.skeleton),
        "persons": len(tracks),
        "frames": len(first),
        "fps": first.fps,
        "size": list(first.size),
        "duration": round(first.duration, 3),
    }


def _timeline(path: Path, taxonomy: str) -> dict[str, Any]:
    from microgesture.core.taxonomies import taxonomy as taxonomy_of
    from microgesture.formats.timelines import read_raters, timeline_kind

    kind = timeline_kind(path)
    # JSON states its own label space
    lines = read_raters(path, None if kind == "json" else taxonomy_of(taxonomy))
    first = next(iter(lines.values()), None)
    if first is None:
        return {"kind": "timeline", "format": kind, "segments": 0}
    segments = [s for line in lines.values() for s in line]
    return {
        "kind": "timeline",
        "format": kind,
        "taxonomy": first.taxonomy.key,
        **({"raters": list(lines)} if len(lines) > 1 else {}),
        "segments": len(segments),
        "persons": sorted({s.person for s in segments}),
        "duration": round(first.duration, 3),
        "labels": sorted({first.taxonomy[s.label].name for s in segments}),
    }


def _chosen(known: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: known[name] for name in names if name in known}


def _plain(path: Path) -> dict[str, Any]:
    from microgesture.formats.safe_json import read_json

    facts: dict[str, Any] = read_json(path)
    return facts
