"""The evidence capture: what is chosen, why, and that the copy is the original's bytes."""

from __future__ import annotations

import gzip
import io
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.analysis import Analysis, analyse
from analyzer.errors import UsageError
from analyzer.reports.evidence import chosen, copy
from analyzer.reports.evidence.chosen import chosen_records
from analyzer.reports.evidence.contrast import compared_with
from analyzer.reports.evidence.copy import read_again, write_evidence
from tests.reports import example


@pytest.fixture(scope="module")
def silent(silent_capture: Path) -> Analysis:
    return analyse([str(silent_capture)])


def evidence(analysis: Analysis, path: Path) -> int:
    with path.open("wb") as file:
        return write_evidence(file, analysis, analysis.document["findings"]).records


def shown(tshark: str, path: Path, *fields: str) -> list[list[str]]:
    options = [word for field in fields for word in ("-e", field)]
    done = subprocess.run([tshark, "-r", path, "-T", "fields", *options], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_each_comment_says_finding_role_file_and_record(silent: Analysis) -> None:
    comments = chosen_records(silent, silent.document["findings"]).comments
    assert comments[0, 7].startswith("F1 address-family-silent, F2 quic-initial-no-reply")
    assert comments[0, 7].endswith(": C1 quic request [server.pcap, record 7]")
    assert comments[0, 8].endswith(": C1 quic request, repeat 1 [server.pcap, record 8]")


def test_what_the_claim_is_held_against_is_there_too(silent: Analysis, captures: Path) -> None:
    comments = chosen_records(silent, silent.document["findings"]).comments
    held = {record: comment for record, comment in comments.items() if "for comparison" in comment}
    # The first handshakes over IPv6 and over TCP after the silence: records 60 and 29 are their requests.
    assert comments[0, 60].startswith("F1 address-family-silent, for comparison: ")
    assert "quic-blocked-tcp-answered, for comparison: C6 tcp request" in comments[0, 29]
    assert not {record for finding in silent.document["findings"] for record in map(tuple, finding["records"])} & set(
        held
    )


def test_a_dead_socket_of_a_group_is_shown_beside_a_live_one(captures: Path) -> None:
    path = next((captures / "04-reuseport-dead-worker").rglob("server.pcap"))
    analysis = analyse([str(path)])
    (finding, *_) = [f for f in analysis.document["findings"] if f["pattern"] == "socket-partial-silence"]
    names = compared_with(analysis, finding)
    table = analysis.connections
    rows = [row for row in table.rows() if row["connection"] in names]
    assert rows
    assert all(row["outcome"] == "answered" and row["server_address"] == finding["server"]["address"] for row in rows)


def test_a_finding_that_compares_nothing_is_held_against_nothing() -> None:
    analysis = example.silent()
    assert compared_with(analysis, example.NO_REPLY) == []
    assert compared_with(analysis, {**example.FAMILY_SILENT, "connections": []}) == []
    assert compared_with(example.analysis_of([], []), example.FAMILY_SILENT) == []


def test_handshakes_of_the_connections_are_chosen_besides_what_is_cited(silent: Analysis) -> None:
    (blocked,) = [each for each in silent.document["findings"] if each["pattern"] == "quic-blocked-tcp-answered"]
    packets = silent.packets
    rows = zip(packets["record"].tolist(), packets["connection"].tolist(), strict=True)
    compared = compared_with(silent, blocked)
    wanted = {record for record, name in rows if name in {*blocked["connections"], *compared}}
    chosen_ = chosen_records(silent, [blocked]).comments
    assert {record for _, record in chosen_} == wanted | {record for _, record in blocked["records"]}


def test_the_copy_holds_the_bytes_and_times_of_the_original(
    silent: Analysis, silent_capture: Path, tmp_path: Path, tshark: str
) -> None:
    count = evidence(silent, tmp_path / "evidence.pcapng")
    fields = ("frame.time_epoch", "frame.len", "frame.cap_len", "udp.payload", "tcp.seq_raw")
    original = shown(tshark, silent_capture, *fields)
    copied = shown(tshark, tmp_path / "evidence.pcapng", *fields)
    comments = shown(tshark, tmp_path / "evidence.pcapng", "frame.comment")
    assert len(copied) == count
    for row, (comment,) in zip(copied, comments, strict=True):
        number = int(comment.rpartition("record ")[2].rstrip("]"))
        assert row == original[number - 1]


def test_a_compressed_capture_gives_the_same_records(silent: Analysis, silent_capture: Path, tmp_path: Path) -> None:
    packed = tmp_path / "server.pcap"
    packed.write_bytes(gzip.compress(silent_capture.read_bytes(), mtime=0))
    outputs = [io.BytesIO(), io.BytesIO()]
    for analysis, output in zip((silent, analyse([str(packed)])), outputs, strict=True):
        write_evidence(output, analysis, analysis.document["findings"])
    assert outputs[0].getvalue() == outputs[1].getvalue()


def test_several_captures_keep_their_interfaces_apart(captures: Path, tmp_path: Path, tshark: str) -> None:
    case = captures / "02-caddy-ipv4-silent" / "nft-output-drop"
    analysis = analyse([str(case / "client.pcap"), str(case / "server.pcap")])
    evidence(analysis, tmp_path / "evidence.pcapng")
    rows = shown(tshark, tmp_path / "evidence.pcapng", "frame.interface_description", "frame.comment")
    assert {description for description, _ in rows} == {"of client.pcap", "of server.pcap"}
    assert all(description.removeprefix("of ") in comment for description, comment in rows)


@pytest.mark.parametrize("case", ["05-wrong-source-address/aioquic-v4", "11-tcp-cases/synack-lost-path"])
def test_every_cited_record_is_there(captures: Path, case: str) -> None:
    analysis = analyse([str(next((captures / case).glob("*.pcap")))])
    cited = {tuple(record) for finding in analysis.document["findings"] for record in finding["records"]}
    comments = chosen_records(analysis, analysis.document["findings"]).comments
    assert cited
    assert cited <= set(comments)
    assert len(list(read_again(analysis.paths, comments))) == len(comments)


def test_secrets_of_a_pcapng_never_enter_the_copy(silent: Analysis, silent_capture: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    write_evidence(content, silent, silent.document["findings"])
    secret = b"CLIENT_HANDSHAKE_TRAFFIC_SECRET " + b"ab" * 32 + b" " + b"cd" * 32
    # draft-ietf-opsawg-pcapng §4.7: a Decryption Secrets Block with a TLS key log
    block = struct_u32(0x544C534B) + struct_u32(len(secret)) + secret + bytes(-len(secret) % 4)
    length = struct_u32(len(block) + 12)
    source = tmp_path / "with-secrets.pcapng"
    source.write_bytes(content.getvalue() + struct_u32(10) + length + block + length)
    analysis = analyse([str(source)])
    copied = io.BytesIO()
    assert write_evidence(copied, analysis, analysis.document["findings"]).records > 0
    assert b"TRAFFIC_SECRET" not in copied.getvalue()


def struct_u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def test_no_more_than_the_most_and_the_rest_is_counted(silent: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = chosen_records(silent, silent.document["findings"])
    monkeypatch.setattr(chosen, "MOST_RECORDS", 5)
    few = chosen_records(silent, silent.document["findings"])
    assert set(few.comments) == {(0, record) for record in range(7, 12)}
    assert few.left_out == len(everything.comments) - 5
    content = io.BytesIO()
    write_evidence(content, silent, silent.document["findings"])
    assert b"found no room here" in content.getvalue()


def test_an_analysis_without_findings_gives_a_valid_capture_without_records(tmp_path: Path, tshark: str) -> None:
    content = io.BytesIO()
    assert write_evidence(content, example.healthy(), []).records == 0
    path = tmp_path / "evidence.pcapng"
    path.write_bytes(content.getvalue())
    assert shown(tshark, path, "frame.number") == []


def test_hostile_names_stay_one_printable_line() -> None:
    analysis = example.hostile()
    for comment in chosen_records(analysis, analysis.document["findings"]).comments.values():
        assert comment.isprintable()


@pytest.mark.parametrize(("path", "words"), [("-", "only once"), ("/dev/null", "only once"), ("gone.pcap", "No such")])
def test_what_cannot_be_read_again_is_a_usage_error(path: str, words: str) -> None:
    analysis = replace(example.silent(), paths=(path,))
    with pytest.raises(UsageError, match=words):
        write_evidence(io.BytesIO(), analysis, analysis.document["findings"])


def test_a_capture_that_lost_records_since_is_a_usage_error(
    silent_capture: Path, tmp_path: Path, silent: Analysis
) -> None:
    path = tmp_path / "server.pcap"
    path.write_bytes(silent_capture.read_bytes())
    analysis = analyse([str(path)])
    path.write_bytes(silent_capture.read_bytes()[:3_000])
    with pytest.raises(UsageError, match="changed"):
        copy.write_evidence(io.BytesIO(), analysis, analysis.document["findings"])
