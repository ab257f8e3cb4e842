"""TCP as tshark analyses it: who reset and closed first, repeated SYNs, windows of zero.

Known differences: tshark takes copies of one packet (``-i any``) for retransmissions, so that captures of several
interfaces are left out; it calls a SYN after a challenge a retransmission, as is done here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from analyzer.analysis import analyse
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

CASES = (
    "09-handshake-stall/pmtu-tcp-tls/client.pcap",
    "11-tcp-cases/accept-overflow/server.pcap",
    "11-tcp-cases/acked-no-response/client.pcap",
    "11-tcp-cases/rst-after-request/client.pcap",
    "11-tcp-cases/synack-lost-path/server.pcap",
    "11-tcp-cases/tls-alerts/client.pcap",
    "11-tcp-cases/tls-no-serverhello/server.pcap",
    "11-tcp-cases/zero-window/client.pcap",
    "12-happy-eyeballs/v6-blackhole/client.pcap",
)
_FIELDS = ("tcp.stream", "tcp.srcport", "tcp.flags", "tcp.analysis.retransmission", "tcp.analysis.zero_window")


class Stream(NamedTuple):
    """What tshark says of one TCP stream whose first segment is the client's SYN."""

    client_port: int
    syns_again: int
    reset_by: str
    closed_by: str
    has_zero_window: bool


def streams(case: str) -> Iterator[Stream]:
    fields = [part for name in _FIELDS for part in ("-e", name)]
    command = ["tshark", "-r", str(ROOT / "captures" / case), "-Y", "tcp && !icmp && !icmpv6", "-T", "fields", *fields]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows: dict[str, list[list[str]]] = {}
    for line in lines:
        stream, *rest = line.split("\t")
        rows.setdefault(stream, []).append(rest)
    for segments in rows.values():
        client = segments[0][0]
        sides = [("client" if port == client else "server", int(flags, 16), *rest) for port, flags, *rest in segments]
        yield Stream(
            int(client),
            sum(flags & 18 == 2 and bool(again) for _, flags, again, *_ in sides),
            next((side for side, flags, *_ in sides if flags & 4), ""),
            next((side for side, flags, *_ in sides if flags & 1), ""),
            any(bool(zero) for _, _, _, zero, *_ in sides),
        )


@pytest.mark.parametrize("case", CASES)
def test_connections_as_tshark_sees_them(case: str) -> None:
    table = analyse([str(ROOT / "captures" / case)]).connections
    ours = {row["client_port"]: row for row in table.rows() if row["transport"] == "tcp"}
    theirs = {stream.client_port: stream for stream in streams(case)}
    assert set(ours) == set(theirs)
    for port, stream in theirs.items():
        row = ours[port]
        assert row["repeats"] == stream.syns_again
        resets = {side: row[f"{side}_rst"] for side in ("client", "server") if row[f"{side}_rst"] >= 0}
        assert (min(resets, key=lambda side: resets[side]) if resets else "") == stream.reset_by
        assert row["close_side"] == stream.closed_by
        assert (row["zero_window_by"] != "") <= stream.has_zero_window
