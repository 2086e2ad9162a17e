"""Pickles that would run code, fill memory or never end. `python hostile_pickles.py FOLDER` reads them all.

The reading process is fenced: a hook on the interpreter ends it at once if anything is started, connected, opened for
writing or loaded as code, and the kernel limits its memory. It prints one line per file.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

CANARY = "canary"

# what an attacker would call; the argument leaves a trace if it runs
CALLS = (
    *("os system", "posix system", "nt system", "os popen", "os execv", "os putenv", "os remove", "os kill"),
    *("subprocess Popen", "subprocess check_output", "subprocess getoutput", "pty spawn", "platform popen"),
    *("builtins eval", "builtins exec", "builtins compile", "builtins __import__", "builtins open", "builtins getattr"),
    *(
        "builtins setattr",
        "builtins globals",
        "builtins breakpoint",
        "builtins input",
        "builtins print",
        "builtins map",
    ),
    *("__builtin__ eval", "__builtin__ execfile", "importlib import_module", "runpy run_path", "code interact"),
    *("pickle loads", "_pickle loads", "marshal loads", "types FunctionType", "types CodeType", "functools partial"),
    *("operator attrgetter", "operator methodcaller", "timeit timeit", "cProfile run", "pdb run", "webbrowser open"),
    *("socket create_connection", "urllib.request urlopen", "ctypes CDLL", "shutil rmtree", "pip main", "asyncio run"),
    *("numpy load", "numpy memmap", "numpy fromfile", "numpy.core.multiarray fromfile", "numpy.testing.runstring eval"),
    *("numpy.f2py.crackfortran getlincoef", "torch load", "torch.hub load", "torch.jit load", "pandas read_pickle"),
    *("dill._dill _create_function", "joblib load", "copyreg _reconstructor", "collections defaultdict"),
    *("microgesture.formats.safe_pickle load", "microgesture.formats.safe_pickle _Machine", "numpy ndarray.tofile"),
)


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def corpus() -> dict[str, bytes]:
    """File name -> bytes."""
    files: dict[str, bytes] = {}
    shell = f"echo ran > {CANARY}"
    for call in CALLS:
        module, name = call.split(" ")
        files[f"global {call}"] = f"c{module}\n{name}\n(V{shell}\ntR.".encode()
        files[f"stack_global {call}"] = b"\x80\x04" + text(module) + text(name) + b"\x93(" + text(shell) + b"tR."
    system = b"cposix\nsystem\n"
    argument = f"V{shell}\n".encode()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
    doubling = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))
    tuples = b"K\x00q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    files |= {
        "inst": b"(" + argument + b"iposix\nsystem\n.",
        "obj": b"(" + system + argument + b"o.",
        "newobj": system + b"(" + argument + b"t\x81.",
        "newobj_ex": system + b"(" + argument + b"t}\x92.",
        "extension": b"\x82\x01(" + argument + b"tR.",
        "persistent id": b"Vhello\nQ.",
        "persistent id by line": b"Phello\n.",
        "out-of-band buffer": b"\x80\x05\x97.",
        "state of a function": b"ccollections\nOrderedDict\n}Vx\nVy\nsb.",
        "slots of a function": b"cnumpy\ndtype\nN}V__call__\ncbuiltins\nset\ns\x86b.",
        "call a type": b"cnumpy\nndarray\n(K\x05tR.",
        "call text": b"Vsystem\n(tR.",
        "call a list": b"](tR.",
        "array of objects": pickle.dumps(__import__("numpy").array([{}], dtype=object)),
        "array of records": pickle.dumps(__import__("numpy").zeros(2, dtype=[("a", "f4")])),
        "array that lies": array
        + b"(K\x01(\x8a\x06\x00\x00\x00\x00\x00\x01tcnumpy\ndtype\n(Vf8\nI00\nI01\ntR\x89C\x00tb.",
        "array of nothing": array
        + b"(K\x01(\x8a\x05\x00\x00\x00\x00\x01tcnumpy\ndtype\n(VS0\nI00\nI01\ntR\x89C\x00tb.",
        "array never filled": array + b".",
        "dtype of fields": b"cnumpy\ndtype\n(Vf4\nI00\nI01\ntR(K\x03V<\nN(Va\nt}K\x01K\x01K\x00tb.",
        "dtype object": b"cnumpy\ndtype\n(VO\nI00\nI01\ntR.",
        "getattr of an attribute": b"\x80\x04" + text("numpy") + text("dtype.__class__") + b"\x93.",
        "dunder of our own": b"\x80\x04" + text("numpy.core.multiarray") + text("_reconstruct.__globals__") + b"\x93.",
        "codecs rot13": b"c_codecs\nencode\n(Vuryyb\nVrot13\ntR.",
        "codecs zlib bomb": b"c_codecs\nencode\n(Vuryyb\nVzlib\ntR.",
        "name that is a number": b"\x80\x04K\x01K\x02\x93.",
        "list doubled 60 times": doubling + b".",
        "tuple doubled 60 times": tuples + b".",
        "tuple doubled as a key": b"}" + tuples + b"K\x00s.",
        "set of tuples doubled": b"cbuiltins\nset\n(](" + tuples + b"etR.",
        "list in itself": b"]q\x00h\x00a.",
        "a million lists deep": b"]" * 1_000_000 + b"a" * 999_999 + b".",
        "a million tuples deep": b")" + b"\x85" * 1_000_000 + b".",
        "three million instructions": b"](" + b"N" * 3_000_000 + b"e.",
        "text that lies": b"\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
        "bytes that lie": b"\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
        "frame that lies": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
        "number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
        "long of a megabyte": b"\x8b" + struct.pack("<I", 1 << 20) + b"\x7f" * (1 << 20) + b"\x85q\x00}h\x00h\x00s.",
        "memo at 2^31": b"Nr\xff\xff\xff\x7fj\xff\xff\xff\x7f(.",
        "memo that is not there": b"h\x07.",
        "stack that is empty": b"0.",
        "mark as a value": b"(.",
        "protocol 255": b"\x80\xff.",
        "no stop": b"N",
        "nothing but zeros": bytes(100),
        "tensor with code in its storage": b"ctorch.storage\n_load_from_bytes\n(" + _bytes(_evil(shell)) + b"tR.",
        "tensor from text": b"ctorch.storage\n_load_from_bytes\n(Vhello\ntR.",
        "tensor of nothing": b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00(K\x05t(K\x01tI00\nNtR.",
        "gzip": gzip.compress(_evil(shell)),
        "joblib header": b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81.",
        "torch archive": _zip({"archive/data.pkl": _evil(shell), "archive/version": b"3\n"}),
        "archive with a broken checksum": _broken(_zip({"archive/data.pkl": _evil(shell)})),
        "legacy torch tar": _tar({"pickle": _evil(shell), "storages": b"", "tensors": b""}),
        "objects.npz": _npz(_npy_of_objects(shell)),
        "pickle as a member.npz": _zip({"a.npy": _evil(shell)}),
        "pickle under the name meta.npz": _zip({"meta.npy": _evil(shell)}),
        "header with a call.npz": _zip({"a.npy": b"\x93NUMPY\x01\x00\x20\x00__import__('os').system('true')\n"}),
    }
    return files


def _evil(shell: str) -> bytes:
    return f"cposix\nsystem\n(V{shell}\ntR.".encode()


def _bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def _zip(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _broken(data: bytes) -> bytes:
    return data.replace(data[14:18], b"\0\0\0\0")  # the CRC, in the local header and in the directory


def _tar(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _npy_of_objects(shell: str) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + _evil(shell)


def _npz(member: bytes) -> bytes:
    return _zip({"a.npy": member})


def fence() -> None:
    """Put the hook and the limit in place; there is no way back."""
    import resource

    allowed = 1 << 30  # on top of what torch reserves
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + allowed, used + allowed))

    starts = ("os.system", "os.exec", "os.fork", "os.spawn", "os.posix_spawn", "os.kill", "os.remove", "os.putenv")
    other = ("subprocess.", "pty.", "socket.connect", "urllib.", "ctypes.dlopen", "shutil.", "webbrowser.")

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if event.startswith((*starts, *other)) or writes:
            sys.stdout.write(f"RAN {event} {arguments!r:.200}\n")
            sys.stdout.flush()
            os._exit(3)

    sys.addaudithook(watch)


def main(folder: Path) -> None:
    import torch  # noqa: F401 - the readers load it for tensors; it must not be loaded behind the fence

    from microgesture.core.errors import FormatError
    from microgesture.core.layouts import SKELETONS
    from microgesture.formats import safe_pickle
    from microgesture.formats.pose_npz import read_npz
    from microgesture.formats.pyskl import read_pyskl
    from microgesture.formats.safe_npz import read_arrays

    fence()
    readers: tuple[Callable[[Path], object], ...]
    for path in sorted(folder.iterdir()):
        if path.suffix == ".npz":
            readers = (read_arrays, read_npz)
        else:
            readers = (safe_pickle.load, lambda file: read_pyskl(file, SKELETONS["coco17"], fps=25))
            readers = readers[: 1 if path.stat().st_size > 100_000 else 2]  # the second only calls the first
        words = []
        for read in readers:
            try:
                read(path)
                words.append("read")
            except FormatError as error:
                words.append("refused" if error.remedy and error.path == str(path) else f"POOR {error}")
            except BaseException as error:  # noqa: BLE001 - this is what is looked for
                words.append(f"ESCAPED {type(error).__name__} {str(error)[:100]}")
        print(f"{path.name}: {', '.join(words)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
