"""Traffic made to fool patterns: what it makes them say has less confidence, and the finding says why.

Each test has the same traffic without the trick beside it, where confidence is higher.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import analyse
from analyzer.wire.quic.protection import initial_keys, retry_tag
from analyzer.wire.quic.seal import InitialHeader, seal_initial
from tests.crafted import MS, SECOND, START, Captured, ip, tcp, udp, write_pcap
from tests.events.story.plays import HELLO, SERVER_HELLO, ack, crypto

SERVER = "198.51.100.80"
CLIENTS = [f"192.0.2.{10 + n}" for n in range(5)]
WAITS = (0.0, 0.3, 0.9, 2.1)


def at(raw: bytes, moment: float) -> Captured:
    return Captured(raw, START + round(moment * 1000) * MS)


def initial(n: int, frames: bytes, number: int = 0, *, from_server: bool = False) -> bytes:
    dcid, client, server = b"odcid%03d" % n, b"client%02d" % n, b"server%02d" % n
    keys = initial_keys(1, dcid)
    assert keys is not None
    header = InitialHeader(1, *((client, server) if from_server else (dcid, client)), packet_number=number)
    return seal_initial(header, frames.ljust(1162, b"\0"), keys.server if from_server else keys.client)


def ask(n: int, *, repeats: int = 4) -> list[Captured]:
    """The Initials of client n, which tries every 3 s."""
    datagrams = [udp((50000 + n, 443), initial(n, crypto(HELLO), k)) for k in range(repeats)]
    packets = [ip(CLIENTS[n], SERVER, 17, datagram, ident=100 * n + k + 1) for k, datagram in enumerate(datagrams)]
    return [at(raw, 3 * n + wait) for raw, wait in zip(packets, WAITS, strict=False)]


def syn(client: str, port: int, moment: float, *, answered: bool, repeats: int = 1) -> list[Captured]:
    raw = ip(client, SERVER, 6, tcp((port, 443), 2, seq=99), ident=1)
    sent = [at(raw[:4] + struct.pack(">H", k + 1) + raw[6:], moment + k) for k in range(repeats)]
    if answered:
        sent.append(at(ip(SERVER, client, 6, tcp((443, port), 18, seq=5, ack=100), ident=9), moment + 0.02))
    return sent


def back(n: int, protocol: int, body: bytes) -> Captured:
    return at(ip(SERVER, CLIENTS[n], protocol, body, ident=7), 3 * n + 0.01)


def frame() -> list[Captured]:
    """That the host can be seen, and that the capture ran on."""
    far = at(ip("192.0.2.99", "192.0.2.98", 17, udp((4000, 5001), b"x")), 60)
    return [*syn(CLIENTS[0], 40000, 1, answered=True), *syn(CLIENTS[1], 40001, 5, answered=True), far]


def findings(tmp_path: Path, packets: Sequence[Captured], *, in_order: bool = True) -> dict[str, dict[str, Any]]:
    """The findings by pattern."""
    sent = sorted(packets, key=lambda one: one.time) if in_order else packets
    document = analyse([str(write_pcap(tmp_path / "made.pcap", sent))]).document
    return {finding["pattern"]: finding for finding in document["findings"]}


def silent() -> list[Captured]:
    return [one for n in range(5) for one in ask(n)]


def test_spoofed_replies_with_a_short_header(tmp_path: Path) -> None:
    """The packets of the server carry the connection ID that the client chose: others may be anybody's."""
    honest = [back(n, 17, udp((443, 50000 + n), b"\x4fclient%02d" % n + bytes(40))) for n in range(5)]
    spoofed = [back(n, 17, udp((443, 50000 + n), b"\x4f" + bytes(range(48)))) for n in range(5)]
    fair = findings(tmp_path, [*silent(), *frame(), *honest])["quic-server-initial-missing"]
    fooled = findings(tmp_path, [*silent(), *frame(), *spoofed])["quic-server-initial-missing"]
    assert (fair["confidence"], fooled["confidence"]) == ("likely", "possible")
    assert "lacks the client's connection ID" in fooled["limitations"][0]


def test_spoofed_replies_that_do_not_open(tmp_path: Path) -> None:
    """Whoever sees the client's Initial can make the server's; who does not can only guess at it."""
    sealed = [initial(n, ack(0) + crypto(SERVER_HELLO), from_server=True) for n in range(5)]
    honest = [back(n, 17, udp((443, 50000 + n), sealed[n])) for n in range(5)]
    spoofed = [back(n, 17, udp((443, 50000 + n), sealed[n][:-1] + bytes([sealed[n][-1] ^ 1]))) for n in range(5)]
    fair = findings(tmp_path, [*silent(), *frame(), *honest])["quic-handshake-stalled"]
    fooled = findings(tmp_path, [*silent(), *frame(), *spoofed])["quic-handshake-stalled"]
    assert (fair["confidence"], fooled["confidence"]) == ("likely", "possible")
    assert "do not open with the keys of the connection" in fooled["limitations"][0]


