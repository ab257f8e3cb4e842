"""Reading integers from a buffer: every helper returns a 64-bit integer.

``b`` is a uint8 array (compiled) or anything whose items are integers 0..255 (interpreted). Nothing here checks
bounds: the caller compares lengths first, as the tests with bounds checks on confirm.
"""

from __future__ import annotations

from typing import Any

from analyzer.kernels import helper


@helper
def u8(b: Any, i: int) -> int:
    """The byte at ``i``."""
    return int(b[i])


@helper
def u16(b: Any, i: int) -> int:
    """Two bytes at ``i``, network byte order."""
    return (int(b[i]) << 8) | int(b[i + 1])


@helper
def u24(b: Any, i: int) -> int:
    """Three bytes at ``i``, network byte order."""
    return (int(b[i]) << 16) | (int(b[i + 1]) << 8) | int(b[i + 2])


@helper
def u32(b: Any, i: int) -> int:
    """Four bytes at ``i``, network byte order."""
    return (int(b[i]) << 24) | (int(b[i + 1]) << 16) | (int(b[i + 2]) << 8) | int(b[i + 3])


@helper
def le16(b: Any, i: int) -> int:
    """Two bytes at ``i``, little endian."""
    return int(b[i]) | (int(b[i + 1]) << 8)


@helper
def le32(b: Any, i: int) -> int:
    """Four bytes at ``i``, little endian."""
    return int(b[i]) | (int(b[i + 1]) << 8) | (int(b[i + 2]) << 16) | (int(b[i + 3]) << 24)
