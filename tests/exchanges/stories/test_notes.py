"""Notes about connections: what handshakes agreed on, what came again, what a key log shows."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from analyzer.analysis import Analysis, analyse
from analyzer.events.connection import Connection
from analyzer.exchanges.stories.notes import MOST_NAMES, key_log_notes, notes_of
from analyzer.wire.certificates import Certificate
from tests.conftest import ROOT
from tests.events.playbook import A, P, Play, R, S, found_in


def notes(play: Play) -> list[str]:
    found = found_in(play.captured)
    return notes_of(found.flows, found.connections[0], None)


def opened() -> Play:
    return Play().c(S, seq=100).s(S | A, seq=900, ack=101)


def test_a_handshake_without_options() -> None:
    bare = "no MSS, no window scale, no SACK, no timestamps"
    agreed = [f"client: {bare}", f"server: {bare}"]
    assert notes(opened()) == [*agreed, "half-open: that the client took the SYN/ACK was not seen"]
    assert notes(opened().c(A, seq=101, ack=901)) == [*agreed, "round trip of the handshake 20 ms"]
    assert notes(opened().c(R, seq=101)) == agreed


def test_openings_of_other_kinds() -> None:
    assert "both sides opened at once" in notes(Play().c(S, seq=1).s(S, seq=9).c(S | A, seq=1, ack=10))
    assert "both sides opened at once" not in notes(opened())
    assert "TCP Fast Open: the SYN carried 5 bytes" in notes(Play().c(S, b"early", seq=100))
    assert "the client went on as after a SYN/ACK, which was not seen" in notes(Play().c(S, seq=1).c(A, seq=2, ack=9))
    assert notes(Play().c(A | P, b"data", seq=5))[0].startswith("began before the capture")


def test_what_came_again() -> None:
    play = opened().c(A, seq=101, ack=901)
    for seq in (101, 105, 101):
        play.c(A | P, b"data", seq=seq, ack=901)
    assert notes(play)[-1] == "of the client: 1 of the data segments sent again"


def test_what_a_key_log_shows() -> None:
    found = found_in(Play().ask(b"x").captured)
    connection: Connection = found.connections[0]
    assert [*notes_of(found.flows, connection, None), *key_log_notes(connection)] == []
    begin, end = datetime(2026, 1, 2, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)
    names = tuple(f"{k}.example.com" for k in range(MOST_NAMES + 3))
    connection.chosen_alpn = "h3"
    connection.certificates = (
        Certificate(1200, "CN=a", "CN=Root", names, begin, end, ""),
        Certificate(800, "CN=b", "CN=Root", (), None, None, ""),
    )
    chosen, certificate = key_log_notes(connection)
    assert chosen == "the server chose ALPN h3 (key log)"
    assert "3.example.com and 3 more, issued by CN=Root, valid from 2026-01-02 to 2027-01-02 UTC" in certificate
    assert certificate.endswith("; 2 in the chain, 2,000 bytes (key log)")
    connection.certificates = (Certificate(7, "", "", (), None, None, "ValueError"),)
    assert "7 bytes that cannot be read (ValueError)" in list(key_log_notes(connection))[1]


@functools.cache
def zero_window() -> Analysis:
    return analyse([str(ROOT / "captures/11-tcp-cases/zero-window/client.pcap")])


def test_recorded_options() -> None:
    [told] = zero_window().connections.at("notes", [0])
    assert told.split("\n") == [
        "client: MSS 1460, window scale 10, SACK, timestamps",
        "server: MSS 1460, window scale 0, SACK, timestamps",
        "round trip of the handshake 31 ms",
    ]
