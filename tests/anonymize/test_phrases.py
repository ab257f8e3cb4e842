"""Phrases of peers: what protocols say stays, what may be private does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.anonymize.key import Key
from analyzer.anonymize.names import Names
from analyzer.anonymize.phrases import alpn, phrase

NAMES = Names(Key(bytes(range(32))))


@pytest.mark.parametrize(
    "text",
    [
        b"no application protocol",
        b"TLS handshake failure (ENCRYPTION_HANDSHAKE) 376: tls: no application protocol",
        b"CRYPTO_ERROR 0x178: no_application_protocol",
        b"Not Found",
        b"",
    ],
)
def test_words_of_protocols_stay(text: bytes) -> None:
    assert phrase(text, NAMES) == text


@pytest.mark.parametrize(
    ("text", "private"),
    [
        (b"no certificate for www.example.com", b"example"),
        (b"no route to 192.0.2.80", b"192.0.2.80"),
        (b"refused by [2001:db8::80]:443", b"2001:db8"),
        (b"user alice is unknown", b"alice"),
        (b"see /home/bob/key.pem", b"bob"),
        (b"call 5550123456", b"5550123456"),
    ],
)
def test_names_addresses_and_numbers_do_not(text: bytes, private: bytes) -> None:
    made = phrase(text, NAMES)
    assert private not in made
    assert len(made) == len(text)


@given(st.binary(max_size=100))
def test_length_never_changes(text: bytes) -> None:
    assert len(phrase(text, NAMES)) == len(text)


@pytest.mark.parametrize(
    "protocol", [b"h3", b"h3-29", b"h2", b"http/1.1", b"hq-interop", b"doq", b"\x0a\x0a", b"\xea\xea"]
)
def test_registered_protocols_and_grease_stay(protocol: bytes) -> None:
    assert alpn(protocol, NAMES) == protocol


@pytest.mark.parametrize("protocol", [b"acme-internal", b"h3x", b"\x0a\x0b"])
def test_other_protocols_do_not(protocol: bytes) -> None:
    made = alpn(protocol, NAMES)
    assert made != protocol
    assert len(made) == len(protocol)
