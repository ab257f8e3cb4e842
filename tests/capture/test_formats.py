"""Compressed streams: told by their bytes, unpacked a piece at a time, damage said in words."""

from __future__ import annotations

import gzip
import lzma
import random
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import formats
from analyzer.capture.formats import RawStream, UnpackedStream, describe_other, unpacked
from tests.capture import plain

PACKED = [suffix for suffix in plain.COMPRESSIONS if suffix]
# Does not compress well, so that there are many pieces.
CONTENT = random.Random(1).randbytes(20_000) + b"capture " * 4000


def read(written: bytes, *, piece: int = 1 << 20, at_once: int = 5000) -> tuple[bytes, str, str]:
    """All bytes of a stream, its suffixes and its damage."""
    stream, suffixes = unpacked(RawStream(plain.Trickle(written, piece)))
    into = memoryview(bytearray(at_once))
    parts = []
    while count := stream.readinto(into):
        parts.append(bytes(into[:count]))
    assert stream.readinto(into) == 0, "the end stays the end"
    return b"".join(parts), suffixes, stream.damage


@pytest.mark.parametrize("suffix", list(plain.COMPRESSIONS))
@pytest.mark.parametrize("piece", [1, 1000, 1 << 20])
def test_each_compression(suffix: str, piece: int) -> None:
    assert read(plain.COMPRESSIONS[suffix](CONTENT), piece=piece) == (CONTENT, suffix, "")


@pytest.mark.parametrize("suffix", PACKED)
def test_members_in_a_row_are_one_stream(suffix: str) -> None:
    pack = plain.COMPRESSIONS[suffix]
    assert read(pack(CONTENT) + pack(b"") + pack(b"more")) == (CONTENT + b"more", suffix, "")


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_zeros_between_and_after_members_are_padding(suffix: str) -> None:
    pack = plain.COMPRESSIONS[suffix]
    assert read(pack(b"one") + bytes(5000) + pack(b"two") + bytes(7)) == (b"onetwo", suffix, "")


@pytest.mark.parametrize("suffix", PACKED)
def test_cut_anywhere_gives_what_is_there(suffix: str) -> None:
    packed = plain.COMPRESSIONS[suffix](CONTENT)
    for length in range(len(packed) - 40, len(packed), 7):
        found, _, damage = read(packed[:length])
        assert CONTENT.startswith(found)
        assert "ends before its end mark" in damage
        assert f"{len(found):,} bytes" in damage
        assert len(found) > 10_000 or suffix in (".zst", ".lz4")  # these give whole blocks


@pytest.mark.parametrize("suffix", PACKED)
def test_every_prefix_of_a_small_one(suffix: str) -> None:
    packed = plain.COMPRESSIONS[suffix](b"some bytes of a capture")
    for length in range(6, len(packed)):
        found, _, damage = read(packed[:length])
        assert b"some bytes of a capture".startswith(found)
        assert damage


@pytest.mark.parametrize("suffix", PACKED)
def test_other_bytes_after_the_end(suffix: str) -> None:
    found, _, damage = read(plain.COMPRESSIONS[suffix](CONTENT) + b"Killed by signal 9, sorry." * 40)
    assert found == CONTENT
    assert "other bytes follow" in damage


@settings(max_examples=100)
@given(st.sampled_from(PACKED), st.integers(0, 20_000), st.binary(min_size=1, max_size=8))
def test_damage_never_raises(suffix: str, at: int, damage: bytes) -> None:
    packed = bytearray(plain.COMPRESSIONS[suffix](CONTENT))
    packed[6 + at : 6 + at + len(damage)] = damage
    found, _, said = read(bytes(packed))
    assert said or len(found) >= len(CONTENT) or suffix in (".zst", ".lz4")  # not all of these carry a checksum


def test_a_wrong_checksum_takes_the_last_piece_only() -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[-8] ^= 1
    found, _, damage = read(bytes(packed))
    assert CONTENT.startswith(found)
    assert len(found) > 10_000
    assert "damaged" in damage


