"""A scan that holds a limit: the same where all fits; what does not fit is counted, and each socket keeps witnesses."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis import analyse, scan_captures
from analyzer.capture.source import open_captures
from analyzer.errors import UsageError
from analyzer.events.scan import LEDGER, Scan, merge, scan
from analyzer.fleet import limit, local
from analyzer.fleet.pieces import How
from analyzer.fleet.work import Work
from analyzer.reports.summary import cannot_show
from benchmarks.hostile.flows import arp_questions
from tests.conftest import ROOT
from tests.crafted import MS, SECOND, START, Captured, batch_of, ip, pieces_of, scan_of, tcp, udp, write_pcap
from tests.fleet.same import Here, at_most, plain, written
from tests.running import call
from tests.test_cuts import traffic

SILENT = ROOT / "captures" / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap"
HOW = How(compiled=False)


def ledger_of(found: Scan, name: str) -> int:
    return int(found.ledger[:, LEDGER.index(name)].sum())


@settings(max_examples=60)
@given(captured=traffic(), data=st.data())
def test_a_prefix_may_be_settled_before_what_follows(captured: list[Captured], data: st.DataObject) -> None:
    batch = batch_of(captured)
    cut = data.draw(st.integers(0, len(captured)))
    first, second = (scan([piece], 1, compiled=False) for piece in pieces_of(batch, [cut]))
    assert plain(merge(limit._compact(first), second)) == plain(merge(first, second))


@settings(max_examples=40)
@given(captured=traffic(), size=st.integers(1, 20))
def test_the_same_where_all_fits(captured: list[Captured], size: int) -> None:
    with mock.patch.object(limit, "PIECE_RECORDS", size):
        found = limit.scan_within([batch_of(captured)], 1, HOW, 1 << 30)
    assert plain(found) == plain(scan_of(captured))


def many(clients: int, *, answered: int) -> list[Captured]:
    """SYNs of many clients to one socket, a second apart; those of the first few are answered and closed."""
    captured = []
    for client in range(clients):
        ends, time = (f"10.0.{client // 250}.{client % 250 + 1}", "192.0.2.80"), START + client * SECOND
        captured.append(Captured(ip(*ends, 6, tcp((5000, 443), 2), ident=client), time))
        if client < answered:
            captured.append(Captured(ip(*ends[::-1], 6, tcp((443, 5000), 18), ident=client), time + MS))
            captured.append(Captured(ip(*ends, 6, tcp((5000, 443), 4), ident=client + 1), time + 2 * MS))
    return captured


def within(captured: list[Captured], room: int) -> Scan:
    patched = {"BASE_BYTES": 0, "LEAST_BYTES": 0, "PIECE_RECORDS": 50, "IDLE_NS": 20 * SECOND}
    with mock.patch.multiple(limit, **patched):
        return limit.scan_within([batch_of(captured)], 1, HOW, room)


def test_what_does_not_fit_is_counted() -> None:
    captured = many(400, answered=100)
    whole = scan_of(captured)
    found = within(captured, 600_000)
    gone = ledger_of(found, "summarized_connections")
    assert 100 < gone < 400
    assert gone + int(found.table.size[0]) == int(whole.table.size[0]) == 400
    state = found.table.state
    assert ledger_of(found, "summarized_records") + int(state[:, 0].sum()) == len(captured)
    for name in ("records", "decoded"):
        assert ledger_of(found, name) == ledger_of(whole, name)
    assert limit._cost(found) <= 600_000


def test_the_newest_stay_and_the_first_of_each_kind() -> None:
    captured = many(400, answered=100)
    found = within(captured, 600_000)
    state = found.table.state.reshape(-1, 2, found.table.state.shape[1])
    both = (state[:, :, 0] > 0).all(axis=1)
    assert np.count_nonzero(both) >= limit.KEPT
    first_times = np.sort(state[:, :, 4].max(axis=1))
    assert first_times[-1] == captured[-1].time
    unanswered = np.sort(state[~both][:, :, 4].max(axis=1))
    assert unanswered[: limit.KEPT].tolist() == [START + client * SECOND for client in range(100, 100 + limit.KEPT)]


def test_rows_keep_their_bytes() -> None:
    captured = [
        Captured(ip("10.0.0.1", "192.0.2.1", 17, udp((port, 9999), bytes([port % 251]) * 30)), START + port * SECOND)
        for port in range(1, 301)
    ]
    found = within(captured, 400_000)
    assert 0 < len(found.rows.time) < 300
    by_record = {number + 1: one.raw for number, one in enumerate(captured)}
    for row, record in enumerate(found.rows.record.tolist()):
        assert by_record[record].startswith(found.row_bytes(row))
        assert len(found.row_bytes(row)) > 28


def test_a_limit_says_so_in_the_report(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "many.pcap", many(400, answered=100))
    with mock.patch.multiple(limit, BASE_BYTES=0, LEAST_BYTES=0, PIECE_RECORDS=50, IDLE_NS=20 * SECOND):
        analysis = analyse([str(path)], work=Work(max_memory=600_000))
    (warning,) = (sentence for sentence in analysis.warnings if "only counted" in sentence)
    ledger = analysis.document["captures"][0]["ledger"]
    assert f"{ledger['summarized_connections']} connections" in warning
    assert cannot_show(analysis)[0].startswith(f"{ledger['summarized_connections']} connections, the oldest, were only")
    assert ledger["summarized_connections"] + len(analysis.connections) == 400


@settings(max_examples=40)
@given(captured=traffic(), data=st.data())
def test_a_bounded_scan_is_the_same_where_all_fits(captured: list[Captured], data: st.DataObject) -> None:
    batch = batch_of(captured)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(captured)), max_size=5)))
    found, remembered = limit.scan_bounded(pieces_of(batch, cuts), 1, compiled=False)
    assert plain(found) == plain(scan_of(captured))
    assert remembered[0] == int(found.table.size[0])


def test_a_bounded_scan_counts_what_it_leaves_out() -> None:
    """Witnesses of both kinds stay, and the newest; all that was remembered is told."""
    captured = many(390, answered=100)
    batch = batch_of(captured)
    with mock.patch.multiple(limit, MOST=at_most(0, 200), IDLE_NS=20 * SECOND):
        found, remembered = limit.scan_bounded(pieces_of(batch, range(10, len(captured), 10)), 1, compiled=False)
        gone = ledger_of(found, "summarized_connections")
        assert gone + int(found.table.size[0]) == 390 <= remembered[0]
        assert 100 <= int(found.table.size[0]) <= 200
        state = found.table.state.reshape(-1, 2, found.table.state.shape[1])
        both = (state[:, :, 0] > 0).all(axis=1)
        assert np.count_nonzero(both) >= limit.KEPT
        assert state[:, :, 4].max() == captured[-1].time


def test_questions_about_link_addresses_do_not_break_the_limit(tmp_path: Path) -> None:
    arp_questions(tmp_path / "arp.pcap", 3_000)
    captures = open_captures([str(tmp_path / "arp.pcap")])
    patched = {"BASE_BYTES": 0, "LEAST_BYTES": 0, "PIECE_RECORDS": 50}
    with mock.patch.multiple(limit, **patched):
        found = limit.scan_within(captures.batches(False), 1, HOW, 200_000)
        assert limit._cost(found) <= 200_000
    assert found.rows.record[-1] == 3_000
    assert ledger_of(found, "summarized_records") == 3_000 - len(found.rows.time)


def test_files_that_are_too_much_together_are_read_by_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the same is left out, however many read."""
    captured = many(450, answered=40)
    paths = [write_pcap(tmp_path / f"{first}.pcap", captured[first : first + 180]) for first in (0, 180, 360)]
    monkeypatch.setattr(limit, "MOST", at_most(0, 200))
    monkeypatch.setattr(local, "Pool", Here)
    alone, together = (analyse([*map(str, paths)], work=Work(jobs=jobs)) for jobs in (1, 2))
    assert written(alone) == written(together)
    assert len(alone.connections) < 250


