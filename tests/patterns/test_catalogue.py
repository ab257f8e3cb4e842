"""The form of pattern files, one fault one finding, order, links, and that tshark takes the display filters."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from unittest import mock

import pytest

from analyzer.errors import UsageError
from analyzer.patterns import catalogue, ephemeral_port_exhaustion
from analyzer.patterns.finding import CONFIDENCES, COUNTS, SEVERITIES, Finding, Pattern
from tests.patterns.busy_quic import busy_quic
from tests.patterns.questions import busy_questions
from tests.patterns.segments import MANY_PORTS, busy_tcp
from tests.patterns.tables import V4, V6, Row, capture, connection, tcp, view

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "analyzer" / "patterns"
HEADINGS = (
    "What it sees",
    "Why it matters",
    "How it decides",
    "What it cannot know",
    "Look-alikes",
    "What to do",
    "Seen in the wild",
)
#: Reports, tests and people's scripts use these.
IDS = set(
    """
quic-initial-no-reply quic-initial-acked-only quic-initial-undersized quic-client-hello-incomplete
quic-server-initial-missing quic-handshake-stalled quic-amplification-stall quic-version-mismatch quic-retry-failed
quic-handshake-closed quic-path-change-silent quic-connection-silent quic-stateless-reset quic-blocked-tcp-answered
socket-partial-silence socket-went-silent reply-from-other-address udp-port-unreachable tuple-reused-too-soon
ephemeral-port-exhaustion address-family-silent no-address-family-fallback slow-address-family-fallback
resolved-not-tried neighbour-no-reply dns-no-reply dns-error-reply ocsp-fetch-failed tcp-syn-no-reply tcp-syn-delayed
tcp-syn-refused tcp-handshake-incomplete tcp-accept-queue-overflow tcp-data-unacknowledged tcp-request-no-response
tcp-closed-without-response tcp-response-stalled tcp-reset tcp-reset-injected tcp-zero-window tls-no-server-hello
tls-alert tls-split-client-hello pmtu-black-hole capture-one-way capture-truncated capture-cut capture-drops
capture-duplicates capture-offload capture-midstream capture-clock
""".split()  # noqa: SIM905, one a line would fill two screens
)


def pattern_files() -> list[Path]:
    return [path for path in sorted(FOLDER.glob("*.py")) if "\nPATTERN = " in path.read_text(encoding="utf-8")]


def silent(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    return connection(server, at, **({"outcome": "silent", "repeats": 4} | columns))


def busy_view() -> tuple[Finding, ...]:
    """A run in which every pattern fires."""
    rows = [
        *(silent(V4, i) for i in range(1, 8)),
        connection(V6, 9),
        tcp(V4, 2.2),
        tcp(V6, 4, outcome="refused", refused_by=V6),
        tcp(V4, 10, server_port=80, outcome="silent", repeats=3),
        tcp(V6, 11, server_port=80, syn_ack_repeats=3, handshake_acked=False, repeats=1),
        connection(V4, 12, server_port=853, transport="udp", outcome="refused", icmp="port-unreachable", refused_by=V4),
        connection("192.0.2.99", 13, outcome="undetermined", outcome_reason="one-way", one_way=True, server_packets=0),
        connection("2001:db8:1::81", 14, server_port=8443, outcome="silent", replied_from=f"[{V6}]:8443", repeats=2),
        *((silent if i % 4 == 2 else connection)(V6, 15 + i, server_port=4433) for i in range(30)),
        *((silent if i > 14 else connection)(V6, 45 + i / 2, server_port=8853) for i in range(21)),
    ]
    rows += busy_quic() + busy_tcp()
    many = {"cut_records": ((0, 3),), "duplicate_records": tuple((0, 100_000 + i) for i in range(100))}
    many |= {"backward_records": ((0, 7),), "large_records": ((0, 8),)}
    captures = [capture(cut="here", ledger={"duplicates": 100}, dropped=3, **many)]
    few = replace(ephemeral_port_exhaustion.PORTS, value=MANY_PORTS)
    with mock.patch.object(ephemeral_port_exhaustion, "PORTS", few):
        return catalogue.run(view(*rows, captures=captures, **busy_questions()))


@pytest.mark.parametrize("path", pattern_files(), ids=lambda path: path.stem)
def test_form_of_a_pattern_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    module = importlib.import_module(f"analyzer.patterns.{path.stem}")
    page = (module.__doc__ or "").splitlines()
    assert [line for line in page if line in HEADINGS] == list(HEADINGS)
    assert all(line.startswith("    ") for line in page[1:] if line and line not in HEADINGS)
    assert page[0].endswith(".")
    pattern = module.PATTERN
    assert isinstance(pattern, Pattern)
    assert pattern.id == path.stem.replace("_", "-")
    assert pattern.id in IDS
    assert pattern.severity in SEVERITIES
    assert pattern.summary
    assert pattern.references
    assert all(each.name and each.unit and each.source and each.value > 0 for each in pattern.thresholds)
    assert callable(module.find)
    assert len(text.splitlines()) <= 160
    assert text.count("\nPATTERN = ") == 1


def test_catalogue_and_folder_agree() -> None:
    listed = [module.PATTERN.id for module in catalogue.CATALOGUE]
    assert len(listed) == len(set(listed))
    assert sorted(listed) == sorted(path.stem.replace("_", "-") for path in pattern_files())


def test_tables_of_the_catalogue_name_patterns_that_exist() -> None:
    named = {*catalogue.SUMMARIES, *catalogue.EXPLAINED_BY}
    named |= {each for explaining in catalogue.EXPLAINED_BY.values() for each in explaining}
    assert named <= IDS


def test_every_finding_is_an_argument() -> None:
    findings = busy_view()
    assert {finding.pattern for finding in findings} == {module.PATTERN.id for module in catalogue.CATALOGUE}
    for finding in findings:
        assert finding.severity in SEVERITIES
        assert finding.confidence in CONFIDENCES
        assert tuple(finding.counts) == COUNTS
        assert finding.because.endswith(".")
        assert not finding.because.endswith("..")
        assert finding.title
        assert finding.limitations
        assert finding.remedies
        assert finding.records
        assert finding.first_time <= finding.last_time
        assert 0 < len(finding.display_filter) <= 1000
        assert all(each.pattern in IDS and each.because for each in finding.look_alikes)


def test_order_ids_and_links() -> None:
    findings = busy_view()
    assert [finding.id for finding in findings] == [f"F{i}" for i in range(1, len(findings) + 1)]
    ranks = [SEVERITIES.index(finding.severity) for finding in findings]
    assert ranks == sorted(ranks)
    by_id = {finding.id: finding for finding in findings}
    family = next(f for f in findings if f.pattern == "address-family-silent" and f.transport == "udp")
    blocked = next(f for f in findings if f.pattern == "quic-blocked-tcp-answered")
    no_reply = next(f for f in findings if f.pattern == "quic-initial-no-reply")
    assert family.sums_up == blocked.sums_up == (no_reply.id,)
    assert no_reply.part_of == family.id == "F1"
    assert no_reply.id == "F2"
    assert all(by_id[part].part_of for finding in findings for part in finding.sums_up)


def test_a_part_of_a_lesser_summary_keeps_its_own_severity() -> None:
    findings = catalogue.run(view(silent(V4, 1), tcp(V4, 2)))
    assert [(f.id, f.pattern, f.part_of) for f in findings] == [
        ("F1", "quic-initial-no-reply", "F2"),
        ("F2", "quic-blocked-tcp-answered", ""),
    ]
    assert findings[1].sums_up == ("F1",)


def test_the_explained_finding_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explaining pattern takes its connections out of the view of the explained one."""

    class Explaining:
        PATTERN = replace(catalogue.CATALOGUE[0].PATTERN, id="quic-version-mismatch")

        @staticmethod
        def find(_: object) -> Iterator[Finding]:
            yield Finding("quic-version-mismatch", "error", "likely", "t", "b.", connections=("C1", "C2"))

    others = [module for module in catalogue.CATALOGUE if module.PATTERN.id != "quic-version-mismatch"]
    monkeypatch.setattr(catalogue, "CATALOGUE", (*others, Explaining))
    findings = catalogue.run(view(silent(V4, 1), silent(V4, 2), silent(V4, 3)))
    [rest] = [finding for finding in findings if finding.pattern == "quic-initial-no-reply"]
    assert rest.connections == ("C3",)
    findings = catalogue.run(view(silent(V4, 1), silent(V4, 2)))
    assert [finding.pattern for finding in findings] == ["quic-version-mismatch"]


