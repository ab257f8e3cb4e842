from __future__ import annotations

import pytest

from tests.patterns.tables import V4, Row, connection, found, story, view

ID = "quic-version-mismatch"


def negotiated(at: float = 1.0, *, columns: Row | None = None, **facts: object) -> Row:
    usual = {
        "server_sent": "version-negotiation", "versions_offered": "0xff00001d", "server_version": "",
        "versions_listed": "0x00000001,0x6b3343cf,0x1a2a3a4a",
    }  # fmt: skip
    refused = {"outcome": "refused", "outcome_reason": "version-negotiation", "reply": 0.02}
    return connection(V4, at, story=story(**(usual | facts)), **(refused | (columns or {})))


SILENT = {"outcome": "silent", "outcome_reason": "", "version_known": False, "reply": None}
ANSWERED = {"outcome": "answered", "outcome_reason": ""}


def test_negotiation_that_nothing_follows() -> None:
    [finding] = found(ID, view(negotiated(1), negotiated(2)))
    assert (finding.severity, finding.confidence, finding.family) == ("error", "certain", "ipv4")
    assert "offered 0xff00001d: a Version Negotiation came and no connection after it" in finding.because
    assert "lists 0x00000001 and 0x6b3343cf" in finding.because


def test_a_list_that_names_the_version_offered() -> None:
    repeats = negotiated(versions_offered="0x00000001", columns={"outcome": "answered", "outcome_reason": ""})
    [finding] = found(ID, view(repeats))
    assert "lists the version that was offered" in finding.because


def test_an_unknown_version_without_an_answer() -> None:
    [finding] = found(ID, view(negotiated(server_sent="", versions_offered="0x12345678", columns=SILENT)))
    assert (finding.severity, finding.confidence) == ("error", "likely")
    assert "nothing came back" in finding.because


def test_a_probe_is_info() -> None:
    [finding] = found(ID, view(negotiated(versions_offered="0x1a2a3a4a", hello_read=False)))
    assert (finding.severity, finding.confidence) == ("info", "possible")
    [finding] = found(ID, view(negotiated(versions_offered="0x1a2a3a4a", hello_read=True)))
    assert finding.severity == "error"


def test_an_answer_in_another_version() -> None:
    other = negotiated(
        server_sent="handshake", server_version="0xff00001d", versions_offered="0x00000001", columns=ANSWERED
    )
    [finding] = found(ID, view(other))
    assert "in a version that was not offered" in finding.because


@pytest.mark.parametrize(
    "near_miss",
    [
        {"completed": True},
        {"server_crypto": True},
        {"columns": ANSWERED},  # it went on in another version
        {"server_sent": "", "columns": SILENT | {"version_known": True}},
        {"server_sent": "", "columns": SILENT | {"outcome": "undetermined"}},
        {"server_sent": "initial", "server_version": "0x6b3343cf", "compatible": True, "columns": ANSWERED},
    ],
    ids=str,
)
def test_near_misses(near_miss: dict[str, object]) -> None:
    assert not found(ID, view(negotiated(**near_miss)))  # type: ignore[arg-type]


def test_capture_that_stopped_early() -> None:
    assert not found(ID, view(negotiated(1), lasts=1.26))
    assert found(ID, view(negotiated(1), lasts=1.28))
    assert not found(ID, view(negotiated(server_sent="", versions_offered="0x12345678", columns=SILENT), lasts=3.9))


def test_a_client_that_goes_on_with_another_connection_has_converged() -> None:
    assert not found(ID, view(negotiated(1), connection(V4, 1.2)))
    assert found(ID, view(negotiated(1), connection(V4, 7)))
    assert found(ID, view(negotiated(1), connection(V4, 1.2, client_address="192.0.2.11")))
