"""Every recorded capture against its answer key: nothing missed, no false alarm.

In ``expected.json`` each requirement of ``must`` needs one of its alternatives (``pattern[@family][@address#port]``) as
a finding of severity error or warning; information is enough for what is said of the capture itself. ``may`` lists
further patterns that are not wrong. Any other error or warning is a false alarm.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.running import run

CAPTURES = Path(__file__).resolve().parents[2] / "captures"

Finding = dict[str, Any]


def cases() -> list[Any]:
    found = []
    for key in sorted(CAPTURES.rglob("expected.json")):
        for name, expected in json.loads(key.read_text()).items():
            case = (key.parent / name).relative_to(CAPTURES).as_posix()
            found.append(pytest.param(case, expected, id=case))
    return found


def fits(alternative: str, finding: Finding) -> bool:
    pattern, *rest = alternative.split("@")
    server = finding["server"] or {"address": None, "port": None}
    have = {finding["family"], f"{server['address']}#{server['port']}"}
    return bool(finding["pattern"] == pattern and have.issuperset(rest))


def meets(alternatives: list[str], finding: Finding) -> bool:
    loud = finding["severity"] in ("error", "warning") or finding["pattern"].startswith("capture-")
    return loud and any(fits(alternative, finding) for alternative in alternatives)


def is_false_alarm(finding: Finding, expected: dict[str, Any]) -> bool:
    wanted = [alternative for alternatives in expected["must"] for alternative in alternatives]
    allowed = finding["pattern"] in expected["may"] or any(fits(alternative, finding) for alternative in wanted)
    return finding["severity"] != "info" and not allowed


def onsets_of(findings: list[Finding], expected: dict[str, Any]) -> list[float]:
    wanted = [finding for finding in findings if any(meets(each, finding) for each in expected["must"])]
    # Nine decimals are three more than datetime reads.
    times = [finding["onset"][:26] + "+00:00" for finding in wanted if finding["onset"]]
    return [datetime.fromisoformat(time).timestamp() for time in times]


@pytest.mark.parametrize(("case", "expected"), cases())
def test_finds_what_is_wrong_and_nothing_else(case: str, expected: dict[str, Any]) -> None:
    done = run("analyze", "--json", CAPTURES / case)
    assert done.status == 0, done.stderr
    findings = done.document["findings"]
    assert [each for each in expected["must"] if not any(meets(each, finding) for finding in findings)] == [], "missed"
    false_alarms = [finding["because"] for finding in findings if is_false_alarm(finding, expected)]
    assert false_alarms == []
    if "onset" in expected:
        at, tolerance = expected["onset"]
        assert any(abs(onset - at) <= tolerance for onset in onsets_of(findings, expected))
