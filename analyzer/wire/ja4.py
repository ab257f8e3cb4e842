"""JA4: a short name for the TLS stack that wrote a ClientHello (FoxIO's specification of JA4, client side).

    q13d0312h3_55b375c5d22e_06cda9e17597
    |||  | | |   |            +- SHA-256, first 12 digits: sorted extensions, "_", signature algorithms in order
    |||  | | |   +- SHA-256, first 12 digits: sorted cipher suites
    |||  | | +- first and last character of the first ALPN name, 00 without one
    |||  | +- number of extensions, two digits, 99 at most
    |||  +- number of cipher suites, likewise
    ||+- d: a server name is there, i: none
    |+- highest TLS version
    +- t: TCP, q: QUIC

GREASE values count nowhere. The hashed extensions leave out server_name and ALPN.
"""

from __future__ import annotations

import functools
from hashlib import sha256

from analyzer.wire.tls_hello import ALPN, SERVER_NAME, ClientHello, is_grease

_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}
_EMPTY = "000000000000"


def ja4(hello: ClientHello, transport: str) -> str:
    """The JA4 of a complete hello; ``transport`` is "t" or "q". Empty for a hello that is not complete."""
    if hello.flaw:
        return ""
    ciphers, cipher_digest = _ciphers(hello.cipher_suites)
    extensions, digest = _extensions(hello.extensions, hello.signature_algorithms)
    version = _VERSIONS.get(hello.tls_version, "00")
    name = "d" if SERVER_NAME in hello.extensions else "i"
    return f"{transport}{version}{name}{ciphers:02d}{extensions:02d}{_alpn(hello)}_{cipher_digest}_{digest}"


# A capture holds many hellos of few stacks.
@functools.lru_cache(maxsize=1024)
def _ciphers(suites: tuple[int, ...]) -> tuple[int, str]:
    """Number and digest of the cipher suites."""
    counted = sorted([f"{value:04x}" for value in suites if not is_grease(value)])
    return min(len(counted), 99), _digest(",".join(counted))


@functools.lru_cache(maxsize=1024)
def _extensions(kinds: tuple[int, ...], signature_algorithms: tuple[int, ...]) -> tuple[int, str]:
    """Number of the extensions, and digest of extensions and signature algorithms."""
    counted = [value for value in kinds if not is_grease(value)]
    hashed = sorted([f"{value:04x}" for value in counted if value not in (SERVER_NAME, ALPN)])
    signatures = [f"{value:04x}" for value in signature_algorithms if not is_grease(value)]
    text = ",".join(hashed) + ("_" + ",".join(signatures) if signatures else "")
    return min(len(counted), 99), _digest(text)


def _alpn(hello: ClientHello) -> str:
    """First and last character of the first name; of its hex digits if one of them is no ASCII letter or digit."""
    first = hello.alpn[0] if hello.alpn else b""
    if not first:
        return "00"
    ends = chr(first[0]) + chr(first[-1])
    if ends.isascii() and ends.isalnum():
        return ends
    return first.hex()[0] + first.hex()[-1]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else _EMPTY
