"""A second opinion: Wireshark's dissectors, through pyshark, on the project's own captures, with key logs too."""

from __future__ import annotations

import asyncio
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import Analysis, analyse

CAPTURES = Path(__file__).parents[1] / "captures"
CASES = [
    "01-caddy-http3-ok/caddy-2.6.2/client.pcap",
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",
    "02-caddy-ipv4-silent/path-drop/client.pcap",
    "05-wrong-source-address/aioquic-v4/server.pcap",
    "07-retry/aioquic-ok/client.pcap",
    "16-quic-one-family-listener/nginx-quic-v4-only/client.pcap",
    "20-linktypes/tun-raw/client.pcap",
]

pytestmark = [
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
    # pyshark 0.6 asks asyncio for a loop in ways that newer Pythons warn of
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def dissected(capture: Path, display_filter: str, keys: Path | None = None) -> Iterator[Any]:
    """Packets as tshark reads them in two passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyshark

        preferences = {"tls.keylog_file": str(keys)} if keys is not None else {}
        reader = pyshark.FileCapture(
            str(capture),
            display_filter=display_filter,
            override_prefs=preferences,
            custom_parameters=["-n", "-2"],
            keep_packets=False,
        )
        try:
            yield from reader
        finally:
            reader.close()


def sockets(packet: Any) -> tuple[str, int, str, int]:
    ip = packet.ipv6 if "IPV6" in packet else packet.ip
    return str(ip.src), int(packet.udp.srcport), str(ip.dst), int(packet.udp.dstport)


def quic_layers(packet: Any) -> list[Any]:
    """All QUIC packets of a datagram: coalesced ones are layers of their own."""
    return [layer for layer in packet.layers if layer.layer_name == "quic"]


def quic_rows(analysis: Analysis) -> list[dict[str, Any]]:
    return [row for row in analysis.connections.rows() if row["transport"] == "quic"]


@pytest.mark.parametrize("case", CASES)
def test_client_hellos_are_the_ones_that_tshark_reads(case: str) -> None:
    theirs = set()
    for packet in dissected(CAPTURES / case, "quic && tls.handshake.type == 1"):
        for layer in quic_layers(packet):
            name = layer.get_field_value("tls_handshake_extensions_server_name")
            if name is not None:
                alpn = layer.get_field_value("tls_handshake_extensions_alpn_str")
                theirs.add((*sockets(packet), int(str(layer.version), 16), str(name), str(alpn)))
    rows = [row for row in quic_rows(analyse([str(CAPTURES / case)])) if row["sni"]]
    ours = {
        (
            row["client_address"],
            row["client_port"],
            row["server_address"],
            row["server_port"],
            int(row["quic_version"], 16),
            row["sni"],
            row["alpn"].split(",")[0],
        )
        for row in rows
    }
    assert theirs
    assert ours == theirs


@pytest.mark.parametrize("case", [case for case in CASES if (CAPTURES / case).with_name("client.keys").exists()])
def test_closes_are_among_those_that_tshark_reads(case: str) -> None:
    capture = CAPTURES / case
    keys = capture.with_name("client.keys")
    theirs = set()
    for packet in dissected(capture, "quic.cc.error_code || quic.cc.error_code.app", keys):
        for layer in quic_layers(packet):
            code = layer.get_field_value("cc_error_code") or layer.get_field_value("cc_error_code_app")
            if code is not None:
                theirs.add((frozenset((sockets(packet)[:2], sockets(packet)[2:])), int(str(code), 0)))
    closed = [row for row in quic_rows(analyse([str(capture)], keylog=keys)) if row["close_side"]]
    ours = {
        (
            frozenset(
                ((row["client_address"], row["client_port"]), (row["server_address"], row["server_port"])),
            ),
            row["close_code"],
        )
        for row in closed
    }
    assert ours <= theirs


@pytest.fixture(autouse=True)
def event_loop() -> Iterator[None]:
    """A loop for pyshark, which takes the thread's: after another test's ``asyncio.run`` there is none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
