"""Codes in words."""

from __future__ import annotations

import pytest

from analyzer.wire import codes


@pytest.mark.parametrize(
    ("by_application", "code", "alpn", "words"),
    [
        (False, 0, "h3", "NO_ERROR"),
        (False, 0x0B, "h3", "INVALID_TOKEN"),
        (False, 0x178, "h3", "CRYPTO_ERROR no_application_protocol"),
        (False, 0x130, "h3", "CRYPTO_ERROR unknown_ca"),
        (False, 0x1FF, "h3", "CRYPTO_ERROR alert 255"),
        (False, 0x200, "h3", "0x200"),
        (True, 0x100, "h3", "H3_NO_ERROR"),
        (True, 0x10C, "h3-29", "H3_REQUEST_CANCELLED"),
        (True, 0x202, "h3", "QPACK_DECODER_STREAM_ERROR"),
        (True, 0x21, "h3", "H3_NO_ERROR (reserved code)"),
        (True, 0x5F, "h3", "H3_NO_ERROR (reserved code)"),
        (True, 0x60, "h3", "0x60"),
        (True, 2, "doq", "DOQ_PROTOCOL_ERROR"),
        (True, 0x100, "hq-interop", "0x100"),
    ],
)
def test_closes(by_application: bool, code: int, alpn: str, words: str) -> None:
    assert codes.close_name(by_application, code, alpn) == words


def test_numbers() -> None:
    assert codes.alert_name(40) == "handshake_failure"
    assert codes.alert_name(-1) == "protected"
    assert (codes.tls_version_name(0x0304), codes.tls_version_name(0x7F1C)) == ("TLS 1.3", "0x7f1c")
    assert (codes.group_name(0x11EC), codes.group_name(1)) == ("X25519MLKEM768", "0x0001")


def test_no_named_http3_code_is_a_reserved_one() -> None:
    assert not [code for code in codes.HTTP3_ERRORS if code >= 0x21 and (code - 0x21) % 0x1F == 0]
