"""Connections as columns and as objects: every table and the report are the same, whichever way they were read.

Only captures with many flows have columns; here flows are read so in captures of any size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.analysis import Analysis, analyse
from analyzer.columns import Table
from analyzer.events.quic import plain
from tests.conftest import ROOT

CAPTURES = sorted((ROOT / "captures").glob("[0-9]*/**/*.pcap*"))
KEY_LOGS = sorted((ROOT / "captures").glob("*/*/client.keys"))
BOTH_ENDS = [path for path in sorted(path.parent for path in CAPTURES) if (path / "server.pcap").is_file()]
BOTH_ENDS = [path for path in dict.fromkeys(BOTH_ENDS) if (path / "client.pcap").is_file()]


def everything(paths: Sequence[Path], keylog: Path | None = None, *, backwards: bool = False) -> dict[str, Any]:
    """The report document and all columns of all tables; ``backwards``: in the order from last to first."""
    analysis = analyse([str(path) for path in paths], keylog=keylog)
    told: dict[str, Any] = {}
    names = [(table, column.name) for table in tables(analysis) for column in table.schema]
    for table, name in reversed(names) if backwards else names:
        told[f"{table.name}.{name}"] = table[name]
    return told | {"document": json.dumps(analysis.document)}


def tables(analysis: Analysis) -> list[Table]:
    view = analysis.view
    return [
        view.connections,
        view.exchanges,
        view.sockets,
        view.hosts,
        view.resolutions,
        view.stories,
        analysis.packets,
    ]


def check(monkeypatch: pytest.MonkeyPatch, paths: Sequence[Path], keylog: Path | None = None) -> int:
    """How many flows were read as columns; fails where anything else is told of them."""
    counts, read = [0], plain.plain_connections

    def counted(*given: Any, **how: Any) -> Any:
        columns, others = read(*given, **how)
        counts.append(len(columns))
        return columns, others

    monkeypatch.setattr(plain, "WORTH_KERNELS", 1 << 60)
    expected = everything(paths, keylog)
    monkeypatch.setattr(plain, "WORTH_KERNELS", 0)
    monkeypatch.setattr(plain, "plain_connections", counted)
    for backwards in (False, True):
        found = everything(paths, keylog, backwards=backwards)
        assert found.keys() == expected.keys()
        for name, column in expected.items():
            if isinstance(column, np.ndarray):
                np.testing.assert_array_equal(found[name], column, name)
            else:
                assert found[name] == column
    return sum(counts)


def test_every_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(check(monkeypatch, [path]) for path in CAPTURES) > 500


def test_with_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    read = [check(monkeypatch, sorted(log.parent.glob("client.pcap*")), log) for log in KEY_LOGS[::3]]
    assert sum(read) > 50


def test_from_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    read = [check(monkeypatch, [folder / "client.pcap", folder / "server.pcap"]) for folder in BOTH_ENDS[::4]]
    assert sum(read) > 50
