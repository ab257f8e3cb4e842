"""OCSP messages made with ``cryptography`` and recorded ones: in bodies, in paths, stapled, damaged and hostile."""

from __future__ import annotations

import base64
import functools
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.web.ocsp import (
    MOST_BYTES,
    OcspResponse,
    read_certificate_status,
    read_ocsp_request,
    read_ocsp_response,
    request_in_target,
)
from analyzer.wire.web.responders import responder_hosts, responder_urls

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC)
URL = "http://ocsp.example.com/status"
SERIAL = 0x1001


@functools.cache
def certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate that names its OCSP responder, and is its own issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(URL))
    builder = x509.CertificateBuilder(name, name, key.public_key(), SERIAL, BEGIN, END)
    return builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False).sign(
        key, hashes.SHA256()
    ), key


@functools.cache
def request_bytes() -> bytes:
    own, _ = certificate()
    built = ocsp.OCSPRequestBuilder().add_certificate(own, own, hashes.SHA1()).build()
    return built.public_bytes(Encoding.DER)


@functools.cache
def response_bytes(status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD) -> bytes:
    own, key = certificate()
    revoked = BEGIN if status is ocsp.OCSPCertStatus.REVOKED else None
    builder = ocsp.OCSPResponseBuilder().add_response(own, own, hashes.SHA1(), status, BEGIN, END, revoked, None)
    return (
        builder.responder_id(ocsp.OCSPResponderEncoding.HASH, own).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    )


def test_a_request() -> None:
    read = read_ocsp_request(request_bytes())
    assert read.flaw == ""
    assert read.certificate is not None
    assert read.certificate.serial == SERIAL
    assert (len(read.certificate.issuer_name_hash), len(read.certificate.issuer_key_hash)) == (20, 20)


@pytest.mark.parametrize("status", list(ocsp.OCSPCertStatus))
def test_a_response(status: ocsp.OCSPCertStatus) -> None:
    read = read_ocsp_response(response_bytes(status))
    assert (read.status, read.flaw) == ("successful", "")
    (answer,) = read.answers
    assert (answer.status, answer.certificate.serial) == (status.name.lower(), SERIAL)
    assert (answer.this_update, answer.next_update) == (BEGIN, END)
    assert answer.revoked_at == (BEGIN if status is ocsp.OCSPCertStatus.REVOKED else None)


@pytest.mark.parametrize(
    ("code", "word"), [(1, "malformed-request"), (2, "internal-error"), (3, "try-later"), (6, "unauthorized")]
)
def test_responses_that_say_no(code: int, word: str) -> None:
    assert read_ocsp_response(b"\x30\x03\x0a\x01" + bytes([code])) == OcspResponse(word, (), "")


def test_every_prefix() -> None:
    for n in range(len(request_bytes())):
        assert read_ocsp_request(request_bytes()[:n]).certificate is None
        assert read_ocsp_request(request_bytes()[:n]).flaw
    for n in range(0, len(response_bytes()), 3):
        assert read_ocsp_response(response_bytes()[:n]).answers == ()


def test_what_is_too_large_is_not_tried() -> None:
    assert read_ocsp_request(bytes(MOST_BYTES + 1)).flaw == "too-large"
    assert read_ocsp_response(bytes(MOST_BYTES + 1)).flaw == "too-large"
    assert request_in_target("/M" * MOST_BYTES) is None


def test_requests_in_the_path_of_a_get() -> None:
    coded = base64.b64encode(request_bytes()).decode()
    safe = base64.urlsafe_b64encode(request_bytes()).decode().rstrip("=")
    for target in (
        f"/{quote(coded, safe='')}",
        f"/{coded}",
        f"/a/Mb/{coded}",
        f"http://ocsp.example.com/{coded}",
        f"/{safe}",
    ):
        read = request_in_target(target)
        assert read is not None
        assert read.certificate is not None
        assert read.certificate.serial == SERIAL
    for target in ("/", "/Makefile", f"/{coded[:-8]}", "/M%zz", f"/x?{coded}", "/" + "M" * 60):
        assert request_in_target(target) is None


def test_a_stapled_response() -> None:
    der = response_bytes()
    body = b"\x01" + len(der).to_bytes(3, "big") + der
    read = read_certificate_status(body)
    assert read is not None
    assert read.answers[0].status == "good"
    assert all(read_certificate_status(body[:n]) is None for n in (0, 1, 4, len(body) - 1))
    assert read_certificate_status(b"\x02" + body[1:]) is None


def test_the_responder_that_a_certificate_names() -> None:
    der = certificate()[0].public_bytes(Encoding.DER)
    assert responder_urls(der) == (URL,)
    assert responder_urls(der + der) == (URL,)
    assert responder_hosts(der) == {"ocsp.example.com"}
    at = der.index(URL.encode())
    assert all(responder_urls(der[:n]) == () for n in range(at + len(URL)))


@given(st.data())
def test_damaged_messages_never_raise(data: st.DataObject) -> None:
    for whole, read in ((request_bytes(), read_ocsp_request), (response_bytes(), read_ocsp_response)):
        at = data.draw(st.integers(0, len(whole)))
        damaged = whole[:at] + data.draw(st.binary(max_size=20)) + whole[at + data.draw(st.integers(0, 5)) :]
        assert read(damaged).flaw is not None


@given(st.text(max_size=200), st.binary(max_size=200))
def test_any_target_and_any_bytes(target: str, some: bytes) -> None:
    request_in_target(target)
    responder_urls(some)
    read_certificate_status(some)
    assert read_ocsp_request(some).certificate is None or len(some) > 30
