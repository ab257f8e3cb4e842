"""report.sarif: valid by the schema, and its regions are the bytes of the cited records."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analyzer.analysis import Analysis, analyse
from analyzer.reports.evidence.copy import write_evidence
from analyzer.reports.programs.sarif import sarif_json, sarif_of
from tests.reports import example

SCHEMA = Path(__file__).parents[1] / "schemas" / "sarif-2.1.0-rtm.4.json"


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema.Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def silent(silent_capture: Path) -> Analysis:
    return analyse([str(silent_capture)])


@pytest.mark.parametrize("make", [example.silent, example.healthy, example.empty, example.mixed])
def test_it_is_valid(validator: Any, make: Callable[[], example.Example]) -> None:
    validator.validate(json.loads(sarif_json(make())))


def test_it_is_valid_of_real_captures(validator: Any, captures: Path, silent: Analysis) -> None:
    validator.validate(sarif_of(silent))
    for case in ("03-haproxy-ocsp-ipv6/noroute-default/haproxy-side.pcap", "11-tcp-cases/synack-lost-path/server.pcap"):
        validator.validate(sarif_of(analyse([str(captures / case)])))


def test_results_are_the_findings_with_their_rules(silent: Analysis) -> None:
    (run,) = sarif_of(silent)["runs"]
    rules = run["tool"]["driver"]["rules"]
    findings = silent.document["findings"]
    assert len(run["results"]) == len(findings) > 0
    for result, finding in zip(run["results"], findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding["pattern"]
        assert result["level"] == {"error": "error", "warning": "warning", "info": "note"}[finding["severity"]]
        assert finding["because"] in result["message"]["text"]
        assert "look" in rules[result["ruleIndex"]]["help"]["text"].lower()
    assert len({result["partialFingerprints"]["finding/v1"] for result in run["results"]}) == len(findings)


def test_the_region_is_the_record_of_a_pcap(silent: Analysis, silent_capture: Path) -> None:
    result = sarif_of(silent)["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "server.pcap", "index": 0}
    begin = place["region"]["byteOffset"]
    header = silent_capture.read_bytes()[begin : begin + 16]
    (captured,) = struct.unpack_from("<I", header, 8)
    assert place["region"]["byteLength"] == 16 + captured
    seconds, fraction = struct.unpack_from("<II", header)
    first = silent.document["findings"][0]["first_time"]
    assert first.endswith(f".{fraction:06d}000Z")
    assert seconds == 1_795_302_324


def test_the_region_is_the_block_of_a_pcapng(silent: Analysis, tmp_path: Path) -> None:
    content = io.BytesIO()
    write_evidence(content, silent, silent.document["findings"])
    path = tmp_path / "a b.pcapng"
    path.write_bytes(content.getvalue())
    result = sarif_of(analyse([str(path)]))["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b.pcapng"
    begin = place["region"]["byteOffset"]
    kind, _ = struct.unpack_from("<II", content.getvalue(), begin)
    (captured,) = struct.unpack_from("<I", content.getvalue(), begin + 20)
    assert kind == 6
    assert place["region"]["byteLength"] == 28 + captured


def test_a_finding_without_records_lies_in_the_capture_as_a_whole() -> None:
    findings = [dict(example.NO_REPLY, records=[], server=None, transport=None)]
    analysis = example.analysis_of(example.connection_rows(), findings)
    (result,) = sarif_of(analysis)["runs"][0]["results"]
    (location,) = result["locations"]
    assert location == {"physicalLocation": {"artifactLocation": {"uri": "server.pcap", "index": 0}}}


def test_hostile_text_is_no_link_and_no_path() -> None:
    findings = [dict(example.NO_REPLY, title=example.HOSTILE)]
    facts = example.capture_fact("../x:y\u202e.pcap") | {"warnings": [example.HOSTILE]}
    analysis = example.analysis_of(example.connection_rows(), findings, captures=[facts])
    text = sarif_json(analysis)
    assert "](http" not in text
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    (artifact,) = json.loads(text)["runs"][0]["artifacts"]
    assert artifact["location"]["uri"] == "..%2Fx%3Ay%E2%80%AE.pcap"
