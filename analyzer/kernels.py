"""Kernels: plain Python functions over arrays, compiled by numba when a capture is large.

How it works
------------
A *kernel* is a function that walks bytes or columns in a loop; a *helper* is a small function that kernels
call. Both are written in the subset of Python that means the same interpreted and compiled, and both stay
plain functions, so that tests, coverage and small captures run them as they stand. ``runner(f, True)``
gives the compiled twin: every registered function that it names is replaced by its compiled twin as well.

Rules of that subset (each was broken once before it became a rule):

* Bytes are read through the helpers of ``wire.bytes``, which return 64-bit integers. Arithmetic on narrow numpy
  scalars wraps when interpreted and does not when compiled.
* No value may leave the range of int64; hash products are masked to 32 bits.
* What one row holds together travels as one matrix with named column numbers (``Matrix``); independent arrays as a
  NamedTuple whose fields are annotated ``NDArray[np.<type>]`` (one dimension). A NamedTuple is unpacked at the head of
  a kernel: handing a tuple of thirty arrays to a helper cost ten times the work that the helper did.

Signatures are made from the annotations. A kernel is compiled once, by numba, to machine code that stands alone: it
calls nothing of numba or Python, allocates nothing and is called through its C interface. The code is kept on disk and
loaded by llvmlite, without numba, whose import alone would cost a third of a second and 70 MB in every run. The folder
is named after a hash of all kernel sources and the numba version, the files after the processor.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import inspect
import os
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

#: int64 rows by columns, C-contiguous.
Matrix = Annotated[NDArray[np.int64], 2]

F = TypeVar("F", bound=Callable[..., Any])

#: Modules whose kernels exist; their sources name the cache folder.
KERNEL_MODULES = (
    "analyzer.kernels",
    "analyzer.capture.pcap",
    "analyzer.capture.pcapng",
    "analyzer.wire.links",
    "analyzer.wire.packets",
    "analyzer.wire.bytes",
    "analyzer.wire.quic.split",
    "analyzer.wire.quic.summary",
    "analyzer.wire.quic.key_schedule",
    "analyzer.wire.quic.first_message",
    "analyzer.wire.offered_names",
    "analyzer.events.selected",
    "analyzer.events.story.endings",
    "analyzer.events.quic.portions",
    "analyzer.events.quic.plain",
    "analyzer.events.tcp.heads",
    "analyzer.events.tcp.segments",
    "analyzer.events.flows",
)

#: Below this many bytes the interpreted kernels finish before compiled ones would be loaded.
COMPILE_FROM_BYTES = 3_000_000

_registered: dict[Callable[..., Any], bool] = {}
_loading = threading.Lock()
_bodies: dict[Callable[..., Any], Any] = {}


def kernel(function: F) -> F:
    """Mark a function that loops over many records or packets; compiled with an explicit signature."""
    _registered[function] = True
    return function


def helper(function: F) -> F:
    """Mark a small function that kernels call; compiled into its callers."""
    _registered[function] = False
    return function


def compiled_as(loop: Callable[..., Any]) -> Callable[[F], F]:
    """Mark a helper that is compiled from another body, for the rare case that one is slow where the other is fast."""

    def mark(function: F) -> F:
        _bodies[function] = loop
        return helper(function)

    return mark


def registered_kernels() -> list[Callable[..., Any]]:
    """All kernels of the imported modules, in the order of their definition."""
    return [function for function, is_kernel in _registered.items() if is_kernel]


def worth_compiling(size: int) -> bool:
    """Whether captures of so many bytes (-1: unknown, and large) are read faster by compiled kernels."""
    return size < 0 or size >= COMPILE_FROM_BYTES


def runner(function: F, compiled: bool) -> F:
    """The function itself, or its compiled twin (built or loaded from the cache on first use)."""
    if not compiled:
        return function
    with _loading:  # the threads of one process share what holds the code
        return typing.cast(F, _compiled(function))


@functools.cache
def cache_folder() -> Path:
    """Folder of compiled kernels: a new name whenever a kernel source or the numba version changes."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for module in KERNEL_MODULES:
        source = package.parent / (module.replace(".", "/") + ".py")
        digest.update(source.read_bytes() if source.exists() else b"")
    digest.update(_numba_version() + sys.version.encode())
    name = f"kernels-{digest.hexdigest()[:16]}"
    override = os.environ.get("HALFSHAKE_KERNEL_CACHE")
    if override:
        return Path(override) / name
    own = package / "__pycache__" / name
    try:
        own.mkdir(parents=True, exist_ok=True)
        probe = own / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
        return own
    except OSError:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return Path(root) / "halfshake" / name


