"""Checksums after an edit: right stays right, wrong stays wrong, partial stays partial."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from analyzer.anonymize.packets.checksums import adjusted, transport
from analyzer.wire.checksums import ones_sum, transport_checksum_wrong
from tests.crafted import ip, udp

even = st.integers(1, 40).flatmap(lambda n: st.tuples(*[st.binary(min_size=2 * n, max_size=2 * n)] * 2))


@given(even, st.integers(0, 0xFFFF))
def test_a_sum_is_right_afterwards_if_and_only_if_it_was(pair: tuple[bytes, bytes], checksum: int) -> None:
    before, after = pair
    assume(any(before) and any(after))
    right = 0xFFFF - ones_sum(before)
    for written in (right, checksum):
        made = adjusted(written, before, after)
        was = ones_sum(before + written.to_bytes(2, "big")) == 0xFFFF
        assert (ones_sum(after + made.to_bytes(2, "big")) == 0xFFFF) is was


@given(st.binary(max_size=30), st.binary(max_size=30), st.booleans())
def test_a_udp_checksum_follows(payload: bytes, other: bytes, is_wrong: bool) -> None:
    other = other[: len(payload)].ljust(len(payload), b"x")
    before = ip("192.0.2.1", "192.0.2.2", 17, udp((4000, 443), payload))
    if is_wrong:
        before = before[:26] + ((int.from_bytes(before[26:28], "big") ^ 0x0F0F) or 1).to_bytes(2, "big") + before[28:]
    body = before[20:26] + before[26:28] + other
    made = transport(
        int.from_bytes(before[26:28], "big"), 17, 8 + len(payload), (before[12:20], before[20:]), (bytes(8), body)
    )
    after = before[:12] + bytes(8) + before[20:26] + made.to_bytes(2, "big") + other
    assert made != 0
    assert transport_checksum_wrong(after) is transport_checksum_wrong(before)


def test_none_and_partial_ones_stay_what_they_are() -> None:
    body, old, new = udp((1, 2), b"ab"), bytes(range(8)), bytes(range(8, 16))
    assert transport(0, 17, len(body), (old, body), (new, body)) == 0
    head = (17).to_bytes(2, "big") + len(body).to_bytes(4, "big")
    assert transport(ones_sum(old + head), 17, len(body), (old, body), (new, body)) == ones_sum(new + head)
