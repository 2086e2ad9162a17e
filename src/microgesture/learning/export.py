"""Saved models for other runtimes: ONNX, OpenVINO made from it, or a program of torch.export.

The file reads `xy` (B, M, T, V, C) and `score` (B, M, T, V) as a `PoseBatch` holds them and answers with `logits`
(B, K). Whoever runs it needs nothing else: it says in its own metadata what the joints, the labels and the
coordinates mean. Before it gets its name, it is run beside the system it was made from.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import operator
import re
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from microgesture.core.durable import replacing
from microgesture.core.errors import CheckFailed, FormatError, MissingExtra, OutputFailed, UsageError
from microgesture.formats.source import read_bytes
from microgesture.layers.batch import PoseBatch
from microgesture.learning.checkpoint import Facts, Saved, from_pretrained
from microgesture.learning.quantise import Feed, quantised, sample
from microgesture.learning.runs import RECIPE, Progress

Kind = Literal["onnx", "openvino", "torch"]
Precision = Literal["f32", "bf16", "int8"]
SUFFIXES: dict[str, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
"""What the file of each kind ends with; the weights of an OpenVINO model lie beside it as `.bin`."""
OPSET = 18
"""Of the ONNX file."""
TOLERANCE = 1e-4
"""Largest difference of a logit, in units of the largest logit or of 1 where all are smaller. Sums in another order
differ by about 1e-6 per layer; whatever is wrong in a graph shows at 1e-2 and above."""
BF16_TOLERANCE = 0.05
"""The same for bfloat16, whose numbers have 8 bits: every layer rounds by up to 0.4 %."""
INT8_TOLERANCE, INT8_SAME = 0.5, 0.9
"""The same for whole numbers of 8 bits, over clips of a data set in place of random ones: the worst of some hundred.
What counts is how many of these clips keep their class, at least this share."""
_TOLERANCES = {"f32": TOLERANCE, "bf16": BF16_TOLERANCE, "int8": INT8_TOLERANCE}
_KINDS: dict[str, tuple[str, ...]] = {"bf16": ("torch",), "int8": ("onnx", "openvino")}

NORMALISATION = (
    "for each clip and person: origin at the median position of the neck, unit = median distance of the shoulders,"
    " y downwards; coordinates and score of a missing joint are 0"
)
_SHORTEST = 8  # frames; no system is asked for less
CLIPS, FRAMES = 0, 2  # axes of both inputs

Run = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
Program = torch.export.ExportedProgram


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the file; of OpenVINO's two the one to open.
        error: largest difference to the system in units of `TOLERANCE`'s, over random clips; of `"int8"` over clips of
            the data set that its ranges were not taken from.
        same: share of those clips that are given the same class.
        batch, frames: the only size the file reads; None = any.
        metadata: what the file says about itself.
        precision: of weights and arithmetic; inputs and logits are float32.
    """

    path: Path
    kind: Kind
    error: float
    same: float
    batch: int | None
    frames: int | None
    metadata: dict[str, str]
    precision: Precision = "f32"


