"""OCSP exchanges that were answered without the status of a certificate, and how a finding argues about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, Mask, first_request
from analyzer.patterns.finding import CERTAIN, WARNING, Argument, LookAlike
from analyzer.patterns.words import FAMILIES, listed, sentence, share

#: Response statuses that are no success (RFC 6960 §2.3), and what to do about them.
_DENIALS = {
    "malformed-request": "the responder cannot read the request: see which program sent it",
    "internal-error": "the responder failed: ask again later, or tell the CA",
    "try-later": "the responder is busy: ask again later",
    "signature-required": "the responder wants signed requests, which servers do not send: ask the CA",
    "unauthorized": "the responder does not serve this certificate, or no longer: renew it, and check its chain",
}
_STATUSES = ("good", "revoked", "unknown")
_LEAST_ERROR = 400  # RFC 9110 §15.5


class Denial(NamedTuple):
    """What one connection asked for and got instead: the serial number in hex, the response in words, its status."""

    serial: str
    words: str
    status: str


def denials(view: View) -> dict[str, Denial]:
    """By connection: the last OCSP response without a status, where none gave one for the same certificate."""
    table = view.exchanges
    rows = np.flatnonzero(table.equal("kind", "ocsp") & table.equal("outcome", "answered"))
    names = ("connection", "server_address", "server_port", "ocsp_serial", "ocsp_status", "status", "replied")
    asked = list(zip(*(table.at(name, rows) for name in names), strict=True))
    told = {tuple(each[1:4]) for each in asked if each[4] in _STATUSES}
    return {
        each[0]: Denial(each[3], each[6], each[4])
        for each in asked
        if (each[4] in _DENIALS or each[5] >= _LEAST_ERROR) and tuple(each[1:4]) not in told
    }


def is_denied(view: View, found: Mapping[str, Denial]) -> Mask:
    """Which connections these are."""
    mask = np.zeros(len(view.connections), np.bool_)
    mask[[view.row_of[name] for name in found if name in view.row_of]] = True
    return mask


def denied(attempts: Attempts, found: Mapping[str, Denial]) -> Argument:
    """The argument about connections of one socket that were denied."""
    family, mine = FAMILIES[attempts.family], [found[name] for name in attempts.column("connection")]
    serials = sorted({denial.serial for denial in mine if denial.serial})
    about = f" about the certificate {listed(serials)} (serial number, hex)" if serials else ""
    hints = sorted({_DENIALS[denial.status] for denial in mine if denial.status in _DENIALS})
    return Argument(
        severity=WARNING,
        confidence=CERTAIN,
        title=f"{attempts.words} over {family} answers OCSP requests without a status",
        because=sentence(
            f"{share(len(mine), len(attempts.socket_rows), 'TCP connection')} to {attempts.words} over {family} sent "
            f"an OCSP request{about} and got {listed(sorted({denial.words for denial in mine}))}; "
            f"the first is {first_request(attempts)}"
        ),
        limitations=("Why the responder says so: its operator knows.",),
        look_alikes=(LookAlike("tcp-request-no-response", True, "the responder answered"),),
        remedies=tuple(sentence(hint) for hint in hints)
        or (f"Ask by hand: `openssl ocsp -url http://{attempts.words}/ ...` with the certificate and its issuer.",),
    )
