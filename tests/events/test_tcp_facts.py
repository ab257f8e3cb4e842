"""What the segments of a TCP connection prove, and what only looks like it: cases of other projects' captures."""

from __future__ import annotations

from analyzer.events.conversations import conversations
from analyzer.events.scan import settle
from analyzer.events.tcp.facts import TcpFacts, tcp_facts
from tests.crafted import MS, START, Captured, ip, scan_of, tcp

CLIENT, SERVER = "192.0.2.10", "192.0.2.80"
FIN, SYN, PSH, ACK = 1, 2, 8, 16
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
HELLO = b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c" + bytes(44)
LATER = 1 + len(REQUEST)

Step = tuple[int, bool, int, int, int, bytes]  # ms, whether the client sends, flags, sequence, acknowledgment, payload

OPENING: list[Step] = [
    (0, True, SYN, 0, 0, b""),
    (20, False, SYN | ACK, 0, 1, b""),
    (21, True, ACK, 1, 1, b""),
]


def facts_of(*steps: Step) -> TcpFacts:
    captured = []
    for number, (ms, is_client, flags, seq, ack, payload) in enumerate((*OPENING, *steps), start=1):
        ends, ports = ((CLIENT, SERVER), (50000, 443)) if is_client else ((SERVER, CLIENT), (443, 50000))
        segment = tcp(ports, flags, payload, seq=1000 + seq, ack=(1000 + ack) if flags & ACK else 0)
        captured.append(Captured(ip(*ends, 6, segment, ident=number), START + ms * MS))
    found = conversations(settle(scan_of(captured)))
    return tcp_facts(found.flows, found.connections)[0]


def test_only_a_fatal_alert_ends_a_handshake() -> None:
    hello: Step = (22, True, PSH | ACK, 1, 1, HELLO)
    for level, by in ((1, ""), (2, "server")):
        alert: Step = (40, False, PSH | ACK, 1, 1 + len(HELLO), bytes([21, 3, 3, 0, 2, level, 112]))
        assert facts_of(hello, alert).alert_by == by


def test_a_response_may_be_proved_without_being_seen() -> None:
    request: Step = (22, True, PSH | ACK, 1, 1, REQUEST)
    closing: Step = (40, False, FIN | ACK, 1, LATER, b"")
    silent = facts_of(request, closing, (41, True, ACK, LATER, 2, b""))
    assert (silent.first_server_data, silent.server_fin) == (-1, START + 40 * MS)
    behind = facts_of(request, (40, False, FIN | ACK, 2903, LATER, b""))  # the FIN's number
    assert behind.first_server_data == START + 40 * MS
    taken = facts_of(request, (39, True, ACK, LATER, 2903, b""), (40, False, ACK, 2903, LATER, b""))
    assert taken.first_server_data == START + 39 * MS  # the client's acknowledgment


def test_a_copied_syn_ack_is_no_repeat() -> None:
    request: Step = (22, True, PSH | ACK, 1, 1, REQUEST)
    copies: list[Step] = [(ms, False, SYN | ACK, 0, 1, b"") for ms in (70, 120)]
    repeats: list[Step] = [(ms, False, SYN | ACK, 0, 1, b"") for ms in (1020, 3020)]
    assert facts_of(request, *copies).syn_acks_after_ack == 0
    assert facts_of(request, *copies, *repeats).syn_acks_after_ack == 2
