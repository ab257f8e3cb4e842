"""``--filter`` and ``--config`` in the commands that take them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import call

ACCEPTED = """
[[accept]]
pattern = "address-family-silent"
server = "192.0.2.80:443"
reason = "no HTTP/3 over IPv4 on the old <b>cluster</b>"

[[accept]]
pattern = "quic-blocked-tcp-answered"
reason = "the same"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "halfshake.toml"
    path.write_text(ACCEPTED, encoding="utf-8")
    return path


def test_every_command_that_reads_looks_at_what_is_left(silent_capture: Path, tmp_path: Path) -> None:
    told = call("analyze", silent_capture, "--filter", "ipv6 or tcp")
    assert "filter ipv6 or tcp: 7 of 12 connections looked at" in " ".join(told.stdout.split())
    assert call("analyze", silent_capture, "--filter", "ipv6", "--fail-on", "warning").status == 0
    assert len(call("export", "connections", silent_capture, "--filter", "tcp").stdout.splitlines()) == 3
    assert call("check", silent_capture, "--filter", "ipv6 or tcp").status == 0
    assert call("check", silent_capture, "--filter", "port 53").status == 3
    compared = call("compare", silent_capture, silent_capture, "--filter", "tcp")
    assert (compared.status, compared.stdout) == (0, "nothing changed\n")
    out = tmp_path / "f1.pcapng"
    assert call("excerpt", silent_capture, "--finding", "F1", "--filter", "ipv4 and udp", "-o", out).status == 0


def test_a_filter_that_cannot_be_read_is_wrong_usage_before_anything_is_read(tmp_path: Path) -> None:
    done = call("analyze", tmp_path / "missing.pcap", "--filter", "host 192.0.2.1 and prot 53")
    assert done.status == 2
    assert "at character 20 (host 192.0.2.1 and >>>prot 53); did you mean 'port'?" in done.stderr


def test_accepted_findings_are_shown_and_do_not_count(silent_capture: Path, config: Path, tmp_path: Path) -> None:
    assert call("analyze", silent_capture, "--fail-on", "warning").status == 1
    done = call("analyze", silent_capture, "--fail-on", "warning", "--config", config, "-o", tmp_path / "report")
    assert done.status == 0
    assert done.stdout.startswith("NO NEW FAULT: ")
    assert "F2 error, accepted: " in done.stdout
    assert call("check", silent_capture, "--config", config).status == 0
    document = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert {finding["accepted"][:8] for finding in document["findings"]} == {"no HTTP/", "the same"}
    sarif = json.loads((tmp_path / "report" / "report.sarif").read_text(encoding="utf-8"))
    assert [len(result["suppressions"]) for result in sarif["runs"][0]["results"]] == [1, 1, 1]
    assert "accepted: " in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<dt>Accepted</dt>" in page
    assert "<b>cluster" not in page


def test_accepted_findings_are_not_worse(silent_capture: Path, captures: Path, config: Path) -> None:
    before = captures / "01-caddy-http3-ok" / "caddy-2.6.2" / "server.pcap"
    told = call("compare", before, silent_capture, "--config", config).stdout
    assert "worse    appeared" not in told


def test_a_configuration_that_is_not_right_is_wrong_usage(silent_capture: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[[accept]]\npattern = "quic-initial-noreply"\nreason = "x"\n', encoding="utf-8")
    done = call("analyze", silent_capture, "--config", wrong)
    assert done.status == 2
    assert "did you mean 'quic-initial-no-reply'?" in done.stderr