def test_usage(tmp_path: Path) -> None:
    assert call("analyze", SILENT, "--max-memory", "1M").status == 2
    assert "give 256M or more" in call("analyze", SILENT, "--max-memory", "1M").stderr
    assert "is not a size" in call("analyze", SILENT, "--max-memory", "much").stderr
    assert call("analyze", SILENT, "--json", "--max-memory", "1GiB").stdout == call("analyze", SILENT, "--json").stdout
    with pytest.raises(UsageError, match="one process"):
        analyse([str(SILENT)], work=Work(cluster="tcp://127.0.0.1:1", max_memory=1 << 30))
    captures = open_captures([str(SILENT)])
    with pytest.raises(UsageError, match="too little"):
        scan_captures(captures, work=Work(max_memory=1))


def flood(path: Path, count: int) -> None:
    """A pcap file of one SYN each of so many clients."""
    packet = np.frombuffer(ip("10.0.0.1", "192.0.2.1", 6, tcp((1, 443), 2)), np.uint8)
    records = np.zeros((count, 16 + len(packet)), np.uint8)
    records[:, 16:] = packet
    head, number = np.zeros((count, 4), "<u4"), np.arange(count)
    head[:, 0], head[:, 1] = 1_700_000_000 + number // 10_000, number % 10_000 * 100_000
    head[:, 2] = head[:, 3] = len(packet)
    records[:, :16] = head.view(np.uint8)
    for place, shift in ((29, 16), (30, 8), (31, 0)):
        records[:, place] = number >> shift & 255
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 101) + records.tobytes())


def test_the_process_stays_within_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "flood.pcap"
    flood(path, 80_000)
    call("analyze", "--json", "--quiet", path, "--max-memory", "256M")  # compiles what is not compiled yet
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(open('/proc/self/status').read(), file=sys.stderr))\n"
        f"sys.argv = ['halfshake', 'analyze', '--json', '--quiet', {str(path)!r}, *sys.argv[1:]]\n"
        "from analyzer.cli.main import main\n"
        "main(prog_name='halfshake')\n"
    )
    peaks = []
    for more in ([], ["--max-memory", "256M"]):
        done = subprocess.run([sys.executable, "-c", script, *more], capture_output=True, text=True, check=True)
        peaks.append(next(int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("VmHWM")))
    assert peaks[1] < 256 << 10 < peaks[0]
