"""Saved models: a folder with `model.safetensors` and `config.json`.

The config names the system, its arguments and the facts of the data it was trained on, carries the SHA-256 of the
weights and of itself, and is plain JSON: loading a model runs no code but that of the named system.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from microgesture.core.durable import make_folder, replacing, write_text
from microgesture.core.errors import FormatError, MicrogestureError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import known
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.source import read_bytes

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = 1
_CEILING = 2 << 30  # bytes of weights
# arguments of a system that follow from the data; a recipe may state none of them
FACTS = ("skeleton", "taxonomy", "frames", "persons", "in_channels", "fps", "features")
_SHIPPED = Path(__file__).parents[1] / "weights"
_AGAIN = "fetch or save the model again"


@dataclass(frozen=True)
class Facts:
    """What a system must know about its data, and what is saved with it.

    Args:
        taxonomies: the label space of the system, `taxonomy`; behind it those a model of motions serves besides.
        frames, fps: length and rate of a sample.
        persons: M.
        in_channels: channels per joint of the batches.
        features: numbers per step that describe a recording besides; 0 = none.
    """

    skeleton: Skeleton
    taxonomies: tuple[Taxonomy, ...]
    frames: int
    persons: int
    in_channels: int
    fps: float
    features: int = 0

    @property
    def taxonomy(self) -> Taxonomy:
        """The label space of the system."""
        return self.taxonomies[0]

    def arguments(self, cls: Callable[..., Any]) -> dict[str, Any]:
        """Those facts that the constructor of a system names."""
        known = inspect.signature(cls).parameters
        return {name: getattr(self, name) for name in FACTS if name in known}


@dataclass(frozen=True)
class Saved:
    """A loaded model: the system in eval mode, its facts, and everything else the config says."""

    system: nn.Module
    facts: Facts
    config: dict[str, Any]
    folder: Path


def save_pretrained(
    folder: str | Path,
    system: nn.Module,
    facts: Facts,
    init_args: Mapping[str, Any],
    **notes: Any,
) -> Path:
    """Write a model durably: first the weights, then the config that vouches for them.

    Args:
        init_args: arguments of the system besides the facts, plain values only.
        notes: anything JSON can hold: seed, metrics, recipe, how the loader should sample.

    Returns:
        The folder.
    """
    from safetensors.torch import save

    import microgesture

    folder = make_folder(folder)
    cls = type(system)
    class_path = f"{cls.__module__}.{cls.__qualname__}"
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in system.state_dict().items()}
    version = getattr(microgesture, "__version__", "unknown")
    about = {"format": str(FORMAT), "system": class_path, "taxonomy": facts.taxonomy.digest, "version": version}
    # one entry: safetensors writes several in an order that changes from call to call
    data = save(tensors, metadata={"microgesture": json.dumps(about, sort_keys=True)})
    config = {
        "format": FORMAT,
        "library_name": "microgesture",
        "version": version,
        "system": {"class_path": class_path, "init_args": dict(init_args)},
        "skeleton": facts.skeleton.name,
        "joints": list(facts.skeleton.joints),
        **({} if facts.skeleton.name in SKELETONS else {"layout": facts.skeleton.to_plain()}),
        "taxonomies": [t.to_plain() for t in facts.taxonomies],
        "frames": facts.frames,
        "persons": facts.persons,
        "in_channels": facts.in_channels,
        "fps": facts.fps,
        **({"features": facts.features} if facts.features else {}),
        "parameters": sum(p.numel() for p in system.parameters()),
        "sha256": hashlib.sha256(data).hexdigest(),
        **notes,
    }
    text = _render(config | {"digest": _digest(config)})
    with replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(data)
    write_text(folder / CONFIG, text)
    return folder


def from_pretrained(
    path_or_name: str | Path, *, taxonomy: Taxonomy | None = None, system: type[nn.Module] | None = None
) -> Saved:
    """Load a model, checking every byte.

    Of the arguments a class names in `starts_from` none is read again, and those of its `kept` come from the tensors
    they name: neither needs the file that it once was.

    Args:
        path_or_name: folder, or name of a model that ships with the package.
        taxonomy: the label space you mean; another one is refused by its digest.
        system: class to build, for systems outside of `microgesture.systems`, which are not imported by name.

    Raises:
        NoInput: there is no such model.
        FormatError: a file is damaged, edited, or was trained for other labels or joints.
    """
    folder = locate(path_or_name)
    config = _read_config(folder / CONFIG)
    try:
        facts = _facts(folder / CONFIG, config)
        cls = _system(folder / CONFIG, config, system)
        given = dict(config["system"]["init_args"])
        init_args = {name: value for name, value in given.items() if name not in getattr(cls, "starts_from", ())}
        kept = dict(getattr(cls, "kept", ()))
        digest = str(config["sha256"])
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise FormatError(folder / CONFIG, f"lacks or misstates {error}", remedy=_AGAIN) from error
    if taxonomy is not None and taxonomy.digest not in {t.digest for t in facts.taxonomies}:
        keys = ", ".join(t.key for t in facts.taxonomies)
        raise FormatError(
            folder / CONFIG,
            f"was trained for the labels of {keys}, whose digest differs",
            expected=f"'{taxonomy.key}' {taxonomy.digest[:12]}",
            remedy="choose a model trained for these labels",
        )
    state = _read_weights(folder / WEIGHTS, digest)
    try:
        init_args |= {name: state[key] for name, key in kept.items() if key in state}
        model = cls(**facts.arguments(cls), **init_args)
        model.load_state_dict(state)
    except MicrogestureError:
        raise
    except Exception as error:  # a constructor raises what it likes on arguments that make no sense
        problem = f"does not fit {cls.__name__} ({' '.join(str(error).split())[:300]})"
        raise FormatError(folder / WEIGHTS, problem, remedy=_AGAIN) from error
    return Saved(model.eval(), facts, config, folder)


def locate(path_or_name: str | Path) -> Path:
    """Folder of a model given by path, or by its name among the shipped ones."""
    path = Path(path_or_name)
    for folder in (path, _SHIPPED / path):
        if (folder / CONFIG).is_file():
            return folder
    shipped = sorted(p.parent.name for p in _SHIPPED.glob(f"*/{CONFIG}"))
    known = f"; shipped models: {', '.join(shipped)}" if shipped else ""
    raise NoInput(f"{path_or_name}: no model there (a folder with {CONFIG} and {WEIGHTS}){known}")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        text = read_bytes(path, 16 << 20).decode("utf-8")
        config: dict[str, Any] = json.loads(text)
        stated = config.pop("digest", None)
        # byte for byte, so that no flipped bit passes
        sound = stated == _digest(config) and text == _render(config | {"digest": stated})
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise FormatError(path, f"cannot be read ({error})", expected="a JSON object", remedy=_AGAIN) from error
    if not sound:
        raise FormatError(
            path, "was changed after it was saved: its digest does not fit", remedy="save the model again to change it"
        )
    if config.get("format") != FORMAT:
        raise FormatError(
            path, f"has format {config.get('format')}", expected=str(FORMAT), remedy="update microgesture"
        )
    return config


def _read_weights(path: Path, digest: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not path.is_file():
        raise FormatError(path, "is missing beside its config.json", remedy=_AGAIN)
    data = read_bytes(path, _CEILING)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        problem = f"SHA-256 is {found[:12]}..., the config says {digest[:12]}...: the file is damaged"
        raise FormatError(path, problem, remedy=_AGAIN)
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise FormatError(path, f"cannot be read ({error})", expected="safetensors", remedy=_AGAIN) from error


def _facts(path: Path, config: Mapping[str, Any]) -> Facts:
    skeleton = SKELETONS.get(config["skeleton"])
    if skeleton is None and "layout" in config:  # joints and bones of the user's own
        skeleton = Skeleton.from_plain(config["layout"])
    if skeleton is None or list(skeleton.joints) != config["joints"] or skeleton.name != config["skeleton"]:
        problem = f"was trained for joints of '{config['skeleton']}' that this version does not have"
        raise FormatError(path, problem, remedy=_AGAIN)
    taxonomies = tuple(known(t) for t in config["taxonomies"])
    if not taxonomies or not all(map(len, taxonomies)):
        raise FormatError(path, "names no labels", remedy=_AGAIN)
    frames, persons, channels = (int(config[name]) for name in ("frames", "persons", "in_channels"))
    return Facts(skeleton, taxonomies, frames, persons, channels, float(config["fps"]), int(config.get("features", 0)))


def _system(path: Path, config: Mapping[str, Any], given: type[nn.Module] | None) -> type[nn.Module]:
    class_path: str = config["system"]["class_path"]
    module, _, name = class_path.rpartition(".")
    if given is not None:
        if f"{given.__module__}.{given.__qualname__}" != class_path:
            raise UsageError(f"{path} holds a {class_path}, not a {given.__name__}")
        return given
    # a config from elsewhere must not choose what gets imported
    if not module.startswith("microgesture.systems.") or not name.isidentifier():
        remedy = "give the class: from_pretrained(..., system=YourSystem)"
        raise FormatError(path, f"names the system {class_path}", expected="one of microgesture.systems", remedy=remedy)
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FormatError(path, f"names the unknown system {class_path}", remedy="update microgesture") from error
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise FormatError(path, f"names {class_path}, which is no system", remedy=_AGAIN)
    return cls


def _render(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(_render(config).encode()).hexdigest()
