"""The key schedule of many Initials: the RFCs' vectors, the libraries' SHA-256, AES and AEAD, and ``protection``."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analyzer.wire.quic import key_schedule as ks
from analyzer.wire.quic.header import read_long_header
from analyzer.wire.quic.protection import initial_keys, open_packet, open_with
from analyzer.wire.quic.seal import InitialHeader, initial_header, seal_initial
from analyzer.wire.quic.split import MIN_PROTECTED
from analyzer.wire.quic.versions import GQUIC_SALTS, Q046, V1, V2, version_of
from tests.wire.quic import vectors

#: Every version with a salt: those by name, both ends of each range of drafts, and mvfst's.
SALTED = (
    V1,
    V2,
    0x709A50C4,
    *range(0xFF000016, 0xFF000023),
    0xFACEB000,
    0xFACEB001,
    0xFACEB002,
    0xFACEB003,
    0xFACEB0FF,
)
SALTED = (*SALTED, *(int.from_bytes(name, "big") for name in GQUIC_SALTS))


class Sealed(NamedTuple):
    """An Initial on the wire, and what it was made of."""

    wire: bytes
    fields: InitialHeader
    clear: bytes


def sealed(fields: InitialHeader, clear: bytes = b"\x01" * 30) -> Sealed:
    keys = initial_keys(fields.version, fields.dcid)
    assert keys is not None
    return Sealed(seal_initial(fields, clear, keys.client), fields, clear)


class Derived(NamedTuple):
    """What the kernel writes about one packet."""

    key: bytes
    nonce: bytes
    header: bytes


class Table(NamedTuple):
    """Packets in a buffer, as the kernel wants them."""

    b: NDArray[np.uint8]
    packets: NDArray[np.int64]
    versions: list[int]
    room: int


def table_of(all_: list[Sealed], *, between: bytes = b"") -> Table:
    """The packets one behind the other, parted by ``between``."""
    versions = sorted({each.fields.version for each in all_})
    buffer, rows, room = bytearray(between), [], 0
    for each in all_:
        at = len(buffer)
        buffer += each.wire + between
        packet = read_long_header(bytes(buffer), at, at + len(each.wire), at + len(each.wire))
        assert packet is not None
        rows.append((at, at + 6, len(packet.dcid), packet.payload_offset, versions.index(packet.version), room))
        room += packet.payload_offset - at + 4
    return Table(np.frombuffer(bytes(buffer), np.uint8), np.array(rows, np.int64), versions, room)


def derived(table: Table, *, compiled: bool) -> list[Derived]:
    """Key, nonce and header of each packet."""
    b, packets, versions, room = table
    keys, headers, sizes = ks.initial_keys_of(b, packets, versions, room, compiled=compiled)
    assert (keys.shape, keys.dtype, len(headers)) == ((len(packets), ks.KEYS_WIDTH), np.uint8, room)
    out = []
    for row, size, at in zip(keys, sizes.tolist(), packets[:, ks.HEADER].tolist(), strict=True):
        secrets = row.tobytes()
        out.append(Derived(secrets[: ks.KEY_BYTES], secrets[ks.KEY_BYTES :], headers[at : at + size]))
    return out


def check(all_: list[Sealed], *, compiled: bool = True, between: bytes = b"") -> None:
    """Each packet opens with what the kernel says, as it does with the keys of ``protection``."""
    told = derived(table_of(all_, between=between), compiled=compiled)
    for (wire, fields, clear), (key, nonce, header) in zip(all_, told, strict=True):
        keys = initial_keys(fields.version, fields.dcid)
        assert keys is not None
        assert key == hkdf(fields, "key", 16)
        assert int.from_bytes(nonce, "big") == keys.client.iv ^ fields.packet_number
        number_at = len(header) - fields.number_size
        assert header[number_at:] == fields.packet_number.to_bytes(fields.number_size, "big")
        assert header[1:number_at] == wire[1:number_at]
        opened = open_packet(wire, number_at, keys.client)
        assert (opened.first_byte, opened.packet_number, opened.payload) == (header[0], fields.packet_number, clear)
        assert open_with(key, nonce, header, wire[len(header) :]) == clear


def hkdf(fields: InitialHeader, which: str, size: int) -> bytes:
    """A client secret by the library's HKDF (RFC 5869) and the label's wire form (RFC 8446 §7.1)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.hmac import HMAC
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    version = version_of(fields.version)
    extract = HMAC(version.salt, SHA256())
    extract.update(fields.dcid)
    secret = extract.finalize()
    for label, length in (("client in", 32), (version.labels[("key", "iv", "hp").index(which)], size)):
        name = b"tls13 " + label.encode()
        info = length.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
        secret = HKDFExpand(SHA256(), length, info).derive(secret)
    return secret


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("version", [V1, V2])
def test_client_initial_of_the_rfc(version: int, compiled: bool) -> None:
    """RFC 9001 and RFC 9369, Appendix A.1 and A.2; its last bytes stand for the ones between."""
    head, tag = vectors.CLIENT_INITIAL[version]
    whole = sealed(InitialHeader(version, vectors.DCID, b"", b"", 2, 4), vectors.CLIENT_PAYLOAD)
    assert (whole.wire[:64], whole.wire[-16:]) == (head, tag)
    (told,) = derived(table_of([whole]), compiled=compiled)
    key, iv, _ = (bytes.fromhex(text) for text in vectors.KEYS[version][0])
    assert told.key == key
    assert told.nonce == iv[:-1] + bytes([iv[-1] ^ 2])
    first = "c3" if version == V1 else "d3"
    assert told.header.hex() == f"{first}{version:08x}088394c8f03e5157080000449e00000002"
    assert open_with(*told, whole.wire[len(told.header) :]) == vectors.CLIENT_PAYLOAD


