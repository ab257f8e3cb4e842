"""Reading integers from a buffer: every helper returns a 64-bit integer.

``b`` is a uint8 array (compiled) or anything whose items are integers 0..255 (interpreted). Nothing here checks
bounds: the caller compares lengths first, as the tests with bounds checks on confirm.

The masks look idle and are not: compiled, ``int`` of an unsigned byte stays unsigned, and unsigned plus signed is a
float there; masked with a constant it is signed.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import compiled_as, helper

_SECRET_MASK = (1 << 47) - 1


# Compiled, an index that may be negative counts from the end, which costs three instructions for each byte and keeps
# the bytes of a word from being read at once. Those of the twins below are unsigned; no caller has a negative one.


def _u8(b: Any, i: int) -> int:
    return np.int64(b[np.uint64(i)])  # type: ignore[return-value]


def _u16(b: Any, i: int) -> int:
    at = np.uint64(i)
    return (np.int64(b[at]) << 8) | np.int64(b[at + np.uint64(1)])  # type: ignore[return-value]


def _u32(b: Any, i: int) -> int:
    at = np.uint64(i)
    high = (np.int64(b[at]) << 24) | (np.int64(b[at + np.uint64(1)]) << 16)
    return high | (np.int64(b[at + np.uint64(2)]) << 8) | np.int64(b[at + np.uint64(3)])  # type: ignore[return-value]


def _le16(b: Any, i: int) -> int:
    at = np.uint64(i)
    return np.int64(b[at]) | (np.int64(b[at + np.uint64(1)]) << 8)  # type: ignore[return-value]


def _le32(b: Any, i: int) -> int:
    at = np.uint64(i)
    low = np.int64(b[at]) | (np.int64(b[at + np.uint64(1)]) << 8)
    return low | (np.int64(b[at + np.uint64(2)]) << 16) | (np.int64(b[at + np.uint64(3)]) << 24)  # type: ignore[return-value]


def _copy_loop(source: Any, begin: int, end: int, target: Any, at: int) -> None:
    first, to = np.uint64(begin), np.uint64(at)
    for i in range(np.uint64(max(end - begin, 0))):
        target[to + i] = source[first + i]


@compiled_as(_u8)
def u8(b: Any, i: int) -> int:
    """The byte at ``i``."""
    return int(b[i]) & 0xFF


@compiled_as(_u16)
def u16(b: Any, i: int) -> int:
    """Two bytes at ``i``, network byte order."""
    return ((int(b[i]) << 8) | int(b[i + 1])) & 0xFFFF


@compiled_as(_u32)
def u32(b: Any, i: int) -> int:
    """Four bytes at ``i``, network byte order."""
    return ((int(b[i]) << 24) | (int(b[i + 1]) << 16) | (int(b[i + 2]) << 8) | int(b[i + 3])) & 0xFFFFFFFF


@compiled_as(_le16)
def le16(b: Any, i: int) -> int:
    """Two bytes at ``i``, little endian."""
    return (int(b[i]) | (int(b[i + 1]) << 8)) & 0xFFFF


@compiled_as(_le32)
def le32(b: Any, i: int) -> int:
    """Four bytes at ``i``, little endian."""
    return (int(b[i]) | (int(b[i + 1]) << 8) | (int(b[i + 2]) << 16) | (int(b[i + 3]) << 24)) & 0xFFFFFFFF


# Compiled, a slice assignment allocates where source and target might overlap; interpreted, a loop takes ages.
@compiled_as(_copy_loop)
def copy_bytes(source: Any, begin: int, end: int, target: Any, at: int) -> None:
    """Copy ``source[begin:end]`` to ``target``, from ``at`` on; they are different arrays."""
    target[at : at + end - begin] = source[begin:end]


@helper
def hash_of_words(words: Any, count: int) -> int:
    """Hash (32 bits) of ``count`` words of 32 bits, by the ``hash_secret`` that follows them in ``words``.

    A sum of 16-bit halves times secret numbers of 47 bits, its upper 32 bits: for words chosen without knowing the
    secret, the hashes of any two are independent (multilinear hashing, strongly universal). With a fixed hash a capture
    of a few thousand packets could put all its flows into one place of a table.
    """
    h = int(words[count])
    for word in range(count):
        value = int(words[word])
        if value:
            # A product of 16 and 47 bits and a sum of 47 stay within int64.
            h = (h + (value & 0xFFFF) * int(words[count + 1 + 2 * word])) & _SECRET_MASK
            h = (h + (value >> 16) * int(words[count + 2 + 2 * word])) & _SECRET_MASK
    return h >> 15


@functools.cache
def hash_secret(count: int) -> NDArray[np.int64]:
    """``1 + 2 * count`` numbers of 47 bits that no sender can know; the same while the program runs.

    They decide where things lie in tables, which no result may show.
    """
    random = np.frombuffer(os.urandom(8 * (1 + 2 * count)), np.int64)
    return np.asarray(random & _SECRET_MASK, np.int64)
