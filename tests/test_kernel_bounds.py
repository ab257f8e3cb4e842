"""Compiled kernels never read or write outside their arrays: run with numba's bounds checks, in an empty cache folder.

A kept kernel is loaded as it was compiled, without checks, so the folder must be empty and the process new.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.source import open_captures
from analyzer.events.connection import UDP_PROTOCOL, Flows
from analyzer.events.flows import insert_keys, new_flow_table
from analyzer.events.quic.plain import plain_connections
from analyzer.events.scan import merge, scan, settle
from analyzer.kernels import KERNEL_MODULES, kernel, runner
from analyzer.wire.packets import decode_packets, new_packets
from analyzer.wire.quic.first_message import MISSING, MOST_BYTES, ODD, FirstMessages
from analyzer.wire.quic.seal import write_varint
from analyzer.wire.quic.split import Datagrams, quic_packets
from tests.conftest import ROOT
from tests.crafted import START, batch_of, batches_of, captured_of, joined
from tests.hostile.payloads import TEXTS, packets, pcapng
from tests.test_kernels import CAPTURES, damaged

#: Of every file format and a few kinds of traffic.
CHOSEN = [
    name for name in CAPTURES if name.startswith(("captures/20-", "captures/07-", "captures/11-", "captures/22-"))
]


def main() -> None:
    """What runs with the checks on: fails where a kernel leaves its arrays, and where the checks are off."""

    @kernel
    def peek(b: NDArray[np.uint8], i: int) -> int:
        return int(b[i]) & 0xFF

    assert runner(peek, True)(np.arange(4, dtype=np.uint8), 3) == 3
    try:
        runner(peek, True)(np.arange(4, dtype=np.uint8), 4)
    except RuntimeError:
        pass
    else:
        raise AssertionError("the bounds are not checked")
    for name in CHOSEN:
        captures = open_captures([str(ROOT / name)], block_bytes=64 << 10)
        scan(captures.batches(True), 1, compiled=True, with_secrets=True)
    broken = damaged(3000)
    batch = batch_of(broken)
    assert runner(decode_packets, True)(batch.buffer, batch.records, new_packets(3000)) == 3000
    pieces = [scan([batch_of(half)], 1, compiled=True) for half in (broken[:1500], broken[1500:])]
    whole = settle(merge(*pieces))
    flows = int(whole.table.size[0])
    room = new_flow_table(1 << flows.bit_length())
    assert runner(insert_keys, True)(whole.table.keys, flows, room, np.empty(flows, np.int64)) == flows
    read_pcapng()
    split_datagrams()
    judge_plain_flows()
    gather_pieces()


def read_pcapng(every: int = 37) -> None:
    """A file whose options, blocks and packets are cut anywhere: after each so many bytes."""
    whole = pcapng(TEXTS["long"], packets(TEXTS["long"], "198.51.100.7"), START)
    with tempfile.TemporaryDirectory() as folder:
        for end in range(28, len(whole), every):
            path = Path(folder) / "cut.pcapng"
            path.write_bytes(whole[:end])
            for _ in open_captures([str(path)]).batches(True):
                pass


def split_datagrams() -> None:
    """QUIC datagrams cut anywhere, one behind the other in one buffer that ends with the last."""
    packets = captured_of(joined(batches_of(ROOT / "captures/07-retry/aioquic-ok/client.pcap")))
    payloads = [one.raw[42:] for one in packets if len(one.raw) > 60]
    cut = [payload[:end] for payload in payloads for end in (1, 5, 7, 15, 23, 40, len(payload) - 1, len(payload))]
    ends = np.cumsum([len(each) for each in cut])
    starts = ends - np.array([len(each) for each in cut])
    buffer = np.frombuffer(bytearray(b"".join(cut)), np.uint8)
    assert len(quic_packets(buffer, Datagrams(starts, ends, ends), compiled=True).kind)


def judge_plain_flows(step: int = 1) -> None:
    """QUIC flows of recorded packets, of every ``step``-th; then with some of them cut anywhere."""
    names = ("04-reuseport-dead-worker/aioquic-onset/server.pcap", "22-zero-rtt/ok/client.pcap")
    captured = [one for name in names for one in captured_of(joined(batches_of(ROOT / "captures" / name)))][::step]
    ends = (14, 42, 43, 49, 50, 58, 60, 70, 90, 1000)
    cut = [one._replace(raw=one.raw[: ends[i % 10]] if i % 4 == 0 else one.raw) for i, one in enumerate(captured)]
    for each in (captured, cut):
        flows = Flows(settle(scan([batch_of(each)], 1, compiled=True)))
        plain, _ = plain_connections(flows, list(flows.with_protocol(UDP_PROTOCOL)), compiled=True)
        assert plain


def gather_pieces() -> None:
    """CRYPTO frames that end with their packet or are cut, up to the end of what is put together and beyond."""
    message = b"\x01" + (MOST_BYTES - 4).to_bytes(3, "big") + bytes(MOST_BYTES - 4)
    frame = b"\x06\0" + write_varint(len(message)) + message
    last = b"\x06" + write_varint(MOST_BYTES - 1) + b"\1\0"
    beyond = b"\x06" + write_varint(MOST_BYTES) + b"\1\0"
    far = b"\x06" + write_varint((1 << 62) - 1) + b"\0"
    payloads = [
        frame,
        last,
        frame[:-1],
        beyond,
        far,
        b"",
        *(frame[:end] for end in range(1, 12)),
        b"\x06\xff",
        b"\x06\0\xff",
    ]
    found = FirstMessages(len(payloads), compiled=True)
    found.add(np.arange(len(payloads)), payloads)
    assert found.lengths.tolist() == [MOST_BYTES, MISSING] + [ODD] * (len(payloads) - 2)


def kernel_names() -> set[str]:
    """The kernels of all sources, whether imported or not."""
    found = set()
    for module in KERNEL_MODULES:
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
        for node in (each for each in tree.body if isinstance(each, ast.FunctionDef)):
            if any(isinstance(mark, ast.Name) and mark.id == "kernel" for mark in node.decorator_list):
                found.add(node.name)
    return found


def test_no_kernel_leaves_its_arrays(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "HALFSHAKE_KERNEL_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", "from tests.test_kernel_bounds import main; main()"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    kept = {path.name.split(".")[-3] for path in tmp_path.rglob("*.o")}
    assert kernel_names() <= kept, "main() calls every kernel"
