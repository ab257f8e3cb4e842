"""Captures of other projects, where they lie beside the checkout: none may fail, and no QUIC connection may be missed.

The folder is named by HALFSHAKE_PUBLIC, else it is ``../shared/public``; without it these tests are skipped.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from analyzer.analysis import Analysis, analyse
from analyzer.cli.main import main
from tests.conftest import ROOT

FOLDER = Path(os.environ.get("HALFSHAKE_PUBLIC") or ROOT.parent / "shared" / "public")
TRUTH = FOLDER / "quic_truth.json"
NO_CAPTURES = {".json", ".md"}
#: QUIC connections that the truth has not, by capture.
BEYOND = {
    # DNS over QUIC on port 853, which tshark takes for DTLS; with -d udp.port==853,quic it reads the same ALPN, doq
    "zeek/quic/quicdoq.pcap": 1,
    # a fuzzer's Initials (records 4, 7 and 9) of version 1 with a DCID of no bytes, which no keys open
    "zeek/quic/383379789-decrypt-crash.pcap": 1,
}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no public captures in {FOLDER}: set HALFSHAKE_PUBLIC")


class Row(NamedTuple):
    """A QUIC connection as both sides name it."""

    client_address: str
    client_port: int
    server_address: str
    server_port: int
    quic_version: str
    sni: str
    alpn: str


@functools.cache
def captures() -> list[Path]:
    return sorted(p for p in FOLDER.rglob("*") if p.is_file() and p.suffix not in NO_CAPTURES)


@functools.cache
def truth() -> dict[str, list[Row]]:
    if not TRUTH.exists():
        pytest.skip(f"no {TRUTH}")
    named: dict[str, list[dict[str, Any]]] = json.loads(TRUTH.read_text(encoding="utf-8"))
    return {name: [row_of(each) for each in rows] for name, rows in named.items()}


def row_of(values: dict[str, Any]) -> Row:
    row = Row(*(values[name] for name in Row._fields))
    client, server = (str(ipaddress.ip_address(each)) for each in (row.client_address, row.server_address))
    return row._replace(client_address=client, server_address=server)


def quic_rows(analysis: Analysis) -> Iterator[tuple[Row, str]]:
    """The QUIC connections and their first DCIDs."""
    table = analysis.connections
    columns = [table[name].tolist() for name in (*Row._fields, "client_dcid", "transport")]
    for *values, dcid, transport in zip(*columns, strict=True):
        if transport == "quic":
            yield Row(*values), dcid


@functools.cache
def quic_of_all() -> dict[str, list[tuple[Row, str]]]:
    """The QUIC connections of every capture; every table of each is asked for, in full."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in captures():
            analysis = analyse([str(path)])
            for table in (analysis.exchanges, analysis.sockets, analysis.resolutions, analysis.packets):
                assert len({len(table[column.name]) for column in table.schema}) <= 1, path
            assert all("\n" not in str(error) for _, error in analysis.failures), path
            found[str(path.relative_to(FOLDER))] = list(quic_rows(analysis))
    return found


def test_every_capture_is_analysed_and_accounted_for() -> None:
    """The command ends with 0, or with 2 and one line where it is no capture; the ledger adds up."""
    assert captures()
    for path in captures():
        done = CliRunner().invoke(main, ["analyze", "--json", "--quiet", str(path)])
        assert done.exception is None or isinstance(done.exception, SystemExit), path
        assert done.exit_code in (0, 2), path
        if done.exit_code == 2:
            assert len(done.stderr.splitlines()) == 1, path
            continue
        for capture in json.loads(done.stdout)["captures"]:
            parts = ("decoded", "not_ip", "fragments", "flawed", "unread_link_type")
            assert sum(capture["ledger"][part] for part in parts) == capture["ledger"]["records"], path


def test_every_quic_connection_is_found_once() -> None:
    for name, wanted in truth().items():
        found = quic_of_all()[name]
        assert not Counter(wanted) - Counter(row for row, _ in found), name
    for name, found in quic_of_all().items():
        twice = [key for key, count in Counter((row[:4], dcid) for row, dcid in found if dcid).items() if count > 1]
        assert not twice, name


def test_what_goes_beyond_the_truth_is_explained() -> None:
    beyond = Counter(
        name
        for name, found in quic_of_all().items()
        for row, _ in found
        if row[:4] not in {wanted[:4] for wanted in truth().get(name, [])}
    )
    assert beyond == Counter(BEYOND)
