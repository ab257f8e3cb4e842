"""Captures that the tests of the API open."""

from __future__ import annotations

from pathlib import Path

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
SILENT = CAPTURES / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap"
GOOD = CAPTURES / "01-caddy-http3-ok" / "caddy-2.6.2" / "server.pcap"