def sha256(message: bytes) -> bytes:
    """SHA-256 of a whole message by ``compress`` (FIPS 180-4 §5.1.1, §6.2)."""
    padded = message + b"\x80"
    padded += bytes(-(len(padded) + 8) % 64) + (8 * len(message)).to_bytes(8, "big")
    words, states = np.zeros(64, np.int64), np.zeros(20, np.int64)
    states[7:15] = ks._START
    for at in range(0, len(padded), 64):
        words[:16] = np.frombuffer(padded[at : at + 64], ">u4")
        ks.compress(ks._ROUNDS, words, states, 7)
    assert not states[:7].any()
    assert not states[15:].any()
    return states[7:15].astype(">u4").tobytes()


def test_the_constants_of_sha_256() -> None:
    """The first and last of FIPS 180-4 §4.2.2 and §5.3.3; a wrong one between them gives other hashes."""
    assert [hex(word) for word in ks._ROUNDS[[0, 1, 63]].tolist()] == ["0x428a2f98", "0x71374491", "0xc67178f2"]
    assert [hex(word) for word in ks._START[[0, 7]].tolist()] == ["0x6a09e667", "0x5be0cd19"]
    assert (len(ks._ROUNDS), len(ks._START)) == (64, 8)


@given(st.binary(max_size=200))
@settings(max_examples=60)
def test_compress_is_that_of_sha_256(message: bytes) -> None:
    assert sha256(message) == hashlib.sha256(message).digest()


@pytest.mark.parametrize("length", [0, 1, 3, 54, 55, 56, 63, 64, 65, 119, 120, 128])
def test_compress_at_the_ends_of_blocks(length: int) -> None:
    for byte in (b"\0", b"\xff"):
        assert sha256(byte * length) == hashlib.sha256(byte * length).digest()


def aes(key: bytes, block: bytes) -> bytes:
    """One block by ``take_aes_key`` and ``encrypt_block``."""
    states, round_keys, s = np.zeros(32, np.int64), np.zeros(176, np.int64), np.full(32, 255, np.int64)
    states[:4] = np.frombuffer(key, ">u4")
    s[:16] = np.frombuffer(block, np.uint8)
    ks.take_aes_key(ks._SBOX, states, 0, round_keys)
    ks.encrypt_block(ks._SBOX, round_keys, s)
    return s[:16].astype(np.uint8).tobytes()


def test_the_block_of_fips_197() -> None:
    """FIPS 197 Appendix C.1, and its S-box in full: every byte once, none at its own place."""
    plain, key = bytes.fromhex("00112233445566778899aabbccddeeff"), bytes(range(16))
    assert aes(key, plain).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    assert sorted(ks._SBOX.tolist()) == list(range(256))
    assert [ks._SBOX[i] for i in (0x00, 0x01, 0x53, 0xFF)] == [0x63, 0x7C, 0xED, 0x16]
    assert not any(ks._SBOX[i] == i for i in range(256))


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
@settings(max_examples=60)
def test_the_block_is_that_of_aes_128(key: bytes, block: bytes) -> None:
    assert aes(key, block) == Cipher(AES128(key), ECB()).encryptor().update(block)


numbers = st.integers(1, 4).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, (1 << (8 * size)) - 1)))


@st.composite
def initials(draw: st.DrawFn) -> Sealed:
    """An Initial of any version with a salt, any CIDs, token, and packet number as it is on the wire."""
    size, number = draw(numbers)
    cid = st.binary(max_size=20)
    clear = draw(st.binary(min_size=4, max_size=60))
    return sealed(
        InitialHeader(
            draw(st.sampled_from(SALTED)),
            *(draw(cid), draw(cid), draw(st.binary(max_size=80))),
            *(number, size, draw(st.sampled_from((2, 4, 8)))),
        ),
        clear,
    )


@given(st.lists(initials(), max_size=12), st.sampled_from((b"", b"\xff", b"\xc3\0" * 16)))
@settings(max_examples=100)
def test_initials_of_any_version_open(all_: list[Sealed], between: bytes) -> None:
    if all_:
        check(all_, between=between)


