"""HTTP requests that ask for the status of a certificate (OCSP), and stapled responses, in words.

A request is one by its content type, by its path (RFC 6960 §A.1), by the content type of its response, or because a
certificate that was seen names its host as responder. ``cryptography`` is imported where there is one to open.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from analyzer.events.requests.request import OCSP, Details, Request

if TYPE_CHECKING:
    from analyzer.wire.web.http1 import HttpMessage
    from analyzer.wire.web.ocsp import OcspRequest, OcspResponse

_REQUEST_TYPE, _RESPONSE_TYPE = "application/ocsp-request", "application/ocsp-response"
_LEAST_TARGET = 60  # characters: base64 of the smallest request with its hashes


def tell_status(
    request: Request,
    asked: HttpMessage,
    answer: HttpMessage | None,
    *,
    last_rows: tuple[int, int],
    is_responder: Callable[[str], bool],
) -> None:
    """Make an OCSP exchange of an HTTP one that is one; ``last_rows`` carry the ends of both messages, -1: none."""
    by_type = _is_type(asked, _REQUEST_TYPE)
    may_be_path = asked.method == "GET" and _may_hold_request(asked.target)
    answered_by_type = answer is not None and _is_type(answer, _RESPONSE_TYPE)
    if not (by_type or may_be_path or answered_by_type or is_responder(request.name)):
        return
    from analyzer.wire.web.ocsp import read_ocsp_request, read_ocsp_response, request_in_target

    question = read_ocsp_request(asked.body) if by_type else request_in_target(asked.target) if may_be_path else None
    if question is None and not (answered_by_type or is_responder(request.name)):
        return
    details = request.details
    request.kind = OCSP
    details.asked = f"{_question_words(question)} by {asked.method}"
    if question is not None and question.certificate is not None:
        details.ocsp_serial = f"{question.certificate.serial:x}"
    if not by_type:  # base64 says nothing to people
        details.notes[0] = (details.notes[0][0], f"{details.asked}, Host {request.name}")
    elif last_rows[0] >= 0:
        details.notes.append((last_rows[0], _question_words(question)))
    if answer is None or not answered_by_type:
        return
    is_there = answer.end >= 0 or len(answer.body) > 0
    words = tell_response(details, read_ocsp_response(answer.body)) if is_there else "OCSP response not all there"
    details.replied += f", {words}"
    details.notes.append((last_rows[1] if last_rows[1] >= 0 else request.reply_row, words))


def tell_response(details: Details, response: OcspResponse) -> str:
    """Note what a response says; returns it in words."""
    if not response.answers:
        details.ocsp_status = response.status if not response.flaw else "unreadable"
        return f"OCSP {details.ocsp_status}"
    first = response.answers[0]
    details.ocsp_status, details.ocsp_serial = first.status, details.ocsp_serial or f"{first.certificate.serial:x}"
    if first.next_update is None:
        return f"OCSP {first.status}"
    details.ocsp_until = int(first.next_update.timestamp()) * 1_000_000_000
    return f"OCSP {first.status} until {_utc(first.next_update)}"


def is_status_target(target: str) -> bool:
    """Whether the target of a GET holds an OCSP request."""
    if not _may_hold_request(target):
        return False
    from analyzer.wire.web.ocsp import request_in_target

    return request_in_target(target) is not None


def _may_hold_request(target: str) -> bool:
    return len(target) >= _LEAST_TARGET and "/M" in target


def _is_type(message: HttpMessage, name: str) -> bool:
    return message.fields.get("content-type", "").split(";")[0].strip().lower() == name


def _question_words(question: OcspRequest | None) -> str:
    if question is None or question.certificate is None:
        return "OCSP request"
    return f"OCSP request, serial {question.certificate.serial:x}"


def _utc(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
