"""Certificate messages: a chain made for the test, cut at every byte, and damaged."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.wire.certificates import (
    read_certificate,
    read_certificates,
    read_encrypted_extensions,
)
from analyzer.wire.tls import CERTIFICATE, ENCRYPTED_EXTENSIONS, handshake_messages

BEGIN, END = datetime.datetime(2026, 1, 1), datetime.datetime(2027, 1, 1)


@pytest.fixture(scope="module")
def der() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.example")])
    names = x509.SubjectAlternativeName([x509.DNSName("server.example"), x509.DNSName("<script>.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, BEGIN, END).add_extension(names, False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def chain_of(*certificates: bytes) -> bytes:
    entries = b"".join(len(der).to_bytes(3, "big") + der + b"\0\0" for der in certificates)
    return message(CERTIFICATE, b"\0" + len(entries).to_bytes(3, "big") + entries)


def test_reads_names_and_validity(der: bytes) -> None:
    stream = chain_of(der, der)
    first, second = read_certificates(stream, handshake_messages(stream)[0])
    assert first == second
    assert first.names == ("server.example", "<script>.example")
    assert (first.subject, first.size, first.flaw) == ("CN=server.example", len(der), "")
    assert first.not_before == BEGIN.replace(tzinfo=datetime.UTC)
    assert first.not_after == END.replace(tzinfo=datetime.UTC)


def test_every_prefix_gives_the_certificates_that_are_whole(der: bytes) -> None:
    stream = chain_of(der, der)
    counts = [
        len(read_certificates(stream[:cut], handshake_messages(stream[:cut])[0])) for cut in range(4, len(stream) + 1)
    ]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)


def test_what_is_no_certificate_keeps_its_size_and_says_why() -> None:
    certificate = read_certificate(b"no certificate")
    assert certificate.size == 14
    assert certificate.flaw


def test_reads_what_the_server_chose() -> None:
    extensions = b"\x00\x10\x00\x05\x00\x03\x02h3" + b"\x00\x39\x00\x02\x01\x00"
    stream = message(ENCRYPTED_EXTENSIONS, len(extensions).to_bytes(2, "big") + extensions)
    chosen = read_encrypted_extensions(stream, handshake_messages(stream)[0])
    assert (chosen.alpn, chosen.transport_parameters) == (b"h3", b"\x01\x00")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_never_raises(body: bytes) -> None:
    for kind, read in ((CERTIFICATE, read_certificates), (ENCRYPTED_EXTENSIONS, read_encrypted_extensions)):
        stream = message(kind, body)
        read(stream, handshake_messages(stream)[0])
