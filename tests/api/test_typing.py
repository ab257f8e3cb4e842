"""A user's script that uses the API passes mypy in strict mode."""

from __future__ import annotations

from pathlib import Path

import mypy.api

SCRIPT = """
from collections.abc import Iterator

import numpy as np
import pandas

import analyzer
from analyzer.exchanges.view import View
from analyzer.patterns.evidence import attempts_by_socket, finding_of
from analyzer.patterns.finding import Argument, Finding


@analyzer.own_pattern("many-repeats", severity="warning", summary="requests are repeated often")
def many_repeats(view: View) -> Iterator[Finding]:
    for attempts in attempts_by_socket(view, np.asarray(view.connections["repeats"] >= 3, np.bool_)):
        argument = Argument("warning", "likely", attempts.words, f"{len(attempts)} requests were repeated.")
        yield finding_of(many_repeats.PATTERN, attempts, argument=argument)


def silent(path: str) -> pandas.DataFrame:
    capture = analyzer.open(path, keylog=None, filter="tcp", vantage={"a.pcap": "client"}, patterns=[many_repeats])
    finding = capture.findings["quic-initial-no-reply"]
    for each in capture.findings[:2]:
        print(each.id, each.severity, each.records[0], each.packets(), len(each.scapy()), each.wireshark().filter)
    connection = finding.connections[0]
    capture.plot.timeline().set_title(str(capture.verdict))
    connection.ladder().set_title(connection.id)
    print(capture.compare(analyzer.open([path])).is_worse, capture.report("folder"), capture.save("a.scan"))
    print(analyzer.explain("quic-initial-no-reply"), analyzer.__version__)
    sockets = capture.sockets
    return sockets[sockets["silent"] > 0]


try:
    print(silent("a.pcap"))
except analyzer.CaptureError as error:
    print(error)
reveal_type(analyzer.open("a.pcap").findings[0])
"""


def test_a_script_of_a_user(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    options = ["--strict", "--config-file", str(root / "pyproject.toml"), "--cache-dir", str(root / ".mypy_cache")]
    told, errors, status = mypy.api.run([*options, str(path)])
    assert (status, errors) == (0, ""), told
    assert 'Revealed type is "analyzer.api.findings.Finding"' in told
