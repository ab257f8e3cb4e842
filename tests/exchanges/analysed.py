"""Packets made by hand, through the whole line: what tests of tables start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analyzer.analysis import Analysis, analyse
from tests.crafted import Captured, write_pcap


def analysed(folder: Path, captured: Sequence[Captured]) -> Analysis:
    """The analysis of packets of one link type."""
    return analyse([str(write_pcap(folder / "made.pcap", captured))])


def rows(folder: Path, captured: Sequence[Captured], table: str = "connections") -> list[dict[str, Any]]:
    """The rows of a table of these packets."""
    return list(getattr(analysed(folder, captured), table).rows())
