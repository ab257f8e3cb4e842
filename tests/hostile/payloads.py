"""Texts that are trouble somewhere, and captures that carry them wherever a capture can carry text."""

from __future__ import annotations

import struct
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from analyzer.wire.quic.protection import initial_keys
from analyzer.wire.quic.seal import InitialHeader, seal_initial
from tests.crafted import MS, SECOND, START, ip, tcp, udp
from tests.events.story.plays import close, crypto
from tests.wire.hellos import alpn, client_hello, extension, server_name, vector, versions
from tests.wire.web.test_ocsp import BEGIN, END
from tests.wire.web.test_protected import seal, secret_of

PAYLOADS: dict[str, bytes] = {
    "control characters": b"a\x00\x01\x07\x08\x7fz",
    "ansi colour": b"\x1b[31mred\x1b[0m",
    "ansi cursor": b"\x1b[2J\x1b[1;1Hclean",
    "osc title": b"\x1b]0;owned\x07x",
    "osc link": b"\x1b]8;;http://e.example\x1b\\click\x1b]8;;\x1b\\",
    "c1 controls": "\x9b31m\x9d0;owned\x9c".encode(),
    "bidi override": "\u202egpj.exe\u2066\u2069".encode(),
    "zero width": "exa\u200bmple\u2060.com\ufeff".encode(),
    "separators": "a\u2028b\u2029c\u0085d".encode(),
    "tags": "\U000e0041\U000e0042\ue000".encode(),
    "lone surrogate": b"a\xed\xa0\x80b",
    "invalid utf-8": b"\xff\xfe\xc3\x28\x80",
    "newlines": b"x\n# heading\r\n- item\n\n| a | b |\n| --- | --- |\n",
    "script": b"<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": b'"\' onmouseover=alert(1) x="',
    "comment": b"--><!-- ]]> </style></svg><svg onload=alert(1)>",
    "markdown link": b"[click](http://e.example) ![i](http://e.example/i.png) <http://e.example>",
    "markdown fence": b"```\n~~~\n`a` ``b``",
    "mention": b"@someone #1 !2 GH-3 deadbeef0123 :smile: www.e.example",
    "markup": b"**b** __b__ ~~s~~ \\* &lt; &#60; $x^2$ ${x} {{ 7*7 }} {% x %}",
    "mermaid": b"x; participant Z as #quot;z#quot;\nZ->>S: hi %%{init: {}}%% end",
    "formula": b"=cmd|'/C calc'!A0",
    "formula behind a tab": b"\t=1+1",
    "formula of another sign": b"@SUM(1+1)*cmd",
    "template": b"%s%n{0.__class__}%(x)s",
    "shell": b"$(touch owned)`touch owned`;|&",
    "long": b"n" * 200,
}

FIRST_SERVER = 10  # last byte of the IPv4 address of the server that the first payload is sent to
_SECRETS = {"SERVER": secret_of(0x1301), "CLIENT": secret_of(0x1301)[::-1]}
_BAD_CERTIFICATE = seal(0x1301, _SECRETS["CLIENT"], 0, 21, b"\x02\x2a")  # a fatal alert
_GAP = 60 * SECOND  # between the captures


def file_name(payload: bytes) -> bytes:
    """A name of a file that holds as much of the payload as a file system allows."""
    return payload.replace(b"/", b"_").replace(b"\0", b"_")[:200] + b".pcapng"


def _initial(dcid: bytes, frames: bytes, number: int, *, from_server: bool = False) -> bytes:
    keys = initial_keys(1, dcid)
    assert keys is not None
    names = (b"clientid", b"serverid") if from_server else (dcid, b"clientid")
    padded = frames.ljust(1160, b"\0")
    return seal_initial(
        InitialHeader(1, *names, packet_number=number), padded, keys.server if from_server else keys.client
    )


def _question(payload: bytes) -> bytes:
    labels = [payload[at : at + 63] for at in range(0, min(len(payload), 189), 63)]
    name = b"".join(vector(1, label) for label in [*labels, b"example"]) + b"\0"
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name + b"\0\x01\0\x01"


