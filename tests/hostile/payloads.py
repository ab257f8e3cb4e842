"""Texts that are trouble somewhere, and captures that carry them wherever a capture can carry text."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

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
    "osc clipboard": b"\x1b]52;c;cm0gLXJm\x07x",
    "device control": b"\x1bP1;1|owned\x1b\\\x1b_apc\x1b\\x\x1b[6n",
    "overwritten": b"harmful\r\x1b[Kharmless\x08\x08",
    "c1 controls": "\x9b31m\x9d0;owned\x9c".encode(),
    "bidi override": "\u202egpj.exe\u2066\u2069".encode(),
    "zero width": "exa\u200bmple\u2060.com\ufeff".encode(),
    "separators": "a\u2028b\u2029c\u0085d".encode(),
    "fillers": "a\u3164b\u115fc\u2800d\ufe0fe\u034ff\u00adg\U000e0101".encode(),
    "stacked": ("z" + "\u0300" * 40).encode(),
    "right to left": "\u05d0\u05d1 1.2.3.4 \u0627\u0628".encode(),
    "tags": "\U000e0041\U000e0042\ue000".encode(),
    "lone surrogate": b"a\xed\xa0\x80b",
    "invalid utf-8": b"\xff\xfe\xc3\x28\x80",
    "newlines": b"x\n# heading\r\n- item\n\n| a | b |\n| --- | --- |\n",
    "script": b"<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": b'"\' onmouseover=alert(1) x="',
    "script end": b"</script><script>alert(1)</script></title><!--<script>",
    "comment": b"--><!-- ]]> </style></svg><svg onload=alert(1)>",
    "markdown link": b"[click](http://e.example) ![i](http://e.example/i.png) <http://e.example>",
    "markdown reference": b"[r]: http://e.example\n\n[r][] ![][r] <a@e.example> http\\://e.example",
    "table cell": b"a|b\\|c\\\\|\\",
    "heading below": b"x\n===\n---\n    code\n",
    "markdown fence": b"```\n~~~\n`a` ``b``",
    "mention": b"@someone #1 !2 GH-3 deadbeef0123 :smile: www.e.example",
    "markup": b"**b** __b__ ~~s~~ \\* &lt; &#60; $x^2$ ${x} {{ 7*7 }} {% x %}",
    "mermaid": b"x; participant Z as #quot;z#quot;\nZ->>S: hi %%{init: {}}%% end",
    "formula": b"=cmd|'/C calc'!A0",
    "formula behind a tab": b"\t=1+1",
    "formula behind a line": b"\r\n=1+1",
    "formula behind a quote": b'";=1+1;"',
    "formula in full width": "\uff1d1+1".encode(),
    "formula of another sign": b"@SUM(1+1)*cmd",
    "template": b"%s%n{0.__class__}%(x)s",
    "shell": b"$(touch owned)`touch owned`;|&",
    "openmetrics": b'x"} 1\\n\n# EOF\n# TYPE x counter\nx_total{a="\\',
    "workflow command": b"::error file=a::owned\n##[error]owned\n##vso[task.setvariable]x",
    "quotes of programs": b"'; DROP TABLE x; --\\\"\\u0000",
    "long": b"n" * 200,
}

FIRST_SERVER = 10  # last byte of the IPv4 address of the server that the first payload is sent to
_SECRETS = {"SERVER": secret_of(0x1301), "CLIENT": secret_of(0x1301)[::-1]}
_BAD_CERTIFICATE = seal(0x1301, _SECRETS["CLIENT"], 0, 21, b"\x02\x2a")  # a fatal alert
_GAP = 60 * SECOND  # between the captures


def file_name(payload: bytes) -> bytes:
    """A name of a file that holds as much of the payload as a file system allows."""
    return payload.replace(b"/", b"_").replace(b"\0", b"_")[:200] + b".pcapng"


class Text(NamedTuple):
    """A payload as the sources of text in a capture have it: with a mark behind it, of the payload and the source."""

    number: int
    payload: bytes

    def of(self, source: str, limit: int = 1000) -> bytes:
        """The payload with the mark of a source, cut in front of it where both are longer than ``limit`` bytes."""
        mark = self.mark(source).encode()
        return self.payload[: limit - len(mark)] + mark

    def mark(self, source: str) -> str:
        """Letters and digits that every door shows as they are."""
        return f"q{self.number:02d}{source}q"


#: Where text of a capture comes from.
SOURCES = {
    *("sni", "offered", "chosen", "close", "subject", "issuer", "asked", "resolved", "alias", "svcb"),
    *("target", "host", "reason", "software", "altsvc", "section", "hardware", "system", "program", "remark"),
    *("interface", "description", "ifos", "ifhardware", "filter", "known", "packet", "statistics", "file", "missing"),
}

TEXTS = {name: Text(number, payload) for number, (name, payload) in enumerate(PAYLOADS.items())}


def _initial(dcid: bytes, frames: bytes, number: int, *, from_server: bool = False) -> bytes:
    keys = initial_keys(1, dcid)
    assert keys is not None
    names = (b"clientid", b"serverid") if from_server else (dcid, b"clientid")
    padded = frames.ljust(1160, b"\0")
    return seal_initial(
        InitialHeader(1, *names, packet_number=number), padded, keys.server if from_server else keys.client
    )


def _name(text: Text, source: str) -> bytes:
    """A domain name in wire format: labels of the payload, its mark, and "example"."""
    payload = text.payload[:126]
    labels = [*(payload[at : at + 63] for at in range(0, len(payload), 63)), text.mark(source).encode(), b"example"]
    return b"".join(vector(1, label) for label in labels) + b"\0"


_A, _CNAME, _HTTPS = 1, 5, 65


def _lookups(text: Text) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A question that is never answered; two of another name, answered by way of an alias."""
    silent, asked, alias = (_name(text, source) for source in ("asked", "resolved", "alias"))
    protocols = b"\0\x01" + vector(2, vector(1, text.of("svcb", 255)))
    found = {_A: bytes([203, 0, 113, 1]), _HTTPS: b"\0\x01\0" + protocols}
    answered = []
    for kind, content in found.items():
        question = asked + struct.pack(">HH", kind, 1)
        records = (asked, _CNAME, alias), (alias, kind, content)
        body = b"".join(name + struct.pack(">HHI", of, 1, 60) + vector(2, value) for name, of, value in records)
        answer = struct.pack(">HHHHHH", kind, 0x8180, 1, 2, 0, 0) + question + body
        answered.append((struct.pack(">HHHHHH", kind, 0x0100, 1, 0, 0, 0) + question, answer))
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + silent + b"\0\x01\0\x01", answered


