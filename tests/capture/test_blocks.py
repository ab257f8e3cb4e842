"""The buffer: keeps what was not read, grows with real bytes only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.blocks import Blocks
from analyzer.capture.formats import RawStream
from tests.capture import plain

CONTENT = bytes(range(256)) * 8


def blocks_of(content: bytes, *, block_bytes: int = 64, piece: int = 50, size: int = -1) -> Blocks:
    return Blocks(RawStream(plain.Trickle(content, piece)), block_bytes=block_bytes, size=size)


@given(
    steps=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=30),
    block_bytes=st.integers(64, 200),
    piece=st.integers(1, 400),
    sized=st.booleans(),
)
def test_bytes_come_in_order_whatever_is_asked_for(
    steps: list[tuple[int, int]], block_bytes: int, piece: int, sized: bool
) -> None:
    blocks = blocks_of(CONTENT, block_bytes=block_bytes, piece=piece, size=len(CONTENT) if sized else -1)
    taken = 0
    for need, take in steps:
        enough = blocks.fill(need)
        assert enough == (taken + need <= len(CONTENT))
        assert blocks.position == taken
        take = min(take, len(blocks))
        assert blocks.buffer[blocks.begin : blocks.begin + take].tobytes() == CONTENT[taken : taken + take]
        blocks.begin += take
        taken += take
        assert not sized or blocks.left == len(CONTENT) - taken


def test_a_file_of_known_size_is_not_read_into_a_larger_buffer_in_vain() -> None:
    blocks = blocks_of(CONTENT, size=len(CONTENT))
    assert not blocks.fill(1 << 28)
    assert len(blocks.buffer) == 64
    assert blocks.left == len(CONTENT)


def test_a_pipe_makes_the_buffer_grow_with_what_really_comes() -> None:
    blocks = blocks_of(CONTENT)
    assert not blocks.fill(1 << 28)
    assert len(blocks.buffer) <= 2 * len(CONTENT)
    assert blocks.left == len(CONTENT)
    blocks.begin += len(CONTENT)
    assert not blocks.fill(1)
    assert len(blocks.buffer) == 64


def test_a_file_that_grew_is_read_to_its_new_end() -> None:
    blocks = blocks_of(CONTENT, size=100)
    taken = 0
    while blocks.fill(1):
        taken += len(blocks)
        blocks.begin = blocks.end
    assert taken == len(CONTENT)
