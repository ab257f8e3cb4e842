"""Transport parameters: the RFC's, every prefix, versions, anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.wire.quic.seal import write_varint
from analyzer.wire.quic.transport_parameters import (
    INITIAL_SCID,
    MAX_IDLE_TIMEOUT,
    VERSION_INFORMATION,
    read_transport_parameters,
)

#: Of the ClientHello in RFC 9001 §A.2.
RFC = bytes.fromhex(
    "0408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff"
)


def test_those_of_the_rfc() -> None:
    parameters = read_transport_parameters(RFC)
    assert parameters.is_whole
    assert list(parameters.values) == [4, 5, 7, 8, 1, 9, 15, 6]
    assert parameters.integer(MAX_IDLE_TIMEOUT) == 30000
    assert parameters.integer(0x04) == (1 << 62) - 1
    assert parameters.values[INITIAL_SCID].hex() == "8394c8f03e515708"
    assert (parameters.integer(INITIAL_SCID), parameters.integer(0x0E)) == (-1, -1)
    assert parameters.versions() == (-1, ())


def test_every_prefix() -> None:
    whole = read_transport_parameters(RFC).values
    for n in range(len(RFC)):
        parameters = read_transport_parameters(RFC[:n])
        assert list(parameters.values.items()) == list(whole.items())[: len(parameters.values)]
        assert parameters.is_whole == (sum(len(v) + 2 for v in parameters.values.values()) == n)


def test_version_information() -> None:
    body = bytes.fromhex("00000001 6b3343cf 00000001 1a2a3a4a")
    for number in (VERSION_INFORMATION, 0xFF73DB):
        wire = write_varint(number) + write_varint(len(body)) + body
        assert read_transport_parameters(wire * 2).versions() == (1, (0x6B3343CF, 1, 0x1A2A3A4A))
    assert read_transport_parameters(b"\x11\x03abc").versions() == (-1, ())


@given(st.binary(max_size=60))
def test_any_bytes(b: bytes) -> None:
    parameters = read_transport_parameters(b)
    parameters.versions()
    for number in parameters.values:
        parameters.integer(number)
