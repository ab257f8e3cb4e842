"""Every file of known incidents has its form, and findings name those that fit, best first."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.errors import UsageError
from analyzer.knowledge import incidents as knowledge
from analyzer.knowledge.facts import Facts
from analyzer.patterns import catalogue
from analyzer.patterns.finding import Finding
from tests.patterns.tables import V4, V6, Row, capture, connection, found, tcp, view
from tests.patterns.test_catalogue import IDS
from tests.running import call

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
FILES = sorted(knowledge.FOLDER.glob("*.toml"))
FITS = ("likely", "possible", "less likely")
LEAST = {
    "id": "mine", "title": "t", "cause": "c", "confirm": "`true`", "workaround": "w", "fix": "f",
    "url": "https://example.com/", "patterns": ["socket-went-silent"],
}  # fmt: skip


def silent(server: str = V4, at: float = 1.0, **columns: object) -> Row:
    return connection(server, at, **({"outcome": "silent", "repeats": 4} | columns))


def names(finding: Finding | dict[str, object]) -> list[object]:
    causes = finding.causes if isinstance(finding, Finding) else finding["causes"]
    return [cause["incident"] for cause in causes]  # type: ignore[attr-defined]


def findings_of(case: str, pattern: str) -> list[dict[str, object]]:
    document = analyse([str(CAPTURES / case)]).document
    return [finding for finding in document["findings"] if finding["pattern"] == pattern]


def test_there_are_many() -> None:
    assert len(FILES) >= 40
    assert len(knowledge.incidents()) == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_form_of_an_incident_file(path: Path) -> None:
    incident = knowledge.read_incident(tomllib.loads(path.read_text(encoding="utf-8")))
    assert incident.id == path.stem
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", incident.id)
    assert incident.patterns
    assert set(incident.patterns) <= IDS
    assert len(set(incident.patterns)) == len(incident.patterns)
    assert incident.software
    assert incident.signs_for
    assert all(sign.weight >= 0 and sign.says for sign in incident.signs_for + incident.signs_against)
    assert all(not sign.says.endswith(".") for sign in incident.signs_for + incident.signs_against)
    assert all(text.endswith(".") for text in (incident.cause, incident.workaround, incident.fix))
    assert not incident.title.endswith(".")
    assert "`" in incident.confirm, "the confirmation holds a command"
    assert incident.confirm.count("`") % 2 == incident.workaround.count("`") % 2 == 0
    assert all(re.fullmatch(r"https://[^\s<>\"]+", url) for url in (incident.url, *incident.more))
    partners = [knowledge.known(name) for name in incident.together]
    assert all(incident.id in partner.together for partner in partners)
    assert all(set(partner.patterns) & set(incident.patterns) or partner.id for partner in partners)


def test_ipv4_silent_names_caddy_and_the_firewall_that_looks_the_same() -> None:
    for end in ("server", "client"):
        case = f"02-caddy-ipv4-silent/nft-output-drop/{end}.pcap"
        for pattern in ("quic-initial-no-reply", "address-family-silent"):
            [finding] = findings_of(case, pattern)
            causes = finding["causes"]
            assert isinstance(causes, list)
            place = names(finding).index("caddy-quic-go-freebsd-ipv4")
            assert place < 2
            assert "default_bind" in causes[place]["workaround"]
            assert "nft list ruleset" in causes[place]["confirm"]
            assert "a local firewall drop, which looks the same" in causes[place]["confirm"]
            assert any("firewall looks the same" in each for each in causes[place]["against"])
            assert names(finding)[place + 1] == "picoquic-freebsd-bound-address"
            assert "Do not bind" in causes[place + 1]["workaround"]
            assert "host-firewall-drops-udp" in names(finding)[:3]


def test_a_dead_socket_of_a_group_names_the_reload_of_nginx() -> None:
    for finding in findings_of("04-reuseport-dead-worker/nginx-onset/server.pcap", "socket-partial-silence"):
        assert names(finding)[:2] == ["nginx-reload-reuseport", "openresty-quic-bpf-reload"]
        causes = finding["causes"]
        assert isinstance(causes, list)
        assert "Restart in place of reload" in causes[0]["workaround"]
        assert causes[0]["fit"] == "likely"
        assert "caddy-quic-go-freebsd-ipv4" not in names(finding)


@pytest.mark.parametrize(
    ("case", "pattern", "first"),
    [
        ("05-wrong-source-address/aioquic-v4/server.pcap", "reply-from-other-address", "wildcard-socket-multihomed"),
        (
            "16-quic-one-family-listener/nginx-quic-v4-only/server.pcap",
            "udp-port-unreachable",
            "listener-of-one-family",
        ),
        (
            "16-quic-one-family-listener/nginx-quic-v4-only/server.pcap",
            "address-family-silent",
            "listener-of-one-family",
        ),
        ("12-happy-eyeballs/v6-blackhole/client.pcap", "address-family-silent", "dead-aaaa-record"),
    ],
)
def test_the_incident_of_a_recorded_case_stands_first(case: str, pattern: str, first: str) -> None:
    for finding in findings_of(case, pattern):
        assert names(finding)[0] == first


def test_causes_are_entries_of_the_report_document() -> None:
    seen = view(*(silent(V4, i) for i in range(1, 4)), connection(V6, 9), tcp(V4, 10))
    for finding in knowledge.with_causes(catalogue.run(seen), seen):
        assert 0 < len(finding.causes) <= knowledge.MOST_CAUSES
        for cause in finding.causes:
            assert list(cause) == ["incident", "fit", "for", "against", "confirm", "workaround", "fix", "url"]
            assert cause["fit"] in FITS


def test_answers_in_the_same_family_rule_out_what_spares_none() -> None:
    seen = view(silent(V4, 1), connection(V4, 2), connection(V6, 9), tcp(V4, 10))
    [finding] = knowledge.with_causes(found("quic-initial-no-reply", seen), seen)
    assert not {"caddy-quic-go-freebsd-ipv4", "host-firewall-drops-udp"} & set(names(finding))


def test_the_vantage_speaks_for_and_against() -> None:
    rows = [*(silent(V4, i, largest_request=1300) for i in range(1, 4)), tcp(V4, 10)]
    at_client = view(*rows, captures=[capture(vantage="client")])
    at_server = view(*rows, captures=[capture(vantage="server")])
    causes = [
        names(knowledge.with_causes(found("quic-initial-no-reply", seen), seen)[0]) for seen in (at_client, at_server)
    ]
    assert "aws-nlb-without-udp-listener" in causes[0]
    assert "aws-nlb-without-udp-listener" not in causes[1]


def test_a_finding_without_known_cause_has_none() -> None:
    seen = view(connection(V4, 1))
    [finding] = knowledge.with_causes([Finding("capture-cut", "info", "certain", "t", "b.")], seen)
    assert finding.causes == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cause": 5}, "these texts are missing: cause"),
        ({"colour": "red"}, "unknown keys: colour"),
        ({"patterns": "socket-went-silent"}, "patterns must be a list of texts"),
        ({"needs": ["colour == red"]}, "'colour', which is no fact"),
        ({"for": [{"if": "always"}]}, "a sign has the keys if, says"),
        ({"for": [{"if": "always", "says": "s", "weight": "much"}]}, "weight must be a number"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_file_is_said(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        knowledge.read_incident(LEAST | wrong)


def test_those_that_name_a_pattern_are_all_that_fit_it() -> None:
    every = knowledge.incidents()
    for pattern in {pattern for incident in every for pattern in incident.patterns}:
        naming = knowledge.incidents_naming(frozenset({pattern}))
        assert {each.id for each in every if pattern in each.patterns} <= {each.id for each in naming}
        assert [each for each in every if each in naming] == list(naming)
    assert 0 < len(knowledge.incidents_naming(frozenset({"dns-no-reply"}))) < len(every)


def test_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in LEAST.items()]
    (tmp_path / "mine.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv(knowledge.OWN_FOLDER, str(tmp_path))
    knowledge.incidents_naming.cache_clear()
    try:
        assert knowledge.known("mine").title == "t"
        (tmp_path / "mine.toml").write_text("id = ", encoding="utf-8")
        knowledge.incidents_naming.cache_clear()
        with pytest.raises(UsageError, match=r"mine\.toml"):
            knowledge.incidents()
        monkeypatch.setenv(knowledge.OWN_FOLDER, str(tmp_path / "none"))
        with pytest.raises(UsageError, match="cannot read the folder"):
            knowledge.incidents()
    finally:
        monkeypatch.delenv(knowledge.OWN_FOLDER)
        knowledge.incidents_naming.cache_clear()


def test_explain_prints_the_page_of_an_incident() -> None:
    shown = call("explain", "--incident", "nginx-reload-reuseport")
    assert shown.status == 0
    for heading in ("Cause", "Confirm", "Workaround", "Fix", "Software", "Patterns that it fits", "Links"):
        assert f"\n{heading}\n" in shown.stdout
    assert call("explain", "--incident", "nope").status == 2
    assert call("explain", "socket-went-silent", "--incident", "nginx-reload-reuseport").status == 2


def test_explain_lists_incidents() -> None:
    assert len(call("explain", "--incidents").stdout.splitlines()) == len(FILES)
    shown = call("explain", "socket-partial-silence", "--incidents").stdout
    assert "nginx-reload-reuseport" in shown
    assert "caddy" not in shown
    assert call("explain", "no-such-pattern", "--incidents").status == 2


def test_what_to_type_names_the_finding_s_server() -> None:
    seen = view(*(silent(V4, i, server_port=8443) for i in range(1, 4)), connection(V6, 9, server_port=8443))
    [finding] = knowledge.with_causes(found("quic-initial-no-reply", seen), seen)
    causes = {cause["incident"]: cause for cause in finding.causes}
    assert f"`default_bind {V4}`" in str(causes["caddy-quic-go-freebsd-ipv4"]["workaround"])
    assert not [cause for cause in causes.values() if "SERVER_" in f"{cause['confirm']}{cause['workaround']}"]


def test_facts_of_a_typed_table_are_found_by_name() -> None:
    seen = view(connection(V4, 1), silent(V4, 2), silent(V4, 3))
    finding = Finding("quic-initial-no-reply", "error", "likely", "t", "b.", connections=("C3", "C9"))
    assert Facts(finding, seen).column("connection") == ["C3"]
