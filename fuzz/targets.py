"""What is fuzzed: every file reader, wire kernel (interpreted) and decoder, and the program as a whole.

A target takes any bytes and returns; an exception is a failure. ``fuzz.seeds`` gives each some valid input to begin
with; what was found by fuzzing lies in ``fuzz/corpus/TARGET/`` and is a case of the tests.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analyzer.analysis import Analysis, analyse
from analyzer.anonymize.anonymizer import Anonymizer
from analyzer.anonymize.key import KEY_LENGTH, Key
from analyzer.capture.source import open_captures
from analyzer.capture.writer import NewInterface, NewRecord
from analyzer.errors import CaptureError, UsageError
from analyzer.events.saved import scan_from
from analyzer.events.scan import scan
from analyzer.reports.checks.accepted import read_config
from analyzer.reports.connection_rows import connection_rows
from analyzer.reports.export import document_json, write_table
from analyzer.reports.html import page_without_plots
from analyzer.reports.ladder import ladders_of_findings, mermaid, text_lines
from analyzer.reports.markdown import markdown_of
from analyzer.reports.programs.sarif import sarif_json
from analyzer.reports.terminal import verdict
from analyzer.watch.state import Store
from analyzer.wire.certificates import read_certificate, read_certificates, read_encrypted_extensions, stapled_status
from analyzer.wire.checksums import transport_checksum_partial, transport_checksum_wrong
from analyzer.wire.codes import close_words
from analyzer.wire.dns import read_message, read_stream
from analyzer.wire.icmp import read_quoted
from analyzer.wire.ja4 import ja4
from analyzer.wire.keylog import merged, read_keylog
from analyzer.wire.links import READ_LINK_TYPES
from analyzer.wire.neighbours import read_arp, read_ndp
from analyzer.wire.quic.frames import ConnectionClose, message_in_front, read_frames
from analyzer.wire.quic.gquic import find_chlo, initial_frames, read_gquic_frames, read_public_header
from analyzer.wire.quic.header import read_datagram, read_invariants, read_versions
from analyzer.wire.quic.protection import Keys, is_retry_intact, open_packet
from analyzer.wire.quic.secrets import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, keys_of_secret, updated
from analyzer.wire.quic.split import RETRY, Datagrams, quic_packets
from analyzer.wire.quic.summary import datagram_kinds, initial_bytes_end, quic_cid_digest, quic_kinds
from analyzer.wire.quic.transport_parameters import read_transport_parameters
from analyzer.wire.quic.versions import V1, V2
from analyzer.wire.tls import handshake_messages, is_clear_hello, read_records, record_headers
from analyzer.wire.tls_hello import read_client_hello, read_server_hello
from analyzer.wire.web.http1 import read_request, read_response
from analyzer.wire.web.ocsp import read_certificate_status, read_ocsp_request, read_ocsp_response, request_in_target
from analyzer.wire.web.openings import is_http_message, opening_of
from analyzer.wire.web.protected import key_of_secret
from analyzer.wire.web.proxy import is_proxy, read_proxy
from analyzer.wire.web.responders import responder_hosts, responder_urls
from fuzz.seeds import MOST_DATAGRAMS, clear_initials, crypto_prefix
from tests.crafted import START, Captured, batch_of
from tests.events.flow_plays import Datagram, captured, plain_flows, scanned

Target = Callable[[bytes], None]

#: Of records, chosen by the first byte of an input; the last one is not read.
RECORD_LINK_TYPES = (*sorted(READ_LINK_TYPES), 105)

_SUITES = {AES_128_GCM: 32, AES_256_GCM: 48, CHACHA20_POLY1305: 32}


@functools.cache
def _scratch() -> Path:
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="halfshake-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def file_of(data: bytes, name: str = "input") -> str:
    """These bytes as a file, in memory where that is possible; the next call writes over it."""
    path = _scratch() / name
    path.write_bytes(data)
    return str(path)


def capture(data: bytes) -> None:
    """A file of any format, plain or compressed, read to its end."""
    captures = open_captures([file_of(data)], block_bytes=1 << 14)
    for _ in captures.batches(compiled=False):
        pass


def saved_scan(data: bytes) -> None:
    """A saved scan."""
    try:
        scan_from(data)
    except CaptureError:
        pass


def settings(data: bytes) -> None:
    """Files of the user: an allow-list, and what a watcher remembers."""
    for read in (lambda: read_config(Path(file_of(data))), Store(Path(file_of(data, "state.json")).parent).load):
        try:
            read()
        except UsageError:
            pass


def packets(data: bytes) -> None:
    """The kernels from link layer to flows, over one record of each link type."""
    if data:
        scan([batch_of([record_of(data)] * 2)], 1, compiled=False, with_secrets=True)


def record_of(data: bytes) -> Captured:
    """The record whose link type the first byte chooses."""
    return Captured(data[1:], wire=len(data) + 3, link_type=RECORD_LINK_TYPES[data[0] % len(RECORD_LINK_TYPES)])


def copies(data: bytes) -> None:
    """A record copied with other names and addresses, as for evidence that may be shown."""
    if data:
        one = record_of(data)
        interface = NewInterface(one.link_type, 0)
        Anonymizer(Key(bytes(KEY_LENGTH))).copies([NewRecord(interface, START, one.wire, one.raw)] * 2)


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
        quic_kinds(data, 0, len(data))
    read_invariants(data, 0, len(data))
    read_versions(data, 0, len(data))
    read_public_header(data, 0, len(data))
    for clear in clear_initials(data):
        initial_frames(found[0].version, clear)


def flow(data: bytes) -> None:
    """A QUIC flow told from columns by kernels, as one of many, and by the reader, which must agree.

    The first byte is 0 where the kernels run interpreted. Then come datagrams: one byte, odd if from the client; the
    length in two; the payload. Two flows have them: names are compared with those of other flows.
    """
    play, at = list[Datagram](), 1
    while at < len(data) and len(play) < MOST_DATAGRAMS:
        end = at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        play.append(Datagram(data[at] & 1 > 0, data[at + 3 : end]))
        at = end
    if play:
        plain_flows(scanned(captured([play, play])), compiled=data[0] > 0)


def opened(data: bytes) -> None:
    """What is opened with secrets: QUIC packets of both kinds of header, records of TLS; tags of Retry packets."""
    for suite, size in _SUITES.items():
        for version in (V1, V2):
            keys = zero_keys(version, suite, size)
            for packet in read_datagram(data, 0, len(data), len(data)):
                whole, at = data[packet.start : packet.end], max(packet.payload_offset - packet.start, 1)
                message_in_front(open_packet(whole, at, keys, largest=len(data)).payload)
                if packet.kind == RETRY:
                    is_retry_intact(packet.version, packet.dcid, whole)
        key = key_of_secret(suite, bytes(size))
        assert key is not None
        for piece in (data, data[:5] + data[9:]):
            key.open(piece)


@functools.cache
def zero_keys(version: int, suite: int, size: int) -> Keys:
    """The keys behind one update of those of a secret of zeros."""
    keys = keys_of_secret(version, suite, bytes(size))
    assert keys is not None
    following = updated(version, suite, bytes(size), keys)
    assert following is not None
    return following[1]


def frames(data: bytes) -> None:
    """QUIC frames of an opened packet, and what their CRYPTO says."""
    for frame in read_frames(data).frames:
        if type(frame) is ConnectionClose:
            close_words(frame.by_application, frame.code, frame.reason)
    hello(crypto_prefix(data))
    message_in_front(data)
    read_gquic_frames(data)
    find_chlo(data)


def hello(data: bytes) -> None:
    """TLS hellos and transport parameters."""
    found = read_client_hello(data)
    if found is not None:
        ja4(found, "q")
        if found.transport_parameters is not None:
            read_transport_parameters(found.transport_parameters).versions()
    read_server_hello(data)
    read_transport_parameters(data)


def records(data: bytes) -> None:
    """Records of TLS, the handshake messages in them, certificates, and statuses stapled to them."""
    is_clear_hello(data, len(data))
    record_headers(data)
    stream = read_records(data).handshake
    hello(stream)
    for begin in (stream, data):
        for message in handshake_messages(begin):
            read_certificates(begin, message)
            read_encrypted_extensions(begin, message)
            read_certificate_status(stapled_status(begin, message))
            read_certificate_status(begin[message.start + 4 : message.start + 4 + message.length])


def http(data: bytes) -> None:
    """The first bytes of a TCP connection: PROXY headers, requests and responses of HTTP, OCSP in their targets."""
    opening_of(data)
    if is_proxy(data):
        read_proxy(data)
    is_http_message(data)
    request = read_request(data)
    if request is not None:
        request_in_target(request.target)
    for method in ("GET", "HEAD", "CONNECT"):
        read_response(data, method)


def dns(data: bytes) -> None:
    """DNS messages, over UDP and TCP."""
    read_message(data)
    for piece in read_stream(data):
        read_message(piece)


def control(data: bytes) -> None:
    """ICMP quotes, ARP, Neighbour Discovery, checksums."""
    read_quoted(data)
    read_arp(data)
    for header in (0, 40):
        for kind in (133, 134, 135, 136, 137):
            read_ndp(kind, "::", data[header:])
    transport_checksum_wrong(data)
    transport_checksum_partial(data)


def certificates(data: bytes) -> None:
    """Certificates, the responders that they name, OCSP messages."""
    read_certificate(data)
    responder_urls(data)
    responder_hosts(data)
    read_ocsp_request(data)
    read_ocsp_response(data)


def keylog(data: bytes) -> None:
    """Key logs."""
    merged([read_keylog(data), read_keylog(data)])


def program(data: bytes) -> None:
    """A capture file through the whole program: analysis, findings, every report without a picture, every table."""
    analysis = analyse([file_of(data)])
    if not analysis.failures:
        reports_of(analysis)


def reports_of(analysis: Analysis) -> None:
    """What is written of an analysis."""
    document = analysis.document
    document_json(document)
    sarif_json(analysis)
    verdict(analysis, color=False, width=100, full=True)
    markdown_of(analysis, full=True)
    page_without_plots(analysis, connection_rows(analysis))
    for ladder in ladders_of_findings(analysis, document["findings"]).values():
        for _ in (*mermaid(ladder), *text_lines(ladder)):
            pass
    for table in (analysis.connections, analysis.exchanges, analysis.resolutions, analysis.packets):
        with open(os.devnull, "wb") as nowhere:
            write_table(table, "csv", nowhere)


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (
        *(capture, saved_scan, settings, packets, copies, datagram, flow, opened, frames, hello, records, http, dns),
        *(control, certificates, keylog, program),
    )
}
