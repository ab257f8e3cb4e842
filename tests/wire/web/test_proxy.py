"""PROXY protocol headers of both versions: every prefix, damaged ones, and those that name no client."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.web.proxy import ProxyFlaw, ProxyHeader, is_proxy, read_proxy

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LINE = b"PROXY TCP4 203.0.113.7 198.51.100.80 51234 443\r\n"


def binary(source: str, destination: str, ports: tuple[int, int], *, command: int = 1, tlvs: bytes = b"") -> bytes:
    """A version 2 header."""
    ends = [ipaddress.ip_address(address) for address in (source, destination)]
    family = 0x11 if ends[0].version == 4 else 0x21
    body = b"".join(end.packed for end in ends) + struct.pack(">HH", *ports) + tlvs
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, family, len(body)) + body


V2_4 = binary("203.0.113.7", "198.51.100.80", (51234, 443), tlvs=b"\x02\x00\x01x")
V2_6 = binary("2001:db8::7", "2001:db8::80", (51234, 443))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (LINE, (1, "203.0.113.7", 51234, "198.51.100.80", 443)),
        (b"PROXY TCP6 2001:db8::7 2001:DB8:0::80 1 65535\r\n", (1, "2001:db8::7", 1, "2001:db8::80", 65535)),
        (V2_4, (2, "203.0.113.7", 51234, "198.51.100.80", 443)),
        (V2_6, (2, "2001:db8::7", 51234, "2001:db8::80", 443)),
    ],
)
def test_headers_with_a_client(header: bytes, expected: tuple[int, str, int, str, int]) -> None:
    read = read_proxy(header + b"GET / HTTP/1.1\r\n")
    assert read == ProxyHeader(*expected, len(header), ProxyFlaw.NONE)


@pytest.mark.parametrize("header", [LINE, V2_4, V2_6, b"PROXY UNKNOWN\r\n"])
def test_every_prefix(header: bytes) -> None:
    for n in range(1, len(header)):
        read = read_proxy(header[:n])
        assert is_proxy(header[:n])
        assert read is not None
        assert (read.length, read.source, read.flaw) == (0, "", ProxyFlaw.INCOMPLETE)
    assert read_proxy(b"") is None
    assert not is_proxy(b"")


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        binary("192.0.2.1", "192.0.2.2", (1, 2), command=0),
        SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),
        SIGNATURE + b"\x20\x00\x00\x00",
    ],
)
def test_headers_that_name_no_client(header: bytes) -> None:
    read = read_proxy(header)
    assert read is not None
    assert (read.source, read.source_port, read.length, read.flaw) == ("", -1, len(header), ProxyFlaw.NONE)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.7 198.51.100.80 51234\r\n",
        b"PROXY TCP4 2001:db8::7 198.51.100.80 51234 443\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.80 51234 65536\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.80 \xb2 443\r\n",
        b"PROXY TCP5 203.0.113.7 198.51.100.80 51234 443\r\n",
        b"PROXY " + b"x" * 120 + b"\r\n",
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x41\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    ],
)
def test_malformed_headers(header: bytes) -> None:
    read = read_proxy(header)
    assert read is not None
    assert (read.source, read.flaw) == ("", ProxyFlaw.MALFORMED)


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1\r\n", b"PROXYING", b"\r\n\r\nGET", b"\x16\x03\x01"])
def test_what_is_no_such_header(stream: bytes) -> None:
    assert not is_proxy(stream)
    assert read_proxy(stream) is None


@given(st.sampled_from([LINE, V2_4, V2_6, b"PROXY ", SIGNATURE]), st.data())
def test_damaged_headers_never_raise(header: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(header)))
    read = read_proxy(header[:at] + data.draw(st.binary(max_size=40)) + header[at + data.draw(st.integers(0, 4)) :])
    assert read is None or read.length >= 0