def packets(payload: bytes, server: str) -> list[tuple[int, bytes]]:
    """(ms, IP packet) of silent QUIC and TLS connections, a closed one, a DNS question, and an HTTP request reset."""
    client = "192.0.2.1"
    hello = client_hello([0x1301], server_name(payload), alpn(payload), versions(0x0304))
    record = b"\x16\x03\x01" + vector(2, hello)
    silent = [
        (at, ip(client, server, 17, udp((50001, 443), _initial(b"silent--", crypto(hello), n))))
        for n, at in enumerate((0, 300, 900, 2100))
    ]
    ports = (50002, 443)
    closed = [
        (3000, ip(client, server, 17, udp(ports, _initial(b"closed--", crypto(hello), 0)))),
        (3010, ip(server, client, 17, udp(ports[::-1], _initial(b"closed--", close(2, payload), 0, from_server=True)))),
    ]
    tls = [
        (4000, ip(client, server, 6, tcp((50003, 443), 2, seq=99))),
        (4010, ip(server, client, 6, tcp((443, 50003), 18, seq=199, ack=100))),
        (4020, ip(client, server, 6, tcp((50003, 443), 16, seq=100, ack=200))),
        (4021, ip(client, server, 6, tcp((50003, 443), 24, record, seq=100, ack=200))),
        (4040, ip(server, client, 6, tcp((443, 50003), 16, seq=200, ack=100 + len(record)))),
    ]
    asked = [(at, ip(client, server, 17, udp((50004, 53), _question(payload)))) for at in (5000, 7000, 11000)]
    request = b"GET /" + payload + b" HTTP/1.1\r\nHost: " + payload + b"\r\n\r\n"
    http = [
        (12000, ip(client, server, 6, tcp((50005, 80), 2, seq=99))),
        (12010, ip(server, client, 6, tcp((80, 50005), 18, seq=199, ack=100))),
        (12020, ip(client, server, 6, tcp((50005, 80), 24, request, seq=100, ack=200))),
        (12030, ip(server, client, 6, tcp((80, 50005), 20, seq=200, ack=100 + len(request)))),
    ]
    answered = b"HTTP/1.1 502 %b\r\nServer: %b\r\nAlt-Svc: %b\r\nContent-Length: 0\r\n\r\n" % ((payload,) * 3)
    http += _talk(server, 13000, (50006, 80), request, answered)
    http += _talk(server, 14000, (50007, 443), record, _certified(payload), _BAD_CERTIFICATE)
    last = [(25000, ip(client, server, 6, tcp((50003, 443), 17, seq=100 + len(record), ack=200)))]
    return [*silent, *closed, *tls, *asked, *http, *last]


def _talk(server: str, at: int, ports: tuple[int, int], *said: bytes) -> list[tuple[int, bytes]]:
    """A TCP connection in which client and server speak in turns."""
    client, sequences = "192.0.2.1", [100, 200]
    sent = [
        (at, ip(client, server, 6, tcp(ports, 2, seq=99))),
        (at + 10, ip(server, client, 6, tcp(ports[::-1], 18, seq=199, ack=100))),
    ]
    for turn, content in enumerate((*said, b"", b"")):
        side, flags = turn % 2, 24 if content else 17
        ends, way = ((server, client), ports[::-1]) if side else ((client, server), ports)
        segment = tcp(way, flags, content, seq=sequences[side], ack=sequences[1 - side])
        sent.append((at + 20 + 10 * turn, ip(*ends, 6, segment)))
        sequences[side] += len(content) or 1
    return sent


def _certified(payload: bytes) -> bytes:
    """What a TLS 1.3 server sends that has a certificate of this name, and chooses this ALPN."""
    words = payload.decode("utf-8", "replace")[:60]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, words)])
    key = ec.generate_private_key(ec.SECP256R1())
    der = x509.CertificateBuilder(name, name, key.public_key(), 7, BEGIN, END).sign(key, hashes.SHA256())
    entry = vector(3, der.public_bytes(Encoding.DER)) + vector(2, b"")
    hello = b"\x02" + vector(3, b"\x03\x03" + bytes(32) + b"\0\x13\x01\0" + vector(2, extension(43, b"\x03\x04")))
    flight = b"\x08" + vector(3, vector(2, alpn(payload))) + b"\x0b" + vector(3, b"\0" + vector(3, entry))
    return b"\x16\x03\x03" + vector(2, hello) + seal(0x1301, _SECRETS["SERVER"], 0, 22, flight)


def _options(*pairs: tuple[int, bytes]) -> bytes:
    written = [struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in pairs]
    return b"".join([*written, bytes(4)])


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def pcapng(payload: bytes, sent: list[tuple[int, bytes]], start: int) -> bytes:
    """A capture whose section, interface, host names and packets are described with the payload."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options(
        (1, payload), (2, payload), (3, payload), (4, payload)
    )
    described = ((code, payload) for code in (1, 2, 3, 12, 15))
    interface = struct.pack("<HHI", 101, 0, 0) + _options(*described, (9, b"\x09"), (11, b"\0" + payload))
    host = bytes([192, 0, 2, 1]) + payload.replace(b"\0", b"") + b"\0"
    names = struct.pack("<HH", 1, len(host)) + host + bytes(-len(host) % 4) + bytes(4)
    random = bytes(range(32)).hex()  # of the ClientHello that ``client_hello`` makes
    lines = [f"{side}_HANDSHAKE_TRAFFIC_SECRET {random} {secret.hex()}\n" for side, secret in _SECRETS.items()]
    log = "".join(lines).encode()
    secrets = struct.pack("<II", 0x544C534B, len(log)) + log + bytes(-len(log) % 4) + bytes(4)
    out = [_block(0x0A0D0D0A, section), _block(1, interface), _block(4, names), _block(10, secrets)]
    for at, raw in sent:
        time = start + at * MS
        head = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(raw), len(raw))
        out.append(_block(6, head + raw + bytes(-len(raw) % 4) + _options((1, payload))))
    dropped = struct.pack("<III", 0, 0, 0) + _options((1, payload), (5, struct.pack("<Q", 3)))
    return b"".join([*out, _block(5, dropped)])


def write_captures(folder: Path) -> list[bytes]:
    """One capture for each payload, named, described and filled with it; returns their paths."""
    paths = []
    for number, payload in enumerate(PAYLOADS.values()):
        path = bytes(folder) + b"/" + file_name(payload)
        sent = packets(payload, f"198.51.100.{FIRST_SERVER + number}")
        with open(path, "wb") as file:
            file.write(pcapng(payload, sent, START + number * _GAP))
        paths.append(path)
    return paths
