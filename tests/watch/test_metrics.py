"""The metrics are OpenMetrics text, whatever the names in them are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from analyzer.analysis import analyse
from analyzer.columns import Table
from analyzer.exchanges.schemas import EXCHANGES
from analyzer.watch import metrics


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a parser of OpenMetrics reads."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def requests(*rows: dict[str, Any]) -> Table:
    usual = {"capture": 0, "kind": "quic-initial", "family": "ipv4", "server_address": "192.0.2.1", "server_port": 443}
    return Table.from_rows(
        "exchanges", EXCHANGES, [usual | {"request_record": number + 1} | row for number, row in enumerate(rows)]
    )


def test_attempts_are_those_of_the_tables(silent_capture: Path) -> None:
    analysis = analyse([str(silent_capture)])
    counters: dict[str, int] = {}
    metrics.count_requests(analysis.exchanges, [set()], counters, final=[0])
    found = samples(metrics.text_of(counters, [], {}))
    for socket in analysis.sockets.rows():
        kind = {"udp": "quic-initial", "tcp": "tcp-syn"}[socket["transport"]]
        labels = {"kind": kind, "family": socket["family"], "server": socket["address"], "port": str(socket["port"])}
        for outcome in metrics.OUTCOMES:
            key = "halfshake_attempts_total", frozenset((labels | {"outcome": outcome}).items())
            assert found.get(key, 0) == socket[outcome]
        replies = "halfshake_reply_seconds_count", frozenset(labels.items())
        assert found.get(replies, 0) == socket["answered"]
        if kind == "quic-initial":
            share = frozenset((name, value) for name, value in labels.items() if name != "kind")
            assert found["halfshake_quic_answered_ratio", share] == socket["answered_share"]


def test_a_request_is_counted_once_and_when_it_is_decided() -> None:
    counters: dict[str, int] = {}
    counted: list[set[int]] = [set()]
    open_request = requests({"outcome": "undetermined"}, {"outcome": "answered", "reply_latency_s": 0.2})
    for _ in range(3):
        metrics.count_requests(open_request, counted, counters)
    assert [value for key, value in counters.items() if key.startswith('["attempts"')] == [1]
    decided = requests({"outcome": "silent"}, {"outcome": "answered", "reply_latency_s": 0.2})
    metrics.count_requests(decided, counted, counters)
    metrics.count_requests(requests({"outcome": "undetermined"}), counted, counters, final=[0])
    assert [value for key, value in counters.items() if key.startswith('["attempts"')] == [1, 1]


def test_what_stays_open_is_counted_at_the_end() -> None:
    counters: dict[str, int] = {}
    metrics.count_requests(requests({"outcome": "undetermined"}), [set()], counters, final=[0])
    assert list(counters.values()) == [1]


def test_many_sockets_share_an_entry() -> None:
    rows = [{"outcome": "silent", "server_port": port} for port in range(metrics.MOST_SOCKETS + 50)]
    counters: dict[str, int] = {}
    metrics.count_requests(requests(*rows[:700]), [set()], counters)
    metrics.count_requests(requests(*rows), [set(range(0))], counters)
    assert len(counters) == metrics.MOST_SOCKETS + 1
    assert counters[
        metrics.key_of("attempts", outcome="silent", kind="quic-initial", family="ipv4", server="other", port="")
    ] == 50  # fmt: skip


@given(name=st.text(max_size=20), number=st.integers(0, 10**12))
def test_hostile_names_stay_inside_their_labels(name: str, number: int) -> None:
    finding = {"pattern": "p", "severity": "error", "family": "ipv4", "server": name, "port": "", "name": name}
    counters = {metrics.key_of("files", result=name): number}
    found = samples(metrics.text_of(counters, [finding | {"series": name}], {name: number}))
    names = {sample for sample, _ in found}
    assert names == {
        "halfshake_files_total",
        "halfshake_open_findings",
        "halfshake_last_packet_timestamp_seconds",
    }
    assert len(found) == 3


def test_histograms_add_up() -> None:
    rows = [{"outcome": "answered", "reply_latency_s": latency} for latency in (0.0005, 0.001, 0.3, 60.0)]
    counters: dict[str, int] = {}
    metrics.count_requests(requests(*rows), [set()], counters)
    found = samples(metrics.text_of(counters, [], {}))
    labels = {"kind": "quic-initial", "family": "ipv4", "server": "192.0.2.1", "port": "443"}

    def up_to(edge: str) -> float:
        return found["halfshake_reply_seconds_bucket", frozenset((labels | {"le": edge}).items())]

    assert [up_to(edge) for edge in ("0.001", "0.25", "0.5", "10.0", "+Inf")] == [2, 2, 3, 3, 4]
    assert found["halfshake_reply_seconds_sum", frozenset(labels.items())] == 60.3015
