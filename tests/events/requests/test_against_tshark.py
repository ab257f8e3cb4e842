"""HTTP, TLS and OCSP as tshark reads them, on the project's captures and on public ones.

Known differences: tshark puts off a head until its end was captured, and matches responses over whole streams, so that
the captures compared here have no holes; it names no OCSP request in the path of a GET.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import analyse
from tests.conftest import ROOT

PUBLIC = Path(os.environ.get("HALFSHAKE_PUBLIC") or ROOT.parent / "shared" / "public")
REQUESTS = (
    "captures/03-haproxy-ocsp-ipv6/noroute-prefer4/haproxy-side.pcap",
    "captures/11-tcp-cases/timewait-nat-reuse/client1.pcap",
    "zeek/http/http-body-match.pcap",
    "zeek/http/pipelined-requests.pcap",
    "zeek/http/100-continue.pcap",
)
HELLOS = (
    "captures/11-tcp-cases/tls-alerts/client.pcap",
    "captures/12-happy-eyeballs/both-ok/client.pcap",
    "zeek/tls/hrr.pcap",
    "zeek/tls/tls12-decryption.pcap",
)
STATUS = (REQUESTS[0], "zeek/tls/ocsp-revoked.pcap", "zeek/tls/ocsp-stapling-digicert.pcap")

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def case(name: str) -> Path:
    path = (ROOT if name.startswith("captures/") else PUBLIC) / name
    if not path.exists():
        pytest.skip(f"no {path}: set HALFSHAKE_PUBLIC")
    return path


def dissected(capture: Path, display_filter: str, *fields: str) -> list[list[str]]:
    """Fields of the packets that a filter chooses, in two passes; several values of a field are joined by commas."""
    asked = [part for field in fields for part in ("-e", field)]
    command = ["tshark", "-n", "-2", "-r", str(capture), "-Y", display_filter, "-T", "fields", *asked]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split("\t") for line in lines]


def exchanges(capture: Path, *kinds: str) -> list[dict[str, Any]]:
    return [row for row in analyse([str(capture)]).exchanges.rows() if row["kind"] in kinds]


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_and_their_responses(name: str) -> None:
    capture = case(name)
    ours = exchanges(capture, "http", "ocsp")
    fields = ("http.request.method", "http.host", "http.response.code")
    theirs = dissected(capture, "http.request || http.response", *fields)
    values = [[part for row in theirs for part in row[column].split(",") if part] for column in range(3)]
    assert values[0]
    assert Counter(row["asked"].split()[0] for row in ours if row["kind"] == "http") <= Counter(values[0])
    assert len(ours) == len(values[0])
    assert Counter(row["name"] for row in ours) == Counter(host.split(":")[0].lower() for host in values[1])
    assert Counter(str(row["status"]) for row in ours) == Counter(code for code in values[2] if code[0] != "1")


@pytest.mark.parametrize("name", HELLOS)
def test_hellos_and_what_answers_them(name: str) -> None:
    capture = case(name)
    ours = exchanges(capture, "tls-client-hello")
    fields = ("tcp.srcport", "tcp.dstport", "tls.handshake.type", "tls.handshake.extensions_server_name")
    told = "tcp && (tls.handshake.type == 1 || tls.handshake.type == 2 || tls.alert_message.level == 2)"
    theirs = dissected(capture, told, *fields, "tls.alert_message.level")
    names, answered, alerts = {}, set(), 0
    for source, destination, kinds, host, level in theirs:
        alerts += level.split(",").count("2")
        if "1" in kinds.split(","):
            names.setdefault(int(source), host)  # a second one follows a HelloRetryRequest
        if "2" in kinds.split(","):
            answered.add(int(destination))
    assert {row["client_port"]: row["name"] for row in ours} == names
    assert {row["client_port"] for row in ours if row["outcome"] == "answered"} == answered
    assert sum(row["replied"].count("alert ") for row in ours) == alerts


@pytest.mark.parametrize("name", STATUS)
def test_the_status_of_certificates(name: str) -> None:
    capture = case(name)
    words = {"0": "good", "1": "revoked", "2": "unknown"}
    theirs = dissected(capture, "ocsp.certStatus", "ocsp.certStatus", "ocsp.serialNumber")
    ours = [row for row in exchanges(capture, "ocsp", "tls-client-hello") if row["ocsp_status"]]
    serials = [serial.split(",")[0].removeprefix("0x").replace(":", "").lstrip("0") for _, serial in theirs]
    assert [row["ocsp_status"] for row in ours] == [words[status.split(",")[0]] for status, _ in theirs]
    assert [row["ocsp_serial"] for row in ours] == serials
