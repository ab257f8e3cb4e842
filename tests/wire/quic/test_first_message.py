"""First handshake messages of many streams: what frames and crypto stream read one by one, or left to them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.first_message import MISSING, MOST_BYTES, ODD, FirstMessages
from analyzer.wire.quic.frames import Crypto, FrameFlaw, Padding, Ping, read_frames
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.protection import open_initial
from analyzer.wire.quic.seal import write_varint
from analyzer.wire.quic.split import INITIAL, Flaw
from analyzer.wire.tls_hello import read_client_hello
from tests.wire.hellos import alpn, client_hello, server_name
from tests.wire.quic.recorded import CAPTURES, datagrams
from tests.wire.quic.vectors import CLIENT_FRAMES, CLIENT_PAYLOAD

HELLO = client_hello([0x1301], server_name(b"example.com"), alpn(b"h3"))
ACK, CLOSE, PING = b"\x02\0\0\0\0", b"\x1c\x01\0\0", b"\x01"

#: Length (MISSING, ODD) and message after each payload.
Told = list[tuple[int, bytes]]


def crypto(offset: int, piece: bytes, *, sizes: tuple[int, int] = (0, 0)) -> bytes:
    """A CRYPTO frame; ``sizes``: of its varints."""
    return b"\x06" + write_varint(offset, sizes[0]) + write_varint(len(piece), sizes[1]) + piece


def handshake(size: int) -> bytes:
    """A message of ``size`` bytes, its header included."""
    return b"\x01" + (size - 4).to_bytes(3, "big") + bytes(i % 251 for i in range(size - 4))


def read_plainly(payloads: Sequence[bytes]) -> Told:
    """What must be told, by the readers of any frames."""
    stream, told = CryptoStream(1 << 20), Told()
    is_odd, message = False, b""
    for payload in payloads:
        frames, flaw, _ = read_frames(payload)
        pieces = [frame for frame in frames if isinstance(frame, Crypto)]
        is_odd |= not payload or flaw is not FrameFlaw.NONE
        is_odd |= any(not isinstance(frame, Crypto | Padding | Ping) for frame in frames)
        is_odd |= any(piece.offset + len(piece.piece) > MOST_BYTES for piece in pieces)
        stream.add_all(pieces)
        is_odd |= bool(stream.conflicts)
        prefix = stream.prefix()
        size = 4 + int.from_bytes(prefix[1:4], "big") if len(prefix) >= 4 else 1 << 24
        if len(prefix) >= size and not message:
            message = prefix[:size]
        told.append((ODD, b"") if is_odd else (len(message) or MISSING, message))
    return told


def message_of(found: FirstMessages, stream: int) -> bytes:
    """The message of a stream, b"" where it is not whole."""
    if found.lengths[stream] <= 0:
        return b""
    messages, (end,) = found.messages(np.array([stream]))
    assert end == len(messages)
    return messages.tobytes()


def gathered(payloads: Sequence[bytes], *, compiled: bool) -> Told:
    """The same of the kernel: one stream among two others, which see the payloads in other orders."""
    found, told = FirstMessages(3, compiled=compiled), Told()
    for i, payload in enumerate(payloads):
        found.add(np.array([0, 1, 2]), [payloads[-1 - i], payload, PING])
        assert found.lengths[2] == MISSING
        told.append((int(found.lengths[1]), message_of(found, 1)))
    return told


def check(payloads: Sequence[bytes], *, compiled: bool = True) -> Told:
    told = gathered(payloads, compiled=compiled)
    assert told == read_plainly(payloads)
    return told


@pytest.mark.parametrize("compiled", [False, True])
def test_the_client_hello_of_the_rfc(compiled: bool) -> None:
    """RFC 9001 Appendix A.2."""
    assert check([CLIENT_PAYLOAD], compiled=compiled) == [(241, CLIENT_FRAMES[4:])]


WHOLE = [(len(HELLO), HELLO)]
HALF = len(HELLO) // 2
FRONT, BACK = crypto(0, HELLO[:HALF]), crypto(HALF, HELLO[HALF:])
SAID: dict[str, tuple[list[bytes], Told]] = {
    "whole": ([crypto(0, HELLO)], WHOLE),
    "padding and pings around": ([b"\0\0" + PING + crypto(0, HELLO) + PING + b"\0" * 500], WHOLE),
    "in order": ([FRONT + BACK], WHOLE),
    "not in order": ([BACK + PING + FRONT], WHOLE),
    "one byte each, backwards": ([b"".join(crypto(i, HELLO[i : i + 1]) for i in reversed(range(len(HELLO))))], WHOLE),
    "over two packets": ([FRONT, BACK], [(MISSING, b""), *WHOLE]),
    "over two packets, swapped": ([BACK, FRONT], [(MISSING, b""), *WHOLE]),
    "a hole": ([FRONT + crypto(HALF + 1, HELLO[HALF + 1 :])], [(MISSING, b"")]),
    "a hole that is filled": (
        [FRONT + crypto(HALF + 1, HELLO[HALF + 1 :]), crypto(HALF, HELLO[HALF : HALF + 1])],
        [(MISSING, b""), *WHOLE],
    ),
    "nothing of it": ([PING, b"\0"], [(MISSING, b"")] * 2),
    "three bytes of its header": ([crypto(0, HELLO[:3])], [(MISSING, b"")]),
    "its header alone": ([crypto(0, HELLO[:4])], [(MISSING, b"")]),
    "all but its first byte": ([crypto(1, HELLO[1:])], [(MISSING, b"")]),
    "all but its last byte": ([crypto(0, HELLO[:-1])], [(MISSING, b"")]),
    "the next message behind it": ([crypto(0, HELLO + b"\x14\0\0\x01x")], WHOLE),
    "a message of no bytes": ([crypto(0, b"\x01\0\0\0")], [(4, b"\x01\0\0\0")]),
    "an empty piece": ([crypto(0, b"") + crypto(0, HELLO) + crypto(900, b"")], WHOLE),
    "varints of eight bytes": ([crypto(0, HELLO, sizes=(8, 8))], WHOLE),
    "repeated": ([crypto(0, HELLO)] * 2, WHOLE * 2),
    "overlapping, the same": ([crypto(0, HELLO[: HALF + 9]) + crypto(HALF - 9, HELLO[HALF - 9 :])], WHOLE),
    "overlapping, another byte": ([FRONT + crypto(HALF - 1, b"\xee" + HELLO[HALF:])], [(ODD, b"")]),
    "another byte beyond the message": ([crypto(0, HELLO + b"x"), crypto(len(HELLO), b"y")], [*WHOLE, (ODD, b"")]),
    "another byte in a later packet": ([crypto(0, HELLO), crypto(9, b"\xee\xee")], [*WHOLE, (ODD, b"")]),
    "another frame behind": ([crypto(0, HELLO) + ACK], [(ODD, b"")]),
    "another frame before": ([CLOSE + crypto(0, HELLO)], [(ODD, b"")]),
    "another frame in a later packet": ([crypto(0, HELLO), ACK], [*WHOLE, (ODD, b"")]),
    "odd stays odd": ([ACK, crypto(0, HELLO), PING], [(ODD, b"")] * 3),
    "no byte at all": ([b""], [(ODD, b"")]),
    "an unknown frame": ([crypto(0, HELLO) + b"\x3f"], [(ODD, b"")]),
    "the last byte of the frame is cut": ([crypto(0, HELLO)[:-1]], [(ODD, b"")]),
    "the most that is put together": ([crypto(0, handshake(MOST_BYTES))], [(MOST_BYTES, handshake(MOST_BYTES))]),
    "the last byte that is put together": ([crypto(MOST_BYTES - 1, b"x")], [(MISSING, b"")]),
    "one byte more": ([crypto(0, handshake(MOST_BYTES + 1))], [(ODD, b"")]),
    "an empty piece at the end": ([crypto(MOST_BYTES, b"")], [(MISSING, b"")]),
    "a byte behind": ([crypto(0, HELLO) + crypto(MOST_BYTES, b"x")], [(ODD, b"")]),
    "the furthest offset": ([crypto(0, HELLO) + crypto((1 << 62) - 1, b"x")], [(ODD, b"")]),
    "the furthest offset, no byte": ([crypto(0, HELLO) + crypto((1 << 62) - 1, b"")], [(ODD, b"")]),
    "the largest length": ([b"\x06\0" + b"\xff" * 8 + HELLO], [(ODD, b"")]),
    "the largest of both": ([b"\x06" + b"\xff" * 16 + HELLO], [(ODD, b"")]),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("what", SAID)
def test_what_is_told(what: str, compiled: bool) -> None:
    payloads, expected = SAID[what]
    assert check(payloads, compiled=compiled) == expected


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 4 + 0x10010, 4 + 0x20000, 4 + 0xFFFFFF])
def test_a_message_that_says_to_be_longer_than_the_room_is_never_whole(size: int) -> None:
    begins = b"\x01" + (size - 4).to_bytes(3, "big") + bytes(MOST_BYTES - 4)
    pieces = [crypto(0, begins[:4000]), crypto(4000, begins[4000:])]
    assert check(pieces) == [(MISSING, b"")] * 2


@pytest.mark.parametrize("compiled", [False, True])
def test_types_in_more_bytes_than_they_need_are_left_to_others(compiled: bool) -> None:
    """RFC 9000 §12.4 forbids them; ``frames`` reads them."""
    for frame in (b"\x40\x06" + crypto(0, HELLO)[1:], b"\x40\x00" + crypto(0, HELLO), b"\x40\x01" + crypto(0, HELLO)):
        assert gathered([frame], compiled=compiled) == [(ODD, b"")]


@pytest.mark.parametrize("compiled", [False, True])
def test_every_prefix_of_a_payload(compiled: bool) -> None:
    step = 1 if compiled else 7
    for payload in (BACK + b"\0\0" + PING + crypto(0, HELLO[:HALF], sizes=(4, 8)) + b"\0", CLIENT_PAYLOAD[:260]):
        for end in range(0, len(payload) + 1, step):
            check([payload[:end]], compiled=compiled)
            check([FRONT, payload[:end], BACK], compiled=compiled)


def test_streams_do_not_touch_each_other() -> None:
    """Side by side, added to in different calls and orders; the streams before and behind stay as they were."""
    messages = [handshake(4 + 37 * n) for n in range(40)]
    found = FirstMessages(42, compiled=True)
    for start in (1, 0):
        chosen = np.arange(1, 41)[start::2][::-1].copy()
        found.add(chosen, [crypto(9, messages[i - 1][9:]) + PING for i in chosen])
        assert not found.lengths[chosen][len(messages[0]) :].any()
        found.add(chosen[::-1].copy(), [crypto(0, messages[i - 1][:9]) for i in chosen[::-1]])
    assert found.lengths.tolist() == [0, *map(len, messages), 0]
    assert [message_of(found, i) for i in range(42)] == [b"", *messages, b""]


@st.composite
def shuffled(draw: st.DrawFn) -> list[bytes]:
    """A message in many frames over several packets, some overlapping, repeated, lost, cut, damaged or strange."""
    message = handshake(draw(st.integers(4, 300)))
    count = draw(st.integers(1, 12))
    edges = sorted({0, len(message), *draw(st.lists(st.integers(0, len(message)), max_size=count))})
    reach = st.integers(0, draw(st.sampled_from((0, 0, 20))))
    spans = [(max(0, a - draw(reach)), b + draw(reach)) for a, b in itertools.pairwise(edges)]
    spans += draw(st.lists(st.sampled_from(spans), max_size=2))
    frames = [crypto(a, message[a:b], sizes=draw(st.sampled_from(((0, 0), (2, 2), (8, 4))))) for a, b in spans]
    if draw(st.booleans()):
        frames = frames[draw(st.integers(0, 1)) :]
    frames += draw(st.lists(st.sampled_from((PING, b"\0", b"\0" * 9)), max_size=4))
    if draw(st.integers(0, 3)) == 0:
        strange = (ACK, CLOSE, crypto(2, b"?"), crypto(MOST_BYTES - 3, b"far"), crypto(MOST_BYTES - 2, b"far"), b"\x3f")
        frames.append(draw(st.sampled_from(strange)))
    frames = draw(st.permutations(frames))
    cut = draw(st.integers(0, len(frames)))
    return [b"".join(frames[:cut]), b"".join(frames[cut:])]


@given(shuffled())
@settings(max_examples=300)
def test_messages_in_many_frames(payloads: list[bytes]) -> None:
    check(payloads)


@given(shuffled())
@settings(max_examples=30)
def test_messages_in_many_frames_interpreted(payloads: list[bytes]) -> None:
    assert gathered(payloads, compiled=False) == check(payloads)


@given(st.lists(st.binary(max_size=80), max_size=4), st.binary(max_size=12))
@settings(max_examples=200)
def test_any_bytes(payloads: list[bytes], between: bytes) -> None:
    """Never more than the readers of any frames find; less where a frame's type is strange."""
    for tried in (payloads, [FRONT + between + BACK, *payloads], [payload + crypto(0, HELLO) for payload in payloads]):
        found, expected = gathered(tried, compiled=True), read_plainly(tried)
        for told, plain in zip(found, expected, strict=True):
            assert told == plain or told == (ODD, b"")


