"""TLS key logs (SSLKEYLOGFILE), as NSS, OpenSSL, BoringSSL, Go and curl write them, in files and pcapng secrets blocks.

    LABEL <space> client random, 64 hex digits <space> secret in hex        one per line; "#" begins a comment

A line that is no such entry is passed over and counted. Secrets never leave this package: no report and no output
file holds one.

Not read here: RSA and CLIENT_RANDOM lines of TLS 1.2 and before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CLIENT_HANDSHAKE, SERVER_HANDSHAKE = "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"
CLIENT_TRAFFIC, SERVER_TRAFFIC = "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"
CLIENT_EARLY = "CLIENT_EARLY_TRAFFIC_SECRET"
LABELS = frozenset({CLIENT_HANDSHAKE, SERVER_HANDSHAKE, CLIENT_TRAFFIC, SERVER_TRAFFIC, CLIENT_EARLY})

#: A secret is as long as the hash of its cipher suite: SHA-256 or SHA-384 (RFC 8446 §7.1).
_SECRET_LENGTHS = (32, 48)


class KeyLog(NamedTuple):
    """Secrets by client random, then by label; ``skipped`` counts lines that are neither entries nor comments."""

    secrets: Mapping[bytes, Mapping[str, bytes]]
    skipped: int


NO_SECRETS = KeyLog({}, 0)


def read_keylog(text: bytes) -> KeyLog:
    """All TLS 1.3 secrets of a key log; of two for one label the first is kept."""
    secrets: dict[bytes, dict[str, bytes]] = {}
    skipped = 0
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        entry = _entry(words)
        if entry is None:
            skipped += 1
            continue
        label, random, secret = entry
        secrets.setdefault(random, {}).setdefault(label, secret)
    return KeyLog(secrets, skipped)


def _entry(words: list[bytes]) -> tuple[str, bytes, bytes] | None:
    if len(words) != 3 or words[0].decode("ascii", "replace") not in LABELS:
        return None
    try:
        random, secret = bytes.fromhex(words[1].decode("ascii")), bytes.fromhex(words[2].decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        return None
    if len(random) != 32 or len(secret) not in _SECRET_LENGTHS:
        return None
    return words[0].decode("ascii"), random, secret


def merged(logs: list[KeyLog]) -> KeyLog:
    """Several key logs as one; of two secrets for one label the first is kept."""
    secrets: dict[bytes, dict[str, bytes]] = {}
    for log in logs:
        for random, labels in log.secrets.items():
            known = secrets.setdefault(random, {})
            for label, secret in labels.items():
                known.setdefault(label, secret)
    return KeyLog(secrets, sum(log.skipped for log in logs))
