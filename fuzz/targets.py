"""What is fuzzed: every file reader, wire kernel (interpreted) and decoder, and the program as a whole.

A target takes any bytes and returns; an exception is a failure. ``seeds`` gives each some valid input to begin with,
from ``captures/``; what was found by fuzzing lies in ``fuzz/corpus/TARGET/`` and is a case of the tests.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from analyzer.analysis import Analysis, analyse
from analyzer.capture.link_types import LINK_TYPES
from analyzer.capture.source import open_captures
from analyzer.errors import CaptureError
from analyzer.events.saved import scan_from, scan_to_bytes
from analyzer.events.scan import scan
from analyzer.reports.export import document_json, write_table
from analyzer.reports.markdown import markdown_of
from analyzer.reports.terminal import verdict
from analyzer.wire.certificates import read_certificate, read_certificates, read_encrypted_extensions
from analyzer.wire.checksums import transport_checksum_wrong
from analyzer.wire.dns import read_message, read_stream
from analyzer.wire.icmp import read_quoted
from analyzer.wire.ja4 import ja4
from analyzer.wire.keylog import read_keylog
from analyzer.wire.neighbours import read_arp, read_ndp
from analyzer.wire.quic.crypto_stream import CryptoStream
from analyzer.wire.quic.frames import Crypto, read_frames
from analyzer.wire.quic.gquic import find_chlo, read_gquic_frames, read_public_header
from analyzer.wire.quic.header import read_datagram
from analyzer.wire.quic.protection import open_initial
from analyzer.wire.quic.split import INITIAL, Datagrams, quic_packets
from analyzer.wire.quic.summary import datagram_kinds, initial_bytes_end, quic_cid_digest
from analyzer.wire.quic.transport_parameters import read_transport_parameters
from analyzer.wire.tls import handshake_messages, read_records, record_headers
from analyzer.wire.tls_hello import read_client_hello, read_server_hello
from analyzer.wire.web.http1 import read_request, read_response
from analyzer.wire.web.ocsp import read_ocsp_request, read_ocsp_response, request_in_target
from analyzer.wire.web.openings import is_http_message, opening_of
from analyzer.wire.web.responders import responder_urls
from benchmarks.run import first_records
from tests.crafted import Captured, batch_of

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "captures"

Target = Callable[[bytes], None]

_MOST_RECORDS = 40  # of a seed for the whole program
_LINK_TYPES = sorted(LINK_TYPES)


@functools.cache
def _scratch() -> Path:
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="halfshake-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)
    return Path(folder)


def _file(data: bytes) -> str:
    path = _scratch() / "input"
    path.write_bytes(data)
    return str(path)


def capture(data: bytes) -> None:
    """A file of any format, plain or compressed, read to its end."""
    captures = open_captures([_file(data)], block_bytes=1 << 14)
    for _ in captures.batches(compiled=False):
        pass


def saved_scan(data: bytes) -> None:
    """A saved scan."""
    try:
        scan_from(data)
    except CaptureError:
        pass


def packets(data: bytes) -> None:
    """The kernels from link layer to flows, over one record of each link type."""
    if data:
        link_type = _LINK_TYPES[data[0] % len(_LINK_TYPES)]
        batch = batch_of([Captured(data[1:], wire=len(data) + 3, link_type=link_type)] * 2)
        scan([batch], 1, compiled=False, with_secrets=True)


def datagram(data: bytes) -> None:
    """QUIC headers, plain and by kernel, which must agree; the Initials of own keys opened."""
    found = read_datagram(data, 0, len(data), len(data))
    buffer = np.frombuffer(bytearray(data), np.uint8)
    bounds = (np.array([each]) for each in (0, len(data), len(data)))
    table = quic_packets(buffer, Datagrams(*bounds), compiled=False)
    assert table.kind.tolist() == [packet.kind for packet in found]
    datagram_kinds(data, 0, len(data), len(data), True)
    if len(data) > 6:
        initial_bytes_end(data, 0, len(data))
        quic_cid_digest(data, 0, len(data))
    read_public_header(data, 0, len(data))
    for _ in clear_initials(data):
        pass


def clear_initials(payload: bytes) -> Iterator[bytes]:
    """The clear payload of each Initial in a client's datagram, empty where it cannot be opened."""
    for packet in read_datagram(payload, 0, len(payload), len(payload)):
        if packet.kind == INITIAL:
            whole, at = payload[packet.start : packet.end], packet.payload_offset - packet.start
            yield open_initial(packet.version, packet.dcid, whole, at, from_server=False).payload


def frames(data: bytes) -> None:
    """QUIC frames of an opened packet, and what their CRYPTO says."""
    hello(_crypto_prefix(data))
    read_gquic_frames(data)
    find_chlo(data)


