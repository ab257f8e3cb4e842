"""Reading integers from a buffer: every helper returns a 64-bit integer.

``b`` is a uint8 array (compiled) or anything whose items are integers 0..255 (interpreted). Nothing here checks
bounds: the caller compares lengths first, as the tests with bounds checks on confirm.

The masks look idle and are not: compiled, ``int`` of an unsigned byte stays unsigned, and unsigned plus signed is a
float there; masked with a constant it is signed.
"""

from __future__ import annotations

from typing import Any

from analyzer.kernels import compiled_as, helper


@helper
def u8(b: Any, i: int) -> int:
    """The byte at ``i``."""
    return int(b[i]) & 0xFF


@helper
def u16(b: Any, i: int) -> int:
    """Two bytes at ``i``, network byte order."""
    return ((int(b[i]) << 8) | int(b[i + 1])) & 0xFFFF


@helper
def u32(b: Any, i: int) -> int:
    """Four bytes at ``i``, network byte order."""
    return ((int(b[i]) << 24) | (int(b[i + 1]) << 16) | (int(b[i + 2]) << 8) | int(b[i + 3])) & 0xFFFFFFFF


@helper
def le16(b: Any, i: int) -> int:
    """Two bytes at ``i``, little endian."""
    return (int(b[i]) | (int(b[i + 1]) << 8)) & 0xFFFF


@helper
def le32(b: Any, i: int) -> int:
    """Four bytes at ``i``, little endian."""
    return (int(b[i]) | (int(b[i + 1]) << 8) | (int(b[i + 2]) << 16) | (int(b[i + 3]) << 24)) & 0xFFFFFFFF


def _copy_loop(source: Any, begin: int, end: int, target: Any, at: int) -> None:
    for i in range(end - begin):
        target[at + i] = source[begin + i]


# Compiled, a slice assignment allocates where source and target might overlap; interpreted, a loop takes ages.
@compiled_as(_copy_loop)
def copy_bytes(source: Any, begin: int, end: int, target: Any, at: int) -> None:
    """Copy ``source[begin:end]`` to ``target``, from ``at`` on; they are different arrays."""
    target[at : at + end - begin] = source[begin:end]