@given(initials())
@settings(max_examples=15)
def test_interpreted_too(one: Sealed) -> None:
    check([one, one], compiled=False, between=b"\xff" * 20)


@pytest.mark.parametrize("version", SALTED)
def test_every_version_with_a_salt(version: int) -> None:
    assert ks.can_derive(version)
    check([sealed(InitialHeader(version, bytes(range(length)), b"client")) for length in range(21)])


def test_the_list_of_versions_with_a_salt_is_whole() -> None:
    around = {number + step for number in SALTED for step in (-1, 0, 1)} | {0, Q046, 0x1A2A3A4A, 0x51303433}
    assert {number for number in around if ks.can_derive(number)} <= {*SALTED, 0xFACEB004, 0xFACEB0FE}
    assert not any(map(ks.can_derive, (0, Q046, 0x1A2A3A4A, 0x51303433, 2, 0xFF000015, 0xFF000023)))


@pytest.mark.parametrize("compiled", [False, True])
def test_dcids_and_packet_numbers_of_every_length(compiled: bool) -> None:
    for size in range(1, 5):
        lengths = range(21) if compiled else (0, 3, 4, 8, 19, 20)
        fields = [InitialHeader(V1, b"\xff" * n, b"", b"token", (1 << (8 * size)) - 1, size) for n in lengths]
        check([sealed(each) for each in fields], compiled=compiled)


def test_versions_side_by_side_have_their_own_schedules() -> None:
    all_ = [sealed(InitialHeader(version, b"one DCID", b"")) for version in SALTED]
    check(all_)
    check(all_[::-1])
    told = derived(table_of(all_), compiled=True)
    assert len({each.key for each in told}) == len({(version_of(v).salt, version_of(v).labels) for v in SALTED})


def test_a_packet_that_ends_with_the_sample() -> None:
    """The least that is read: 20 bytes from the packet number on, and it is the end of the buffer."""
    least = sealed(InitialHeader(V1, b"the DCID", b"", b"", 1, 4, 1), b"")
    table = table_of([least])
    assert table.packets[0, ks.NUMBER] + MIN_PROTECTED == len(table.b)
    for compiled in (False, True):
        (told,) = derived(table, compiled=compiled)
        assert told.key == hkdf(least.fields, "key", 16)
        assert told.nonce[:-1] == hkdf(least.fields, "iv", 12)[:-1]
        assert told.header == initial_header(least.fields, 0)


@pytest.mark.parametrize("compiled", [False, True])
def test_bytes_around_the_packets_change_nothing(compiled: bool) -> None:
    all_ = [sealed(InitialHeader(V1, bytes([n]) * n, b"client", bytes(n), n)) for n in (0, 8, 20)]
    expected = derived(table_of(all_), compiled=compiled)
    for between in (b"\0" * 48, b"\xff" * 48, b"\xc3\x45\x60" * 16):
        assert derived(table_of(all_, between=between), compiled=compiled) == expected


@pytest.mark.parametrize("compiled", [False, True])
def test_the_room_is_what_is_said(compiled: bool) -> None:
    """A header takes four bytes at most behind what lies before the packet number, and no byte of the next one's."""
    all_ = [sealed(InitialHeader(V1, b"the DCID", b"", b"", 1, size)) for size in (4, 3, 2, 1, 4)]
    b, packets, versions, room = table_of(all_)
    assert room == sum(len(each.wire) - 16 - len(each.clear) + 4 - each.fields.number_size for each in all_)
    _, headers, sizes = ks.initial_keys_of(b, packets, versions, room, compiled=compiled)
    behind = packets[:, ks.HEADER] + packets[:, ks.NUMBER] - packets[:, ks.PACKET] + 4
    assert behind.tolist() == [*packets[1:, ks.HEADER].tolist(), room]
    for begin, size, end in zip(packets[:, ks.HEADER].tolist(), sizes.tolist(), behind.tolist(), strict=True):
        assert begin + size <= end
        assert not any(headers[begin + size : end])


def test_a_damaged_packet_does_not_open() -> None:
    """Version and lengths apart, which are read before."""
    whole = sealed(InitialHeader(V1, b"the DCID", b"client", b"token", 5, 2))
    lengths = (5, 14, 21, 27, 28)
    for at in (at for at in range(len(whole.wire)) if not 1 <= at <= 4 and at not in lengths):
        wire = whole.wire[:at] + bytes([whole.wire[at] ^ 1]) + whole.wire[at + 1 :]
        (told,) = derived(table_of([whole._replace(wire=wire)]), compiled=True)
        assert open_with(*told, wire[len(told.header) :]) == b""


def test_nothing_to_derive() -> None:
    empty = Table(np.zeros(0, np.uint8), np.zeros((0, ks.PACKET_COLUMNS), np.int64), [V1], 0)
    assert derived(empty, compiled=True) == derived(empty, compiled=False) == []