def _numba_version() -> bytes:
    """What tells one version of numba from another, found without importing it or the readers of package metadata."""
    found = importlib.util.find_spec("numba")
    version = Path((found and found.origin) or "").with_name("_version.py")
    if version.is_file():
        return version.read_bytes()
    from importlib.metadata import version as version_of

    return version_of("numba").encode()


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., int]:
    """The compiled twin of a kernel, from the cache or built for it."""
    kept = cache_folder() / f"{function.__module__}.{function.__name__}.{_processor()}.o"
    symbol, code = _read_code(kept)
    if not code:
        if not any(kept.parent.glob("*.o")):
            _say_once("halfshake: compiling the packet kernels for this machine, once per version (some seconds)\n")
        symbol, code = _build(function)
        _write_code(kept, symbol, code)
    return _callable(_load(symbol, code), _parameters(function), function.__name__)


@functools.cache
def _say_once(sentence: str) -> None:
    sys.stderr.write(sentence)


def _read_code(kept: Path) -> tuple[str, bytes]:
    """Symbol and machine code of a file; empty where there is none, or not what was written."""
    try:
        head, _, code = kept.read_bytes().partition(b"\n")
    except OSError:
        return "", b""
    digest, _, symbol = head.decode("ascii", "replace").partition(" ")
    return (symbol, code) if digest == hashlib.sha256(code).hexdigest() else ("", b"")


