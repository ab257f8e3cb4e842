"""The plots besides the timeline, drawn from recorded captures: what stands where, and where each is left out."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from analyzer import analysis
from analyzer.errors import UsageError
from analyzer.reports.plots import (
    amplification,
    drawn,
    inline_svg,
    ladder,
    port_outcomes,
    reply_latency,
    svg_of,
    timeline,
    waterfall,
)
from analyzer.reports.plots.style import COLOURS, FAMILY_COLOURS
from analyzer.reports.summary import Analysed
from tests.reports import example

CAPTURES = Path(__file__).parents[3] / "captures"
SILENT = "02-caddy-ipv4-silent/nft-output-drop/server.pcap"
SPLIT = "04-reuseport-dead-worker/nginx-onset/server.pcap"
STALLED = "09-handshake-stall/handshake-packets-lost/client.pcap"
CHAIN = "09-handshake-stall/big-chain-ok-caddy/server.pcap"
EVERY = (timeline, reply_latency, port_outcomes, amplification, waterfall, ladder)


@functools.cache
def recorded(name: str) -> analysis.Analysis:
    return analysis.analyse([str(CAPTURES / name)])


def words(ax: Axes) -> str:
    texts = [*ax.texts, *ax.get_yticklabels(), *(ax.legend_.get_texts() if ax.legend_ else [])]
    return "\n".join(text.get_text() for text in texts)


def marked(ax: Axes) -> dict[str, int]:
    """How many marks each entry of the legend has."""
    marks = [each for each in ax.collections if isinstance(each, PathCollection)]
    return {str(each.get_label()): len(np.asarray(each.get_offsets())) for each in marks}


def test_a_dead_family_stays_on_the_ground_and_the_others_rise() -> None:
    ax = reply_latency(recorded(SILENT))
    ends = {str(line.get_color()): line.get_ydata()[-1] for line in ax.lines if line.get_linestyle() == "-"}  # type: ignore[index]
    assert sorted(ends.values()) == [0.0, 100.0]
    assert "UDP IPv4: 0 of 5\nnever answered" in words(ax)
    assert "UDP IPv6: 5 of 5\nmedian 1.36 ms" in words(ax)
    assert ax.get_xlabel() == "time from the first request to the first reply (logarithmic)"
    assert {label.get_text() for label in ax.get_xticklabels()} >= {"100 µs", "1 ms", "10 ms"}


def test_a_curve_ends_at_the_share_that_was_answered() -> None:
    ax = reply_latency(recorded(SPLIT), server="192.0.2.80")
    assert {round(float(line.get_ydata()[-1]), 1) for line in ax.lines} == {85.0, 90.0}  # type: ignore[index]


def test_a_flood_of_answers_is_a_curve_of_few_steps() -> None:
    ax = reply_latency(example.flood(8_000))
    assert all(len(np.asarray(line.get_xdata())) <= 402 for line in ax.lines)


def test_split_ports_stand_by_port_and_time_with_the_onset() -> None:
    ax = port_outcomes(recorded(SPLIT))
    assert ax.get_title(loc="left") == "Client ports and outcomes on UDP 443 of 192.0.2.80 over IPv4"
    assert marked(ax) == {"answered 68": 68, "silent 12": 12}
    assert "since 23:39:05" in words(ax)
    assert "1 port tried again, 0 with another outcome" in words(ax)
    assert ax.get_ylabel() == "client port (number)"


def test_bytes_stay_under_the_limit_until_the_client_is_validated() -> None:
    ax = amplification(recorded(CHAIN), connection="C2")
    limit, server = (np.asarray(line.get_ydata()) for line in ax.lines[:2])
    assert limit[0] == 3600
    assert server[-1] == 7199
    assert "Handshake packet of the client after 25.5 ms: no limit from here on" in words(ax)
    assert ax.get_ylabel() == "UDP payload, in all (bytes)"


def test_a_waterfall_says_what_each_handshake_waited_for() -> None:
    ax = waterfall(recorded(STALLED))
    assert "25.9 ms to the reply\nnot seen to end" in words(ax)
    assert "C1 QUIC IPv4\n192.0.2.80" in words(ax)
    assert "done after" in words(waterfall(recorded(CHAIN), connections=["C1"]))


def test_silent_connections_wait_for_the_reply_alone() -> None:
    assert "no reply" in words(waterfall(recorded(SILENT), connections=["C1"]))


def test_a_ladder_has_an_arrow_per_packet() -> None:
    ax = ladder(recorded(SILENT), connection="C1")
    assert "record 8, +178 ms" in words(ax)
    assert "no reply of 192.0.2.80:443 was seen" in words(ax)


@pytest.mark.parametrize(
    ("name", "plots"),
    [
        (SILENT, ["timeline", "reply-latency"]),
        (SPLIT, ["timeline", "reply-latency", "ports"]),
        (STALLED, ["timeline", "waterfall"]),
        ("01-caddy-http3-ok/caddy-2.6.2/server.pcap", ["timeline"]),
    ],
)
def test_a_report_has_the_plots_that_tell(name: str, plots: list[str]) -> None:
    assert [name for name, _ in drawn(recorded(name))] == plots


@pytest.mark.parametrize("draw", EVERY)
@pytest.mark.parametrize("make", [example.silent, example.empty, example.hostile, example.mixed])
def test_every_plot_draws_into_given_axes_and_the_same_each_time(draw: object, make: object) -> None:
    assert callable(draw)
    assert callable(make)
    given = Figure().add_subplot()
    assert draw(make(), ax=given) is given
    first, second = (svg_of(draw(make()).get_figure(root=True)) for _ in range(2))
    assert first == second
    assert "<script" not in first
    assert 'style="' not in inline_svg(first, "title")


def test_an_unknown_server_and_connection_are_said() -> None:
    shown: Analysed = recorded(SILENT)
    with pytest.raises(UsageError, match=r"no server '192\.0\.2\.99' in this capture; there is example\.com"):
        reply_latency(shown, server="192.0.2.99")
    with pytest.raises(UsageError, match="no connection 'C999' in this capture"):
        waterfall(shown, connections=["C999"])


def test_questions_of_dns_are_attempts_of_their_own() -> None:
    ax = timeline(recorded("03-haproxy-ocsp-ipv6/noroute-default/haproxy-side.pcap"))
    assert "4 of 4 answered" in words(ax)
    drawn_marks = [each for each in ax.collections if isinstance(each, PathCollection)]
    assert sum(len(np.asarray(each.get_offsets())) for each in drawn_marks) == 4


def test_the_onset_of_a_fault_stands_in_the_row_of_its_socket() -> None:
    text = words(timeline(recorded(SPLIT)))
    assert "since 23:39:05" in text
    assert "silent since" not in text


def test_the_page_has_a_colour_for_all_that_plots_leave_to_it() -> None:
    style = (Path(__file__).parents[3] / "analyzer/reports/templates/report.css").read_text(encoding="utf-8")
    for name in COLOURS | FAMILY_COLOURS:
        assert style.count(f"--{name}: #") == 2, "light and dark"