@pytest.mark.parametrize("pattern", ["udp-port-unreachable", "quic-blocked-tcp-answered"])
def test_forged_icmp_errors_with_wrong_quotes(pattern: str, tmp_path: Path) -> None:
    def error(n: int, quoted: bytes) -> Captured:
        return back(n, 1, struct.pack(">BBHI", 3, 3, 0, 0) + quoted)

    forged = [ip(CLIENTS[n], SERVER, 17, udp((50000 + n, 443), b"forged"), ident=7) for n in range(5)]
    fair = findings(tmp_path, [*silent(), *frame(), *(error(n, ask(n)[0].raw[:128]) for n in range(5))])[pattern]
    fooled = findings(tmp_path, [*silent(), *frame(), *(error(n, forged[n]) for n in range(5))])[pattern]
    assert (fair["confidence"], fooled["confidence"]) != ("possible", "possible")
    assert fooled["confidence"] == "possible"
    assert "quotes a packet that the client was not seen to send" in fooled["limitations"][0]
    assert not any("not seen to send" in each for each in fair["limitations"])


def test_forged_icmp_errors_about_a_syn(tmp_path: Path) -> None:
    sent = syn(CLIENTS[2], 40002, 8, answered=False)
    wrong = ip(CLIENTS[2], SERVER, 6, tcp((40002, 443), 2, seq=4711), ident=1)
    confidence = []
    for quoted in (sent[0].raw, wrong):
        error = at(ip(SERVER, CLIENTS[2], 1, struct.pack(">BBHI", 3, 3, 0, 0) + quoted, ident=7), 8.01)
        confidence.append(findings(tmp_path, [*sent, error, *frame()])["tcp-syn-refused"]["confidence"])
    assert confidence == ["certain", "possible"]


def test_replayed_initials(tmp_path: Path) -> None:
    """One recorded Initial sent again from many places."""
    payload = initial(0, crypto(HELLO))
    replayed = [
        at(ip(f"203.0.113.{k + 1}", SERVER, 17, udp((6000 + k, 443), payload), ident=10 * k + again + 1), 2 * k + again)
        for k in range(8)
        for again in range(2)
    ]
    fair = findings(tmp_path, [*silent(), *frame()])["quic-initial-no-reply"]
    fooled = findings(tmp_path, [*replayed, *frame()])["quic-initial-no-reply"]
    assert (fair["confidence"], fooled["confidence"]) == ("likely", "possible")
    assert "7 of 8 attempts carry the connection ID of another" in fooled["limitations"][0]


def opening(port: int, moment: float, flags: int, *, ack: int) -> list[Captured]:
    """SYNs of a client, and what came to the first."""
    sent = syn(CLIENTS[2], port, moment, answered=False, repeats=3)
    answer = tcp((443, port), flags, seq=5, ack=ack)
    return [*sent, at(ip(SERVER, CLIENTS[2], 6, answer, ident=9), moment + 0.02)]


def test_a_forged_syn_ack_hides_no_silence(tmp_path: Path) -> None:
    """Who does not see the SYN cannot know its number; what acknowledges another is no reply."""
    silence = [one for k in range(4) for one in syn(CLIENTS[2], 41000 + k, 8 + 5 * k, answered=False, repeats=3)]
    forged = [one for k in range(4) for one in opening(41000 + k, 8 + 5 * k, 18, ack=4242)]
    fair, fooled = (findings(tmp_path, [*each, *frame()])["tcp-syn-no-reply"] for each in (silence, forged))
    assert (fair["confidence"], fooled["confidence"]) == ("likely", "possible")
    assert "acknowledges another SYN" in fooled["limitations"][0]
    assert "got no SYN/ACK of theirs" in fooled["because"]
    true = findings(tmp_path, [*opening(41000, 8, 18, ack=100), *opening(41001, 13, 18, ack=600), *frame()])
    assert "tcp-syn-no-reply" not in true  # 600: data came with the SYN


@pytest.mark.parametrize(("ack", "confidence"), [(100, "certain"), (4242, "possible"), (0, "possible")])
def test_a_forged_rst_in_place_of_a_syn_ack(ack: int, confidence: str, tmp_path: Path) -> None:
    refused = [one for k in range(4) for one in opening(41000 + k, 8 + 5 * k, 20, ack=ack)]
    found = findings(tmp_path, [*refused, *frame()])["tcp-syn-refused"]
    assert found["confidence"] == confidence
    assert ("numbers that the client must ignore" in found["limitations"][0]) is (confidence == "possible")


