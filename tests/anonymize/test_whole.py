"""What --anonymize writes, as a whole: nothing of the original in it, and everything that tells what went wrong."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analyzer.analysis import Analysis, analyse
from analyzer.anonymize.anonymizer import Anonymizer
from analyzer.anonymize.key import Key
from analyzer.capture.writer import PcapngWriter
from tests.anonymize.secrets import clear_initials, leaks, records_of, secrets_of, udp_payloads
from tests.running import call

KEY = bytes(range(50, 82))
SHOWN = [
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",
    "04-reuseport-dead-worker/nginx-onset/server.pcap",
    "03-haproxy-ocsp-ipv6/noroute-default/haproxy-side.pcap",
]
CAPTURES = Path(__file__).parents[2] / "captures"
ALL = sorted(path.relative_to(CAPTURES).as_posix() for path in CAPTURES.rglob("*.pcap*"))
#: One capture of each case.
EACH = [min(folder.glob("*.pcap*")).relative_to(CAPTURES).as_posix() for folder in sorted(CAPTURES.glob("*/*/"))]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_bytes(KEY)
    return path


def fields(tshark: str, path: Path, *names: str, only: str = "frame") -> list[list[str]]:
    command = [tshark, "-n", "-2", "-r", str(path), "-Y", only, "-T", "fields", *(w for n in names for w in ("-e", n))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("case", SHOWN)
def test_nothing_of_the_original_is_in_the_folder(case: str, captures: Path, tmp_path: Path, key_file: Path) -> None:
    capture = captures / case
    secrets = secrets_of(analyse([str(capture)])) | {capture.name: [capture.name.encode()]}
    assert len(secrets) > 4
    done = call("analyze", capture, "-o", tmp_path / "report", "--anonymize", "--anonymize-key", key_file, "--full")
    assert done.status == 0
    assert leaks((done.stdout + done.stderr).encode(), secrets) == []
    files = [path for path in (tmp_path / "report").rglob("*") if path.is_file()]
    assert {"report.json", "report.html", "report.md", "report.sarif"} < {path.name for path in files}
    for path in files:
        assert leaks(path.read_bytes(), secrets) == [], path.name
        assert KEY not in path.read_bytes()
    clear = list(clear_initials(udp_payloads(records_of(tmp_path / "report" / "evidence.pcapng"))))
    assert leaks(b"\n".join(clear), secrets) == []
    if "quic" in analyse([str(capture)]).connections["transport"].tolist():
        assert len(clear) > 5


@pytest.mark.parametrize(
    "names",
    [
        ("07-retry/retry-lost/client.pcap", "07-retry/retry-lost/server.pcap"),
        ("10-migration/nat-nginx1/client.pcap", "10-migration/nat-nginx1/server.pcap"),
        ("15-any-interface/dnat/host-any.pcap",),
    ],
)
def test_what_several_places_tell_is_mapped_as_well(names: tuple[str, ...], captures: Path, key_file: Path) -> None:
    files = [captures / name for name in names]
    original = analyse([str(file) for file in files])
    secrets = secrets_of(original) | {file.name: [file.name.encode()] for file in files}
    done = call("analyze", *files, "--json", "--anonymize", "--anonymize-key", key_file)
    assert leaks((done.stdout + done.stderr).encode(), secrets) == []
    kept = [(finding["pattern"], finding["counts"]) for finding in done.document["findings"]]
    assert kept == [(finding["pattern"], finding["counts"]) for finding in original.document["findings"]]


@pytest.mark.parametrize("case", SHOWN)
def test_wireshark_finds_the_same_hellos_and_nothing_malformed(
    case: str, captures: Path, tmp_path: Path, key_file: Path, tshark: str
) -> None:
    both = tmp_path / "plain.pcapng", tmp_path / "safe.pcapng"
    analysis = analyse([str(captures / case)])
    wanted = [word for finding in analysis.found for word in ("--finding", finding.id)]
    assert call("excerpt", captures / case, *wanted, "-o", both[0]).status == 0
    assert call("excerpt", captures / case, *wanted, "-o", both[1], "--anonymize-key", key_file).status == 0
    kinds = [
        Counter(map(tuple, fields(tshark, path, "quic.long.packet_type", "tls.handshake.type", "udp.port", "tcp.port")))
        for path in both
    ]
    # A Handshake packet at the end of a datagram is cut, and only the header of a cut one is dissected.
    assert kinds[0] == kinds[1]
    assert fields(tshark, both[1], "frame.number", only="_ws.malformed") == []
    names = [
        {row[0] for row in fields(tshark, path, "tls.handshake.extensions_server_name") if row != [""]} for path in both
    ]
    assert len(names[0]) == len(names[1])
    assert not names[0] & names[1]


@pytest.mark.parametrize("case", SHOWN[:1])
def test_checksums_are_right_where_the_whole_packet_is_there(
    case: str, captures: Path, tmp_path: Path, key_file: Path, tshark: str
) -> None:
    path = tmp_path / "safe.pcapng"
    write_safe(captures / case, path)
    options = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
    bad = (
        "ip.checksum.status == Bad || udp.checksum.status == Bad || tcp.checksum.status == Bad || icmp.checksum.status"
    )
    bad += " == Bad || icmpv6.checksum.status == Bad"
    counts = []
    for each in (captures / case, path):
        command = [tshark, "-n", *options, "-r", str(each), "-Y", f"({bad}) && frame.cap_len == frame.len"]
        counts.append(len(subprocess.run(command, capture_output=True, check=True).stdout.splitlines()))
    assert counts[1] <= counts[0]
    command = [tshark, "-n", *options, "-r", str(path), "-Y", "udp.checksum.status == Good && quic"]
    assert len(subprocess.run(command, capture_output=True, check=True).stdout.splitlines()) > 5


def write_safe(capture: Path, path: Path) -> None:
    """The whole capture as it may be shown."""
    copies, _ = Anonymizer(Key(KEY)).copies(records_of(capture))
    with path.open("wb") as file:
        writer = PcapngWriter(file, application="test")
        for record in copies:
            writer.write(record)


def told(analysis: Analysis) -> Counter[tuple[Any, ...]]:
    """Pattern, severity and counts of all findings but the one which says that a copy is cut."""
    return Counter(
        (finding.pattern, finding.severity, finding.counts["attempts"], finding.counts["affected"])
        for finding in analysis.found
        if finding.pattern != "capture-truncated"
    )


def outcomes(analysis: Analysis) -> list[list[Any]]:
    """What became of each connection."""
    names = ("transport", "family", "client_port", "server_port", "outcome", "outcome_reason", "history", "state")
    names += ("reply_record", "quic_version", "retry", "close_code", "tls_version")  # type: ignore[assignment]
    return [analysis.connections[name].tolist() for name in names]


@pytest.mark.parametrize("case", ALL)
def test_the_copy_of_a_capture_shows_the_same_faults(case: str, captures: Path, tmp_path: Path) -> None:
    original = analyse([str(captures / case)])
    write_safe(captures / case, tmp_path / "safe.pcapng")
    copy = analyse([str(tmp_path / "safe.pcapng")])
    assert told(copy) == told(original)
    assert outcomes(copy) == outcomes(original)
    octets = (tmp_path / "safe.pcapng").read_bytes()
    assert leaks(octets, secrets_of(original)) == []
    assert b"eth7" not in octets


@pytest.mark.parametrize("case", EACH)
def test_an_anonymised_analysis_says_what_the_plain_one_says(case: str, captures: Path) -> None:
    plain = analyse([str(captures / case)])
    safe = plain.anonymized(Anonymizer(Key(KEY)))
    assert [(f.id, f.pattern, f.severity, f.confidence, f.counts, f.records) for f in plain.found] == [
        (f.id, f.pattern, f.severity, f.confidence, f.counts, f.records) for f in safe.found
    ]
    for shown, original in zip(safe.found, plain.found, strict=True):
        assert [cause["incident"] for cause in shown.causes] == [cause["incident"] for cause in original.causes]
    if secrets := secrets_of(plain):
        assert leaks(str(safe.document).encode(), {name: forms[:1] for name, forms in secrets.items()}) == []
    assert outcomes(plain) == outcomes(safe)
    assert safe.document["anonymized"] == {"times": "kept", "evidence": None}
    assert "anonymized" not in plain.document


def test_filters_and_reasons_of_the_user_are_not_shown(captures: Path, tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "accept.toml").write_text(
        '[[accept]]\npattern = "quic-blocked-tcp-answered"\nserver = "192.0.2.80"\nreason = "as alice said"\n'
    )
    capture = captures / SHOWN[0]
    chosen = ["--filter", "host 192.0.2.80", "--config", tmp_path / "accept.toml"]
    plain = call("analyze", "--json", capture, *chosen).document
    safe = call("analyze", "--json", capture, *chosen, "--anonymize-key", key_file).document
    assert [finding["accepted"] for finding in plain["findings"]].count("as alice said") > 0
    accepted = [bool(finding["accepted"]) for finding in plain["findings"]]
    assert [bool(finding["accepted"]) for finding in safe["findings"]] == accepted
    assert safe["filter"] == plain["filter"] | {"expression": "(not shown)"}
    assert "alice" not in str(safe)
    assert "192.0.2.80" not in str(safe)


def test_an_analysis_stays_anonymised_whatever_is_chosen_of_it(captures: Path) -> None:
    safe = analyse([str(captures / SHOWN[0])]).anonymized(Anonymizer(Key(KEY)))
    assert safe.with_patterns(()).anonymizer is safe.anonymizer
    assert "anonymized" in safe.with_patterns(()).document


def test_the_same_key_gives_the_same_bytes_and_no_key_others(
    captures: Path, tmp_path: Path, key_file: Path, silent_capture: Path
) -> None:
    made = {}
    for name, options in {"a": ["--anonymize-key", key_file], "b": ["--anonymize-key", key_file], "c": []}.items():
        path = tmp_path / name
        assert call("excerpt", silent_capture, "--finding", "F1", "-o", path, "--anonymize", *options).status == 0
        made[name] = path.read_bytes()
    assert made["a"] == made["b"]
    assert made["a"] != made["c"]


def test_what_is_no_key_is_a_usage_error(silent_capture: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"password")
    done = call("analyze", silent_capture, "--anonymize-key", tmp_path / "key")
    assert done.status == 2
    assert "32 bytes or 64 hexadecimal digits" in done.stderr


def test_report_folder_and_schema_agree_on_what_was_cut(captures: Path, tmp_path: Path, key_file: Path) -> None:
    import json

    import jsonschema

    folder = tmp_path / "report"
    assert call("analyze", captures / SHOWN[0], "-o", folder, "--anonymize-key", key_file, "-q").status == 0
    document = json.loads((folder / "report.json").read_text())
    evidence = document["anonymized"]["evidence"]
    records = records_of(folder / "evidence.pcapng")
    assert evidence["records"] == len(records)
    assert evidence["cut"] == sum(len(record.captured) < record.original_length for record in records) > 0
    assert f"{evidence['cut']} records cut" in (folder / "report.md").read_text()
    schema = json.loads((Path(__file__).parents[2] / "analyzer/reports/schemas/report.schema.json").read_text())
    jsonschema.validate(document, schema)
