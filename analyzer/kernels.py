"""Kernels: plain Python functions over arrays, compiled by numba when a capture is large.

How it works
------------
A *kernel* is a function that walks bytes or columns in a loop; a *helper* is a small function that kernels
call. Both are written in the subset of Python that means the same interpreted and compiled, and both stay
plain functions, so that tests, coverage and small captures run them as they stand. ``runner(f, True)``
gives the compiled twin: every registered function that it names is replaced by its compiled twin as well.

Rules of that subset (each was broken once before it became a rule):

* Bytes are read through ``u8`` .. ``u64low`` below, which return 64-bit integers. Arithmetic on narrow numpy
  scalars wraps when interpreted and does not when compiled.
* No value may leave the range of int64; hash products are masked to 32 bits.
* What one row holds together travels as one matrix with named column numbers (``Matrix``); independent arrays as a
  NamedTuple whose fields are annotated ``NDArray[np.<type>]`` (one dimension). A NamedTuple is unpacked at the head of
  a kernel: handing a tuple of thirty arrays to a helper cost ten times the work that the helper did.

Signatures are made from the annotations, so compilation happens once and is cached on disk. numba's own
cache notices a change in a kernel's file but not in a helper of another file; the folder is therefore named
after a hash of all kernel sources and the numba version.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable
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
    "analyzer.events.selected",
    "analyzer.events.story.endings",
    "analyzer.events.tcp.segments",
    "analyzer.events.flows",
)

#: Below this many bytes the interpreted kernels finish before numba would be loaded.
COMPILE_FROM_BYTES = 3_000_000

_registered: dict[Callable[..., Any], bool] = {}


def kernel(function: F) -> F:
    """Mark a function that loops over many records or packets; compiled with an explicit signature."""
    _registered[function] = True
    return function


def helper(function: F) -> F:
    """Mark a small function that kernels call; compiled into its callers."""
    _registered[function] = False
    return function


def registered_kernels() -> list[Callable[..., Any]]:
    """All kernels of the imported modules, in the order of their definition."""
    return [function for function, is_kernel in _registered.items() if is_kernel]


def worth_compiling(size: int) -> bool:
    """Whether captures of so many bytes (-1: unknown, and large) are read faster by compiled kernels."""
    return size < 0 or size >= COMPILE_FROM_BYTES


def runner(function: F, compiled: bool) -> F:
    """The function itself, or its compiled twin (built or loaded from the cache on first use)."""
    return typing.cast(F, _compile(function)) if compiled else function


@functools.cache
def _numba() -> Any:
    """Import numba with its cache in a folder of ours; done late, since it costs a noticeable start-up."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))
    import numba

    numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
    return numba


@functools.cache
def cache_folder() -> Path:
    """Folder of compiled kernels: a new name whenever a kernel source or the numba version changes."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for module in KERNEL_MODULES:
        source = package.parent / (module.replace(".", "/") + ".py")
        digest.update(source.read_bytes() if source.exists() else b"")
    from importlib.metadata import version

    digest.update(version("numba").encode() + sys.version.encode())
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


@functools.cache
def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled twin of one function; its registered callees are compiled and put in its namespace."""
    numba = _numba()
    namespace = dict(function.__globals__)
    for name in function.__code__.co_names:
        callee = namespace.get(name)
        if isinstance(callee, types.FunctionType) and callee in _registered:
            namespace[name] = _compile(callee)
    twin = types.FunctionType(function.__code__, namespace, function.__name__)
    twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
    if not _registered[function]:
        return typing.cast(Callable[..., Any], numba.njit(twin, inline="never"))
    if not any(cache_folder().rglob("*.nbi")):
        _say_once("halfshake: compiling the packet kernels for this machine, once per version (some seconds)\n")
    dispatcher = numba.njit(_signature(function), cache=True)(twin)
    return typing.cast(Callable[..., Any], dispatcher)


@functools.cache
def _say_once(sentence: str) -> None:
    sys.stderr.write(sentence)


def _signature(function: Callable[..., Any]) -> Any:
    """numba's types of the parameters, read off the annotations."""
    hints = typing.get_type_hints(function, include_extras=True)
    return tuple(_numba_type(hints[name]) for name in inspect.signature(function).parameters)


def _numba_type(hint: Any) -> Any:
    types_ = _numba().types
    if hint is int:
        return types_.int64
    if isinstance(hint, type) and issubclass(hint, tuple):
        fields = typing.get_type_hints(hint, include_extras=True)
        members = [_numba_type(fields[name]) for name in hint._fields]  # type: ignore[attr-defined]
        return types_.BaseTuple.from_types(members, hint)
    dimensions = 1
    if hasattr(hint, "__metadata__"):  # Annotated[NDArray[x], dimensions]
        dimensions, hint = hint.__metadata__[0], hint.__origin__
    # NDArray[x] is ndarray[shape, dtype[x]] up to numpy 2.4, and an alias with the one argument x from 2.5 on
    last = typing.get_args(hint)[-1]
    dtype = (typing.get_args(last) or (last,))[0]
    return types_.Array(_numba().from_dtype(np.dtype(dtype)), dimensions, "C")