@pytest.mark.parametrize(("sequence", "confidence"), [(6, "certain"), (1000, "certain"), (0x70000000, "possible")])
def test_a_rst_with_a_number_that_was_guessed(sequence: int, confidence: str, tmp_path: Path) -> None:
    client, port = CLIENTS[2], 42000
    talk = [
        *syn(client, port, 8, answered=True),
        at(ip(client, SERVER, 6, tcp((port, 443), 16, seq=100, ack=6), ident=3), 8.03),
        at(ip(client, SERVER, 6, tcp((port, 443), 24, b"\x16\x03\x01\0\5\1\0\0\1\0", seq=100, ack=6), ident=4), 8.04),
        at(ip(SERVER, client, 6, tcp((443, port), 4, seq=sequence), ident=5), 8.06),
    ]
    found = findings(tmp_path, [*talk, *frame()])["tcp-reset"]
    assert found["confidence"] == confidence
    assert ("numbers that the client must ignore" in found["limitations"][0]) is (confidence == "possible")


@pytest.mark.parametrize("forged", [b"", b"\x45garbage", b"\xc0\0\0\0\1"])
def test_datagrams_too_short_for_quic_hide_no_silence(forged: bytes, tmp_path: Path) -> None:
    strange = [back(n, 17, udp((443, 50000 + n), forged)) for n in range(5)]
    fair, fooled = (findings(tmp_path, [*silent(), *frame(), *each])["quic-initial-no-reply"] for each in ([], strange))
    assert (fair["confidence"], fooled["confidence"]) == ("likely", "possible")
    assert "too short for a packet of QUIC" in fooled["limitations"][0]


def test_a_forged_version_negotiation(tmp_path: Path) -> None:
    """One that lists the version of the client is to be ignored, and no version in common would be untrue."""

    def listing(version: int) -> list[Captured]:
        heads = (b"\x80\0\0\0\0\x08client%02d\x08odcid%03d" % (n, n) for n in range(5))
        return [back(n, 17, udp((443, 50000 + n), head + version.to_bytes(4, "big"))) for n, head in enumerate(heads)]

    fair, fooled = (
        findings(tmp_path, [*silent(), *frame(), *listing(version)])["quic-version-mismatch"]
        for version in (0x6B3343CF, 1)
    )
    assert (fair["confidence"], fooled["confidence"]) == ("certain", "possible")
    assert "no version in common" in fair["title"]
    assert "that clients must ignore" in fooled["title"]
    assert "RFC 9000 §6.2" in fooled["limitations"][0]


def test_a_forged_retry(tmp_path: Path) -> None:
    def retries(*, is_right: bool) -> list[Captured]:
        heads = [b"\xf0\0\0\0\1\x08client%02d\x08server%02dtoken" % (n, n) for n in range(5)]
        tags = [retry_tag(1, b"odcid%03d" % n, head) if is_right else bytes(16) for n, head in enumerate(heads)]
        return [back(n, 17, udp((443, 50000 + n), head + tags[n])) for n, head in enumerate(heads)]

    fair, fooled = (
        findings(tmp_path, [*silent(), *frame(), *retries(is_right=is_right)])["quic-retry-failed"]
        for is_right in (True, False)
    )
    assert (fair["confidence"], fooled["confidence"]) == ("likely", "possible")
    assert "integrity tag of the Retry does not fit" in fooled["limitations"][0]


def test_forged_replies_from_another_address(tmp_path: Path) -> None:
    sealed = [initial(n, ack(0) + crypto(SERVER_HELLO), from_server=True) for n in range(5)]

    def from_elsewhere(payloads: Sequence[bytes]) -> list[Captured]:
        sent = [udp((443, 50000 + n), payload) for n, payload in enumerate(payloads)]
        return [at(ip("198.51.100.99", CLIENTS[n], 17, each, ident=7), 3 * n + 0.01) for n, each in enumerate(sent)]

    fair, fooled = (
        findings(tmp_path, [*silent(), *frame(), *from_elsewhere(each)])["reply-from-other-address"]
        for each in (sealed, [payload[:-1] + bytes([payload[-1] ^ 1]) for payload in sealed])
    )
    assert (fair["confidence"], fooled["confidence"]) == ("certain", "possible")
    assert "does not open with the keys" in fooled["limitations"][0]


@pytest.mark.parametrize("transport", ["tcp", "quic"])
def test_decoys_that_are_never_repeated(transport: str, tmp_path: Path) -> None:
    if transport == "tcp":
        decoys = [one for k in range(30) for one in syn(f"203.0.113.{k + 1}", 6000 + k, k, answered=False)]
        honest = [one for k in range(9) for one in syn(f"203.0.113.{k + 1}", 6000 + k, k, answered=False, repeats=3)]
    else:
        decoys, honest = [one for n in range(5) for one in ask(n, repeats=1)], silent()
    pattern = {"tcp": "tcp-syn-no-reply", "quic": "quic-initial-no-reply"}[transport]
    fair = findings(tmp_path, [*honest, at(frame()[-1].raw, 60)])
    fooled = findings(tmp_path, [*decoys, *frame()])[pattern]
    assert fooled["confidence"] == "possible"
    assert "scanners and spoofed sources look like this" in fooled["limitations"][0]
    assert not any("scanners" in each for each in fair.get(pattern, fooled | {"limitations": []})["limitations"])