@functools.cache
def recorded_hellos() -> list[tuple[bytes, ...]]:
    """The clear payloads of clients' first Initials, by DCID, of recorded captures."""
    found: dict[bytes, list[bytes]] = {}
    for path in sorted(CAPTURES.glob("*/*/client.pcap")):
        for one in datagrams(str(path.relative_to(CAPTURES))):
            if one.destination[1] != 443:
                continue
            for packet in read_datagram(one.payload, 0, len(one.payload), len(one.payload)):
                if packet.kind == INITIAL and packet.flaw is Flaw.NONE:
                    bytes_ = one.payload[packet.start : packet.end]
                    at = packet.payload_offset - packet.start
                    clear = open_initial(packet.version, packet.dcid, bytes_, at, from_server=False)
                    if clear.payload:
                        found.setdefault(packet.dcid, []).append(clear.payload)
    return [tuple(payloads) for payloads in found.values()]


def test_recorded_hellos_are_put_together() -> None:
    """All of a program's: aioquic, quic-go, quiche and Chromium, which shuffles and parts its own."""
    told = [check(payloads) for payloads in recorded_hellos()]
    whole = [each[-1] for each in told if each[-1][0] > 0]
    assert len(whole) > 100
    assert sum(each[0][0] == MISSING for each in told) > 15
    assert not any(each[-1][0] == ODD for each in told)
    for size, message in whole:
        hello = read_client_hello(message)
        assert size == len(message) > 200
        assert hello is not None
        assert hello.server_name


