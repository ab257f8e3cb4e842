"""The vantage of recorded captures: both ends of the same minutes, so the truth is the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.analysis import analyse

CAPTURES = Path(__file__).parents[2] / "captures"
BOTH_ENDS = [
    "01-caddy-http3-ok/caddy-2.6.2",
    "02-caddy-ipv4-silent/nft-output-drop",
    "02-caddy-ipv4-silent/v6only",
    "07-retry/aioquic-ok",
    "12-happy-eyeballs/both-ok",
]


@pytest.mark.parametrize("end", ["client", "server"])
@pytest.mark.parametrize("case", BOTH_ENDS)
def test_tells_the_end_where_the_capture_was_made(case: str, end: str) -> None:
    view = analyse([str(CAPTURES / case / f"{end}.pcap")]).document["captures"][0]
    assert view["vantage"] == end
    assert "median of" in view["vantage_reason"]


def test_does_not_take_a_client_timer_for_a_way() -> None:
    # no attempt of this capture completes: the client's next packet is a probe, 0.2 s after the reply
    view = analyse([str(CAPTURES / "06-version-negotiation/never-converges/client.pcap")]).document["captures"][0]
    assert view["vantage"] == "unknown"