def test_a_forged_rst(tmp_path: Path) -> None:
    """From another distance than the server: the finding that a box sent it is there, and is no certainty."""
    client = CLIENTS[0]
    hello = ip(client, SERVER, 6, tcp((40000, 443), 24, b"\x16\x03\x01\x00\x05hello", seq=100, ack=6), ident=4)
    sent = [*frame(), at(hello, 1.04)]
    honest = at(ip(SERVER, client, 6, tcp((443, 40000), 4, seq=6), ident=10), 1.05)
    forged = at(ip(SERVER, client, 6, tcp((443, 40000), 4, seq=6), ident=10, ttl=200), 1.05)
    assert "tcp-reset-injected" not in findings(tmp_path, [*sent, honest])
    found = findings(tmp_path, [*sent, forged])["tcp-reset-injected"]
    assert found["confidence"] == "possible"
    assert "TTL differs" in found["because"]


def test_a_clock_that_jumps_back(tmp_path: Path) -> None:
    packets = sorted([*silent(), *frame()], key=lambda one: one.time)
    jumped = [one._replace(time=one.time - 30 * SECOND) if one.time >= START + 10 * SECOND else one for one in packets]
    fair = findings(tmp_path, packets)["quic-initial-no-reply"]
    fooled = findings(tmp_path, jumped, in_order=False)["quic-initial-no-reply"]
    assert (fair["confidence"], fooled["confidence"]) == ("likely", "possible")
    assert "Time runs backwards" in fooled["limitations"][0]


def opened_at(moment: float, *, answered_after: float, repeats: int = 1) -> list[Captured]:
    """Three SYNs to a host beside, each answered ``answered_after`` s later."""
    sent = []
    for k in range(3):
        asked, answer = (
            syn(CLIENTS[k], 41000 + k, moment + k / 100, answered=False, repeats=repeats),
            ip("198.51.100.99", CLIENTS[k], 6, tcp((443, 41000 + k), 18, seq=5, ack=100), ident=9),
        )
        other = [one._replace(raw=one.raw[:16] + bytes([198, 51, 100, 99]) + one.raw[20:]) for one in asked]
        sent += [*other, at(answer, moment + k / 100 + answered_after)]
    return sent


@pytest.mark.parametrize("pattern", ["quic-initial-no-reply", "tcp-syn-no-reply"])
def test_a_clock_that_jumps_forward(pattern: str, tmp_path: Path) -> None:
    """Without the jump the wait was too short to say anything; what was open when it came shows that it was one."""
    asked = (
        ask(0, repeats=2)
        if pattern == "quic-initial-no-reply"
        else syn(CLIENTS[0], 40009, 0, answered=False, repeats=2)
    )
    far = frame()[-1].raw
    packets = [*asked, *opened_at(1.2, answered_after=0.1), at(far, 1.5)]
    jumped = [one._replace(time=one.time + 300 * SECOND) if one.time >= START + 1250 * MS else one for one in packets]
    found = findings(tmp_path, jumped)
    assert found[pattern]["confidence"] == "possible"
    assert "The clock jumped forward by 300 s in the wait" in found[pattern]["limitations"][0]
    assert "time jumps forward" in found["capture-clock"]["title"]
    quiet = [*asked, *opened_at(1.2, answered_after=0.01), at(far, 300)]
    near = findings(tmp_path, quiet)
    assert "capture-clock" not in near
    assert near[pattern]["confidence"] == "likely"
    assert "cannot tell a quiet time from a clock" in " ".join(near[pattern]["limitations"])


@pytest.mark.parametrize("answered_after", [3.5, 14.0])
def test_a_slow_server_is_no_clock_that_jumps(answered_after: float, tmp_path: Path) -> None:
    slow = opened_at(1, answered_after=answered_after, repeats=3)
    assert "capture-clock" not in findings(tmp_path, [*slow, at(frame()[-1].raw, 60)])


def test_one_direction_hidden(tmp_path: Path) -> None:
    """Nothing of the server is seen: nothing is called silent."""
    hidden = [one for one in [*silent(), *frame()] if one.raw[12:16] != bytes([198, 51, 100, 80])]
    found = findings(tmp_path, hidden)
    assert "quic-initial-no-reply" not in found
    assert "asymmetric routing" in " ".join(found["capture-one-way"]["limitations"])