def export_model(
    model: str | Path,
    kind: Kind | None = None,
    out: str | Path | None = None,
    *,
    precision: Precision = "f32",
    calibrate: str | Path | None = None,
    system: type[nn.Module] | None = None,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a saved model as a file that other runtimes read.

    Clips may come in any number and, where the system allows, of any length. Besides the tolerance, the class must
    be the same for every random clip whose best class leads by more than the tolerance.

    Args:
        model: folder, or name of a model that ships with the package.
        kind: `"onnx"`, `"openvino"` or `"torch"`; what `out` ends with if not given, else ONNX.
        out: file to write; the model's name in the current folder if not given.
        precision: `"bf16"` for weights and products in bfloat16, about twice as fast on a processor that has them;
            of kind `"torch"` alone; what autocast leaves in float32 stays so. `"int8"` for whole numbers of 8 bits,
            about twice as fast on a processor with VNNI; of kinds `"onnx"` and `"openvino"`.
        calibrate: for `"int8"`, the recipe or run whose clips show which numbers occur, see `quantise.sample`; the
            recipe in the model's folder if not given.
        system: see `from_pretrained`.
        tolerance: `TOLERANCE`, `BF16_TOLERANCE` or `INT8_TOLERANCE` if not given.
        progress: told how many batches have set the ranges of `"int8"`.

    Raises:
        NoInput, FormatError: see `from_pretrained`.
        UsageError: `kind` and `out` or `precision` contradict each other, the system cannot be exported, or there are
            no clips to calibrate by.
        MissingExtra: what writes or runs the file is not installed.
        CheckFailed: the exported model answers differently; nothing is written.
        NotPermitted, CannotCreate, OutputFailed: the file cannot be written.
    """
    kind, path = _target(model, kind, out)
    if precision not in _TOLERANCES:
        raise UsageError(f"no precision '{precision}'; choose {', '.join(_TOLERANCES)}")
    if kind not in _KINDS.get(precision, SUFFIXES):
        raise UsageError(f"precision {precision} is for format {' or '.join(_KINDS[precision])}, not for {kind}")
    if calibrate is not None and precision != "int8":
        raise UsageError(f"clips to calibrate by are for precision int8; precision {precision} needs none")
    if tolerance is None:
        tolerance = _TOLERANCES[precision]
    maker = _MAKERS[kind]()
    saved = from_pretrained(model, system=system)
    if precision == "int8" and calibrate is None:
        calibrate = saved.folder
        if not (calibrate / RECIPE).is_file():
            raise UsageError(
                f"{model}: no {RECIPE} beside the model, so int8 has no clips to take its ranges from; name a recipe "
                "whose data it reads with --calibrate"
            )
    ranges, known = ([], []) if calibrate is None else sample(calibrate, saved.facts)
    program, batch, frames = _program(saved, precision)
    if batch:  # one clip at a time
        ranges, known = list(_singly(ranges)), list(_singly(known))
    shown = known or _random_feeds(saved.facts, batch, frames)
    made = maker.convert(program, ranges, progress)
    metadata = describe(saved, kind) | {"precision": precision}
    with ExitStack() as stack:
        # the last to be opened is the first to be renamed: what the main file needs is there before it
        temporary = stack.enter_context(replacing(path))
        for suffix in maker.beside:
            stack.enter_context(replacing(path.with_suffix(suffix)))
        maker.write(made, temporary, metadata)
        error, changed, same = _differences(saved, maker.runner(temporary), shown, tolerance)
        if not error <= tolerance:
            raise CheckFailed(
                f"{path}: the exported model differs from the saved one by {error:.2g}; allowed is {tolerance:.2g}."
                " Nothing was written"
            )
        if precision == "int8" and same < INT8_SAME:
            raise CheckFailed(
                f"{path}: the exported model gives the same class as the saved one to {same:.0%} of the clips compared;"
                f" {INT8_SAME:.0%} are asked for. The system does not bear 8 bits. Nothing was written"
            )
        if changed:
            raise CheckFailed(
                f"{path}: the exported model gives another class to {changed} clips whose class is clear."
                " Nothing was written"
            )
        metadata |= {"parity_error": f"{error:.2e}", "same_class": f"{same:.4f}"}
        maker.write(made, temporary, metadata)
        if maker.metadata(temporary) != metadata:
            raise CheckFailed(f"{path}: what was written does not read back as it should. Nothing was kept")
    return Exported(path, kind, error, same, batch, frames, metadata, precision)


def describe(saved: Saved, kind: Kind = "onnx") -> dict[str, str]:
    """What a file says about itself, all of it text; lists and tables are JSON."""
    facts, config = saved.facts, saved.config
    labels = [[label.name, label.group] for label in facts.taxonomy]
    return {
        "library": f"microgesture {config.get('version', 'unknown')}",
        "system": config["system"]["class_path"],
        "weights_sha256": config["sha256"],
        "taxonomy": facts.taxonomy.key,
        "taxonomy_sha256": facts.taxonomy.digest,
        "labels": _json(labels),
        "skeleton": facts.skeleton.name,
        "joints": _json(facts.skeleton.joints),
        "sample_rate": f"{facts.fps:.10g}",
        "frames": str(facts.frames),
        "persons": str(facts.persons),
        "coordinates": str(facts.in_channels - 1),
        "normalisation": NORMALISATION,
        **_streams(saved.folder / RECIPE),
        "licence": _licence(saved.folder),
        **({"opset": str(OPSET)} if kind != "torch" else {}),
        # how windows are cut, and how a model of motions answers in the classes of a data set
        **{name: _json(config[name]) for name in ("window", "serves", "calibration") if name in config},
    }


def _target(model: str | Path, kind: Kind | None, out: str | Path | None) -> tuple[Kind, Path]:
    if kind is not None and kind not in SUFFIXES:
        raise UsageError(f"no format '{kind}'; choose {', '.join(SUFFIXES)}")
    if out is None:
        kind = kind or "onnx"
        return kind, Path(Path(model).resolve().name + SUFFIXES[kind])
    path = Path(out)
    named: dict[str, Any] = {suffix: key for key, suffix in SUFFIXES.items()}
    kind = kind or named.get(path.suffix)
    if kind is None:
        raise UsageError(f"{path}: the format is not clear; choose {', '.join(SUFFIXES)} with --format")
    if path.suffix != SUFFIXES[kind]:
        raise UsageError(f"{path}: a file of format {kind} ends with {SUFFIXES[kind]}")
    return kind, path


class _Maker(Protocol):
    """Writes and reads files of one kind; made before any work is done, so that a missing extra is told at once."""

    beside: tuple[str, ...]

    def convert(self, program: Program, ranges: list[Feed], progress: Progress | None) -> Any: ...
    def write(self, made: Any, path: Path, metadata: Mapping[str, str]) -> None: ...
    def runner(self, path: Path) -> Run: ...
    def metadata(self, path: Path) -> dict[str, str]: ...


class _Onnx:
    beside: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.onnx, self.runtime = _extra("onnx", "export"), _extra("onnxruntime", "export")
        _extra("onnxscript", "export")

    def convert(self, program: Program, ranges: list[Feed], progress: Progress | None) -> Any:
        sizes = {axis: word for axis, word in ((CLIPS, "batch"), (FRAMES, "time")) if _any_size(program, axis)}
        names: dict[str, Any] = {
            "input_names": ["xy", "score"],
            "output_names": ["logits"],
            "dynamic_shapes": {"xy": sizes, "score": sizes},
        }
        with _hushed(), _explained("ONNX"):
            made = torch.onnx.export(program, (), opset_version=OPSET, dynamo=True, verbose=False, **names)
        assert made is not None
        proto = made.model_proto
        # where on this machine which line of code stood is nobody's business
        for node in proto.graph.node:
            del node.metadata_props[:]
        del proto.graph.value_info[:]
        del proto.graph.metadata_props[:]
        if not ranges:
            return proto
        with _hushed(""), _explained("the quantiser"):  # it advises all who listen, on what is done already
            return quantised(proto, ranges, progress)

    def write(self, made: Any, path: Path, metadata: Mapping[str, str]) -> None:
        del made.metadata_props[:]
        self.onnx.helper.set_model_props(made, dict(metadata))
        path.write_bytes(made.SerializeToString(deterministic=True))

    def runner(self, path: Path) -> Run:
        session = self.runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

        def run(xy: NDArray[np.float32], score: NDArray[np.float32]) -> NDArray[np.float32]:
            logits: NDArray[np.float32] = session.run(None, {"xy": xy, "score": score})[0]
            return logits

        return run

    def metadata(self, path: Path) -> dict[str, str]:
        return {entry.key: entry.value for entry in self.onnx.load(io.BytesIO(path.read_bytes())).metadata_props}


class _OpenVino:
    beside: tuple[str, ...] = (".bin",)

    def __init__(self) -> None:
        self.openvino = _extra("openvino", "openvino")
        self.onnx = _Onnx()

    def convert(self, program: Program, ranges: list[Feed], progress: Progress | None) -> Any:
        proto = self.onnx.convert(program, ranges, progress)
        with _explained("OpenVINO"):
            return self.openvino.Core().read_model(proto.SerializeToString())

    def write(self, made: Any, path: Path, metadata: Mapping[str, str]) -> None:
        made.set_rt_info(dict(metadata), "microgesture")
        try:
            self.openvino.save_model(made, str(path), compress_to_fp16=False)
        except RuntimeError as error:  # however the disk failed
            raise OutputFailed(f"{path}: OpenVINO could not write it ({_short(error)})") from error

    def runner(self, path: Path) -> Run:
        # its processors may calculate in bfloat16 if not told otherwise
        precision = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = self.openvino.Core().compile_model(str(path), "CPU", precision)

        def run(xy: NDArray[np.float32], score: NDArray[np.float32]) -> NDArray[np.float32]:
            logits: NDArray[np.float32] = compiled({"xy": xy, "score": score})["logits"]
            return logits

        return run

    def metadata(self, path: Path) -> dict[str, str]:
        kept = self.openvino.Core().read_model(str(path)).get_rt_info("microgesture").value
        return {name: str(getattr(value, "value", value)) for name, value in kept.items()}


class _Torch:
    beside: tuple[str, ...] = ()
    _ABOUT = "microgesture.json"

    def convert(self, program: Program, ranges: list[Feed], progress: Progress | None) -> Program:
        return program

    def write(self, made: Program, path: Path, metadata: Mapping[str, str]) -> None:
        buffer = io.BytesIO()
        torch.export.save(made, buffer, extra_files={self._ABOUT: _json(metadata)})
        path.write_bytes(buffer.getvalue())

    def runner(self, path: Path) -> Run:
        module = torch.export.load(io.BytesIO(path.read_bytes())).module()

        def run(xy: NDArray[np.float32], score: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                logits: NDArray[np.float32] = module(torch.from_numpy(xy), torch.from_numpy(score)).numpy()
            return logits

        return run

    def metadata(self, path: Path) -> dict[str, str]:
        about = {self._ABOUT: ""}
        torch.export.load(io.BytesIO(path.read_bytes()), extra_files=about)
        kept: dict[str, str] = json.loads(about[self._ABOUT])
        return kept


_MAKERS: dict[str, Callable[[], _Maker]] = {"onnx": _Onnx, "openvino": _OpenVino, "torch": _Torch}


class _Door(nn.Module):
    """The system behind two plain tensors."""

    def __init__(self, system: nn.Module, precision: Precision = "f32") -> None:
        super().__init__()
        self.system, self.low = system, precision == "bf16"

    def forward(self, xy: Tensor, score: Tensor) -> Tensor:
        if not self.low:
            return self._logits(xy, score)
        with torch.autocast("cpu", torch.bfloat16):
            return self._logits(xy, score).float()

    def _logits(self, xy: Tensor, score: Tensor) -> Tensor:
        out = self.system(PoseBatch(xy, score))
        if isinstance(out, Tensor):
            return out
        logits: Tensor = out[0] if isinstance(out, tuple) else getattr(out, fields(out)[0].name)
        return logits


def _program(saved: Saved, precision: Precision) -> tuple[Program, int | None, int | None]:
    """The traced system, and the number of clips and frames it is bound to, None where any will do."""
    system, facts = saved.system, saved.facts
    reads = typing.get_type_hints(type(system).forward).get("batch", PoseBatch)
    if reads is not PoseBatch:
        raise UsageError(
            f"{type(system).__name__} reads a {reads.__name__}; only systems that read poses alone are exported"
        )
    door = _Door(system.cpu().eval(), precision)
    free = {CLIPS, FRAMES}
    while True:
        xy, score = _clips(facts, 2 if CLIPS in free else 1, facts.frames)
        sizes = dict.fromkeys(free, torch.export.Dim.AUTO)
        with torch.no_grad(), _hushed(), _explained("torch.export"):
            program = torch.export.export(
                door,
                (torch.from_numpy(xy), torch.from_numpy(score)),
                dynamic_shapes={"xy": sizes, "score": sizes},
                prefer_deferred_runtime_asserts_over_guards=True,
            )
        bound = {axis for axis in free if not _any_size(program, axis)}
        if not bound:
            break
        free -= bound
    with torch.no_grad(), _hushed(), _explained("torch.export"):
        program = program.run_decompositions({torch.ops.aten.nanmedian.dim: _nanmedian})
        if precision == "bf16":
            xy, score = _clips(facts, 2 if CLIPS in free else 1, facts.frames)
            sizes = dict.fromkeys(free, torch.export.Dim.AUTO)
            program = torch.export.export(
                _folded(program),
                (torch.from_numpy(xy), torch.from_numpy(score)),
                dynamic_shapes={"xy": sizes, "score": sizes},
                prefer_deferred_runtime_asserts_over_guards=True,
            )
            for node in program.graph.nodes:
                if node.target is torch.ops.aten.view.default:
                    # the tracer judges by its own idea of strides, and the kernels of bfloat16 answer in others
                    node.target = torch.ops.aten.reshape.default
    _strip(program)
    return program, None if CLIPS in free else 1, None if FRAMES in free else facts.frames


def _folded(program: Program) -> torch.fx.GraphModule:
    """The program with all that follows from the weights alone worked out: batch norms and bfloat16 are in them."""
    module = program.module()
    known: dict[torch.fx.Node, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            known[node] = operator.attrgetter(str(node.target))(module)
        elif node.op == "call_function" and node.all_input_nodes and known.keys() >= set(node.all_input_nodes):
            arguments = torch.fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*arguments[0], **arguments[1])
    for place, (node, value) in enumerate(known.items()):
        if node.op == "call_function" and isinstance(value, Tensor) and not node.users.keys() <= known.keys():
            module.register_buffer(f"folded_{place}", value.detach())
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(f"folded_{place}"))
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _any_size(program: Program, axis: int) -> bool:
    """Whether the inputs may have any size along an axis, but for very few frames."""
    name = program.graph_signature.user_inputs[0]
    size = next(node for node in program.graph.nodes if node.name == name).meta["val"].shape[axis]
    if isinstance(size, int):
        return False
    allowed = program.range_constraints[size.node.expr]
    return bool(allowed.lower <= _SHORTEST and allowed.upper > 1 << 30)


def _strip(program: Program) -> None:
    """Take out what does not belong into a file for others.

    Paths of this machine; and assertions about strides, such as that the number of frames is even, which hold for the
    clips that were traced and mean nothing: the comparison that follows runs other sizes.
    """
    for node in list(program.graph.nodes):
        node.meta.pop("stack_trace", None)
        if node.target is torch.ops.aten._assert_scalar.default:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()


def _nanmedian(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """`aten.nanmedian`, which ONNX lacks: the lower of two middle values, NaN where all are."""
    missing = x.isnan()
    ordered = torch.where(missing, torch.inf, x).sort(dim).values
    count = (~missing).sum(dim, keepdim=True)
    place = ((count - 1) // 2).clamp(min=0)
    middle = torch.where(count > 0, ordered.gather(dim, place), torch.nan)
    # the place among the sorted values, where torch gives that among the unsorted: no system asks for it
    return (middle, place) if keepdim else (middle.squeeze(dim), place.squeeze(dim))


def _differences(saved: Saved, run: Run, feeds: Iterable[Feed], tolerance: float) -> tuple[float, int, float]:
    """The largest difference, NaN if any answer is not finite; how many clips whose best class leads by more than
    `tolerance` are given another class; and the share of all that are given the same."""
    worst, changed, same, count = 0.0, 0, 0, 0
    for xy, score in feeds:
        with torch.inference_mode():
            expected = _Door(saved.system)(torch.from_numpy(xy), torch.from_numpy(score)).float().numpy()
        try:
            found = run(xy, score)
        except Exception as error:  # each runtime has errors of its own
            raise CheckFailed(
                f"the exported model fails on {xy.shape[CLIPS]} clips of {xy.shape[FRAMES]} frames ({_short(error)}). "
                "Nothing was written"
            ) from error
        unit = max(1.0, np.abs(expected).max())
        difference = float(np.abs(found - expected).max() / unit)
        worst = float(np.maximum(worst, difference))  # NaN stays
        second, best = np.partition(expected, -2)[:, -2:].T
        clear = best - second > tolerance * unit
        differs = found.argmax(1) != expected.argmax(1)
        changed, same, count = changed + int(differs[clear].sum()), same + int((~differs).sum()), count + len(differs)
    return worst, changed, same / count


def _singly(feeds: Iterable[Feed]) -> Iterator[Feed]:
    for xy, score in feeds:
        yield from ((xy[i : i + 1], score[i : i + 1]) for i in range(len(xy)))


def _random_feeds(facts: Facts, batch: int | None, frames: int | None) -> Iterator[Feed]:
    """Random clips of several numbers and lengths, as far as the program reads them."""
    usual = facts.frames
    lengths = (frames,) if frames else sorted({usual, max(_SHORTEST, usual // 2), 2 * usual + 1})
    for clips in (batch,) if batch else (1, 3):
        for length in lengths:
            yield _clips(facts, clips, length, seed=length)


def _clips(facts: Facts, clips: int, frames: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random bodies whose joints wander; a tenth of them is missing, and the last of several clips shows nobody."""
    rng = np.random.default_rng(seed)
    shape = (clips, facts.persons, frames, len(facts.skeleton))
    coordinates = facts.in_channels - 1  # a batch has the score besides
    rest = rng.normal(size=(*shape[:2], 1, shape[3], coordinates))
    xy = rest + 0.1 * rng.normal(size=(*shape, coordinates)).cumsum(2)
    score = rng.uniform(0.3, 1, shape) * (rng.random(shape) > 0.1)
    if clips > 1:
        score[-1] = 0
    return (xy * (score > 0)[..., None]).astype(np.float32), score.astype(np.float32)


def _extra(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(extra, f"exporting to {'OpenVINO' if extra == 'openvino' else 'ONNX'}") from error


def _licence(folder: Path) -> str:
    """What the model's card says."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.match(r"---\n(?:(?!---).*\n)*?license: *(.+)\n", text)
    return found[1].strip() if found else "not stated"


def _streams(recipe: Path) -> dict[str, str]:
    """What lies on axis C, where the recipe of the run says it."""
    if not recipe.is_file():
        return {}
    try:
        plain = yaml.safe_load(read_bytes(recipe, 1 << 20))
        return {"streams": _json((plain.get("loading") or {}).get("streams", ["joint"]))}
    except (yaml.YAMLError, AttributeError, ValueError, TypeError) as error:
        raise FormatError(recipe, f"cannot be read ({_short(error)})", remedy="restore it, or move it away") from error


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def _explained(step: str) -> Iterator[None]:
    """Whatever a tracer or converter cannot do becomes one line."""
    try:
        yield
    except Exception as error:  # they raise errors of many kinds
        raise UsageError(f"the system cannot be exported: {step} says {_short(error)}") from error


@contextmanager
def _hushed(logger: str = "torch.onnx") -> Iterator[None]:
    """Without what the exporter tells its own developers."""
    log = logging.getLogger(logger)
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