def client_of(text: Text) -> str:
    """The client's address in the capture of a payload; no two captures have a packet that the other could have."""
    return f"192.0.2.{1 + text.number}"


def packets(text: Text, server: str) -> list[tuple[int, bytes]]:
    """(ms, IP packet) of silent QUIC and TLS connections, a closed one, DNS questions, and HTTP requests."""
    client = client_of(text)
    names = server_name(text.of("sni")), alpn(text.of("offered", 255))
    hello = client_hello([0x1301], *names, versions(0x0304))
    record = b"\x16\x03\x01" + vector(2, hello)
    dcids = [b"silent%02d" % text.number, b"closed%02d" % text.number]
    sent = [
        (at, ip(client, server, 17, udp((50001, 443), _initial(dcids[0], crypto(hello), n))))
        for n, at in enumerate((0, 300, 900, 2100))
    ]
    ports = (50002, 443)
    reason = _initial(dcids[1], close(2, text.of("close")), 0, from_server=True)
    sent += [
        (3000, ip(client, server, 17, udp(ports, _initial(dcids[1], crypto(hello), 0)))),
        (3010, ip(server, client, 17, udp(ports[::-1], reason))),
    ]
    question, answered = _lookups(text)
    sent += [(at, ip(client, server, 17, udp((50004, 53), question))) for at in (5000, 7000, 11000)]
    for at, (asked, answer) in zip((8000, 8100), answered, strict=True):
        sent.append((at, ip(client, server, 17, udp((50008, 53), asked))))
        sent.append((at + 10, ip(server, client, 17, udp((53, 50008), answer))))
    request = b"GET /" + text.of("target") + b" HTTP/1.1\r\nHost: " + text.of("host") + b"\r\n\r\n"
    head = b"HTTP/1.1 502 %b\r\nServer: %b\r\nAlt-Svc: %b\r\nContent-Length: 0\r\n\r\n"
    response = head % (text.of("reason"), text.of("software"), text.of("altsvc"))
    sent += Talk(text, server, (50003, 443)).said(4000, record, b"")
    sent += Talk(text, server, (50005, 80)).said(12000, request, RESET)
    sent += Talk(text, server, (50006, 80)).said(13000, request, response)
    sent += Talk(text, server, (50007, 443)).said(14000, record, _certified(text), _BAD_CERTIFICATE)
    return sorted([*sent, *Talk(text, server, (50009, 443)).said(25000)])


RESET = b"RST"  # in place of what a side says


