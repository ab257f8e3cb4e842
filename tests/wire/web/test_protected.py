"""Records of TLS 1.3 sealed for the test and opened again; what does not fit opens nothing."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.quic.secrets import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, expand_label
from analyzer.wire.web.protected import Clear, key_of_secret

SUITES = {AES_128_GCM: (16, 32), AES_256_GCM: (32, 48), CHACHA20_POLY1305: (32, 32)}


def seal(suite: int, secret: bytes, number: int, kind: int, content: bytes, *, padding: int = 0) -> bytes:
    """One protected record, written as RFC 8446 §5.2 and §5.3 say."""
    key, iv = expand_label(suite, secret, "key", SUITES[suite][0]), expand_label(suite, secret, "iv", 12)
    aead = ChaCha20Poly1305(key) if suite == CHACHA20_POLY1305 else AESGCM(key)
    inner = content + bytes([kind]) + bytes(padding)
    header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
    nonce = bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big"), strict=True))
    return header + aead.encrypt(nonce, inner, header)


def secret_of(suite: int) -> bytes:
    return bytes(range(SUITES[suite][1]))


@pytest.mark.parametrize("suite", SUITES)
def test_records_are_opened_in_order(suite: int) -> None:
    records = [seal(suite, secret_of(suite), n, 22, b"message %d" % n, padding=n) for n in range(3)]
    key = key_of_secret(suite, secret_of(suite))
    assert key is not None
    assert key.open(records[1]) is None
    assert [key.open(record) for record in records] == [Clear(22, b"message %d" % n) for n in range(3)]
    assert key.open(records[2]) is None


@pytest.mark.parametrize("suite", SUITES)
def test_every_prefix_opens_nothing(suite: int) -> None:
    record = seal(suite, secret_of(suite), 0, 21, b"\x02\x28")
    key = key_of_secret(suite, secret_of(suite))
    assert key is not None
    assert all(key.open(record[:n]) is None for n in range(len(record)))
    assert key.open(record) == Clear(21, b"\x02\x28")


def test_a_record_of_zeros_alone_says_nothing() -> None:
    key = key_of_secret(AES_128_GCM, secret_of(AES_128_GCM))
    assert key is not None
    assert key.open(seal(AES_128_GCM, secret_of(AES_128_GCM), 0, 0, b"", padding=20)) is None


@pytest.mark.parametrize(
    ("suite", "length"), [(0x1304, 32), (0xC02F, 32), (AES_128_GCM, 48), (AES_256_GCM, 32), (AES_128_GCM, 0)]
)
def test_secrets_that_fit_no_suite(suite: int, length: int) -> None:
    assert key_of_secret(suite, bytes(length)) is None


@given(st.binary(max_size=80))
def test_any_bytes_open_nothing(record: bytes) -> None:
    key = key_of_secret(CHACHA20_POLY1305, secret_of(CHACHA20_POLY1305))
    assert key is not None
    assert key.open(record) is None
