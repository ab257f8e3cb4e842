"""The sentences and the order that all reports share."""

from __future__ import annotations

import pytest

from analyzer.reports.summary import (
    cannot_show,
    cited_records,
    first_sockets,
    ledger_lines,
    severity_counts,
    since,
    socket_groups,
    totals,
    verdict_of,
)
from tests.reports import example


def test_families_of_one_name_stand_side_by_side_the_failing_one_first() -> None:
    groups = socket_groups(example.silent())
    assert [(group.title, [(line.family, line.status) for line in group.lines]) for group in groups] == [
        ("example.com udp/443", [("ipv4", "silent"), ("ipv6", "answered")]),
        ("example.com tcp/443", [("ipv4", "answered"), ("ipv6", "answered")]),
    ]
    assert totals(groups) == {"sockets": 4, "attempts": 12, "answered": 7, "silent": 5, "refused": 0, "undetermined": 0}


def test_sockets_without_a_name_stay_apart() -> None:
    rows = example.connection_rows(name="")
    assert len(socket_groups(example.analysis_of(rows, []))) == 4


def test_the_first_sockets_are_cut_inside_a_group() -> None:
    groups = socket_groups(example.silent())
    for most, sizes in ((0, []), (1, [1]), (2, [2]), (3, [2, 1]), (9, [2, 2])):
        shown, left_out = first_sockets(groups, most)
        assert [len(group.lines) for group in shown] == sizes
        assert left_out == 4 - sum(sizes)


@pytest.mark.parametrize(
    ("outcomes", "onset", "status"),
    [
        (["answered", "undetermined"], -1, "answered"),
        (["silent", "undetermined"], -1, "silent"),
        (["refused"], -1, "refused"),
        (["refused", "silent"], -1, "unanswered"),
        (["answered", "silent"], -1, "part answered"),
        (["answered", "silent"], 5, "fell silent"),
        (["undetermined"], -1, "undetermined"),
    ],
)
def test_a_socket_is_told_in_a_word(outcomes: list[str], onset: int, status: str) -> None:
    row = example.connection_rows()[0]
    rows = [{**row, "outcome": outcome, "onset": onset} for outcome in outcomes]
    assert socket_groups(example.analysis_of(rows, []))[0].lines[0].status == status


def judged(analysis: example.Example) -> tuple[str, str, str]:
    verdict = verdict_of(analysis, socket_groups(analysis))
    return verdict.level, verdict.word, verdict.sentence


def test_verdicts() -> None:
    assert judged(example.silent()) == (
        "error",
        "Fault found",
        "example.com answers UDP port 443 over IPv6 and never over IPv4",
    )
    assert judged(example.healthy()) == (
        "good",
        "No silent sockets seen",
        "7 of 7 attempts on 3 server sockets were answered",
    )
    assert judged(example.empty()) == ("unknown", "Nothing to judge", "no connection attempt in 0 records")
    assert judged(example.mixed()) == (
        "unknown",
        "No fault found",
        (
            "4 of 7 attempts on 1 server socket were answered; 1 more cannot be judged from this capture, "
            "2 silent and 1 refused"
        ),
    )


def test_a_capture_that_cannot_tell_is_not_called_healthy() -> None:
    rows = [{**row, "outcome": "undetermined", "outcome_reason": "one-way"} for row in example.connection_rows()]
    analysis = example.analysis_of(rows, [])
    assert judged(analysis) == ("unknown", "Cannot tell", "the capture shows the outcome of none of 12 attempts")
    assert cannot_show(analysis) == ["12 attempts without a judgement: one-way"]


def test_notes_alone_do_not_make_a_fault() -> None:
    note = {**example.silent_findings()[0], "severity": "info", "part_of": None}
    assert judged(example.with_findings(example.healthy(), [note]))[0] == "good"


def test_records_are_cited_with_the_name_of_their_capture_where_there_are_several() -> None:
    one = {"records": [[0, 7], [0, 8], [0, 12]], "counts": {"records": 4000}}
    assert cited_records(one, [{"name": "a"}], most=5) == "7–8, 12 (4,000 records)"
    assert cited_records(one, [{"name": "a"}], most=1) == "7–8, … (4,000 records)"
    two = {"records": [[0, 7], [1, 8]], "counts": {}}
    assert cited_records(two, [{"name": "a"}, {"name": "b"}], most=5) == "a: 7; b: 8 (2 records)"
    assert cited_records({"records": []}, [], most=5) == ""


def test_since_prefers_the_onset() -> None:
    assert since({"onset": None, "first_time": "A", "last_time": "B"}) == "A to B"
    assert since({"onset": None, "first_time": "A", "last_time": "A"}) == "A"
    assert since({"onset": "O", "onset_bounds": ["G", "B"]}) == "O (last good G, first bad B)"
    assert since({"onset": None, "first_time": None, "last_time": None}) == ""


def test_the_ledger_accounts_for_the_records() -> None:
    assert list(ledger_lines(example.silent().document)) == [
        (
            "server.pcap (pcap): 155 records: 153 decoded, 2 not IP; "
            "2026-11-21T23:05:21.246008000Z to 2026-11-21T23:05:51.575337000Z"
        ),
        "server.pcap: recorded at the server (the first SYN/ACK follows its SYN after 21 µs)",
    ]
    cut = example.capture_fact() | {"ledger": {"records": 3, "truncated": 2, "cut": "cut at byte 90"}, "vantage": ""}
    lines = list(ledger_lines({"captures": [cut]}))
    assert lines[0].startswith("server.pcap (pcap): 3 records: 2 cut by the snapshot length; ")
    assert lines[1] == "server.pcap: cut at byte 90"


def test_severities_are_counted_in_words() -> None:
    assert severity_counts(example.silent_findings()) == "2 errors and 1 warning"
    assert severity_counts([]) == "none"