class Talk:
    """A TCP connection in which client and server speak in turns."""

    def __init__(self, text: Text, server: str, ports: tuple[int, int]) -> None:
        self._ends, self._ports = (client_of(text), server), ports
        self._next = [100 + 100_000 * text.number, 200 + 100_000 * text.number]

    def _sent(self, side: int, flags: int, content: bytes = b"") -> bytes:
        way = slice(None, None, -1) if side else slice(None)
        segment = tcp(self._ports[way], flags, content, seq=self._next[side], ack=self._next[1 - side])
        self._next[side] += len(content) + (flags & 3 > 0)
        return ip(*self._ends[way], 6, segment)

    def said(self, at: int, *contents: bytes) -> list[tuple[int, bytes]]:
        """(ms, IP packet) from the SYN to both FINs; empty content is an acknowledgement, and the last of all."""
        found = [(at, self._sent(0, 2)), (at + 10, self._sent(1, 18)), (at + 20, self._sent(0, 16))]
        for turn, content in enumerate(contents, 1):
            flags = 20 if content == RESET else 24 if content else 16
            found.append((at + 20 + 10 * turn, self._sent(1 - turn % 2, flags, b"" if flags == 20 else content)))
            if flags != 24:
                return found
        return [*found, (at + 900, self._sent(0, 17)), (at + 910, self._sent(1, 17))]


def _certified(text: Text) -> bytes:
    """What a TLS 1.3 server sends that has a certificate of this name, and chooses this ALPN."""
    words = [text.of(source, 60).decode("utf-8", "replace") for source in ("subject", "issuer")]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in words]
    key = ec.generate_private_key(ec.SECP256R1())
    der = x509.CertificateBuilder(*names, key.public_key(), 7, BEGIN, END).sign(key, hashes.SHA256())
    entry = vector(3, der.public_bytes(Encoding.DER)) + vector(2, b"")
    hello = b"\x02" + vector(3, b"\x03\x03" + bytes(32) + b"\0\x13\x01\0" + vector(2, extension(43, b"\x03\x04")))
    flight = (
        b"\x08" + vector(3, vector(2, alpn(text.of("chosen", 255)))) + b"\x0b" + vector(3, b"\0" + vector(3, entry))
    )
    return b"\x16\x03\x03" + vector(2, hello) + seal(0x1301, _SECRETS["SERVER"], 0, 22, flight)


def _options(*pairs: tuple[int, bytes]) -> bytes:
    written = [struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in pairs]
    return b"".join([*written, bytes(4)])


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def pcapng(text: Text, sent: list[tuple[int, bytes]], start: int) -> bytes:
    """A capture whose section, interface, host names and packets are described with the payload."""
    told = ((code, text.of(source)) for code, source in enumerate(("section", "hardware", "system", "program"), 1))
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options(*told)
    sources = {1: "remark", 2: "interface", 3: "description", 12: "ifos", 15: "ifhardware"}
    described = ((code, text.of(source)) for code, source in sources.items())
    interface = struct.pack("<HHI", 101, 0, 0) + _options(*described, (9, b"\x09"), (11, b"\0" + text.of("filter")))
    host = bytes([192, 0, 2, 1 + text.number]) + text.of("known").replace(b"\0", b"") + b"\0"
    names = struct.pack("<HH", 1, len(host)) + host + bytes(-len(host) % 4) + bytes(4)
    random = bytes(range(32)).hex()  # of the ClientHello that ``client_hello`` makes
    lines = [f"{side}_HANDSHAKE_TRAFFIC_SECRET {random} {secret.hex()}\n" for side, secret in _SECRETS.items()]
    log = "".join(lines).encode()
    secrets = struct.pack("<II", 0x544C534B, len(log)) + log + bytes(-len(log) % 4) + bytes(4)
    out = [_block(0x0A0D0D0A, section), _block(1, interface), _block(4, names), _block(10, secrets)]
    for at, raw in sent:
        time = start + at * MS
        head = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(raw), len(raw))
        out.append(_block(6, head + raw + bytes(-len(raw) % 4) + _options((1, text.of("packet")))))
    dropped = struct.pack("<III", 0, 0, 0) + _options((1, text.of("statistics")), (5, struct.pack("<Q", 3)))
    return b"".join([*out, _block(5, dropped)])


def write_captures(folder: Path) -> list[bytes]:
    """One capture for each payload, named, described and filled with it; returns their paths."""
    paths = []
    for text in TEXTS.values():
        path = bytes(folder) + b"/" + file_name(text.of("file", 180))
        sent = packets(text, f"198.51.100.{FIRST_SERVER + text.number}")
        with open(path, "wb") as file:
            file.write(pcapng(text, sent, START + text.number * _GAP))
        paths.append(path)
    return paths
