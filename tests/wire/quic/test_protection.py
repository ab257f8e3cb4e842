"""Initial keys, opening and sealing: the RFCs' vectors, damage noticed, packet numbers, Retry tags."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.wire.quic.header import read_long_header
from analyzer.wire.quic.protection import (
    Protection,
    decode_packet_number,
    initial_keys,
    is_retry_intact,
    open_initial,
    open_packet,
    retry_tag,
)
from analyzer.wire.quic.seal import InitialHeader, seal_initial, write_varint
from analyzer.wire.quic.split import INITIAL, RETRY
from tests.wire.quic import vectors

VERSIONS = [1, 0x6B3343CF]


def client_initial(version: int) -> bytes:
    keys = initial_keys(version, vectors.DCID)
    assert keys is not None
    return seal_initial(InitialHeader(version, vectors.DCID, b"", b"", 2, 4), vectors.CLIENT_PAYLOAD, keys.client)


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_of_the_rfc(version: int) -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES128
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    keys = initial_keys(version, vectors.DCID)
    assert keys is not None
    for mine, (key, iv, hp) in zip((keys.client, keys.server), vectors.KEYS[version], strict=True):
        assert mine.iv == int(iv, 16)
        assert mine.aead.encrypt(bytes(12), b"x", b"") == AESGCM(bytes.fromhex(key)).encrypt(bytes(12), b"x", b"")
        plain = Cipher(AES128(bytes.fromhex(hp)), ECB()).encryptor().update(bytes(16))
        assert mine.mask(bytes(16)) == plain


@pytest.mark.parametrize("version", VERSIONS)
def test_client_initial_of_the_rfc(version: int) -> None:
    packet = client_initial(version)
    head, tag = vectors.CLIENT_INITIAL[version]
    assert (len(packet), packet[:64], packet[-16:]) == (1200, head, tag)
    header = read_long_header(packet, 0, 1200, 1200)
    assert header is not None
    assert (header.kind, header.dcid, header.scid, header.payload_offset) == (INITIAL, vectors.DCID, b"", 18)
    clear = open_initial(version, vectors.DCID, packet, 18, from_server=False)
    assert (clear.flaw, clear.packet_number, clear.payload) == (Protection.NONE, 2, vectors.CLIENT_PAYLOAD)


@pytest.mark.parametrize("version", VERSIONS)
def test_server_initial_of_the_rfc(version: int) -> None:
    packet = vectors.SERVER_INITIAL[version]
    header = read_long_header(packet, 0, len(packet), len(packet))
    assert header is not None
    assert (header.kind, header.dcid, header.scid) == (INITIAL, b"", vectors.SERVER_SCID)
    clear = open_initial(version, vectors.DCID, packet, header.payload_offset, from_server=True)
    assert (clear.flaw, clear.packet_number, clear.payload) == (Protection.NONE, 1, vectors.SERVER_PAYLOAD)
    keys = initial_keys(version, vectors.DCID)
    assert keys is not None
    fields = InitialHeader(version, b"", vectors.SERVER_SCID, b"", 1, 2)
    assert seal_initial(fields, vectors.SERVER_PAYLOAD, keys.server) == packet


@pytest.mark.parametrize("version", VERSIONS)
def test_retry_of_the_rfc(version: int) -> None:
    packet = vectors.RETRY[version]
    header = read_long_header(packet, 0, len(packet), len(packet))
    assert header is not None
    assert (header.kind, header.scid, header.token) == (RETRY, vectors.SERVER_SCID, b"token")
    assert is_retry_intact(version, vectors.DCID, packet) is True
    assert is_retry_intact(version, vectors.DCID[:-1], packet) is False
    assert retry_tag(version, vectors.DCID, packet[:-16]) == packet[-16:]
    assert is_retry_intact(0xFACEB002, vectors.DCID, packet) is None


def test_any_damage_is_a_decryption_failure() -> None:
    packet = client_initial(1)
    keys = initial_keys(1, vectors.DCID)
    assert keys is not None
    for i in [*range(40), 600, *range(1184, 1200)]:
        damaged = bytearray(packet)
        damaged[i] ^= 1
        assert open_packet(bytes(damaged), 18, keys.client).flaw is Protection.DECRYPTION_FAILURE
    assert open_packet(packet, 18, keys.server).flaw is Protection.DECRYPTION_FAILURE


def test_every_prefix_of_a_packet_is_a_flaw() -> None:
    packet = client_initial(1)
    keys = initial_keys(1, vectors.DCID)
    assert keys is not None
    flaws = {open_packet(packet[:n], 18, keys.client).flaw for n in range(1200)}
    assert flaws == {Protection.TOO_SHORT, Protection.DECRYPTION_FAILURE}
    assert open_packet(packet, 2**40, keys.client).flaw is Protection.TOO_SHORT


def test_versions_without_a_salt_have_no_keys() -> None:
    for version in (0, 0x1A2A3A4A, 0x12345678, 0x51303436):
        assert initial_keys(version, vectors.DCID) is None
        assert open_initial(version, b"", b"", 0, from_server=False).flaw is Protection.DECRYPTION_FAILURE


@pytest.mark.parametrize(
    ("truncated", "size", "largest", "number"),
    [
        (0x9B32, 2, 0xA82F30EA, 0xA82F9B32),  # RFC 9000 §A.3
        (0x00, 1, 0xFF, 0x100),
        (0xFE, 1, 0x100, 0xFE),
        (0xFF, 1, 0x17E, 0x1FF),  # half a window ahead of the expected one is still ahead
        (0xFF, 1, 0x17D, 0xFF),
        (0, 1, -1, 0),
        (0xFFFF, 2, -1, 0xFFFF),
    ],
)
def test_packet_numbers(truncated: int, size: int, largest: int, number: int) -> None:
    assert decode_packet_number(truncated, size, largest) == number


@given(largest=st.integers(0, (1 << 62) - 2), step=st.integers(-100, 100))
@settings(deadline=None, derandomize=True)
def test_a_packet_number_near_the_largest_is_found(largest: int, step: int) -> None:
    number = min(max(0, largest + 1 + step), (1 << 62) - 1)
    assert decode_packet_number(number & 0xFF, 1, largest) == number


numbers = st.integers(0, 3).map(lambda n: n + 1)


@given(
    version=st.sampled_from([1, 0x6B3343CF, 0x709A50C4, 0xFF00001D, 0xFF000017, 0xFACEB002, 0x54303531]),
    cids=st.tuples(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20)),
    token=st.binary(max_size=90),
    number=st.tuples(st.integers(0, 0xFF), numbers, st.sampled_from([2, 4, 8])),
    payload=st.binary(min_size=3, max_size=1400),
)
@settings(deadline=None, derandomize=True, max_examples=150)
def test_sealed_is_opened(
    version: int, cids: tuple[bytes, bytes, bytes], token: bytes, number: tuple[int, int, int], payload: bytes
) -> None:
    first_dcid, dcid, scid = cids
    keys = initial_keys(version, first_dcid)
    assert keys is not None
    packet = seal_initial(InitialHeader(version, dcid, scid, token, *number), payload, keys.client)
    behind = packet + b"\x40rest"
    header = read_long_header(behind, 0, len(behind), len(behind))
    assert header is not None
    assert (header.kind, header.dcid, header.scid, header.token) == (INITIAL, dcid, scid, token)
    assert header.end == len(packet)
    clear = open_packet(packet, header.payload_offset, keys.client)
    assert (clear.flaw, clear.packet_number, clear.payload) == (Protection.NONE, number[0], payload)


@given(st.integers(0, (1 << 62) - 1))
@settings(deadline=None, derandomize=True)
def test_varints_are_read_back(value: int) -> None:
    from analyzer.wire.quic.header import read_varint
    from analyzer.wire.quic.split import varint

    wire = write_varint(value)
    assert read_varint(wire, 0) == (value, len(wire))
    assert varint(wire, 0, len(wire)) == value
    for n in range(len(wire)):
        assert read_varint(wire[:n], 0) == (-1, 0)
        assert varint(wire, 0, n) == -1
    assert read_varint(write_varint(value & 63, 8), 0) == (value & 63, 8)
