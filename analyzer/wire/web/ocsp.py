"""OCSP requests and responses (RFC 6960 §4), opened by ``cryptography``: which certificate, which status, until when.

    over HTTP | POST with content type application/ocsp-request | GET path: base64 of the request, RFC 6960 §A.1 |
    stapled   | CertificateStatus: type (8) = 1 | length (24) | response |                       RFC 6066 §8

What cannot be opened says why in ``flaw``; nothing larger than ``MOST_BYTES`` is tried.

Not read here: signatures, nonces and other extensions; whether a response is the right one for a certificate.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import warnings
from datetime import datetime
from typing import NamedTuple

from cryptography.x509 import ocsp

#: Responses are 0.5 to 4 KB; what is much larger is none, or meant to cost time.
MOST_BYTES = 32 << 10
_MOST_ANSWERS = 16
_LEAST_REQUEST = 40  # bytes: two hashes and a serial number in their shells
_STATUS_TYPE_OCSP = 1
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}\Z")

RESPONSE_STATUS = {
    0: "successful",
    1: "malformed-request",
    2: "internal-error",
    3: "try-later",
    5: "signature-required",
    6: "unauthorized",
}


class CertificateId(NamedTuple):
    """Which certificate is meant: its serial number, and the hashes of its issuer's name and key (RFC 6960 §4.1.1)."""

    serial: int
    issuer_name_hash: bytes
    issuer_key_hash: bytes


class OcspRequest(NamedTuple):
    """A request; ``certificate`` is None where it could not be read, as in requests about several."""

    certificate: CertificateId | None
    flaw: str


class OcspAnswer(NamedTuple):
    """What a responder says of one certificate: good, revoked or unknown. Times are UTC."""

    certificate: CertificateId
    status: str
    this_update: datetime
    next_update: datetime | None
    revoked_at: datetime | None


class OcspResponse(NamedTuple):
    """A response: a word of ``RESPONSE_STATUS`` ("" where it cannot be read) and, if successful, its answers."""

    status: str
    answers: tuple[OcspAnswer, ...]
    flaw: str


@functools.lru_cache(maxsize=64)
def read_ocsp_request(der: bytes) -> OcspRequest:
    """The request in these bytes."""
    if len(der) > MOST_BYTES:
        return OcspRequest(None, "too-large")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return OcspRequest(_certificate_id(ocsp.load_der_ocsp_request(der)), "")
    except Exception as error:  # what is wrong on the wire is a value: the parser has many ways to say no
        return OcspRequest(None, type(error).__name__)


@functools.lru_cache(maxsize=64)
def read_ocsp_response(der: bytes) -> OcspResponse:
    """The response in these bytes, with its first ``_MOST_ANSWERS`` answers."""
    if len(der) > MOST_BYTES:
        return OcspResponse("", (), "too-large")
    status = ""
    try:
        with warnings.catch_warnings():  # serial numbers that break rules do not matter here
            warnings.simplefilter("ignore")
            response = ocsp.load_der_ocsp_response(der)
            status = RESPONSE_STATUS[response.response_status.value]
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                return OcspResponse(status, (), "")
            answers = tuple(
                _answer(single) for single, _ in zip(response.responses, range(_MOST_ANSWERS), strict=False)
            )
            return OcspResponse(status, answers, "")
    except Exception as error:  # as above
        return OcspResponse(status, (), type(error).__name__)


def _certificate_id(about: ocsp.OCSPRequest | ocsp.OCSPSingleResponse) -> CertificateId:
    return CertificateId(about.serial_number, about.issuer_name_hash, about.issuer_key_hash)


def _answer(single: ocsp.OCSPSingleResponse) -> OcspAnswer:
    status = single.certificate_status.name.lower()
    return OcspAnswer(
        _certificate_id(single), status, single.this_update_utc, single.next_update_utc, single.revocation_time_utc
    )


def request_in_target(target: str) -> OcspRequest | None:
    """The request that the target of a GET holds, None if it holds none."""
    if len(target) > MOST_BYTES:
        return None
    path = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), target.encode("ascii", "replace"))
    at = path.find(b"/M")  # base64 of a SEQUENCE, which a request is, begins with M
    while at >= 0:
        coded = path[at + 1 :]
        if _BASE64.match(coded):
            try:
                padded = coded.rstrip(b"=") + b"=" * (-len(coded.rstrip(b"=")) % 4)
                der = base64.b64decode(padded, altchars=b"-_" if b"-" in coded or b"_" in coded else None)
            except binascii.Error:
                der = b""
            if len(der) >= _LEAST_REQUEST and (request := read_ocsp_request(der)).certificate is not None:
                return request
        at = path.find(b"/M", at + 1)
    return None


def read_certificate_status(body: bytes) -> OcspResponse | None:
    """The response in the body of a CertificateStatus message; None if it is of another type or cut."""
    length = int.from_bytes(body[1:4], "big")
    if len(body) < 4 or body[0] != _STATUS_TYPE_OCSP or len(body) < 4 + length:
        return None
    return read_ocsp_response(body[4 : 4 + length])
