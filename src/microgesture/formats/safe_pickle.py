"""Pickles of others, read as data: numpy arrays, tensors and plain containers, nothing that can run code.

A pickle is a program for a small stack machine that may call anything. This reader is its own machine for the
instructions that only build data. No name in the file is ever looked up: the few that arrays and tensors need are
answered by functions below, every other name is refused, as are objects, extension codes and persistent ids.

`load_torch` reads what `torch.save` writes. Training leaves more than tensors in such files; objects of a few named
libraries come out as `Foreign`, a name and nothing else. They are not built either.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError
from microgesture.formats.safe_zip import ZIP_ERRORS, damaged, open_zip
from microgesture.formats.source import PathLike, check_file, read_bytes

SIZE_LIMIT = 2 << 30
OPCODE_LIMIT = 3_000_000
"""Instructions per file, about a second per million; the 22,422 clips of MA-52 take 1.5 million."""
OBJECT_LIMIT = 10_000_000
"""Objects once shared ones are counted each time."""
DEPTH_LIMIT = 64

_DTYPE = re.compile(r"[<>|=]?(b1|\?|[iuf](1|2|4|8)|[SU]\d{1,9})\Z", re.ASCII)
_SCALARS = (str, bytes, int, float, bool, type(None), np.generic)
# how the old files of torch.save begin: a pickle of one number
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# libraries whose objects training leaves beside the weights: logs, settings, dates; none of them is loaded
_BESIDE = (
    *("mmengine.", "mmcv.", "torch.", "numpy.", "collections.", "argparse.", "pathlib.", "datetime.", "copyreg."),
    *("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "yacs.", "addict.", "easydict."),
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "object", "str", "tuple")),
)
_MARK = object()


class _Refused(Exception):
    """The file asks for something that is not data."""


@dataclass(frozen=True)
class Foreign:
    """Stands where a checkpoint has an object of a library: its name, nothing of its content."""

    name: str


@dataclass
class _Name:
    """A name we have an answer to."""

    call: Callable[..., Any]


@dataclass
class _Dtype:
    """An array type before its byte order is known."""

    dtype: np.dtype[Any]

    def build(self, state: Any) -> None:
        order, subarray, names, fields = state[1:5]
        if subarray is not None or names is not None or fields is not None or order not in ("<", ">", "|", "="):
            raise _Refused("builds an array type of several fields")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


@dataclass
class _Blank:
    """An array before its content is known; `memo` is where the file keeps it."""

    memo: int | None = None


def _dtype(code: Any, *_: Any) -> _Dtype:
    if not isinstance(code, str) or not _DTYPE.match(code):
        raise _Refused(f"builds an array of type {str(code)[:20]!r}" if isinstance(code, str) else "builds a type")
    return _Dtype(np.dtype(code))


def _filled(raw: Any, kind: _Dtype, shape: Any, order: str) -> NDArray[Any]:
    data = raw.encode("latin-1") if isinstance(raw, str) else raw  # Python 2 wrote bytes as text
    if not isinstance(data, (bytes, bytearray)) or not isinstance(kind, _Dtype):
        raise _Refused("builds an array of Python objects")
    sides = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if len(sides) > 16 or not all(type(side) is int and 0 <= side < 1 << 40 for side in sides):
        raise ValueError("the shape of an array")
    if math.prod(sides) * kind.dtype.itemsize != len(data) or not kind.dtype.itemsize:
        raise ValueError("an array's shape does not fit its bytes")
    return np.frombuffer(bytes(data), kind.dtype).reshape(sides, order="F" if order == "F" else "C")


def _scalar(kind: _Dtype, raw: Any) -> Any:
    return _filled(raw, kind, (1,), "C")[0]


def _latin1(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise _Refused("encodes text")
    return text.encode("latin-1")


def _set(items: Any = ()) -> set[Any]:
    for item in items:
        _hashable(item)
    return set(items)


def _storage(raw: Any) -> Any:
    import torch

    if not isinstance(raw, bytes):
        raise _Refused("loads a tensor from something that is not bytes")
    return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)  # torch's own restricted reader


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> NDArray[Any]:
    import torch

    if not isinstance(storage, torch.storage.TypedStorage):
        raise _Refused("builds a tensor without a storage")
    flat = torch.empty(0, dtype=storage.dtype)
    if math.prod(size) * flat.element_size() > storage._untyped_storage.nbytes():  # strides of 0 make it any size
        raise ValueError("a tensor larger than its storage")
    array: NDArray[Any] = flat.set_(storage._untyped_storage, offset, size, stride).clone().numpy()
    return array


def _type(*_: Any) -> Any:
    raise _Refused("calls a type")


_NAMES = {
    "numpy.core.multiarray._reconstruct": _Name(lambda *_: _Blank()),
    "numpy.core.multiarray.scalar": _Name(_scalar),
    "numpy.core.numeric._frombuffer": _Name(_filled),
    "numpy.dtype": _Name(_dtype),
    "numpy.ndarray": _Name(_type),  # an argument of _reconstruct
    "_codecs.encode": _Name(_latin1),
    "builtins.set": _Name(_set),
    "builtins.frozenset": _Name(_set),
    "builtins.bytes": _Name(lambda: b""),
    "collections.OrderedDict": _Name(lambda: dict()),  # noqa: C408 - `dict` itself would take arguments
    "torch.storage._load_from_bytes": _Name(_storage),
    "torch._utils._rebuild_tensor_v2": _Name(_tensor),
}


def load(path: PathLike) -> Any:
    """The value in a pickle file: dicts, lists, tuples, sets, numbers, text, bytes and numpy arrays.

    Tensors come as numpy arrays, `OrderedDict` as `dict`, `frozenset` as `set`. Arrays may be read-only.

    Raises:
        NoInput, NotPermitted, FormatError: damaged, above a ceiling, or it asks for anything but data.
    """
    return _read(path, _Machine(), read_bytes(path, SIZE_LIMIT))


def load_torch(path: PathLike) -> Any:
    """The value in a file of `torch.save`, of today's kind (a zip archive) or of the one before 2020.

    Tensors come as numpy arrays, those of type bfloat16 as float32, objects of other libraries as `Foreign`.

    Raises:
        NoInput, NotPermitted, FormatError: damaged, above a ceiling, neither kind, or it asks for anything but data.
    """
    with check_file(path).open("rb") as file:
        head = file.read(len(_LEGACY))
    if head.startswith(b"PK"):
        return _load_zip(path)
    if head != _LEGACY:
        expected = "what torch.save writes: a zip archive, or pickles behind a magic number"
        problem, remedy = f"begins with {head[:8].hex(' ')}", "copy the file again, or check what it is"
        raise FormatError(path, problem, place="byte 0", expected=expected, remedy=remedy)
    return _load_legacy(path, read_bytes(path, SIZE_LIMIT))


def _load_zip(path: PathLike) -> Any:
    with open_zip(path) as archive:
        found = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") <= 1]
        if len(found) != 1:
            problem, remedy = f"the archive holds {len(found)} members data.pkl", "check which file it is"
            expected = "one, as torch.save writes it"
            raise FormatError(path, problem, place="zip directory", expected=expected, remedy=remedy)
        root = found[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        try:
            data = archive.read(found[0])
            big = order in archive.namelist() and archive.read(order).strip() == b"big"
        except ZIP_ERRORS as error:
            raise damaged(path, error, f"member {found[0][:60]!r}") from error
        if big:
            remedy = "save it again on a machine of today's byte order"
            raise FormatError(path, "its tensors are big-endian", place=f"member {order[:60]!r}", remedy=remedy)

        def storage(key: str, kind: _Kind, size: int) -> NDArray[Any]:
            return kind.array(archive.read(f"{root}data/{key}"), size)

        return _read(path, _TorchMachine(storage), data)


def _load_legacy(path: PathLike, data: bytes) -> Any:
    """Five pickles (magic number, version, machine, value, keys), then the storages: a count and that many numbers."""
    stream = io.BytesIO(data)
    for _ in range(3):
        _read(path, _Machine(), stream)
    begin = stream.tell()
    asked: dict[str, tuple[_Kind, int]] = {}

    def wanted(key: str, kind: _Kind, size: int) -> NDArray[Any]:
        asked[key] = (kind, size)
        if sum(kind.dtype.itemsize * size for kind, size in asked.values()) > len(data):
            raise ValueError("storages larger than the file")
        return np.zeros(size, kind.dtype)

    _read(path, _TorchMachine(wanted), stream)  # only to learn which storages there are and where they begin
    keys = _read(path, _Machine(), stream)
    found: dict[str, NDArray[Any]] = {}
    for key in keys if isinstance(keys, list) else ():
        at = stream.tell()
        kind, size = asked.get(key, (None, -1)) if isinstance(key, str) else (None, -1)
        if kind is None or int.from_bytes(stream.read(8), "little", signed=True) != size:
            raise FormatError(path, "its list of storages does not fit", place=f"byte {at}", remedy="copy it again")
        raw = stream.read(size * kind.dtype.itemsize)
        if len(raw) < size * kind.dtype.itemsize:
            raise FormatError(path, "ends within a tensor", place=f"byte {at}", remedy="copy the file again")
        found[key] = kind.array(raw, size)
    stream.seek(begin)
    return _read(path, _TorchMachine(lambda key, kind, size: found[key]), stream)


def _read(path: PathLike, machine: _Machine, data: bytes | io.BytesIO) -> Any:
    """Let a machine run, and say what is wrong with the file if it cannot."""
    try:
        value = machine.run(data)
        _weigh(value, 0, {})
    except _Refused as error:
        raise FormatError(
            path,
            f"this pickle {error}",
            place=f"byte {machine.position}",
            expected="numpy arrays, tensors and plain containers",
            remedy="do not load it with other tools either unless you trust its author; ask for .npz",
        ) from error
    except Exception as error:  # numpy, torch and the stack raise nearly anything on damaged bytes
        words = "" if isinstance(error, (LookupError, AttributeError)) else str(error).splitlines()[:1]
        raise FormatError(
            path,
            f"not a sound pickle{f' ({words[0][:120]})' if words else ''}",
            place=f"byte {machine.position}",
            remedy=machine.remedy,
        ) from error
    return value


class _Machine:
    """The stack machine. `position` is the byte of the instruction at work."""

    remedy = "copy the file again; torch checkpoints and joblib files are other formats"

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.position = 0

    def run(self, data: bytes | io.BytesIO) -> Any:
        stack = self.stack
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            self.position = position or 0
            if count >= OPCODE_LIMIT:
                raise _Refused(f"has more than {OPCODE_LIMIT:,} instructions")
            name = opcode.name
            if name in _PUSH:
                stack.append(argument)
            elif name == "STOP":
                if len(stack) != 1:
                    raise ValueError(f"{len(stack)} values at the end")
                return stack.pop()
            else:
                step = self.step(name)
                if step is None:
                    raise _Refused(f"uses the instruction {name}")
                step(self, argument)
        raise ValueError("no STOP")

    def step(self, name: str) -> Callable[[Any, Any], Any] | None:
        """What an instruction does; None refuses it."""
        return _STEPS.get(name)

    def items(self) -> list[Any]:
        """What lies above the last mark; both are taken off."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def keep(self, index: int | None) -> None:
        index = len(self.memo) if index is None else index
        top = self.stack[-1]
        self.memo[index] = top
        if isinstance(top, _Blank):
            top.memo = index

    def fill(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(pairs) % 2:
            raise ValueError("items for something that is not a dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[_hashable(key)] = value

    def extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("items for something that is not a list")
        self.stack[-1].extend(values)

    def add(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not set:
            raise ValueError("items for something that is not a set")
        self.stack[-1].update(_hashable(v) for v in values)

    def name(self, module: Any, word: Any) -> None:
        if not isinstance(module, str) or not isinstance(word, str):
            raise _Refused("asks for a name that is not text")
        known = _NAMES.get(f"{module.replace('numpy._core', 'numpy.core').replace('__builtin__', 'builtins')}.{word}")
        if known is None:
            raise _Refused(f"asks for {module[:60]}.{word[:60]}")
        self.stack.append(known)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Name) or type(arguments) is not tuple:
            raise _Refused("calls something that is not a function")
        self.stack.append(function.call(*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            target.build(state)
        elif isinstance(target, _Blank):
            shape, kind, fortran, raw = state[-4:]
            self.stack[-1] = _filled(raw, kind, shape, "F" if fortran else "C")
            if target.memo is not None:
                self.memo[target.memo] = self.stack[-1]
        else:
            raise _Refused("sets the state of an object")


def _hashable(key: Any) -> Any:
    flat = type(key) is tuple and all(isinstance(k, _SCALARS) for k in key)
    if not flat and not isinstance(key, _SCALARS):
        raise _Refused("uses a container as a key")  # nested tuples take exponential time to hash
    return key


# their argument is the value
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_PUSH = _NUMBERS | _TEXTS | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}


def _tuple(machine: _Machine, count: int) -> None:
    parts = machine.stack[-count:]
    if len(parts) < count or any(p is _MARK for p in parts):
        raise ValueError("too little on the stack")
    del machine.stack[-count:]
    machine.stack.append(tuple(parts))


def _dict(machine: _Machine) -> None:
    pairs = machine.items()
    machine.stack.append({})
    machine.fill(pairs)


_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "MARK": lambda m, a: m.stack.append(_MARK),
    "POP": lambda m, a: m.stack.pop(),
    "POP_MARK": lambda m, a: m.items(),
    "DUP": lambda m, a: m.stack.append(m.stack[-1]),
    "NONE": lambda m, a: m.stack.append(None),
    "NEWTRUE": lambda m, a: m.stack.append(True),
    "NEWFALSE": lambda m, a: m.stack.append(False),
    "EMPTY_LIST": lambda m, a: m.stack.append([]),
    "EMPTY_DICT": lambda m, a: m.stack.append({}),
    "EMPTY_SET": lambda m, a: m.stack.append(set()),
    "EMPTY_TUPLE": lambda m, a: m.stack.append(()),
    "LIST": lambda m, a: m.stack.append(m.items()),
    "TUPLE": lambda m, a: m.stack.append(tuple(m.items())),
    "FROZENSET": lambda m, a: m.stack.append(_set(m.items())),
    "DICT": lambda m, a: _dict(m),
    "TUPLE1": lambda m, a: _tuple(m, 1),
    "TUPLE2": lambda m, a: _tuple(m, 2),
    "TUPLE3": lambda m, a: _tuple(m, 3),
    "APPEND": lambda m, a: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, a: m.extend(m.items()),
    "ADDITEMS": lambda m, a: m.add(m.items()),
    "SETITEM": lambda m, a: m.fill([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, a: m.fill(m.items()),
    "MEMOIZE": lambda m, a: m.keep(None),
    "PUT": lambda m, a: m.keep(a),
    "BINPUT": lambda m, a: m.keep(a),
    "LONG_BINPUT": lambda m, a: m.keep(a),
    "GET": lambda m, a: m.stack.append(m.memo[a]),
    "BINGET": lambda m, a: m.stack.append(m.memo[a]),
    "LONG_BINGET": lambda m, a: m.stack.append(m.memo[a]),
    "GLOBAL": lambda m, a: m.name(*a.split(" ", 1)),
    "STACK_GLOBAL": lambda m, a: m.name(m.stack.pop(-2), m.stack.pop()),
    "REDUCE": lambda m, a: m.call(),
    "BUILD": lambda m, a: m.build(),
}


def _weigh(value: Any, depth: int, known: dict[int, int]) -> int:
    """Number of objects below a value, shared ones counted each time: a few bytes can share their way to 2^60."""
    if isinstance(value, (*_SCALARS, np.ndarray, bytearray, Foreign)):
        return 1
    if type(value) not in (dict, list, tuple, set):
        raise _Refused("holds something unfinished")
    if depth >= DEPTH_LIMIT:
        raise _Refused(f"is nested deeper than {DEPTH_LIMIT} levels")
    weight = known.get(id(value))
    if weight is None:
        known[id(value)] = 0
        children = value.values() if type(value) is dict else value
        weight = 1 + len(value) + sum(_weigh(child, depth + 1, known) for child in children)
        known[id(value)] = weight
    elif weight == 0:
        raise _Refused("contains itself")
    if weight > OBJECT_LIMIT:
        raise _Refused(f"unfolds to more than {OBJECT_LIMIT:,} objects")
    return weight


@dataclass(frozen=True)
class _Kind:
    """The type of a torch storage."""

    dtype: np.dtype[Any]
    brain: bool = False

    def array(self, raw: bytes, size: int) -> NDArray[Any]:
        flat = np.frombuffer(raw, self.dtype)
        if len(flat) != size:
            raise ValueError(f"a storage of {len(flat):,} numbers where {size:,} were announced")
        # bfloat16, which numpy does not know, is the upper half of a float32
        return (flat.astype(np.uint32) << 16).view(np.float32) if self.brain else flat


_KINDS = {
    f"torch.{name}Storage": _Kind(np.dtype(code), name == "BFloat16")
    for name, code in (
        *(("Double", "<f8"), ("Float", "<f4"), ("Half", "<f2"), ("BFloat16", "<u2"), ("Bool", "?")),
        *(("Long", "<i8"), ("Int", "<i4"), ("Short", "<i2"), ("Char", "i1"), ("Byte", "u1")),
    )
}


def _view(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> NDArray[Any]:
    """A tensor: a copy of part of a storage."""
    if not isinstance(storage, np.ndarray) or type(size) is not tuple or type(stride) is not tuple:
        raise _Refused("builds a tensor without a storage")
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
        raise ValueError("the shape of a tensor")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) and (last >= len(storage) or math.prod(size) > len(storage)):  # strides of 0 make it any size
        raise ValueError("a tensor larger than its storage")
    if not math.prod(size):
        return np.zeros(size, storage.dtype)
    steps = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()


def _parameter(tensor: Any, *_: Any) -> Any:
    if not isinstance(tensor, np.ndarray):
        raise _Refused("builds a parameter without a tensor")
    return tensor


def _ordered(items: Any = ()) -> dict[Any, Any]:
    pairs = [pair for pair in items if type(pair) in (list, tuple) and len(pair) == 2]
    if len(pairs) != len(items):
        raise ValueError("items for something that is not a dict")
    return {_hashable(key): value for key, value in pairs}


def _attribute(owner: Any, name: Any) -> Foreign:
    if not isinstance(owner, Foreign) or not isinstance(name, str):
        raise _Refused("asks for an attribute")
    return Foreign(f"{owner.name}.{name}")


_TORCH_NAMES = {
    "torch._utils._rebuild_tensor": _Name(_view),
    "torch._utils._rebuild_tensor_v2": _Name(_view),
    "torch._utils._rebuild_parameter": _Name(_parameter),
    "collections.OrderedDict": _Name(_ordered),
    "builtins.getattr": _Name(_attribute),  # how methods are written down; of ours it gives a longer name
}


class _TorchMachine(_Machine):
    """Also answers to storages, and lets objects of a few libraries pass as names.

    Args:
        storage: gives the numbers of a storage by its key, kind and size.
    """

    remedy = "copy the file again"

    def __init__(self, storage: Callable[[str, _Kind, int], NDArray[Any]]) -> None:
        super().__init__()
        self.storage = storage
        self.known: dict[str, NDArray[Any]] = {}

    def step(self, name: str) -> Callable[[Any, Any], Any] | None:
        return _TORCH_STEPS.get(name) or super().step(name)

    def name(self, module: Any, word: Any) -> None:
        full = f"{module}.{word}".replace("__builtin__", "builtins")
        found: Any = _TORCH_NAMES.get(full) or _KINDS.get(full)
        plain = full.replace("numpy._core", "numpy.core")
        if found is None and plain in _NAMES and not plain.startswith("torch."):
            found = _NAMES[plain]
        if found is None and isinstance(module, str) and isinstance(word, str) and full.startswith(_BESIDE):
            found = Foreign(full[:120])
        if found is None:
            raise _Refused(f"asks for {str(module)[:60]}.{str(word)[:60]}")
        self.stack.append(found)

    def persistent(self) -> None:
        match self.stack.pop():
            case ("storage", _Kind() as kind, str(key), str(), int(size)) if 0 <= size < 1 << 40:
                pass
            case ("storage", _Kind() as kind, str(key), str(), int(size), None) if 0 <= size < 1 << 40:
                pass
            case _:
                raise _Refused("asks for something that is no storage of numbers")
        if key not in self.known:
            self.known[key] = self.storage(key, kind, size)
        self.stack.append(self.known[key])

    def call(self) -> None:
        if isinstance(self.stack[-2], Foreign) and type(self.stack[-1]) is tuple:
            self.stack.pop()
        else:
            super().call()

    def build(self) -> None:
        if isinstance(self.stack[-2], (Foreign, dict)):  # a state dict carries versions as attributes
            self.stack.pop()
        else:
            super().build()

    def fill(self, pairs: list[Any]) -> None:
        if not isinstance(self.stack[-1], Foreign):
            super().fill(pairs)

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], Foreign):
            super().extend(values)


_TORCH_STEPS: dict[str, Callable[[_TorchMachine, Any], Any]] = {
    "BINPERSID": lambda m, a: m.persistent(),
    "NEWOBJ": lambda m, a: m.call(),
}
