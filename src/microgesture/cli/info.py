"""`microgesture info`: what a file or folder is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.analyze import Taxonomy
from microgesture.cli.console import Debug, Json, Quiet, data, data_json
from microgesture.core.errors import FormatError, NoInput


def info(
    path: Annotated[
        Path,
        typer.Argument(readable=False, metavar="FILE", help="Video, pose file, clips, timeline, or folder of ours."),
    ],
    taxonomy: Taxonomy = "imigue",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what a file or folder is: a video, poses, clips, a timeline, a model or an analysis.

    Example:  microgesture info interview.mp4
    """
    if not path.exists():
        raise NoInput(f"{path}: does not exist")
    facts = _folder(path) if path.is_dir() else _file(path, taxonomy)
    if as_json:
        data_json({"path": str(path), **facts})
        return
    for name, value in facts.items():
        data(f"{name:10} {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _folder(path: Path) -> dict[str, Any]:
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
    remedy = "name the folder that holds model.safetensors, analysis.json or index.json"
    raise FormatError(path, "this folder is none of ours", expected="a model, an analysis or poses", remedy=remedy)


def _file(path: Path, taxonomy: str) -> dict[str, Any]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from microgesture.formats.pose_npz import read_npz
        from microgesture.formats.safe_zip import open_zip

        with open_zip(path) as archive:
            if "label.npy" in archive.namelist():
                return _clips(path)
        tracks = read_npz(path)
        first = tracks[0]
        return {
            "kind": "poses",
            "layout": first.skeleton.name,
            "joints": len(first.skeleton),
            "persons": len(tracks),
            "frames": len(first),
            "fps": first.fps,
            "size": list(first.size),
            "duration": round(first.duration, 3),
        }
    if suffix in (".pkl", ".pickle"):
        return _pyskl(path)
    if suffix in (".csv", ".json", ".eaf", ".vtt"):
        return _timeline(path, suffix, taxonomy)
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


def _timeline(path: Path, suffix: str, taxonomy: str) -> dict[str, Any]:
    from microgesture.core.taxonomies import taxonomy as taxonomy_of
    from microgesture.formats.eaf import read_eaf
    from microgesture.formats.timeline_csv import read_csv
    from microgesture.formats.timeline_json import read_timeline_json
    from microgesture.formats.webvtt import read_vtt

    if suffix == ".json":  # states its own label space
        timeline = read_timeline_json(path)
    else:
        timeline = {".csv": read_csv, ".eaf": read_eaf, ".vtt": read_vtt}[suffix](path, taxonomy_of(taxonomy))
    return {
        "kind": "timeline",
        "taxonomy": timeline.taxonomy.key,
        "segments": len(timeline),
        "persons": list(timeline.persons),
        "duration": round(timeline.duration, 3),
        "labels": sorted({timeline.taxonomy[s.label].name for s in timeline}),
    }


def _chosen(known: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: known[name] for name in names if name in known}


def _plain(path: Path) -> dict[str, Any]:
    from microgesture.formats.safe_json import read_json

    facts: dict[str, Any] = read_json(path)
    return facts