def test_recorded_hellos_all_at_once() -> None:
    """As they are read: the first of each, then the next of those that miss bytes."""
    hellos = recorded_hellos()
    found, waiting, number = FirstMessages(len(hellos), compiled=True), np.arange(len(hellos)), 0
    while len(waiting):
        found.add(waiting, [hellos[i][number] for i in waiting])
        number += 1
        waiting = np.array([i for i in waiting if found.lengths[i] == MISSING and len(hellos[i]) > number], np.int64)
    assert number > 1
    assert all(message_of(found, i) == read_plainly(payloads)[-1][1] for i, payloads in enumerate(hellos))


@pytest.mark.parametrize("compiled", [False, True])
def test_streams_begin_anew(compiled: bool) -> None:
    """Nothing of what was read before stays, up to the last byte that is put together."""
    found = FirstMessages(2, compiled=compiled)
    found.add(np.array([0, 1]), [crypto(0, handshake(MOST_BYTES)), FRONT + ACK])
    assert found.lengths.tolist() == [MOST_BYTES, ODD]
    found.begin()
    assert found.lengths.tolist() == [MISSING, MISSING]
    found.add(np.array([0, 1]), [BACK, BACK])
    assert found.lengths.tolist() == [MISSING, MISSING]
    found.add(np.array([0, 1]), [FRONT, PING])
    assert message_of(found, 0) == HELLO
    assert message_of(found, 1) == b""