def _write_code(kept: Path, symbol: str, code: bytes) -> None:
    """Keep machine code, where files can be written; whoever reads meanwhile finds a whole file or none."""
    unfinished = kept.with_suffix(f".{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(f"{hashlib.sha256(code).hexdigest()} {symbol}\n".encode() + code)
        unfinished.replace(kept)
    except OSError:
        unfinished.unlink(missing_ok=True)


def _build(function: Callable[..., Any]) -> tuple[str, bytes]:
    """Symbol and machine code of a kernel and the helpers that it calls."""
    dispatcher = _dispatcher(function)
    (result,) = dispatcher.overloads.values()
    if str(result.signature.return_type) != "int64":
        raise TypeError(f"kernel {function.__name__} returns {result.signature.return_type}, not int64")
    return result.fndesc.llvm_func_name, bytes(result.library._get_compiled_object())


@functools.cache
def _dispatcher(function: Callable[..., Any]) -> Any:
    """numba's twin of one function; its registered callees are in its namespace as such twins."""
    import numba

    namespace, code = dict(function.__globals__), _bodies.get(function, function).__code__
    for name in code.co_names:
        callee = namespace.get(name)
        if isinstance(callee, types.FunctionType) and callee in _registered:
            namespace[name] = _dispatcher(callee)
    twin = types.FunctionType(code, namespace, function.__name__)
    twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
    if not _registered[function]:
        return numba.njit(twin, inline="never", _nrt=False)
    # Without numba's run-time (reference counts) and its wrappers for Python, the code needs no symbol from outside.
    options = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(_signature(function), **options)(twin)


class _Parameter(typing.NamedTuple):
    """One flat parameter: an array of a type and number of dimensions, or (None, 0) an integer."""

    dtype: np.dtype[Any] | None
    dimensions: int


def _parameters(function: Callable[..., Any]) -> list[_Parameter]:
    """The parameters of a kernel, those of its NamedTuples one by one."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [leaf for name in inspect.signature(function).parameters for leaf in _leaves(hints[name])]


def _leaves(hint: Any) -> list[_Parameter]:
    if hint is int:
        return [_Parameter(None, 0)]
    if isinstance(hint, type) and issubclass(hint, tuple):
        return [leaf for field in typing.get_type_hints(hint, include_extras=True).values() for leaf in _leaves(field)]
    dimensions = 1
    if hasattr(hint, "__metadata__"):  # Annotated[NDArray[x], dimensions]
        dimensions, hint = hint.__metadata__[0], hint.__origin__
    return [_Parameter(item_type(hint), dimensions)]


def item_type(hint: Any) -> np.dtype[Any]:
    """The item type of an annotation ``NDArray[x]``."""
    # It is ndarray[shape, dtype[x]] up to numpy 2.4, and an alias with the one argument x from 2.5 on.
    last = typing.get_args(hint)[-1]
    found: np.dtype[Any] = np.dtype((typing.get_args(last) or (last,))[0])
    return found


def _signature(function: Callable[..., Any]) -> Any:
    """numba's types of the parameters."""
    hints = typing.get_type_hints(function, include_extras=True)
    return tuple(_numba_type(hints[name]) for name in inspect.signature(function).parameters)


def _numba_type(hint: Any) -> Any:
    import numba

    if isinstance(hint, type) and issubclass(hint, tuple):
        fields = typing.get_type_hints(hint, include_extras=True).values()
        return numba.types.BaseTuple.from_types([_numba_type(field) for field in fields], hint)
    (leaf,) = _leaves(hint)
    if leaf.dtype is None:
        return numba.types.int64
    return numba.types.Array(numba.from_dtype(leaf.dtype), leaf.dimensions, "C")


@functools.cache
def _llvm() -> Any:
    """llvmlite's binding, with this machine's code generator."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def _processor() -> str:
    """A word for the processor and its features, for which code is built."""
    llvm = _llvm()
    return hashlib.sha256(f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode()).hexdigest()[
        :8
    ]


@functools.cache
def _engine() -> Any:
    """What holds loaded machine code, for as long as the program runs."""
    llvm = _llvm()
    return llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine()
    )


def _load(symbol: str, code: bytes) -> int:
    """Address of a kernel in memory."""
    engine = _engine()
    engine.add_object_file(_llvm().ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(symbol))


def _callable(address: int, parameters: list[_Parameter], name: str) -> Callable[..., int]:
    """A kernel as a function of arrays, NamedTuples of arrays and integers; other threads run while it does.

    The interface is numba's: pointers to the result and to an error; then an integer as it is, and of an array its
    owner (two pointers, none here), number and size of its items, address, shape and strides.
    """
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    kinds: list[Any] = [pointer, pointer]
    for dtype, dimensions in parameters:
        kinds += [word] if dtype is None else [pointer, pointer, word, word, pointer, *[word] * (2 * dimensions)]
    native = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(address)

    def run(*arguments: Any) -> int:
        result, error = word(), pointer()
        flat: list[Any] = []
        for value, parameter in zip(_flat(arguments), parameters, strict=True):
            flat += [value] if parameter.dtype is None else _array_words(value, parameter)
        if native(ctypes.byref(result), ctypes.byref(error), *flat):
            raise RuntimeError(f"the compiled kernel {name} failed")
        return result.value

    return run


def _flat(arguments: tuple[Any, ...]) -> Iterator[Any]:
    for value in arguments:
        if isinstance(value, tuple):
            yield from _flat(value)
        else:
            yield value


def _array_words(array: NDArray[Any], parameter: _Parameter) -> list[int | None]:
    """What a kernel gets of an array; machine code believes what it is told, so the array is checked here."""
    if array.dtype != parameter.dtype or array.ndim != parameter.dimensions or not array.flags.c_contiguous:
        raise TypeError(f"a kernel wants a contiguous array of {parameter}, not {array.dtype} of {array.ndim}")
    return [None, None, array.size, array.itemsize, _address(array), *array.shape, *array.strides]


def _address(array: NDArray[Any]) -> int:
    """Where the items of an array lie; by its buffer, which takes a third of the time that asking numpy takes."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):  # one that must not be written, or an empty one
        return int(array.ctypes.data)
