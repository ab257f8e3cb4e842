"""JA4 of hellos whose fields and names FoxIO publishes."""

from __future__ import annotations

import pytest

from analyzer.wire.ja4 import ja4
from analyzer.wire.tls_hello import read_client_hello
from tests.wire import hellos

# Chrome over TCP: t13d1516h2_8daaf6152771_e5627efa2ab1, cipher suites and extensions in this order
CHROME_CIPHERS = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
CHROME_EXTENSIONS = "0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,4469,0015"
CHROME_SIGNATURES = "0403,0804,0401,0503,0805,0501,0806,0601"
# a client of TLS 1.2 without ALPN: t12d190800_d83cc789557e_7af1ed941c26
OLD_CIPHERS = "c02c,c02b,c030,c02f,c024,c023,c028,c027,c00a,c009,c014,c013,009d,009c,003d,003c,0035,002f,000a"
OLD_EXTENSIONS = "0000,0005,000a,000b,000d,0023,0017,ff01"
OLD_SIGNATURES = "0804,0805,0806,0401,0501,0201,0403,0503,0203,0202,0601,0603"


def numbers(text: str) -> list[int]:
    return [int(number, 16) for number in text.split(",")]


def hello(ciphers: list[int], kinds: list[int], signatures: list[int], *names: bytes) -> bytes:
    bodies = {
        0: hellos.server_name(b"example.com"),
        13: hellos.signatures(*signatures),
        16: hellos.alpn(*names),
        43: hellos.versions(0x0A0A, 0x0304, 0x0303),
    }
    return hellos.client_hello(ciphers, *(bodies.get(kind, hellos.extension(kind, b"")) for kind in kinds))


def name_of(message: bytes, transport: str = "t") -> str:
    read = read_client_hello(message)
    assert read is not None
    return ja4(read, transport)


def test_published_names() -> None:
    chrome = numbers(CHROME_CIPHERS), numbers(CHROME_EXTENSIONS), numbers(CHROME_SIGNATURES)
    assert name_of(hello(*chrome, b"h2", b"http/1.1")) == "t13d1516h2_8daaf6152771_e5627efa2ab1"
    old = numbers(OLD_CIPHERS), numbers(OLD_EXTENSIONS), numbers(OLD_SIGNATURES)
    assert name_of(hello(*old)) == "t12d190800_d83cc789557e_7af1ed941c26"


def test_grease_counts_nowhere() -> None:
    ciphers, kinds = [0x1A1A, *numbers(CHROME_CIPHERS)], [0x2A2A, *numbers(CHROME_EXTENSIONS), 0xFAFA]
    greased = hello(ciphers, kinds, [0x3A3A, *numbers(CHROME_SIGNATURES)], b"h2")
    assert name_of(greased) == "t13d1516h2_8daaf6152771_e5627efa2ab1"
    assert name_of(greased, "q").startswith("q13d1516h2_")


@pytest.mark.parametrize(
    ("alpn", "ends"),
    [(b"h", "hh"), (b"http/1.1", "h1"), (b"\xab", "ab"), (b"\xab\xcd", "ad"), (b"0\xab", "3b"), (b"01\xab\xcd", "3d")],
)
def test_ends_of_the_alpn_name(alpn: bytes, ends: str) -> None:
    assert name_of(hello([1], [16], [], alpn)).split("_")[0] == f"t12i0101{ends}"


def test_nothing_to_hash() -> None:
    assert name_of(hellos.client_hello([], legacy=0x0301)) == "t10i000000_000000000000_000000000000"
    assert name_of(hellos.client_hello([0x0A0A], legacy=0x1234)).startswith("t00i000000_000000000000_")


def test_counts_end_at_99() -> None:
    assert name_of(hello(list(range(200)), list(range(1000, 1150)), [])).startswith("t12i9999")


def test_an_incomplete_hello_has_no_name() -> None:
    assert name_of(hello([1], [0], [])[:-1]) == ""
