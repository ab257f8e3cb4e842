"""Keys of many Initial packets at once: the key schedule of ``protection`` as a kernel.

    initial secret = HMAC(salt, DCID); client secret = HMAC(initial secret, "client in"); key, IV, hp from that
    mask = AES-128(hp, sample)                                                   RFC 9001 §5.1, §5.2, §5.4

All that these keys are made of lies on the wire, so there is nothing to hide from clocks and caches, and SHA-256 (FIPS
180-4) and one block of AES-128 (FIPS 197) are written out: as calls from Python they take the tenfold. They say what
the keys are; a packet is opened, and its tag checked, by the AEAD of ``cryptography``.

Not read here: the server's direction, and versions with another cipher.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.kernels import Matrix, helper, kernel, runner
from analyzer.wire.bytes import u8
from analyzer.wire.quic.protection import expand_label
from analyzer.wire.quic.versions import version_of

#: uint8 rows by columns, C-contiguous.
ByteMatrix = Annotated[NDArray[np.uint8], 2]

#: Columns of the kernel's ``packets``: where in the buffer the packet, its DCID and its protected packet number lie,
#: the row of its version in ``Schedules``, and where in ``headers`` its header goes.
PACKET, DCID, DCID_LENGTH, NUMBER, SCHEDULE, HEADER = range(6)
PACKET_COLUMNS = 6

#: Columns of ``keys``: the key, and the nonce of this packet.
KEY_BYTES, KEYS_WIDTH = 16, 28

_MASK = 0xFFFFFFFF
_LABELS = 4  # client in, key, IV, header protection: blocks of one version

# Places of states of SHA-256, of 8 words each, in the room of the kernel.
_SALT_INNER, _SALT_OUTER, _START_AT, _INNER, _OUTER, _HALF, _SECRET, _KEY, _IV, _HP, _STATES = range(0, 88, 8)
# What a step hashes: the DCID; a state, as the digest that it is; a secret with its bits flipped; a label.
_DCID_BLOCK, _DIGEST_BLOCK, _SECRET_BLOCK, _LABEL_BLOCK = range(4)
_INNER_PAD, _OUTER_PAD = 0x36363636, 0x5C5C5C5C  # RFC 2104 §2
_DIGEST = (_OUTER, _DIGEST_BLOCK, _HALF)
_TAKE_SECRET = (
    (_INNER, _START_AT, _SECRET_BLOCK, _INNER_PAD),
    (_OUTER, _START_AT, _SECRET_BLOCK, _OUTER_PAD),
)
#: The schedule: each step hashes one block. Target state, the state before, kind of block, and what it is made of.
_STEPS = (
    (_HALF, _SALT_INNER, _DCID_BLOCK, 0),
    (_SECRET, _SALT_OUTER, _DIGEST_BLOCK, _HALF),
    *_TAKE_SECRET,
    (_HALF, _INNER, _LABEL_BLOCK, 0),
    (_SECRET, *_DIGEST),
    *_TAKE_SECRET,
    (_HALF, _INNER, _LABEL_BLOCK, 1),
    (_KEY, *_DIGEST),
    (_HALF, _INNER, _LABEL_BLOCK, 2),
    (_IV, *_DIGEST),
    (_HALF, _INNER, _LABEL_BLOCK, 3),
    (_HP, *_DIGEST),
)


class Schedules(NamedTuple):
    """What does not depend on the packet: words of 32 bits, S-box and round constants."""

    salts: Matrix  # for each version the states behind both padded forms of its salt
    labels: Matrix  # _LABELS rows for each version: what HKDF-Expand-Label hashes, padded to a block
    steps: Matrix  # _STEPS
    rounds: NDArray[np.int64]  # of SHA-256: 64
    start: NDArray[np.int64]  # of SHA-256: 8
    sbox: NDArray[np.int64]  # of AES: 256


class Room(NamedTuple):
    """What the kernel writes while it works."""

    words: NDArray[np.int64]  # a block of SHA-256 and its schedule
    states: NDArray[np.int64]
    round_keys: NDArray[np.int64]  # of AES-128: 11 times 16 bytes
    block: NDArray[np.int64]  # of AES: 16 bytes, and 16 more


@helper
def rotate(x: int, n: int) -> int:
    """A word of 32 bits rotated to the right."""
    return ((x >> n) | (x << (32 - n))) & _MASK


@helper
def compress(rounds: Any, words: Any, states: Any, at: int) -> None:
    """Take the block in words[0:16] into the state at ``at`` (FIPS 180-4 §6.2.2)."""
    for t in range(16, 64):
        x, y = words[t - 15], words[t - 2]
        low = rotate(x, 7) ^ rotate(x, 18) ^ (x >> 3)
        high = rotate(y, 17) ^ rotate(y, 19) ^ (y >> 10)
        words[t] = (words[t - 16] + low + words[t - 7] + high) & _MASK
    a, b, c, d = states[at], states[at + 1], states[at + 2], states[at + 3]
    e, f, g, h = states[at + 4], states[at + 5], states[at + 6], states[at + 7]
    for t in range(64):
        chosen = (e & f) ^ ((e ^ _MASK) & g)
        one = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + chosen + rounds[t] + words[t]
        two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
        a, b, c, d, e, f, g, h = (one + two) & _MASK, a, b, c, (d + one) & _MASK, e, f, g
    states[at] = (states[at] + a) & _MASK
    states[at + 1] = (states[at + 1] + b) & _MASK
    states[at + 2] = (states[at + 2] + c) & _MASK
    states[at + 3] = (states[at + 3] + d) & _MASK
    states[at + 4] = (states[at + 4] + e) & _MASK
    states[at + 5] = (states[at + 5] + f) & _MASK
    states[at + 6] = (states[at + 6] + g) & _MASK
    states[at + 7] = (states[at + 7] + h) & _MASK


@helper
def take_dcid(b: Any, at: int, length: int, words: Any) -> None:
    """words[0:16] become the last block of a message: behind one block, the DCID of at most 20 bytes."""
    for i in range(16):
        words[i] = 0
    for i in range(length):
        words[i >> 2] |= u8(b, at + i) << (24 - 8 * (i & 3))
    words[length >> 2] |= 0x80 << (24 - 8 * (length & 3))
    words[15] = 8 * (64 + length)


@helper
def doubled(x: int) -> int:
    """A byte times two in the field of AES."""
    return ((x << 1) ^ ((x >> 7) * 0x11B)) & 0xFF


@helper
def take_aes_key(sbox: Any, states: Any, at: int, keys: Any) -> None:
    """The round keys of the key in the first 16 bytes of the state at ``at`` (FIPS 197 §5.2)."""
    for i in range(16):
        keys[i] = (states[at + (i >> 2)] >> (24 - 8 * (i & 3))) & 0xFF
    factor = 1
    for i in range(16, 176, 4):
        if i % 16 == 0:
            keys[i] = keys[i - 16] ^ sbox[keys[i - 3]] ^ factor
            keys[i + 1] = keys[i - 15] ^ sbox[keys[i - 2]]
            keys[i + 2] = keys[i - 14] ^ sbox[keys[i - 1]]
            keys[i + 3] = keys[i - 13] ^ sbox[keys[i - 4]]
            factor = doubled(factor)
        else:
            for k in range(i, i + 4):
                keys[k] = keys[k - 16] ^ keys[k - 4]


@helper
def encrypt_block(sbox: Any, keys: Any, s: Any) -> None:
    """s[0:16] become their AES-128 encryption (FIPS 197 §5.1); s[16:32] is room."""
    for i in range(16):
        s[i] ^= keys[i]
    for round_at in range(16, 176, 16):
        for i in range(16):  # SubBytes and ShiftRows
            s[16 + i] = sbox[s[(i + 4 * (i & 3)) & 15]]
        for i in range(0, 16, 4):
            w, x, y, z = s[16 + i], s[17 + i], s[18 + i], s[19 + i]
            if round_at < 160:  # MixColumns
                every = w ^ x ^ y ^ z
                first = w
                w, x = w ^ every ^ doubled(w ^ x), x ^ every ^ doubled(x ^ y)
                y, z = y ^ every ^ doubled(y ^ z), z ^ every ^ doubled(z ^ first)
            s[i], s[i + 1] = w ^ keys[round_at + i], x ^ keys[round_at + i + 1]
            s[i + 2], s[i + 3] = y ^ keys[round_at + i + 2], z ^ keys[round_at + i + 3]


@kernel
def derive_initial_keys(
    b: NDArray[np.uint8],
    packets: Matrix,
    schedules: Schedules,
    room: Room,
    keys: ByteMatrix,
    headers: NDArray[np.uint8],
    sizes: NDArray[np.int64],
) -> int:
    """Key and nonce of client Initials by their own DCIDs, their headers without protection, and the headers' sizes.

    Each packet of ``packets`` has at least 20 bytes from its packet number on and a DCID of at most 20. A header takes
    up to four bytes more in ``headers`` than lie before the packet number. The packet number counts as it is: those of
    first flights are small (RFC 9000 §A.3).
    """
    salts, labels, steps, rounds, start, sbox = schedules
    words, states, round_keys, block = room
    for i in range(8):
        states[_START_AT + i] = start[i]
    for row in range(len(packets)):
        schedule = packets[row, SCHEDULE]
        for i in range(16):
            states[_SALT_INNER + i] = salts[schedule, i]
        for step in range(len(steps)):  # one call of ``compress`` in all: it is compiled in a quarter of the time
            target, source, kind, what = steps[step, 0], steps[step, 1], steps[step, 2], steps[step, 3]
            if kind == _DCID_BLOCK:
                take_dcid(b, packets[row, DCID], packets[row, DCID_LENGTH], words)
            elif kind == _DIGEST_BLOCK:
                for i in range(8):
                    words[i], words[8 + i] = states[what + i], 0
                words[8], words[15] = 0x80000000, 8 * (64 + 32)
            elif kind == _SECRET_BLOCK:
                for i in range(8):
                    words[i], words[8 + i] = states[_SECRET + i] ^ what, what
            else:
                for i in range(16):
                    words[i] = labels[_LABELS * schedule + what, i]
            for i in range(8):
                states[target + i] = states[source + i]
            compress(rounds, words, states, target)
        for i in range(16):
            keys[row, i] = (states[_KEY + (i >> 2)] >> (24 - 8 * (i & 3))) & 0xFF
        for i in range(12):
            keys[row, KEY_BYTES + i] = (states[_IV + (i >> 2)] >> (24 - 8 * (i & 3))) & 0xFF
        take_aes_key(sbox, states, _HP, round_keys)
        begin, number, at = packets[row, PACKET], packets[row, NUMBER], packets[row, HEADER]
        for i in range(16):
            block[i] = u8(b, number + 4 + i)
        encrypt_block(sbox, round_keys, block)
        for i in range(number - begin):
            headers[at + i] = b[begin + i]
        headers[at] = u8(b, begin) ^ (block[0] & 0x0F)
        size = ((u8(b, begin) ^ block[0]) & 3) + 1
        for i in range(size):
            byte = u8(b, number + i) ^ block[1 + i]
            headers[at + number - begin + i] = byte
            last = KEYS_WIDTH - size + i
            keys[row, last] = (int(keys[row, last]) ^ byte) & 0xFF
        sizes[row] = number - begin + size
    return len(packets)


def can_derive(version: int) -> bool:
    """Whether keys of a version come out of the schedules here: it has a salt."""
    return bool(version_of(version).salt)


def initial_keys_of(
    b: NDArray[np.uint8], packets: NDArray[np.int64], versions: Sequence[int], room: int, *, compiled: bool
) -> tuple[NDArray[np.uint8], bytes, NDArray[np.int64]]:
    """``keys``, ``headers`` (``room`` bytes) and ``sizes`` as of ``derive_initial_keys``.

    ``packets`` has PACKET_COLUMNS columns; its SCHEDULE is an index of ``versions``.
    """
    keys = np.zeros((len(packets), KEYS_WIDTH), np.uint8)
    headers, sizes = np.zeros(room, np.uint8), np.zeros(len(packets), np.int64)
    work = Room(*(np.zeros(size, np.int64) for size in (64, _STATES, 176, 32)))
    run = runner(derive_initial_keys, compiled)
    run(b, packets, _schedules(tuple(versions)), work, keys, headers, sizes)
    return keys, headers.tobytes(), sizes


@functools.lru_cache(maxsize=16)
def _schedules(versions: tuple[int, ...]) -> Schedules:
    salts = np.zeros((len(versions), 16), np.int64)
    labels = np.zeros((_LABELS * len(versions), 16), np.int64)
    for place, version in enumerate(map(version_of, versions)):
        for part, pad in enumerate((0x36, 0x5C)):
            padded = bytes(byte ^ pad for byte in version.salt.ljust(64, b"\0"))
            words, state = np.zeros(64, np.int64), _START.copy()
            words[:16] = np.frombuffer(padded, ">u4")
            compress(_ROUNDS, words, state, 0)
            salts[place, 8 * part : 8 * part + 8] = state
        wanted = zip(("client in", *version.labels), (32, 16, 12, 16), strict=True)
        for row, (label, length) in enumerate(wanted, _LABELS * place):
            message = expand_label(label, length)
            block = (message + b"\x80").ljust(56, b"\0") + (8 * (64 + len(message))).to_bytes(8, "big")
            labels[row] = np.frombuffer(block, ">u4")
    return Schedules(salts, labels, np.array(_STEPS, np.int64), _ROUNDS, _START, _SBOX)


def _root_words(degree: int, count: int) -> NDArray[np.int64]:
    """32 bits behind the point of roots of primes, the constants of SHA-256 (FIPS 180-4 §4.2.2)."""
    primes = [n for n in range(2, 312) if all(n % k for k in range(2, n))][:count]
    return np.array([_root(prime << (32 * degree), degree) & _MASK for prime in primes], np.int64)


def _root(value: int, degree: int) -> int:
    """The integer root of a large number."""
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle)
    return low


def _sbox_of_aes() -> NDArray[np.int64]:
    """Inverses in the field of AES, and their affine map (FIPS 197 §5.1.1)."""
    power, powers = 1, []
    for _ in range(255):
        powers.append(power)
        power ^= doubled(power)  # times 3, which generates all others
    box = np.full(256, 0x63, np.int64)
    for i, value in enumerate(powers):
        inverse = powers[-i % 255]
        turned = inverse | inverse << 8
        box[value] = 0x63 ^ inverse
        for shift in range(4, 8):
            box[value] ^= turned >> shift & 0xFF
    return box


_ROUNDS, _START, _SBOX = _root_words(3, 64), _root_words(2, 8), _sbox_of_aes()