def test_a_wrong_checksum_does_not_take_a_small_file_away() -> None:
    content = b"".join(bytes([i, 255 - i, i // 2]) for i in range(200))
    packed = bytearray(gzip.compress(content))
    packed[-8] ^= 1
    found, _, damage = read(bytes(packed))
    assert content.startswith(found)
    assert len(found) > 500
    assert "damaged" in damage


def test_one_inside_the_other_up_to_a_limit() -> None:
    packed = gzip.compress(lzma.compress(zstandard.compress(b"content")))
    assert read(packed) == (b"content", ".zst.xz.gz", "")
    assert read(gzip.compress(packed))[:2] == (zstandard.compress(b"content"), ".xz.gz.gz")
    assert describe_other(zstandard.compress(b"content"))[0] == "compressed more than 3 times"


def test_a_zstandard_file_may_begin_with_a_skippable_frame() -> None:
    skippable = b"\x53\x2a\x4d\x18" + (300).to_bytes(4, "little") + bytes(300)
    assert read(skippable + zstandard.compress(CONTENT)) == (CONTENT, ".zst", "")


@pytest.mark.parametrize("suffix", [".zst", ".xz"])
def test_a_window_that_is_too_large_is_refused(suffix: str) -> None:
    if suffix == ".xz":
        packed = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    else:
        parameters = zstandard.ZstdCompressionParameters(window_log=30)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        packed = compressor.compress(b"x") + compressor.flush()
    found, _, damage = read(packed)
    assert found == b""
    assert "damaged after 0 decompressed bytes" in damage
    assert "emory" in damage


@pytest.mark.parametrize("suffix", PACKED)
def test_one_step_gives_no_more_than_the_format_can(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = plain.COMPRESSIONS[suffix](bytes(80 << 20))
    largest = 0
    stream = UnpackedStream(RawStream(plain.Trickle(bomb)), next(p for p in formats.PACKINGS if p.suffix == suffix[1:]))
    into = memoryview(bytearray(4096))
    for _ in range(3):
        stream.readinto(into)
        largest = max(largest, len(stream._ready))
    assert largest < 40 << 20
    assert stream.given <= 3 * 4096


def test_peeked_bytes_are_read_again() -> None:
    stream = RawStream(plain.Trickle(b"abcdefgh", 3))
    assert (stream.peek(2), stream.peek(5), stream.peek(20)) == (b"ab", b"abcde", b"abcdefgh")
    into = memoryview(bytearray(4))
    assert (stream.readinto(into), bytes(into)) == (4, b"abcd")
    assert stream.peek(2) == b"ef"
    assert (stream.readinto(into), bytes(into)) == (4, b"efgh")
    assert (stream.readinto(into), stream.taken) == (0, 8)


def test_a_read_error_is_damage() -> None:
    class Broken(plain.Trickle):
        def readinto(self, into: memoryview) -> int:  # type: ignore[override]
            if self.tell() >= 100:
                raise OSError(5, "Input/output error")
            return super().readinto(into)

    found, _, damage = read_from(Broken(bytes(500), 4))
    assert found == bytes(100)
    assert damage == "reading failed after 100 bytes (Input/output error)"
    packed = zlib.compress(CONTENT, wbits=31)
    assert read_from(Broken(packed, 4))[2] == "reading failed after 100 bytes (Input/output error)"


def read_from(source: plain.Trickle) -> tuple[bytes, str, str]:
    stream, suffixes = unpacked(RawStream(source))
    into = memoryview(bytearray(4096))
    parts = []
    while count := stream.readinto(into):
        parts.append(bytes(into[:count]))
    return b"".join(parts), suffixes, stream.damage


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (bytes.fromhex("a1b2cd34"), "modified by Alexey Kuznetzov, which is not read"),
        (bytes.fromhex("34cdb2a1"), "modified by Alexey Kuznetzov, which is not read"),
        (b"snoop\x00\x00\x00", "a snoop file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh91AY", "bzip2 data"),
        (b"GET / HTTP/1.1\r\n", 'text that begins with "GET / HTTP/1.1  "'),
        (b"\x1b]0;title\x07", "it begins with 1b 5d 30 3b 74 69 74 6c"),
    ],
)
def test_what_is_no_capture_is_named(head: bytes, words: str) -> None:
    what, advice = describe_other(head)
    assert words in what
    assert advice