def test_nothing_wrong_and_nothing_at_all() -> None:
    assert catalogue.run(view(connection(V4, 1), connection(V6, 2), tcp(V4, 3), tcp(V6, 4))) == ()
    assert catalogue.run(view()) == ()
    assert catalogue.run(replace(view(), captures=())) == ()


def test_the_same_view_gives_the_same_findings() -> None:
    assert busy_view() == busy_view()


def test_explain_prints_the_page_with_thresholds() -> None:
    page = catalogue.explain("quic-initial-no-reply")
    assert page.startswith("quic-initial-no-reply (error): ")
    assert all(f"\n{heading}\n" in page for heading in (*HEADINGS, "Thresholds", "References"))
    assert "wait = 3 s (" in page
    assert max(len(line) for line in page.splitlines()) <= 170
    with pytest.raises(UsageError, match="`halfshake explain` lists them"):
        catalogue.explain("no-such-pattern")


def test_fields_of_a_finding_are_those_of_the_report_document() -> None:
    assert {each.name for each in fields(Finding)} == {
        "id", "pattern", "severity", "confidence", "title", "because", "transport", "family", "server", "name",
        "clients", "connections", "sums_up", "part_of", "counts", "first_time", "last_time", "onset",
        "onset_bounds", "records", "display_filter", "limitations", "look_alikes", "causes", "remedies",
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_takes_the_display_filters() -> None:
    sample = next(iter(sorted((ROOT / "captures" / "02-caddy-ipv4-silent").rglob("client.pcap"))))
    filters = {finding.display_filter for finding in busy_view()}
    filters |= {finding.display_filter for finding in catalogue.run(view(*(silent(at=i / 10) for i in range(1, 400))))}
    filters |= {
        finding.display_filter
        for finding in catalogue.run(view(*(silent(f"192.0.2.{i}", i, one_way=True) for i in range(9))))
    }
    for each in sorted(filters):
        done = subprocess.run(
            ["tshark", "-r", str(sample), "-Y", each, "-c", "1"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (each, done.stderr)
