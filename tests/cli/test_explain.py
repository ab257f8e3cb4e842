"""``halfshake explain``: the list of patterns, and the page of each."""

from __future__ import annotations

import pytest

from analyzer.patterns.catalogue import CATALOGUE
from tests.running import call

IDS = [module.PATTERN.id for module in CATALOGUE]


def test_the_list() -> None:
    done = call("explain")
    assert (done.status, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == IDS
    assert all(line.split()[1] in ("error", "warning", "info") for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", IDS)
def test_every_page(name: str) -> None:
    done = call("explain", name)
    assert (done.status, done.stderr) == (0, "")
    assert name in done.stdout
    assert len(done.stdout.splitlines()) > 15


def test_an_unknown_pattern() -> None:
    done = call("explain", "quic-initial-no-replay")
    assert (done.status, done.stdout) == (2, "")
    assert "quic-initial-no-replay" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_finding_can_be_explained(silent_capture) -> None:  # type: ignore[no-untyped-def]
    document = call("analyze", "--json", silent_capture).document
    assert {finding["pattern"] for finding in document["findings"]} <= set(IDS)
