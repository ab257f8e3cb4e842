"""What lies around the bytes and columns of a kernel changes nothing, and stays as it was.

Each compiled kernel is called in the course of real work; a call is made again with its arrays inside larger ones,
three times with other bytes around them and in the parts that it has no business in. Of many calls fewer and fewer are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analyzer import kernels
from analyzer.capture.pcap import AT, END
from analyzer.capture.source import open_captures
from analyzer.events.flows import KEY_WORDS, insert_keys, new_flow_table
from analyzer.events.scan import scan
from analyzer.kernels import runner
from analyzer.wire.packets import decode_packets, new_packets
from analyzer.wire.quic.key_schedule import DCID, DCID_LENGTH, NUMBER, PACKET
from analyzer.wire.quic.split import MIN_PROTECTED
from tests.conftest import ROOT
from tests.crafted import batch_of
from tests.test_kernel_bounds import (
    CHOSEN,
    gather_pieces,
    judge_plain_flows,
    kernel_names,
    read_pcapng,
    split_datagrams,
)
from tests.test_kernels import damaged

FILLS = (0x00, 0xFF, 0xC3)
GUARD = 64  # elements, or rows of a matrix, on either side

Arrays = list[NDArray[Any]]


def outside(spans: Iterator[tuple[int, int]], length: int) -> NDArray[np.bool_]:
    """Where an array of this length is in none of the spans."""
    mask = np.ones(length, np.bool_)
    for begin, end in spans:
        mask[begin:end] = False
    return mask


def _walked(b: NDArray[Any], state: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    return outside(iter([(int(state[AT]), int(state[END]))]), len(b))


def _of_records(b: NDArray[Any], records: Any, *_: Any) -> NDArray[np.bool_]:
    ends = records.offset + records.captured_length
    return outside(zip(records.offset.tolist(), ends.tolist(), strict=True), len(b))


def _of_datagrams(b: NDArray[Any], datagrams: Any, *_: Any) -> NDArray[np.bool_]:
    return outside(zip(datagrams.start.tolist(), datagrams.end.tolist(), strict=True), len(b))


def _of_initials(b: NDArray[Any], packets: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    dcids = packets[:, [DCID, DCID_LENGTH]].cumsum(axis=1)
    spans = [*dcids.tolist(), *(packets[:, [PACKET, NUMBER]] + [0, MIN_PROTECTED]).tolist()]
    return outside(iter(spans), len(b))


def _of_pieces(clear: NDArray[Any], payloads: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    return outside(iter(payloads[:, :2].tolist()), len(clear))


def _of_cids(b: NDArray[Any], offsets: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    return outside(iter(offsets.reshape(-1, 2).cumsum(axis=1).tolist()), len(b))


def _of_messages(messages: NDArray[Any], lengths: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    behind: NDArray[np.bool_] = np.arange(messages.shape[1]) >= lengths[:, None]
    return behind


def _of_names(messages: NDArray[Any], places: NDArray[Any], chosen: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    unread = np.ones(messages.shape, np.bool_)
    for row in chosen.tolist():
        for begin, length in places[row].reshape(-1, 2).tolist():
            unread[row, begin : begin + length] = False
    return unread


def _of_copied(streams: NDArray[Any], chosen: NDArray[Any], ends: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    unread = np.ones(streams.shape, np.bool_)
    for row, length in zip(chosen.tolist(), np.diff(ends, prepend=0).tolist(), strict=True):
        unread[row, :length] = False
    return unread


def _nothing(first: NDArray[Any], *_: Any) -> NDArray[np.bool_]:
    return outside(iter([(0, len(first))]), len(first))


def _of_keys(keys: NDArray[Any], flows: int, *_: Any) -> NDArray[np.bool_]:
    return outside(iter([(0, flows * KEY_WORDS)]), len(keys))


#: By the name of each kernel: where its first array must not be read.
NOT_READ: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "walk_pcap": _walked,
    "walk_pcapng": _walked,
    "decode_packets": _of_records,
    "track_flows": _of_records,
    "split_datagrams": _of_datagrams,
    "insert_keys": _of_keys,
    "derive_initial_keys": _of_initials,
    "gather_messages": _of_pieces,
    "copy_messages": _of_copied,
    "find_names": _of_messages,
    "find_same_names": _of_names,
    "write_cids": _of_cids,
    "judge_flows": _nothing,
}


def flat(values: tuple[Any, ...]) -> list[Any]:
    """Arguments with those of NamedTuples one by one."""
    return [each for value in values for each in (flat(value) if isinstance(value, tuple) else [value])]


def rebuilt(like: Any, arrays: Iterator[Any]) -> Any:
    """The same arguments with other arrays."""
    if isinstance(like, tuple):
        pieces = [rebuilt(each, arrays) for each in like]
        return type(like)(*pieces) if hasattr(like, "_fields") else tuple(pieces)
    return next(arrays) if isinstance(like, np.ndarray) else like


class Watched:
    """A compiled kernel whose calls are made again inside other bytes."""

    def __init__(self, name: str, run: Callable[..., int], seen: set[str]) -> None:
        self.name, self.run, self.seen, self.calls = name, run, seen, 0

    def __call__(self, *given: Any) -> int:
        self.calls += 1
        if self.calls & (self.calls - 1) & (self.calls - 2):  # fewer and fewer: arrays are large
            return self.run(*given)
        mask = NOT_READ[self.name](*given)
        results = [self._inside(given, fill, mask) for fill in FILLS]
        for other in results[1:]:
            assert other[0] == results[0][0]
            for a, b in zip(other[1], results[0][1], strict=True):
                np.testing.assert_array_equal(a, b)
        self.seen.add(self.name)
        return self.run(*given)

    def _inside(self, given: tuple[Any, ...], fill: int, mask: NDArray[np.bool_]) -> tuple[int, Arrays]:
        """What the call returns and what its arrays hold then."""
        around: Arrays = []
        inner: Arrays = []
        for array in (each for each in flat(given) if isinstance(each, np.ndarray)):
            size = len(array)
            whole = np.full((size + 2 * GUARD, *array.shape[1:]), 0, array.dtype)
            whole.view(np.uint8)[:] = fill
            whole[GUARD : GUARD + size] = array
            around.append(whole)
            inner.append(whole[GUARD : GUARD + size])
        inner[0][mask] = np.frombuffer(bytes([fill]) * inner[0].itemsize, inner[0].dtype)[0]
        result = self.run(*rebuilt(given, iter(inner)))
        for whole in around:
            guards = np.concatenate([whole[:GUARD], whole[len(whole) - GUARD :]])
            assert (np.ascontiguousarray(guards).view(np.uint8) == fill).all(), f"{self.name} wrote outside"
        first = inner[0].copy()
        first[mask] = 0
        return result, [first, *inner[1:]]


def work(folder: Path) -> None:
    """Calls each kernel, with whole, cut and damaged input."""
    for name in CHOSEN[::4]:
        captures = open_captures([str(ROOT / name)], block_bytes=1 << 14)
        scan(captures.batches(True), 1, compiled=True, with_secrets=True)
    batch = batch_of(damaged(300), between=b"\x45" * 48)
    scan([batch], 1, compiled=True, with_secrets=True)
    runner(decode_packets, True)(batch.buffer, batch.records, new_packets(300))
    read_pcapng(every=401)
    split_datagrams()
    judge_plain_flows(step=3)
    gather_pieces()
    runner(insert_keys, True)(np.arange(40, dtype=np.uint32), 3, new_flow_table(4), np.empty(5, np.int64))


def test_bytes_around_a_kernel_change_nothing_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    compiled = kernels._compiled
    watched = functools.cache(lambda function: Watched(function.__name__, compiled(function), seen))
    monkeypatch.setattr(kernels, "_compiled", watched)
    work(tmp_path)
    assert seen == kernel_names() == set(NOT_READ)


def test_a_kernel_that_reads_or_writes_outside_is_noticed() -> None:
    """The test above can fail: here is a kernel that does both."""

    def reads(keys: NDArray[Any], flows: int, mapping: NDArray[Any]) -> int:
        return int(keys.base[GUARD - 1]) if keys.base is not None else 0

    def writes(keys: NDArray[Any], flows: int, mapping: NDArray[Any]) -> int:
        if mapping.base is not None:
            mapping.base[GUARD - 1] = 7
        return 0

    for broken in (reads, writes):
        with pytest.raises(AssertionError):
            Watched("insert_keys", broken, set())(np.arange(40, dtype=np.uint32), 3, np.zeros(3, np.int64))
