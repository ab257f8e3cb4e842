"""The key of an anonymisation: where it comes from, and what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.anonymize.key import KEY_LENGTH, Key, new_key, read_key
from analyzer.errors import UsageError

OCTETS = bytes(range(KEY_LENGTH))


@pytest.mark.parametrize("content", [OCTETS, OCTETS.hex().encode(), OCTETS.hex().upper().encode() + b"\n"])
def test_a_file_holds_the_key_as_bytes_or_hexadecimal_digits(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    assert read_key(path).octets == OCTETS


@pytest.mark.parametrize("content", [b"", b"password\n", OCTETS[:-1], OCTETS + b"\n", OCTETS.hex().encode()[:-2]])
def test_any_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="32 bytes or 64 hexadecimal digits"):
        read_key(path)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_key(tmp_path / "none")


def test_two_new_keys_differ() -> None:
    assert new_key().octets != new_key().octets


def test_bytes_depend_on_purpose_content_and_key() -> None:
    key = Key(OCTETS)
    made = key.bytes_for(b"token", b"content", 40)
    assert len(made) == 40
    assert made == Key(OCTETS).bytes_for(b"token", b"content", 40)
    assert made[:20] == key.bytes_for(b"token", b"content", 20)
    others = [
        key.bytes_for(b"toke", b"ncontent", 40),
        key.bytes_for(b"token", b"contend", 40),
        Key(OCTETS[::-1]).bytes_for(b"token", b"content", 40),
    ]
    assert made not in others
