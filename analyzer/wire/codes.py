"""Error codes and protocol numbers in words.

QUIC transport errors: RFC 9000 §20.1 (0x11: RFC 9368). TLS alerts: RFC 8446 §6. HTTP/3: RFC 9114 §8.1, QPACK:
RFC 9204 §6, DoQ: RFC 9250 §4.3. A number without a name is written in hex, never guessed.
"""

from __future__ import annotations

TRANSPORT_ERRORS = {
    0x00: "NO_ERROR",
    0x01: "INTERNAL_ERROR",
    0x02: "CONNECTION_REFUSED",
    0x03: "FLOW_CONTROL_ERROR",
    0x04: "STREAM_LIMIT_ERROR",
    0x05: "STREAM_STATE_ERROR",
    0x06: "FINAL_SIZE_ERROR",
    0x07: "FRAME_ENCODING_ERROR",
    0x08: "TRANSPORT_PARAMETER_ERROR",
    0x09: "CONNECTION_ID_LIMIT_ERROR",
    0x0A: "PROTOCOL_VIOLATION",
    0x0B: "INVALID_TOKEN",
    0x0C: "APPLICATION_ERROR",
    0x0D: "CRYPTO_BUFFER_EXCEEDED",
    0x0E: "KEY_UPDATE_ERROR",
    0x0F: "AEAD_LIMIT_REACHED",
    0x10: "NO_VIABLE_PATH",
    0x11: "VERSION_NEGOTIATION_ERROR",
}

ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
    121: "ech_required",
}

HTTP3_ERRORS = {
    0x33: "H3_DATAGRAM_ERROR",
    0x100: "H3_NO_ERROR",
    0x101: "H3_GENERAL_PROTOCOL_ERROR",
    0x102: "H3_INTERNAL_ERROR",
    0x103: "H3_STREAM_CREATION_ERROR",
    0x104: "H3_CLOSED_CRITICAL_STREAM",
    0x105: "H3_FRAME_UNEXPECTED",
    0x106: "H3_FRAME_ERROR",
    0x107: "H3_EXCESSIVE_LOAD",
    0x108: "H3_ID_ERROR",
    0x109: "H3_SETTINGS_ERROR",
    0x10A: "H3_MISSING_SETTINGS",
    0x10B: "H3_REQUEST_REJECTED",
    0x10C: "H3_REQUEST_CANCELLED",
    0x10D: "H3_REQUEST_INCOMPLETE",
    0x10E: "H3_MESSAGE_ERROR",
    0x10F: "H3_CONNECT_ERROR",
    0x110: "H3_VERSION_FALLBACK",
    0x200: "QPACK_DECOMPRESSION_FAILED",
    0x201: "QPACK_ENCODER_STREAM_ERROR",
    0x202: "QPACK_DECODER_STREAM_ERROR",
}

DOQ_ERRORS = {
    0x0: "DOQ_NO_ERROR",
    0x1: "DOQ_INTERNAL_ERROR",
    0x2: "DOQ_PROTOCOL_ERROR",
    0x3: "DOQ_REQUEST_CANCELLED",
    0x4: "DOQ_EXCESSIVE_LOAD",
    0x5: "DOQ_UNSPECIFIED_ERROR",
    0xD098EA5E: "DOQ_ERROR_RESERVED",
}

TLS_VERSIONS = {
    0x0002: "SSL 2.0",
    0x0300: "SSL 3.0",
    0x0301: "TLS 1.0",
    0x0302: "TLS 1.1",
    0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
}

GROUPS = {
    0x0017: "secp256r1",
    0x0018: "secp384r1",
    0x0019: "secp521r1",
    0x001D: "x25519",
    0x001E: "x448",
    0x0100: "ffdhe2048",
    0x0101: "ffdhe3072",
    0x0102: "ffdhe4096",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
    0x6399: "X25519Kyber768Draft00",
}


def alert_name(description: int) -> str:
    """A TLS alert in words; "protected" for -1."""
    return "protected" if description < 0 else ALERTS.get(description, f"alert {description}")


def transport_error_name(code: int) -> str:
    """A QUIC transport error; CRYPTO_ERROR with the TLS alert that it carries (RFC 9001 §4.8)."""
    if 0x100 <= code <= 0x1FF:
        return f"CRYPTO_ERROR {alert_name(code - 0x100)}"
    return TRANSPORT_ERRORS.get(code, f"0x{code:x}")


def application_error_name(code: int, alpn: str = "h3") -> str:
    """An application's error code, which has a meaning only within its protocol."""
    if alpn == "h3" or alpn.startswith("h3-"):
        # RFC 9114 §8.1: codes of the form 0x1f * N + 0x21 are reserved and mean no error
        reserved = code >= 0x21 and (code - 0x21) % 0x1F == 0 and code not in HTTP3_ERRORS
        return "H3_NO_ERROR (reserved code)" if reserved else HTTP3_ERRORS.get(code, f"0x{code:x}")
    if alpn == "doq":
        return DOQ_ERRORS.get(code, f"0x{code:x}")
    return f"0x{code:x}"


def close_name(by_application: bool, code: int, alpn: str = "h3") -> str:
    """What a CONNECTION_CLOSE says, in words."""
    return application_error_name(code, alpn) if by_application else transport_error_name(code)


def close_words(by_application: bool, code: int, reason: bytes) -> str:
    """The same, and the reason that the sender gave."""
    name, given = close_name(by_application, code), reason.decode("utf-8", "replace")
    return f"{name}: {given}" if given else name


def tls_version_name(version: int) -> str:
    """A TLS version, such as "TLS 1.3"."""
    return TLS_VERSIONS.get(version, f"0x{version:04x}")


def group_name(group: int) -> str:
    """A key exchange group, by the name of the registry "TLS Supported Groups"."""
    return GROUPS.get(group, f"0x{group:04x}")
