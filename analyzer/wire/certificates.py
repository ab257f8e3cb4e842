"""What a server shows of itself under Handshake keys: ALPN, transport parameters, its certificate chain.

    Certificate (11): context <8> | list <24> of: certificate <24> | extensions <16>     RFC 8446 §4.4.2
    EncryptedExtensions (8): extensions <16>                                              RFC 8446 §4.3.1

X.509 is read by ``cryptography``; a certificate that it refuses keeps its size and says why.
"""

from __future__ import annotations

import warnings
from datetime import datetime
from typing import NamedTuple

from cryptography import x509

from analyzer.wire.tls import Message
from analyzer.wire.tls_hello import ALPN, QUIC_TRANSPORT_PARAMETERS

_STATUS_REQUEST = 5  # an extension

#: Chains are a handful of certificates; what lists more is not read further.
MOST_CERTIFICATES = 16


class Certificate(NamedTuple):
    """One certificate of a chain. Names are as the certificate has them; times are UTC."""

    size: int
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime | None
    not_after: datetime | None
    flaw: str


class ServerExtensions(NamedTuple):
    """EncryptedExtensions: the protocol that the server chose, and its transport parameters."""

    alpn: bytes | None
    transport_parameters: bytes | None


def read_certificates(stream: bytes, message: Message) -> tuple[Certificate, ...]:
    """The chain in a Certificate message of a handshake stream, as far as it is there."""
    body = stream[message.start + 4 : message.start + 4 + message.length]
    if not body:
        return ()
    at = 1 + body[0] + 3
    chain: list[Certificate] = []
    while at + 3 <= len(body) and len(chain) < MOST_CERTIFICATES:
        size = int.from_bytes(body[at : at + 3], "big")
        der = body[at + 3 : at + 3 + size]
        if not size or len(der) < size:
            break
        chain.append(read_certificate(der))
        at += 3 + size
        at += 2 + int.from_bytes(body[at : at + 2], "big")
    return tuple(chain)


def stapled_status(stream: bytes, message: Message) -> bytes:
    """The CertificateStatus that comes with the first certificate of a Certificate message (RFC 8446 §4.4.2.1)."""
    body = stream[message.start + 4 : message.start + 4 + message.length]
    at = 1 + (body[0] if body else 0) + 3
    at += 3 + int.from_bytes(body[at : at + 3], "big")
    end, at = at + 2 + int.from_bytes(body[at : at + 2], "big"), at + 2
    while at + 4 <= end <= len(body):
        kind, size = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
        if kind == _STATUS_REQUEST:
            return body[at + 4 : min(at + 4 + size, end)]
        at += 4 + size
    return b""


def read_certificate(der: bytes) -> Certificate:
    """The names and validity of one certificate."""
    try:
        with warnings.catch_warnings():  # old certificates break rules that do not matter here
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(der)
            subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
            names = _names(certificate)
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception as error:  # what is wrong on the wire is a value: the parser has many ways to say no
        return Certificate(len(der), "", "", (), None, None, type(error).__name__)
    return Certificate(len(der), subject, issuer, names, begin, end, "")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """DNS names and addresses of the subject alternative name extension."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = extension.get_values_for_type(x509.DNSName)
    return (*names, *(str(address) for address in extension.get_values_for_type(x509.IPAddress)))


def read_encrypted_extensions(stream: bytes, message: Message) -> ServerExtensions:
    """ALPN and transport parameters of an EncryptedExtensions message; None where they are not there."""
    body = stream[message.start + 4 : message.start + 4 + message.length]
    alpn = parameters = None
    at = 2
    while at + 4 <= len(body):
        kind, size = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
        content = body[at + 4 : at + 4 + size]
        if len(content) < size:
            break
        if kind == ALPN and len(content) > 3:
            alpn = content[3 : 3 + content[2]]
        elif kind == QUIC_TRANSPORT_PARAMETERS:
            parameters = content
        at += 4 + size
    return ServerExtensions(alpn, parameters)
