"""Key logs: entries, comments and rubbish."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.wire.keylog import CLIENT_HANDSHAKE, SERVER_TRAFFIC, merged, read_keylog

KEYS = Path(__file__).parents[2] / "captures/01-caddy-http3-ok/caddy-2.6.2/client.keys"
RANDOM, SECRET = "ab" * 32, "cd" * 32


def test_reads_the_key_log_of_a_real_client() -> None:
    log = read_keylog(KEYS.read_bytes())
    assert log.secrets
    for labels in log.secrets.values():
        assert {CLIENT_HANDSHAKE, SERVER_TRAFFIC} <= labels.keys()
        assert all(len(secret) in (32, 48) for secret in labels.values())


def test_passes_comments_and_counts_rubbish() -> None:
    text = (
        f"# a comment\n\n{SERVER_TRAFFIC} {RANDOM} {SECRET}\nUNKNOWN {RANDOM} {SECRET}\n{SERVER_TRAFFIC} zz {SECRET}\n"
    )
    log = read_keylog(text.encode())
    assert log.secrets == {bytes.fromhex(RANDOM): {SERVER_TRAFFIC: bytes.fromhex(SECRET)}}
    assert log.skipped == 2


def test_refuses_secrets_of_a_length_that_no_hash_has() -> None:
    assert read_keylog(f"{SERVER_TRAFFIC} {RANDOM} {'cd' * 31}".encode()).skipped == 1


def test_keeps_the_first_of_two_secrets_in_one_log_and_over_several() -> None:
    first = read_keylog(f"{SERVER_TRAFFIC} {RANDOM} {SECRET}\n{SERVER_TRAFFIC} {RANDOM} {'00' * 32}".encode())
    second = read_keylog(f"{SERVER_TRAFFIC} {RANDOM} {'11' * 32}\n{CLIENT_HANDSHAKE} {RANDOM} {SECRET}".encode())
    labels = merged([first, second]).secrets[bytes.fromhex(RANDOM)]
    assert labels == {SERVER_TRAFFIC: bytes.fromhex(SECRET), CLIENT_HANDSHAKE: bytes.fromhex(SECRET)}


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_never_raises(text: bytes) -> None:
    read_keylog(text)
