"""Kernels mean the same interpreted and compiled, on every capture and on made traffic; and how they are compiled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analyzer import kernels
from analyzer.capture.records import Batch
from analyzer.capture.source import open_captures
from analyzer.events import flows as fl
from analyzer.events.scan import LEDGER, scan
from analyzer.events.selected import Selected
from analyzer.kernels import KERNEL_MODULES, Matrix, cache_folder, registered_kernels, runner, worth_compiling
from analyzer.wire.packets import decode_packets, new_packets
from tests.conftest import ROOT
from tests.crafted import MS, RAW_IP, START, Captured, batch_of, captured_of, copied, joined
from tests.wire.test_packets import SAMPLES

CAPTURES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "captures").rglob("*.pcap*"))


def both_ways(batch: Batch) -> list[tuple[Matrix, fl.FlowTable, Matrix, NDArray[np.uint8], Matrix, NDArray[np.int64]]]:
    """All that the kernels of wire and events write about a batch: interpreted, then compiled."""
    results = []
    count = len(batch.records.time)
    for compiled in (False, True):
        packets, packet, table = new_packets(count), new_packets(1), fl.new_flow_table(1024)
        rows, ledger = np.zeros((count, len(Selected._fields)), np.int64), np.zeros((1, len(LEDGER)), np.int64)
        arena, cursor = np.zeros(len(batch.buffer) + 1, np.uint8), np.zeros(3, np.int64)
        buffer: Any = batch.buffer if compiled else batch.buffer.data
        assert runner(decode_packets, compiled)(buffer, batch.records, packets) == count
        track = runner(fl.track_flows, compiled)
        assert track(buffer, batch.records, packet, table, rows, arena, ledger, cursor, 1) == 0
        results.append((packets, table, rows, arena, ledger, cursor))
    return results


def check_equal(batch: Batch) -> None:
    interpreted, compiled = both_ways(batch)
    for one, other in zip(interpreted, compiled, strict=True):
        for a, b in zip(*((x,) if isinstance(x, np.ndarray) else x for x in (one, other)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CAPTURES)
def test_interpreted_and_compiled_are_equal_on_every_capture(name: str) -> None:
    batches = {}
    for compiled in (False, True):
        captures = open_captures([str(ROOT / name)], block_bytes=64 << 10)
        batches[compiled] = joined(copied(batch) for batch in captures.batches(compiled))
    for field, one, other in zip(
        batches[False].records._fields, batches[False].records, batches[True].records, strict=True
    ):
        if field != "offset":
            np.testing.assert_array_equal(one, other)
    check_equal(batches[False])


def damaged(count: int) -> list[Captured]:
    """Packets of every link layer and tunnel with bytes changed and cut, the same in every run."""
    chance = np.random.default_rng(7)
    values = np.array([0, 1, 2, 4, 6, 17, 41, 44, 47, 60, 0x45, 0x4F, 0x60, 0x80, 0xC3, 0xFF], np.uint8)
    captured = []
    for k in range(count):
        link_type, raw = SAMPLES[k % len(SAMPLES)]
        changed = bytearray(raw)
        for _ in range(int(chance.integers(0, 4))):
            changed[int(chance.integers(len(changed)))] = int(chance.choice(values))
        end = len(changed) if chance.random() < 0.6 else int(chance.integers(len(changed) + 1))
        wire = len(changed) + int(chance.choice([0, 0, 1400]))
        captured.append(Captured(bytes(changed[:end]), START + k * MS, max(wire, end), link_type))
    return captured


def test_interpreted_and_compiled_are_equal_on_damaged_packets() -> None:
    check_equal(batch_of(damaged(3000)))


def test_whole_scans_are_equal_where_the_table_grows() -> None:
    captured = []
    for k in range(1500):
        raw = next(raw for link_type, raw in SAMPLES if link_type == RAW_IP)
        captured.append(Captured(raw[:13] + k.to_bytes(2, "big") + raw[15:], START + k * MS))
    one, other = (scan([batch_of(captured)], 1, compiled=compiled) for compiled in (False, True))
    assert one.table.size[0] > 1024
    for a, b in zip((*one.rows, *one.table, one.ledger), (*other.rows, *other.table, other.ledger), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.ledger[0, LEDGER.index("records")] == 1500


def scanned(captured: list[Captured], between: bytes, *, compiled: bool) -> list[list[Any]]:
    """All that a scan says of packets with these bytes around each, as values."""
    found = scan([batch_of(captured, between=between)], 1, compiled=compiled)
    rows = [column.tolist() for name, column in found.rows._asdict().items() if name != "start"]
    kept = [found.row_bytes(row) for row in range(len(found.rows.time))]
    return [*rows, kept, found.table.keys.tolist(), found.table.state.tolist(), found.ledger.tolist()]


@pytest.mark.parametrize("compiled", [False, True])
def test_bytes_around_damaged_packets_change_nothing(compiled: bool) -> None:
    captured = damaged(1000)
    expected = scanned(captured, b"", compiled=compiled)
    for between in (b"\0" * 48, b"\xff" * 48, b"\xc3\x45\x60" * 16):
        assert scanned(captured, between, compiled=compiled) == expected


@pytest.mark.parametrize("name", CAPTURES[::3])
def test_bytes_around_recorded_packets_change_nothing(name: str) -> None:
    captured = captured_of(joined(copied(batch) for batch in open_captures([str(ROOT / name)]).batches(True)))
    expected = scanned(captured, b"", compiled=True)
    for between in (b"\0" * 48, b"\xc3\x45\x60" * 16):
        assert scanned(captured, between, compiled=True) == expected


def test_every_kernel_is_in_a_module_of_the_list() -> None:
    """The list names the cache folder: a module that is missing would leave a stale cache."""
    from analyzer.capture import pcap, pcapng  # noqa: F401
    from analyzer.wire.quic import split  # noqa: F401

    known = set(kernels._registered)
    assert {function.__module__ for function in known} <= set(KERNEL_MODULES)
    assert set(registered_kernels()) <= known
    marked = {
        "analyzer." + ".".join(path.relative_to(ROOT / "analyzer").with_suffix("").parts)
        for path in (ROOT / "analyzer").rglob("*.py")
        if any(line in ("@kernel", "@helper") for line in path.read_text(encoding="utf-8").splitlines())
    }
    assert marked <= set(KERNEL_MODULES)


def test_small_captures_are_not_worth_compiling() -> None:
    assert not worth_compiling(0)
    assert not worth_compiling(kernels.COMPILE_FROM_BYTES - 1)
    assert worth_compiling(kernels.COMPILE_FROM_BYTES)
    assert worth_compiling(-1)


def test_the_interpreted_kernel_is_the_function_itself() -> None:
    assert runner(decode_packets, False) is decode_packets


def test_the_cache_is_named_after_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFSHAKE_KERNEL_CACHE", str(tmp_path))
    names = []
    for modules in (KERNEL_MODULES, KERNEL_MODULES[:-1]):
        monkeypatch.setattr(kernels, "KERNEL_MODULES", modules)
        cache_folder.cache_clear()
        names.append(cache_folder().name)
    monkeypatch.undo()
    cache_folder.cache_clear()
    assert names[0] != names[1]
    assert names[0] == cache_folder().name


def imported_by(arguments: Sequence[str]) -> str:
    code = (
        "import sys; from analyzer.analysis import analyse; analyse(sys.argv[1:]); "
        "print([m for m in ('numba', 'pandas', 'scapy', 'pyshark', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.strip()


def test_a_small_capture_is_analysed_without_numba(silent_capture: Path) -> None:
    assert imported_by([str(silent_capture)]) == "[]"