@pytest.mark.parametrize("compiled", [False, True])
def test_names_and_messages_of_several_streams(compiled: bool) -> None:
    hellos = [client_hello([0x1301], server_name(name)) for name in (b"a.example", b"b.example", b"a.example")]
    found = FirstMessages(5, compiled=compiled)
    found.add(np.array([4, 1, 2]), [crypto(0, hello) for hello in hellos])
    chosen = found.hellos(np.arange(5))
    assert chosen.tolist() == [1, 2, 4]
    names, numbers = found.names(chosen)
    assert [names[number] for number in numbers] == [("b.example", ()), ("a.example", ()), ("a.example", ())]
    assert len(names) == 2
    messages, ends = found.messages(chosen)
    assert messages.tobytes() == hellos[1] + hellos[2] + hellos[0]
    assert ends.tolist() == np.cumsum([len(hellos[1]), len(hellos[2]), len(hellos[0])]).tolist()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("length", [*range(34), 48, 49])
def test_padding_of_any_length(length: int, compiled: bool) -> None:
    """Padding is passed over by 16 bytes at a time: what is behind it is read wherever it begins."""
    padding = bytes(length)
    assert check([padding + FRONT + padding + BACK + padding], compiled=compiled) == WHOLE
    assert check([crypto(0, HELLO) + padding + ACK], compiled=compiled) == [(ODD, b"")]