def _crypto_prefix(clear: bytes) -> bytes:
    stream = CryptoStream()
    for frame in read_frames(clear).frames:
        if type(frame) is Crypto:
            stream.add(frame.offset, frame.piece)
    stream.missing()
    return stream.prefix()


def hello(data: bytes) -> None:
    """TLS hellos, handshake messages, certificates and transport parameters."""
    found = read_client_hello(data)
    if found is not None:
        ja4(found, "q")
        if found.transport_parameters is not None:
            read_transport_parameters(found.transport_parameters)
    read_server_hello(data)
    read_transport_parameters(data)
    for message in handshake_messages(data):
        read_certificates(data, message)
        read_encrypted_extensions(data, message)
    responder_urls(data)


def stream(data: bytes) -> None:
    """The first bytes of a TCP connection: TLS records, HTTP, PROXY, DNS."""
    hello(read_records(data).handshake)
    record_headers(data)
    opening_of(data)
    is_http_message(data)
    message = read_request(data)
    if message is not None:
        request_in_target(data[:200].decode("latin-1"))
    for method in ("GET", "HEAD", "CONNECT"):
        read_response(data, method)
    for piece in read_stream(data):
        read_message(piece)


def message(data: bytes) -> None:
    """A DNS message."""
    read_message(data)


def control(data: bytes) -> None:
    """ICMP quotes, ARP, Neighbour Discovery, checksums."""
    read_quoted(data)
    read_arp(data)
    for kind in (133, 134, 135, 136, 137):
        read_ndp(kind, "::", data)
    transport_checksum_wrong(data)


def texts(data: bytes) -> None:
    """Key logs, certificates, OCSP."""
    read_keylog(data)
    read_certificate(data)
    read_ocsp_request(data)
    read_ocsp_response(data)


def program(data: bytes) -> None:
    """A capture file through the whole program: analysis, findings, every report without a picture, every table."""
    analysis = analyse([_file(data)])
    if not analysis.failures:
        reports_of(analysis)


def reports_of(analysis: Analysis) -> None:
    """What is written of an analysis."""
    document_json(analysis.document)
    verdict(analysis, color=False, width=100, full=True)
    markdown_of(analysis, full=True)
    for table in (analysis.connections, analysis.exchanges, analysis.resolutions, analysis.packets):
        with open(os.devnull, "wb") as nowhere:
            write_table(table, "csv", nowhere)


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (capture, saved_scan, packets, datagram, frames, hello, stream, message, control, texts, program)
}


def seeds(target: str) -> Iterator[bytes]:
    """Valid input of a target, the same in every run."""
    if target in ("capture", "program"):
        yield from small_captures()
    elif target == "saved_scan":
        for path in _some_captures()[:3]:
            captures = open_captures([str(path)])
            yield scan_to_bytes(scan(captures.batches(False), 1, compiled=False), captures.captures)
    elif target == "frames":
        yield from _clear()
    elif target == "hello":
        yield from map(_crypto_prefix, _clear())
    elif target == "packets":
        yield from (b"\0" + packet for packet in _packets())
    else:
        yield from _payloads()


def small_captures() -> Iterator[bytes]:
    """The first records of each recorded capture, as a file."""
    for path in _some_captures():
        whole = path.read_bytes()
        yield first_records(whole, _MOST_RECORDS) if is_little_pcap(whole) else whole[:20_000]


def is_little_pcap(capture: bytes) -> bool:
    """Whether this is a pcap file in little endian, whose records can be walked with a few lines."""
    return capture[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")


def _some_captures() -> list[Path]:
    return sorted(path for path in CAPTURES.rglob("*.pcap*") if path.suffix in (".pcap", ".pcapng"))


@functools.cache
def _scanned() -> list[tuple[bytes, int]]:
    """(packet from the IP header on, offset of its payload) of the first packets of each capture."""
    found = set()
    for path in _some_captures():
        rows = scan(open_captures([str(path)]).batches(False), 1, compiled=False, with_secrets=True)
        for row in range(min(len(rows.rows.time), 12)):
            found.add((rows.row_bytes(row), int(rows.rows.header[row])))
    return sorted(found)


def _packets() -> Iterator[bytes]:
    yield from (packet for packet, _ in _scanned())


def _payloads() -> Iterator[bytes]:
    yield from (packet[header:] for packet, header in _scanned() if 0 < header < len(packet))


@functools.cache
def _clear() -> list[bytes]:
    """Clear payloads of clients' Initials, without padding."""
    found = (clear.rstrip(b"\0") for payload in _payloads() for clear in clear_initials(payload))
    return [clear for clear in found if clear]
